"""The vectors that batches are spread over: the model's embeddings, or a column of the user's own."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.algebra import show
from tilth.errors import UsageError, did_you_mean
from tilth.selectors.picked import Picked, nothing, shuffled
from tilth.state import State

__all__ = ["Spread", "labelled", "none_left", "spread_out", "vectors", "wants"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Spread:
    """The picked records that have a vector: where they stood among the picked, their ids and rows, in their order."""

    at: Ids
    ids: Ids
    rows: Floats
    passed_over: int
    empty: str

    def score(self, picked: Picked, chosen: Ids) -> npt.NDArray[np.float64] | None:
        """Return the scores that the chosen positions were given by an earlier step."""
        return None if picked.score is None else picked.score[self.at[chosen]]


def wants(by: str) -> frozenset[str]:
    """Return what reading these vectors needs of the model's state."""
    return frozenset({"embeddings"}) if by == "embeddings" else frozenset[str]()


def spread_out(picked: Picked, state: State, by: str, verb: str, within: int | None = None) -> Spread:
    """Return the first `within` of the picked with their vectors, without those that have none."""
    ids = picked.ordered(state)[:within]
    rows = vectors(state, ids, by, verb)
    good = np.isfinite(rows).all(axis=1)
    at = np.flatnonzero(good)
    empty = "" if len(at) else f"nothing to choose from: none of {picked.counted()} has {by}"
    if not len(ids):
        empty = nothing(picked.what)
    return Spread(at, ids[at], rows if len(at) == len(ids) else rows[at], len(ids) - len(at), empty)


def labelled(state: State, by: str, verb: str) -> tuple[Ids, Floats]:
    """Return (ids, rows) of the labelled training records that have a vector.

    They come in an order that ids have no part in: the last digits of a matrix product depend on it.
    """
    ids = shuffled(np.flatnonzero(state.view.train & state.view.labeled), state)
    rows = vectors(state, ids, by, verb)
    good = np.isfinite(rows).all(axis=1)
    return ids[good], rows[good]


def none_left(picked: Picked, pool: Spread, about: str) -> Picked:
    """Return an empty choice, with its reason."""
    return Picked(None, pool.ids[:0], about, pool.empty, passed_over=picked.passed_over + pool.passed_over)


def vectors(state: State, ids: Ids, by: str, verb: str) -> Floats:
    """Return float32[len(ids), d]; NaN where a record has none. UsageError for what is no vector."""
    if by == "embeddings":
        return np.asarray(state.output("embeddings")[ids])
    schema = state.dataset.schema
    if by not in schema.names or schema.column(by).kind != "vector":
        known = ["embeddings", *(c.name for c in schema.columns if c.kind == "vector")]
        raise UsageError(f"{verb}(by={show(by)}): no such vector. {did_you_mean(by, known)}")
    order = np.argsort(ids, kind="stable")  # reading in stored order takes a fraction of the time of jumping about
    cells = state.dataset.features(ids[order], [by])[by].combine_chunks()
    size = cells.type.list_size if pa.types.is_fixed_size_list(cells.type) else len(cells[0])
    rows = np.full((len(ids), size), np.nan, np.float32)
    there = cells.is_valid().to_numpy(zero_copy_only=False)
    rows[order[there]] = cells.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    return rows
