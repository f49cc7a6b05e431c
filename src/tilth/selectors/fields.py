"""The fields that a selector may compare or group by: label, predicted, key, split, and the user's columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.algebra import show
from tilth.dataset.schema import SPLITS
from tilth.errors import HeldOut, UsageError, did_you_mean
from tilth.selectors.picked import Picked
from tilth.state import State

__all__ = ["FIELDS", "groups", "matches", "needs_of"]

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

FIELDS = ("label", "predicted", "split", "key")

COMPARABLE = ("text", "number", "integer")


def needs_of(fields: Sequence[str]) -> frozenset[str]:
    """Return what these fields read of the model's state."""
    return frozenset({"probabilities"}) if "predicted" in fields else frozenset[str]()


def matches(state: State, field: str, values: tuple[Any, ...], picked: Picked) -> Flags:
    """Return bool[n]: the records whose field is one of the values.

    UsageError for a class, field or value that there cannot be.
    """
    if field == "split":
        return np.ones(len(state), bool)  # a selector starts with train, and nothing else can be asked for
    if field == "key":
        return _of_keys(state, values)
    if field == "label":
        return _of_label(state, values)
    if field == "predicted":
        return _of_prediction(state, values)
    ids = picked.members()
    found = np.zeros(len(state), bool)
    cells = _cells(state, field, ids)
    try:
        wanted = pa.array([v for v in values if v is not None], cells.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as why:
        raise UsageError(
            f"where({field}={_shown(values)}): column {field!r} holds {state.dataset.schema.column(field).kind}: {why}"
        ) from why
    hit = pc.is_in(cells, value_set=wanted)
    if None in values:
        hit = pc.or_(hit, pc.is_null(cells, nan_is_null=True))
    found[ids] = hit.to_numpy(zero_copy_only=False)
    return found


def groups(state: State, field: str, ids: Ids) -> npt.NDArray[np.int64]:
    """Return int64[len(ids)]: records of equal number have the same value of the field; -1 where there is none."""
    kind = state.dataset.schema.label.kind
    if field in ("label", "predicted"):
        if kind != "class":
            raise UsageError(f"per({field!r}, ...) groups by class, and these labels are {_described(kind)}")
        return np.asarray(state.view.label if field == "label" else state.predicted, np.int64)[ids]
    cells = _cells(state, field, ids)
    code = cells.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False).astype(np.int64)
    code[pc.is_null(cells, nan_is_null=True).to_numpy(zero_copy_only=False)] = -1
    return code


def _cells(state: State, name: str, ids: Ids) -> Any:
    schema = state.dataset.schema
    if name not in schema.names:
        raise UsageError(f"records have no field {name!r}. {did_you_mean(name, [*FIELDS, *schema.names])}")
    kind = schema.column(name).kind
    if kind not in COMPARABLE:
        raise UsageError(
            f"column {name!r} holds {kind}, which cannot be compared; records are compared by {', '.join(COMPARABLE)}"
        )
    order = np.argsort(ids, kind="stable")  # reading in stored order takes a fraction of the time of jumping about
    place = np.empty(len(ids), np.int64)
    place[order] = np.arange(len(ids))
    return state.dataset.features(ids[order], [name])[name].combine_chunks().take(pa.array(place))


def _of_keys(state: State, keys: tuple[Any, ...]) -> Flags:
    ids = state.dataset.ids([str(key) for key in keys])
    outside = state.view.split[ids] != SPLITS.index("train")
    if outside.any():
        first = int(np.argmax(outside))
        split = SPLITS[state.view.split[ids[first]]]
        raise HeldOut(f"where(key={show(keys[first])}): that record is in {split}, which no selector may touch")
    found = np.zeros(len(state), bool)
    found[ids] = True
    return found


def _of_label(state: State, values: tuple[Any, ...]) -> Flags:
    view, kind = state.view, state.dataset.schema.label.kind
    names = tuple(v for v in values if v is not None)
    found = ~view.labeled if None in values else np.zeros(len(state), bool)
    if kind == "number":
        wrong = [v for v in names if isinstance(v, bool) or not isinstance(v, (int, float))]
        if wrong:
            raise UsageError(f"where(label={wrong[0]!r}): these labels are numbers")
        return found | np.isin(view.label, np.array(names, np.float64))
    codes = _codes(state, "label", names)
    if kind == "class":
        for code in codes:
            found = found | (view.label == code)
        return found
    rows, first = np.unique(view.label, return_index=True)
    first, rows = first[rows >= 0], rows[rows >= 0]
    has = [
        row
        for row, labels in zip(rows.tolist(), state.dataset.labels(first), strict=True)
        if set(names) & set(labels or ())
    ]
    return found | np.isin(view.label, np.array(has, np.int64))


def _of_prediction(state: State, values: tuple[Any, ...]) -> Flags:
    kind = state.dataset.schema.label.kind
    if kind == "number":
        raise UsageError(f"where(predicted={_shown(values)}): the model predicts numbers; compare a signal instead")
    found = np.zeros(len(state), bool)
    for code in _codes(state, "predicted", values):
        found |= state.predicted == code if kind == "class" else state.probabilities[code] >= 0.5
    return found


def _codes(state: State, field: str, names: tuple[Any, ...]) -> list[int]:
    for name in names:
        if name not in state.classes:
            known = did_you_mean(str(name), state.classes)
            raise UsageError(f"where({field}={show(name)}): no class {name!r} in version {state.view.version}. {known}")
    return [state.classes.index(name) for name in names]


def _described(kind: str) -> str:
    return {"classes": "several classes a record", "number": "numbers"}.get(kind, kind)


def _shown(values: tuple[Any, ...]) -> str:
    return show(values[0] if len(values) == 1 else values)
