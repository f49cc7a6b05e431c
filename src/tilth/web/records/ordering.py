"""In which order records are shown: as they came, by key, by a signal, or the most similar to one first."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.algebra import Signal
from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.signals.catalogue import makers, misfit, plain
from tilth.web.records.looking import Look
from tilth.web.records.wanted import Wanted, selected
from tilth.web.shelf import Shelf

__all__ = ["Order", "ordered", "similar", "sortable"]

Ids = npt.NDArray[np.int32]

_PAIRS = 4e10
"""Multiplications up to which a signal that compares all training records is offered: two seconds on one core."""
_READ = 20_000
"""Records up to which a signal that reads what records hold is offered."""
_DEAR = ("data_oob", "shapley")
"""These train or play a game a record: `tilth signals` computes them."""
_READING = ("aspect", "brightness", "missing", "rarity", "sharpness", "text_length")


class Order:
    """The ids of the records that were asked for, in order, and by what: a number each, or nothing."""

    def __init__(self, ids: npt.NDArray[Any], by: str = "", numbers: npt.NDArray[Any] | None = None) -> None:
        self.ids: Ids = ids.astype(np.int32)
        self.by = by
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.ids)

    def scores(self, ids: npt.NDArray[Any]) -> list[float | None]:
        """Return by what these records were ordered."""
        if self.numbers is None:
            return [None] * len(ids)
        return [None if np.isnan(v) else float(v) for v in self.numbers[ids]]


def ordered(look: Look, wanted: Wanted, shelf: Shelf) -> Order:
    """Return the records that are wanted, in order; computed once for each version, filter and order."""

    def make() -> tuple[Order, int]:
        ids = np.flatnonzero(shelf.get(("mask", look.key, wanted.filters), lambda: _sized(selected(look, wanted))))
        found = _sorted(look, wanted, ids)
        return found, found.ids.nbytes + (0 if found.numbers is None else found.numbers.nbytes)

    return shelf.get(("order", look.key, wanted.filters, wanted.like, wanted.sort, wanted.order), make)


def sortable(look: Look) -> dict[str, Signal]:
    """Return the signals, with their defaults, that can be computed from what is on disk while a page waits."""
    has: set[str] = set() if look.state.outputs is None else look.state.outputs.kinds
    every = {name: plain(make) for name, make in makers().items()}
    fit = {n: s for n, s in every.items() if s is not None and s.needs <= has and not misfit(look.state, s)}
    return {name: signal for name, signal in fit.items() if not _dear(look, signal)}


def similar(look: Look, record: int) -> npt.NDArray[np.float32] | None:
    """float32[n]: the cosine similarity to a record, by embedding or else by the first column of vectors.

    NaN where there is nothing to compare; None where the record itself has no vector.
    """
    view = look.dataset.view
    if look.state.outputs is not None and look.state.outputs.has("embeddings"):
        rows = look.state.output("embeddings")
        if np.isfinite(rows[record]).all():
            return _cosines(rows, np.asarray(rows[record]))
    column = next((c for c in look.dataset.schema.columns if c.kind == "vector" and not c.hidden), None)
    if column is None:
        return None
    own = look.dataset.features(np.array([record]), [column.name])[column.name].combine_chunks().flatten().to_numpy()
    out = np.full(len(view), np.nan, np.float32)
    for rows in look.dataset.stream(columns=[column.name]):
        values = rows[column.name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        out[rows["record_id"].to_numpy()] = _cosines(values.reshape(-1, column.size), own)
    return out


def _sorted(look: Look, wanted: Wanted, ids: npt.NDArray[np.int64]) -> Order:
    if wanted.like:
        record = int(wanted.like)
        view = look.dataset.view
        if record >= len(view) or not view.known[record]:
            raise NotFound(f"like={record}: no such record in version {look.version}")
        numbers = similar(look, record)
        if numbers is None:
            raise UsageError("these records have neither embeddings nor vectors: nothing says which are similar")
        return Order(ids[_falling(numbers[ids])], f"similar to {look.dataset.keys(np.array([record]))[0]}", numbers)
    if wanted.sort in ("", "id"):
        return Order(ids[::-1] if wanted.order == "down" else ids)
    if wanted.sort == "key":
        keys = pa.array(look.dataset.keys(ids), pa.string())
        turned = "descending" if wanted.order == "down" else "ascending"
        return Order(ids[pc.array_sort_indices(keys, order=turned).to_numpy()])
    can = sortable(look)
    if wanted.sort not in can:
        raise NotFound(f"sort={wanted.sort!r}: not among what can be sorted by here. {did_you_mean(wanted.sort, can)}")
    numbers = np.asarray(can[wanted.sort].value(look.state))
    return Order(ids[_falling(numbers[ids] if wanted.order == "down" else -numbers[ids])], wanted.sort, numbers)


def _falling(numbers: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the order in which numbers fall, NaN last; equal ones as they stand."""
    return np.argsort(-numbers, kind="stable")


def _cosines(rows: npt.NDArray[Any], own: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    out = np.empty(len(rows), np.float32)
    own = own.astype(np.float32) / max(float(np.linalg.norm(own)), 1e-30)
    for start in range(0, len(rows), 16_384):  # of a mapped file no more than this is in memory at once
        some = np.asarray(rows[start : start + 16_384], np.float32)
        length = np.sqrt(np.einsum("ij,ij->i", some, some))
        out[start : start + len(some)] = (some @ own) / np.maximum(length, 1e-30)
    return out


def _dear(look: Look, signal: Signal) -> bool:
    if signal.name in _DEAR:
        return True
    if signal.name in _READING:
        return len(look.dataset.view) > _READ
    if "embeddings" not in signal.needs or look.state.outputs is None:
        return False
    width = look.state.outputs.get("embeddings").shape[1]
    return float(look.dataset.view.train.sum()) ** 2 * width > _PAIRS


def _sized(mask: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    return mask, mask.nbytes
