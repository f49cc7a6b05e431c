"""People who pick: the last step of a selector, by which somebody says of each record yes or no."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from tilth.algebra import show
from tilth.changes import Field
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.labeling.consensus import majority
from tilth.labeling.panel import Panel
from tilth.protocols import Annotator
from tilth.questions import terms
from tilth.selectors.picked import Picked
from tilth.selectors.steps import Step
from tilth.state import State

__all__ = ["PickedBy", "Without", "picker", "said"]

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class PickedBy(Step, tag="picked by"):
    """Those that somebody picks; as a step it keeps all, because whom they are shown to is asked by the run."""

    by: Annotator
    enough: float = 1.0
    patience: str | None = None
    votes: int = 1

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, without one vote: as it was before there could be more, so that a run goes on."""
        return {k: v for k, v in super().to_json().items() if k != "votes" or v != 1}

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep all: these are the candidates."""
        return picked

    def __repr__(self) -> str:
        terms = {"votes": (self.votes, 1), "enough": (self.enough, 1.0), "patience": (self.patience, None)}
        said = [repr(self.by), *(f"{k}={show(v)}" for k, (v, default) in terms.items() if v != default)]
        return f".picked_by({', '.join(said)})"


@dataclass(frozen=True, repr=False)
class Without(Step, tag="without"):
    """Those that are not among some records; it is not written, so that the draws of later steps stay as they are."""

    ids: tuple[int, ...]

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Leave them out."""
        keep = np.ones(len(state), bool)
        keep[np.array(self.ids, np.int64)] = False
        return picked.only(keep, picked.what, picked.reason, 0)

    def __repr__(self) -> str:
        return ""


def picker(by: Any, votes: int, enough: float, patience: str | None) -> PickedBy:
    """Return the step; UsageError says what to write where nobody can be asked so."""
    if isinstance(by, Panel):
        raise UsageError(
            f"picked_by({by!r}): a Panel settles labels; who picks is a Team, such as {by.members[0]!r}, with votes=3 "
            "where several are to look"
        )
    if not isinstance(by, Annotator):
        name = by if isinstance(by, str) and by else "lead"
        raise UsageError(
            f"picked_by({by!r}): who picks is an annotator, not {type(by).__name__}; write "
            f"picked_by(Team({show(name)}))"
        )
    terms("picked_by", votes=votes, enough=enough, patience=patience)
    return PickedBy(by, enough, patience, votes)


def said(dataset: Dataset, wanted: str) -> tuple[Ids, Ids]:
    """Return the records that were picked for something, and those that were shown and not picked, ids ascending."""
    table = dataset.answers()
    head = json.dumps({"do": wanted})[:-1] + ","
    mine = pc.and_(pc.equal(table["field"], int(Field.REVIEW)), pc.starts_with(table["label"], head))
    table = table.filter(mine) if table.num_rows else table
    votes: dict[int, list[str]] = {}
    for record, text in zip(table["record_id"].to_pylist(), table["label"].to_pylist(), strict=True):
        votes.setdefault(record, []).append(json.loads(text)["say"])
    yes = {record for record, texts in votes.items() if majority(texts) == "yes"}
    return np.array(sorted(yes), np.int64), np.array(sorted(set(votes) - yes), np.int64)
