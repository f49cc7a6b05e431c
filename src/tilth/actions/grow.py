"""Actions that make records: augment what is there, or replace its content."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.actions.approval import approved
from tilth.actions.base import Action
from tilth.actions.records import label_of
from tilth.actions.shape import evidence
from tilth.algebra import Function
from tilth.changes import EVENT, Changes, Op, events
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.protocols import Annotator
from tilth.record import Record
from tilth.selectors import Chosen
from tilth.state import State

__all__ = ["augment", "modify"]

Transform = Callable[[Record], "Record | Iterable[Record]"]


def augment(by: Transform, *, approve: Annotator | None = None) -> Action:
    """Add, for each chosen record, what a function makes of it: same label, linked to its source.

    >>> def shout(record: Record) -> Record:
    ...     return record.change(text=record["text"].upper())
    >>> augment(shout)
    augment(shout)

    Each source gets each augmentation once: a new record is known by its source's content and the function (source
    included), so a rule that fires again adds nothing, and one that was rolled back is revived. Augmented records are
    never augmented again, follow their source's label and removal, and stay in its fold. Asking about them asks about
    the source. A record on which the function fails is quarantined with the reason, and the rest goes on; where it
    fails on all of them, nothing is changed. `approve` as for `remove`.
    """
    return approved(Augment(Function.of(by)), approve)


def modify(by: Callable[[Record], Record], *, approve: Annotator | None = None) -> Action:
    """Replace the content of the chosen records by what a function makes of it; the old content stays in the history.

    >>> def trim(record: Record) -> Record:
    ...     return record.change(text=record["text"].strip())
    >>> modify(trim)
    modify(trim)

    A record on which the function fails is quarantined, as for `augment`. `approve` as for `remove`.
    """
    return approved(Modify(Function.of(by)), approve)


@dataclass(frozen=True, repr=False)
class Augment(Action, tag="augment"):
    """See `augment`."""

    by: Function

    def propose(self, chosen: Chosen, state: State) -> Changes:
        dataset = state.dataset
        own = dataset.parent[chosen.ids] < 0
        ids = chosen.ids[own]
        recipe = json.dumps({"augment": self.by.where, "source": self.by.source}, sort_keys=True)
        sources = [
            _derived_key(key, content, recipe)
            for key, content in zip(dataset.keys(ids), dataset.content[ids].tolist(), strict=True)
        ]
        there = dataset.find([f"{key}" for key in sources])
        fresh = (there < 0) | ~state.view.alive[np.where(there >= 0, there, 0)]
        rows: list[Record] = []
        parents: list[int] = []
        keys: list[str] = []
        position = {int(i): n for n, i in enumerate(chosen.ids)}
        names = dict(zip(ids.tolist(), sources, strict=True))
        made, poison = _each(self.by, dataset.records(ids[fresh]), repr(self))
        for record, found in made:
            for n, new in enumerate(found):
                rows.append(new)
                parents.append(record.id)
                keys.append(names[record.id] if n == 0 else f"{names[record.id]}.{n}")
        if not rows:
            return Changes(poison)
        table = _payload(dataset, rows, self.by)
        parent = np.array(parents, np.int64)
        added = table.append_column("key", pa.array(keys)).append_column(
            "label0", pa.array(label_of(state, parent), dataset.schema.label.arrow)
        )
        added = added.append_column("split0", pa.array(np.zeros(len(rows), np.int8)))
        added = added.append_column("parent", pa.array(parent)).append_column("recipe", pa.array([recipe] * len(rows)))
        why = evidence(chosen, state, np.array([position[p] for p in parents]))
        return Changes(pa.concat_tables([events(Op.ADD, -1 - np.arange(len(rows)), **why), poison]), added)

    def __repr__(self) -> str:
        return f"augment({self.by!r})"


@dataclass(frozen=True, repr=False)
class Modify(Action, tag="modify"):
    """See `modify`."""

    by: Function

    def propose(self, chosen: Chosen, state: State) -> Changes:
        dataset = state.dataset
        made, poison = _each(self.by, dataset.records(chosen.ids), repr(self), one=True)
        changed = [
            (old, new[0]) for old, new in made if any(not _same(old[c], new[0][c]) for c in dataset.schema.names)
        ]
        if not changed:
            return Changes(poison)
        recipe = json.dumps({"modify": self.by.where, "source": self.by.source}, sort_keys=True)
        revised = _payload(dataset, [new for _, new in changed], self.by)
        revised = revised.append_column("record_id", pa.array([old.id for old, _ in changed], pa.int64()))
        revised = revised.append_column("recipe", pa.array([recipe] * len(changed))).append_column(
            "reason", pa.array([f"{chosen.reason}; {self!r}"] * len(changed))
        )
        return Changes(poison, None, revised)

    def __repr__(self) -> str:
        return f"modify({self.by!r})"


def _derived_key(key: str, content: int, recipe: str) -> str:
    name = json.loads(recipe).get("augment", "").rsplit(":", 1)[-1]
    return f"{key}~{name}-{hashlib.sha256(f'{content:x} {recipe}'.encode()).hexdigest()[:8]}"


def _each(
    by: Function, records: Iterable[Record], what: str, *, one: bool = False
) -> tuple[list[tuple[Record, list[Record]]], pa.Table]:
    """Return (record, what the function makes of it), and the events that quarantine those on which it fails."""
    call = by.load()
    made: list[tuple[Record, list[Record]]] = []
    failed: list[tuple[Record, Exception]] = []
    for record in records:
        try:
            found = call(record)
            made.append((record, [_checked(new, record, by) for new in ([found] if _single(found, one) else found)]))
        except UsageError:
            raise
        except Exception as why:  # noqa: BLE001  a user's function may raise anything
            failed.append((record, why))
    if failed and not made:
        record, why = failed[0]
        more = f" (and on the {len(failed) - 1:,} others that were chosen)" if len(failed) > 1 else ""
        raise UsageError(
            f"{by!r} failed on record {record.key!r}: {type(why).__name__}: {why}{more}. Nothing was changed"
        ) from why
    parts = [
        events(Op.QUARANTINE, np.array([r.id]), reason=f"{what} failed: {type(why).__name__}: {why}", actor=by.name)
        for r, why in failed
    ]
    return made, pa.concat_tables([EVENT.empty_table(), *parts])


def _single(found: Any, one: bool) -> bool:
    return one or isinstance(found, Record) or not isinstance(found, Iterable)


def _checked(new: Any, old: Record, by: Function) -> Record:
    if not isinstance(new, Record):
        raise UsageError(
            f"{by!r} returned {type(new).__name__} for record {old.key!r}; it must return a Record "
            "(record.change(...)) or several"
        )
    return new


def _payload(dataset: Dataset, rows: list[Record], by: Function) -> pa.Table:
    columns: dict[str, pa.Array] = {}
    for column in dataset.schema.columns:
        try:
            columns[column.name] = pa.array([row[column.name] for row in rows], column.arrow)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as why:
            raise UsageError(f"{by!r} made values of column {column.name!r} that are no {column.kind}: {why}") from why
    return pa.table(columns)


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b
