"""What a dataset refuses to write: changes that no record, label, weight or split of it can have."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Changes, Field, Op
from tilth.dataset.core import Core
from tilth.dataset.schema import SPLITS
from tilth.dataset.view import View
from tilth.errors import UsageError, did_you_mean

__all__ = ["check"]


def check(core: Core, view: View, changes: Changes) -> None:
    """Raise UsageError where changes cannot be made to a version."""
    _check_ids(view, changes)
    _check_values(core, view, changes.events)
    for what, table in (("new records", changes.added), ("revised records", changes.revised)):
        if table is not None and table.num_rows:
            _check_columns(core, what, table)
    if changes.added is not None and changes.added.num_rows:
        _check_added(core, view, changes.added)
    if changes.revised is not None and _has_twins(changes.revised["record_id"]):
        raise UsageError("two new contents for one record; give each record one")


def _check_ids(view: View, changes: Changes) -> None:
    ids = changes.events["record_id"].to_numpy()
    n_new = changes.added.num_rows if changes.added is not None else 0
    revised = changes.revised["record_id"].to_numpy() if changes.revised is not None else ids[:0]
    wrong = np.concatenate([ids[ids < -n_new], revised[revised < 0]]).tolist()
    old = np.concatenate([ids, revised])
    old = old[old >= 0]
    wrong += old[old >= len(view)].tolist()
    old = old[old < len(view)]
    wrong += old[~view.known[old]].tolist()
    if wrong:
        raise UsageError(
            f"record ids {wrong[:5]} are not in version {view.version}; use ids of `Dataset.ids(keys)` or of a selector"
        )


def _check_values(core: Core, view: View, table: pa.Table) -> None:
    op, field, new = (table[name].to_numpy() for name in ("op", "field", "new_num"))
    is_set = op == Op.SET
    named = (field[is_set] > Field.NONE) & (field[is_set] <= Field.PAYLOAD)
    if not ((op >= 0) & (op <= max(Op))).all() or not named.all():
        raise UsageError("an event has an op that is none of Op, or sets a field that is none of Field; use `events`")
    answers = op == Op.ANSWER
    of = field[answers]
    if not ((of == Field.NONE) | (of == Field.GOLD) | (of == Field.REVIEW)).all():
        raise UsageError("the field of an answer is NONE, GOLD or REVIEW; see `Field`")
    weights = new[is_set & (field == Field.WEIGHT)]
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise UsageError(f"weights are finite numbers of 0 or more, got {weights.min()} to {weights.max()}")
    splits = new[is_set & (field == Field.SPLIT)]
    if not ((splits >= 0) & (splits < len(SPLITS)) & (splits % 1 == 0)).all():
        raise UsageError(f"splits are positions in {SPLITS}, got {splits.min():g} to {splits.max():g}")
    content = is_set & (field == Field.PAYLOAD)
    if content.any():
        ids, rows = table["record_id"].to_numpy()[content], new[content]
        inside = (rows >= 0) & (rows < len(view)) & (rows % 1 == 0)
        at = np.where(inside, rows, 0).astype(np.int64)
        if not (inside & ((at == ids) | (core.column("revises", view.version)[at] == ids))).all():
            raise UsageError("content is set to a row that is no content of that record; give new content in `revised`")
    said = table["new_txt"].filter(pa.array(answers | (op == Op.ADD)))
    for text in said.unique().to_pylist():
        if text is not None:
            _json(text, "an answer")
    labels = is_set & (field == Field.LABEL)
    if labels.any():
        _check_labels(core, new[labels], table["new_txt"].filter(pa.array(labels)))


def _check_labels(core: Core, new: npt.NDArray[np.float64], texts: pa.ChunkedArray) -> None:
    kind = core.schema.label
    if kind.kind == "classes":
        _check_lists(core, texts.unique().to_pylist())
        rows = new[texts.is_null().to_numpy()]
        if not ((rows >= -1) & (rows % 1 == 0)).all() or (len(rows) and rows.max() >= core.store.labels.rows()):
            raise UsageError("labels of several classes are JSON lists in `new_txt`, or -1 in `new_num` for none")
    elif texts.null_count < len(texts):
        raise UsageError(f"labels of kind {kind.kind!r} are numbers in `new_num`; `new_txt` is for several classes")
    elif kind.kind == "class":
        _check_codes(core, new)
    elif np.isinf(new).any():
        raise UsageError("labels are finite numbers, or NaN for none; got an infinite one")


def _check_codes(core: Core, codes: npt.NDArray[Any]) -> None:
    last = len(core.schema.label.classes) - 1
    if not ((codes >= -1) & (codes <= last) & (codes % 1 == 0)).all():
        raise UsageError(f"labels are codes from 0 to {last} (-1 = none), got {codes.min():g} to {codes.max():g}")


def _check_lists(core: Core, texts: Iterable[str | None]) -> None:
    classes = core.schema.label.classes
    for text in {text for text in texts if text is not None}:
        names = _json(text, "a label")
        if not isinstance(names, list):
            raise UsageError(f"a label of several classes is a JSON list of class names, got {text!r}")
        for name in names:
            if classes and name not in classes:
                raise UsageError(f"no class {name!r}. {did_you_mean(str(name), classes)}")


def _check_columns(core: Core, what: str, table: pa.Table) -> None:
    names = core.schema.names
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise UsageError(f"{what} lack the columns {', '.join(missing)}; every record has {', '.join(names)}")
    empty = [name for name in names if table[name].null_count]
    if empty:
        raise UsageError(f"{what} have nulls in the columns {', '.join(empty)}; every cell has a value")
    for column in core.schema.columns:
        if table[column.name].type != column.arrow:
            try:
                table[column.name].cast(column.arrow)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as why:
                raise UsageError(f"{what}: column {column.name!r} is no {column.kind}: {why}") from why


def _check_added(core: Core, view: View, table: pa.Table) -> None:
    lacking = [name for name in ("key", "label0", "split0") if name not in table.column_names]
    if lacking:
        raise UsageError(f"new records lack the columns {', '.join(lacking)}; give key, label0 and split0")
    if table["key"].null_count or "" in table["key"].unique().to_pylist():
        raise UsageError("a new record has no key; every record has one, of one character or more")
    if _has_twins(table["key"]):
        raise UsageError(f"two of the {table.num_rows} new records have the same key; keys must differ")
    if table["split0"].null_count or not np.isin(table["split0"].to_numpy(), range(len(SPLITS))).all():
        raise UsageError(f"split0 of a new record is a position in {SPLITS}: 0, 1 or 2")
    if core.schema.label.kind == "classes":
        _check_lists(core, table["label0"].unique().cast(pa.string()).to_pylist())
    elif core.schema.label.kind == "class":
        _check_codes(core, table["label0"].to_numpy(zero_copy_only=False))
    if "parent" in table.column_names:
        parent = table["parent"].to_numpy()
        parent = parent[parent != -1]
        if len(parent) and (parent.min() < 0 or parent.max() >= len(view) or not view.known[parent].all()):
            raise UsageError(f"a new record derives from a record that is not in version {view.version}")


def _has_twins(column: pa.ChunkedArray) -> bool:
    return len(column.unique()) != len(column)


def _json(text: str, what: str) -> object:
    try:
        return json.loads(text)
    except ValueError as why:
        raise UsageError(f"{what} is JSON text (a class name in quotes), got {text!r}") from why
