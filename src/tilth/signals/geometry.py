"""Where a record lies among the others: far from what is labelled, in the thick of it, or on top of another."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilth.algebra import Signal, signal
from tilth.errors import UsageError
from tilth.signals.kernels import chunks
from tilth.signals.making import count, one_of, refined
from tilth.signals.neighbours import leaders, similarity, unit
from tilth.state import State

__all__ = ["density", "duplicate", "novelty"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

ALL = ("class", "classes", "number")


def _whole_k(made: Signal) -> Signal:
    count(f"{made.name}(k=...)", made.args.get("k", 10))
    return made


@refined(_whole_k)
@signal(needs={"embeddings"}, tasks=ALL)
def novelty(state: State, *, k: int = 10) -> Floats:
    """How far a record is from what is labelled: the mean cosine distance to the k nearest labelled training records.

    >>> novelty(k=5) > 0.3
    novelty(k=5) > 0.3

    float32[n] in [0, 2]: 0 = as near as can be, high = unlike all that is labelled; a labelled record is not its own
    neighbour. NaN outside the living training records, where there is no embedding, and while nothing is labelled. With
    m training and l labelled records in d dimensions: m x l x d multiplications. Ramaswamy, Rastogi and Shim 2000,
    Efficient Algorithms for Mining Outliers from Large Data Sets (with the mean instead of the k-th distance).
    """
    labelled = _in_key_order(state, state.view.train & state.view.labeled)
    return 1 - _similarity(state, labelled, k)


@refined(_whole_k)
@signal(needs={"embeddings"}, tasks=ALL)
def density(state: State, *, k: int = 10) -> Floats:
    """How typical a record is: the mean cosine similarity to the k nearest other training records, labelled or not.

    >>> density(k=20) > 0.8
    density(k=20) > 0.8

    float32[n] in [-1, 1]: high = in the thick of the data, low = alone. NaN outside the living training records and
    where there is no embedding. Compares all with all: m x m x d multiplications for m training records in d
    dimensions. The typicality of Hacohen, Dekel and Weinshall 2022, Active Learning on a Budget (with the similarity
    instead of the inverse distance).
    """
    return _similarity(state, _in_key_order(state, state.view.train), k)


def _threshold_and_source(made: Signal) -> Signal:
    by = one_of("duplicate(by=...)", made.args.get("by", "embeddings"), ("embeddings", "content"))
    threshold = made.args.get("threshold", 0.95)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold <= 1:
        raise UsageError(f"duplicate(threshold=...) is a cosine similarity above 0 and up to 1, got {threshold!r}")
    return made if by == "embeddings" else replace(made, wants=frozenset[str]())


@refined(_threshold_and_source)
@signal(needs={"embeddings"}, tasks=ALL)
def duplicate(state: State, *, threshold: float = 0.95, by: str = "embeddings") -> Floats:
    """Whether another record says the same already: 1 for each that is superfluous, 0 for the one that stands for it.

    >>> duplicate(by="content") > 0
    duplicate(by="content") > 0

    float32[n] of 0 and 1. By `"embeddings"`: a record that has, at a cosine similarity of `threshold` or more, one that
    stands. By `"content"`: one whose content is equal to the byte (no model is needed; `threshold` says nothing).
    Labelled records stand before unlabelled ones, then those of lower key hash, so dropping all records with 1 leaves
    exactly one of each group. NaN outside the living training records and where there is no embedding. Compares all
    with those that stand: up to m x m x d multiplications. Abbas et al. 2023, SemDeDup.
    """
    labelled = _in_key_order(state, state.view.train & state.view.labeled)
    ids = np.concatenate([labelled, _in_key_order(state, state.view.train & ~state.view.labeled)])
    out = np.full(len(state), np.nan, np.float32)
    if by == "content":
        _, first = np.unique(state.dataset.content[ids], return_index=True)
        out[ids] = 1
        out[ids[first]] = 0
        return out
    ids = _with_direction(state, ids)
    out[ids] = ~leaders(ids, lambda some: _rows(state, some), threshold)
    return out


def _in_key_order(state: State, mask: npt.NDArray[np.bool_]) -> Ids:
    ids = np.flatnonzero(mask)
    return ids[np.argsort(state.dataset.key_hash[ids], kind="stable")]


def _rows(state: State, ids: Ids) -> Floats:
    return unit(state.output("embeddings")[ids])


def _with_direction(state: State, ids: Ids) -> Ids:
    parts = [~np.isnan(_rows(state, ids[part])[:, 0]) for part in chunks(len(ids))]
    return ids[np.concatenate([np.empty(0, bool), *parts])]


def _similarity(state: State, among: Ids, k: int) -> Floats:
    out = np.full(len(state), np.nan, np.float32)
    of, among = _with_direction(state, _in_key_order(state, state.view.train)), _with_direction(state, among)
    out[of] = similarity(of, among, lambda some: _rows(state, some), k)
    return out
