"""Where a record lies among the others: far from what is labelled, in the thick of it, or on top of another."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilth.algebra import Signal, signal
from tilth.errors import UsageError
from tilth.signals.graph import METRICS, embedded, graph, in_key_order
from tilth.signals.making import count, one_of, refined
from tilth.signals.nearest import local_outlier_factor
from tilth.signals.neighbours import groups, leaders, similarity
from tilth.state import State

__all__ = ["density", "duplicate", "duplicate_group", "duplicate_groups", "lof", "novelty", "outlier", "typicality"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

ALL = ("class", "classes", "number")
NEAREST = 1e-5
"""The least mean distance that `typicality` tells apart: below are copies, whose inverse distance has no end."""


def _judged(made: Signal) -> Signal:
    count(f"{made.name}(k=...)", made.args.get("k", 10))
    one_of(f"{made.name}(metric=...)", made.args.get("metric", "cosine"), tuple(METRICS))
    one_of(f"{made.name}(by=...)", made.args.get("by", "knn"), ("knn", "kth"))
    return made


@refined(_judged)
@signal(needs={"embeddings"}, tasks=ALL)
def outlier(state: State, *, k: int = 10, by: str = "knn", metric: str = "cosine") -> Floats:
    """How far a record is from its k nearest other training records, labelled or not: high = nothing is like it.

    >>> outlier(k=5) > 0.5
    outlier(k=5) > 0.5

    float32[n], 0 or more; cosine distances (in [0, 2]), or with `metric="euclidean"` those of the embeddings as they
    are, in their units. By `"knn"` the mean of the k distances (Angiulli and Pizzuti 2002, Fast Outlier Detection in
    High Dimensional Spaces), by `"kth"` the k-th of them, which a clump of fewer than k outliers does not escape
    (Ramaswamy, Rastogi and Shim 2000, Efficient Algorithms for Mining Outliers from Large Data Sets). With fewer others
    than k, all of them. NaN outside the living training records, where there is no embedding, and for one alone. Cost:
    the neighbour graph, m x m x d multiplications for m training records in d dimensions, once a model. Use it to find
    broken, foreign or mislaid records. Do not use it where groups differ in how dense they are: that is `lof`.
    """
    return _measured(state, k, metric, lambda _, far: far[:, -1] if by == "kth" else far.mean(axis=1))


@refined(_judged)
@signal(needs={"embeddings"}, tasks=ALL)
def lof(state: State, *, k: int = 20, metric: str = "cosine") -> Floats:
    """How much sparser it is around a record than around its k nearest: 1 = as dense as there, 2 = clearly outside.

    >>> lof() > 1.5
    lof() > 1.5

    float32[n] above 0: the local outlier factor among the living training records. `metric`: as in `outlier`; cosine
    distances, or Euclidean ones between the embeddings as they are. A record beside k + 1 equal ones has a factor of
    up to 1e10: their density has no end. NaN as in `outlier`. Breunig, Kriegel, Ng and Sander 2000, LOF: Identifying
    Density-Based Local Outliers. Cost: the neighbour graph, once a model. Use it where some groups are denser than
    others and the records between them are wanted. Do not use it with many exact copies (drop these first), or with a k
    below the size of the smallest clump that is to be found.
    """
    return _measured(state, k, metric, local_outlier_factor)


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
    neighbour. NaN outside the living training records, where there is no embedding, and while nothing is labelled.
    Ramaswamy, Rastogi and Shim 2000, Efficient Algorithms for Mining Outliers from Large Data Sets (with the mean
    instead of the k-th distance). Cost: m x l x d multiplications for m training and l labelled records in d
    dimensions. Use it to label what the labels so far do not cover. Do not use it alone on raw data: outliers and
    broken records are the newest of all.
    """
    of, rows = embedded(state, in_key_order(state, state.view.train))
    among = np.flatnonzero(state.view.labeled[of])
    out = np.full(len(state), np.nan, np.float32)
    out[of] = 1 - similarity(np.arange(len(of)), among, lambda some: rows[some], k)
    return out


@refined(_whole_k)
@signal(needs={"embeddings"}, tasks=ALL)
def density(state: State, *, k: int = 10) -> Floats:
    """How typical a record is: the mean cosine similarity to the k nearest other training records, labelled or not.

    >>> density(k=20) > 0.8
    density(k=20) > 0.8

    float32[n] in [-1, 1]: high = in the thick of the data, low = alone; 1 - `outlier(k=k)`. NaN outside the living
    training records, where there is no embedding, and for one alone. Settles and Craven 2008, An Analysis of Active
    Learning Strategies for Sequence Labeling Tasks (information density, with the k nearest instead of all). Cost: the
    neighbour graph, m x m x d multiplications for m training records in d dimensions, once a model. Use it as a factor,
    so that `margin() * density()` asks about unsure records that stand for many. Do not use it alone: the densest
    records are each other's duplicates.
    """
    return _measured(state, k, "cosine", lambda _, far: 1 - far.mean(axis=1))


@refined(_whole_k)
@signal(needs={"embeddings"}, tasks=ALL)
def typicality(state: State, *, k: int = 20) -> Floats:
    """How typical a record is: the inverse of the mean distance to the k nearest other training records.

    >>> typicality() > 2
    typicality() > 2

    float32[n] in [0.5, 1e5]: Euclidean distances between embeddings brought to length 1, so 0.5 is opposite to all and
    1e5 among copies (a mean distance below 1e-5 counts as that). NaN as in `density`. Hacohen, Dekel and Weinshall
    2022, Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets. Cost: the neighbour graph, once a
    model. Use it for the first few labels, one from each cluster, before a model can be unsure of anything. Do not use
    it later, where it asks for what the model knows, or on data with duplicates, which it ranks first.
    """
    return _measured(state, k, "cosine", lambda _, far: 1 / np.maximum(np.sqrt(2 * far).mean(axis=1), NEAREST))


def _threshold_and_source(made: Signal) -> Signal:
    by = one_of(f"{made.name}(by=...)", made.args.get("by", "embeddings"), ("embeddings", "content"))
    threshold = made.args.get("threshold", 0.95)
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold <= 1:
        raise UsageError(f"{made.name}(threshold=...) is a cosine similarity above 0 and up to 1, got {threshold!r}")
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
    exactly one of each group by content, and none near another by embeddings. NaN outside the living training records
    and where there is no embedding. Abbas et al. 2023, SemDeDup. Cost: up to m x m x d multiplications, mostly a tenth,
    since few coordinates rule most pairs out; exact all the same. Use it to drop what teaches nothing new and to keep a
    batch from asking twice. Do not use it to look at duplicates: `duplicate_groups` shows what goes together.
    """
    labelled = in_key_order(state, state.view.train & state.view.labeled)
    ids = np.concatenate([labelled, in_key_order(state, state.view.train & ~state.view.labeled)])
    out = np.full(len(state), np.nan, np.float32)
    if by == "content":
        _, first = np.unique(state.dataset.content[ids], return_index=True)
        out[ids] = 1
        out[ids[first]] = 0
        return out
    ids, rows = embedded(state, ids)
    out[ids] = ~leaders(np.arange(len(ids)), lambda some: rows[some], threshold)
    return out


@refined(_threshold_and_source)
@signal(needs={"embeddings"}, tasks=ALL)
def duplicate_group(state: State, *, threshold: float = 0.95, by: str = "embeddings") -> Doubles:
    """Which group of duplicates a record belongs to: one number for all in it, NaN for a record without a duplicate.

    >>> duplicate_group(threshold=0.98) >= 0
    duplicate_group(threshold=0.98) >= 0

    float64[n] of whole numbers: groups are counted from 0 in the order of their lowest key hash. By `"embeddings"`: the
    records that a chain of cosine similarities of `threshold` or more joins (the connected components of that graph,
    exactly; products within 1e-6 of the threshold count as equal to it); by `"content"`: those equal to the byte. NaN
    also outside the living training records and where there is no embedding. Cost: up to m x m / 2 x d multiplications
    for m training records in d dimensions, mostly a tenth of that (100,000 records of 384 numbers: 10 s on one core).
    Use it with `per(...)` and in reports, to see near copies together. Do not use it at a low threshold, where chains
    join all there is: two ends of a chain may have little in common.
    """
    out = np.full(len(state), np.nan)
    for number, ids in enumerate(_groups(state, threshold, by)):
        out[ids] = number
    return out


def duplicate_groups(state: State, threshold: float = 0.95, by: str = "embeddings") -> list[Ids]:
    """Return the groups of `duplicate_group`, the largest first, for reports: int64 ids, each group by key hash.

    UsageError for a threshold or source that there is not. Each group has two records or more.
    """
    duplicate_group(threshold=threshold, by=by)  # refuses what there is not
    return sorted(_groups(state, threshold, by), key=len, reverse=True)


def _groups(state: State, threshold: float, by: str) -> list[Ids]:
    ids = in_key_order(state, state.view.train)
    if by == "content":
        _, first, group = np.unique(state.dataset.content[ids], return_index=True, return_inverse=True)
        lowest = first[group]
    else:
        ids, rows = embedded(state, ids)
        lowest = groups(rows, threshold)
    order = np.argsort(lowest, kind="stable")
    parts = np.split(ids[order], np.flatnonzero(np.diff(lowest[order])) + 1)
    return [part for part in parts if len(part) > 1]


def _measured(
    state: State, k: int, metric: str, measure: Callable[[npt.NDArray[np.int32], Doubles], Doubles]
) -> Floats:
    """Return what is measured on the neighbours [m, k] of each training record and the distances to them."""
    out = np.full(len(state), np.nan, np.float32)
    found = graph(state, state.view.train, k, metric=metric)
    if found.row.shape[1]:
        out[found.ids] = measure(found.row, found.distance.astype(np.float64))
    return out
