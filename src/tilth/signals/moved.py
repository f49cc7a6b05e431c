"""How far records have moved away from what the model was trained on: the record-level side of drift."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilth.algebra import Signal, signal
from tilth.dataset.splits import draw
from tilth.signals.contrast import distances, logistic
from tilth.signals.making import count, one_of, refined
from tilth.signals.windows import EMBEDDINGS, SMALLEST, reference, some, unlearned, wide
from tilth.state import State

__all__ = ["moved", "outdated"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

ALL = ("class", "classes", "number")
WAYS = ("classifier", "distance")
MOST = 2000
"""Records of the other side that are compared with, drawn by their keys."""


def _judged(made: Signal) -> Signal:
    one_of(f"{made.name}(by=...)", made.args.get("by", WAYS[0]), WAYS)
    if made.args.get("window") is not None:
        count(f"{made.name}(window=...)", made.args["window"])
    return replace(made, wants=frozenset({EMBEDDINGS})) if made.args.get("column") == EMBEDDINGS else made


@refined(_judged)
@signal(tasks=ALL)
def moved(state: State, column: str | None = None, *, by: str = "classifier", window: int | None = None) -> Floats:
    """How unlike what the model was trained on a record is, of those it did not learn from: 1 = nothing is like it.

    >>> moved() > 0.9
    moved() > 0.9
    >>> moved("embeddings", by="distance") > 0.99
    moved("embeddings", by="distance") > 0.99

    float64[n] in [0, 1]. `by="classifier"`: the probability that it is new rather than old, were there as many of
    either, by a logistic regression on columns and their squares that learned that from the other half of both
    (Lopez-Paz and Oquab 2017); it sees also what has become more frequent. `by="distance"`: the share of what the model
    was trained on that is nearer to its own 10 nearest than this record is to its 10 nearest of them, so that, where
    nothing changes, about 1 of 100 new records is above 0.99 (conformal anomaly detection: Laxhammar and Falkman 2010;
    distances as in Angiulli and Pizzuti 2002); it takes the odd ones first, whether or not they tell of a change.
    `column`: as for `drift`. `window`: only the last so many; NaN for the others, for what the model learned from, and
    where either side has fewer than 20 records. At most 2000 records of what the model was trained on are compared
    with. Cost: 2000 x d for each record in d dimensions. Use it to label what is new about new records. Do not use it
    alone where broken records come in: these are the farthest of all.
    """
    return _apart(state, unlearned(state, window), reference(state, "trained"), column, by, "moved()")


@refined(_judged)
@signal(tasks=ALL)
def outdated(state: State, column: str | None = None, *, by: str = "classifier", window: int | None = None) -> Floats:
    """How unlike all that comes in now a record is that the model was trained on: 1 = nothing like it comes any more.

    >>> labels_to_drop = outdated(window=1000) > 0.99

    float64[n] in [0, 1]: `moved` the other way round; what comes in now is the last `window` training records that the
    model did not learn from, or all of them. NaN for these. Cost: as of `moved`. Use it to take away what has had its
    day. Do not use it where old times may come back (seasons).
    """
    return _apart(state, reference(state, "trained"), unlearned(state, window), column, by, "outdated()")


def _apart(state: State, ids: Ids, others: Ids, column: str | None, by: str, what: str) -> Floats:
    """Return how unlike `others` each of `ids` is, NaN for all that are none of `ids`."""
    out = np.full(len(state), np.nan)
    measure = some(state, others, MOST)
    if min(len(ids), len(measure)) < SMALLEST:
        return out
    both = np.concatenate([measure, ids])
    first = np.arange(len(both)) < len(measure)
    rows = wide(state, both, column, what, measure=first)
    told = np.isfinite(rows).all(axis=1)
    mine = ~first & told
    if min(int(mine.sum()), int((first & told).sum())) < SMALLEST:
        return out
    if by == "distance":
        usual = np.sort(distances(rows[first & told], rows[first & told], own=True))
        far = distances(rows[mine], rows[first & told])
        out[both[mine]] = np.searchsorted(usual, far) / len(usual)
        return out
    half = draw(state.dataset.key_hash[both], "moved", state.seed) % 2 == 0
    lesson = told & np.isin(both, np.concatenate([measure, some(state, ids, MOST)]))
    for fold in (half, ~half):
        odds = logistic(rows[lesson & ~fold], (~first)[lesson & ~fold].astype(np.float64))
        out[both[mine & fold]] = 1 / (1 + np.exp(-odds(rows[mine & fold])))
    return out
