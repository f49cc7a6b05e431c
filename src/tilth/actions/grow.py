"""Actions that make records: augment what is there, or replace its content."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.actions.base import Action
from tilth.actions.shape import evidence
from tilth.algebra import Function
from tilth.changes import EVENT, Changes, Op, events
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.record import Record
from tilth.selectors import Chosen
from tilth.state import State

__all__ = ["augment", "modify"]

Transform = Callable[[Record], "Record | Iterable[Record]"]


def augment(by: Transform) -> "Augment":
    """Add, for each chosen record, what a function makes of it: same label, linked to its source.

    >>> def shout(record: Record) -> Record:
    ...     return record.change(text=record["text"].upper())
    >>> augment(shout)
    augment(shout)

    Each source gets each augmentation once: a new record is known by its source's content and the function (source
    included), so a rule that fires again adds nothing, and one that was rolled back is revived. Augmented records are
    never augmented again, follow their source's label and removal, and stay in its fold. Asking about them asks about
    the source.
    """
    return Augment(Function.of(by))


def modify(by: Callable[[Record], Record]) -> "Modify":
    """Replace the content of the chosen records by what a function makes of it; the old content stays in the history.

    >>> def trim(record: Record) -> Record:
    ...     return record.change(text=record["text"].strip())
    >>> modify(trim)
    modify(trim)
    """
    return Modify(Function.of(by))


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
        call = self.by.load()
        position = {int(i): n for n, i in enumerate(chosen.ids)}
        for record, key in zip(
            dataset.records(ids[fresh]), [k for k, f in zip(sources, fresh, strict=True) if f], strict=True
        ):
            made = _call(call, self.by, record)
            for n, new in enumerate([made] if isinstance(made, Record) else made):
                rows.append(_checked(new, record, self.by))
                parents.append(record.id)
                keys.append(key if n == 0 else f"{key}.{n}")
        if not rows:
            return Changes.none()
        table = _payload(dataset, rows, self.by)
        parent = np.array(parents, np.int64)
        label0 = state.view.label[parent] if dataset.schema.label.kind != "classes" else _as_json(dataset, parent)
        added = table.append_column("key", pa.array(keys)).append_column(
            "label0", pa.array(label0, dataset.schema.label.arrow)
        )
        added = added.append_column("split0", pa.array(np.zeros(len(rows), np.int8)))
        added = added.append_column("parent", pa.array(parent)).append_column("recipe", pa.array([recipe] * len(rows)))
        why = evidence(chosen, state, np.array([position[p] for p in parents]))
        return Changes(events(Op.ADD, -1 - np.arange(len(rows)), **why), added)

    def __repr__(self) -> str:
        return f"augment({self.by!r})"


@dataclass(frozen=True, repr=False)
class Modify(Action, tag="modify"):
    """See `modify`."""

    by: Function

    def propose(self, chosen: Chosen, state: State) -> Changes:
        dataset = state.dataset
        call = self.by.load()
        old = list(dataset.records(chosen.ids))
        new = [_checked(_call(call, self.by, record), record, self.by) for record in old]
        differs = [any(not _same(a[c], b[c]) for c in dataset.schema.names) for a, b in zip(old, new, strict=True)]
        changed = [record for record, d in zip(new, differs, strict=True) if d]
        if not changed:
            return Changes.none()
        ids = chosen.ids[np.array(differs)]
        recipe = json.dumps({"modify": self.by.where, "source": self.by.source}, sort_keys=True)
        revised = _payload(dataset, changed, self.by).append_column("record_id", pa.array(ids))
        revised = revised.append_column("recipe", pa.array([recipe] * len(changed))).append_column(
            "reason", pa.array([f"{chosen.reason}; {self!r}"] * len(changed))
        )
        return Changes(EVENT.empty_table(), None, revised)

    def __repr__(self) -> str:
        return f"modify({self.by!r})"


def _derived_key(key: str, content: int, recipe: str) -> str:
    name = json.loads(recipe).get("augment", "").rsplit(":", 1)[-1]
    return f"{key}~{name}-{hashlib.sha256(f'{content:x} {recipe}'.encode()).hexdigest()[:8]}"


def _call(call: Callable[..., Any], by: Function, record: Record) -> Any:
    try:
        return call(record)
    except Exception as why:
        raise UsageError(
            f"{by!r} failed on record {record.key!r}: {type(why).__name__}: {why}. Nothing was changed; mend it and "
            "run again"
        ) from why


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


def _as_json(dataset: Dataset, ids: Any) -> list[str | None]:
    return [None if names is None else json.dumps(names) for names in dataset.labels(ids)]


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b
