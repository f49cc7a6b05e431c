"""Any action with people in it: what it proposes is done where somebody approves."""

import json
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.actions.base import Action
from tilth.changes import Changes, Field, Op
from tilth.dataset import Dataset
from tilth.dataset.schema import SPLITS
from tilth.errors import UsageError
from tilth.labeling.panel import Panel
from tilth.protocols import Annotator
from tilth.questions import Question
from tilth.selectors import Chosen, Selector, Wanted
from tilth.state import State

__all__ = ["Approved", "approved"]

Ids = npt.NDArray[np.int64]


def approved(action: Action, by: Annotator | None) -> Action:
    """Return an action whose changes wait for approval, or the action itself where `by` is None."""
    if by is None:
        return action
    if isinstance(by, Panel) or not isinstance(by, Annotator) or by.at_once:
        raise UsageError(f'approve={by!r}: who says yes or no is a Team, such as Team("lead"); got {type(by).__name__}')
    return Approved(action, by)


@dataclass(frozen=True, repr=False)
class Approved(Action, tag="approved"):
    """An action whose changes somebody looks at first, record by record: those approved are made."""

    action: Action
    by: Annotator

    @property
    def waits(self) -> bool:
        """Always: people say yes or no."""
        return True

    def fits(self, select: Selector | Wanted) -> None:
        """Whatever the action itself can be done with."""
        self.action.fits(select)

    def propose(self, chosen: Chosen, state: State) -> Question:
        """Return the action's changes as a question, a task a record."""
        found = self.action.propose(chosen, state)
        if isinstance(found, Question):
            raise UsageError(f"{self!r}: {self.action!r} asks people itself and needs no approval")
        changes = _without_refused(found, repr(self.action), state)
        ids, details = _tasks(changes, repr(self.action), state.dataset)
        place = {int(i): n for n, i in enumerate(chosen.ids)}
        score = None
        if chosen.score is not None:
            score = np.array([chosen.score[place[i]] if i in place else np.nan for i in ids.tolist()], np.float64)
        return Question(
            self.by,
            ids,
            reason=chosen.reason,
            signal=chosen.signal,
            score=score,
            kind="approve",
            details=details,
            wanted=repr(self.action),
            changes=changes,
        )

    def __repr__(self) -> str:
        head = repr(self.action)[:-1]
        return f"{head}{'' if head.endswith('(') else ', '}approve={self.by!r})"


def _without_refused(changes: Changes, wanted: str, state: State) -> Changes:
    """Leave out records of which somebody has said no to the same action: nobody is asked the same thing twice."""
    said = state.dataset.answers()
    review = said["field"].to_numpy() == Field.REVIEW
    texts = said["label"].filter(pa.array(review)).to_pylist()
    no = np.array([json.loads(t) == {"do": wanted, "say": "no"} for t in texts], bool)
    refused = np.unique(said["record_id"].to_numpy()[review][no])
    if len(refused) == 0:
        return changes
    touched, parents = changes.touched(), changes.parents()
    return changes.only(np.concatenate([touched[~np.isin(touched, refused)], _rows(~np.isin(parents, refused))]))


def _rows(keep: npt.NDArray[np.bool_]) -> Ids:
    return -1 - np.flatnonzero(keep)


def _tasks(changes: Changes, wanted: str, dataset: Dataset) -> tuple[Ids, list[str]]:
    """Return a task for each record that changes touch: its id (-(i + 1): new record i), and what would happen."""
    said: dict[int, dict[str, Any]] = {}
    rows = cast(list[dict[str, Any]], changes.events.select(["record_id", "op", "field", "new_num"]).to_pylist())
    old = [r["record_id"] for r in rows if r["record_id"] >= 0]
    label = dict(zip(old, dataset.labels(np.array(old, np.int64)), strict=True))
    for row in rows:
        record = row["record_id"]
        if record >= 0 and row["op"] != Op.QUARANTINE:
            said.setdefault(record, {"do": wanted}).update(_change(row, label[record], dataset))
    if changes.revised is not None:
        said |= _contents(changes.revised, changes.revised["record_id"].to_pylist(), wanted, dataset)
    if changes.added is not None:
        new = [-1 - i for i in range(changes.added.num_rows)]
        made = _contents(changes.added, new, wanted, dataset)
        parents = changes.parents()
        for i, key in zip(new, dataset.keys(parents[parents >= 0]), strict=False):
            made[i]["from"] = key
        said |= made
    return np.array(list(said), np.int64), [json.dumps(what, ensure_ascii=False) for what in said.values()]


def _change(row: dict[str, Any], label: Any, dataset: Dataset) -> dict[str, Any]:
    match row["op"], row["field"]:
        case Op.REMOVE, _:
            return {"remove": True}
        case Op.ADD, _:
            return {"restore": True}
        case _, Field.LABEL:
            classes = dataset.schema.label.classes
            return {"label": [label, classes[int(row["new_num"])] if classes else row["new_num"]]}
        case _, Field.WEIGHT:
            return {"weight": row["new_num"]}
        case _, Field.SPLIT:
            return {"split": SPLITS[int(row["new_num"])]}
        case _:
            return {}


def _contents(table: pa.Table, ids: list[int], wanted: str, dataset: Dataset) -> dict[int, dict[str, Any]]:
    """Return the new contents as far as they can be read as text: numbers and texts, not pictures and sounds."""
    plain = [c.name for c in dataset.schema.columns if c.kind in ("text", "number", "integer")]
    rows = table.select(plain).to_pylist() if plain else [{} for _ in ids]
    return {i: {"do": wanted, "content": row} for i, row in zip(ids, rows, strict=True)}
