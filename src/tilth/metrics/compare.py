"""How sure a metric is, and how sure the difference of two models: what a gate asks for."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.algebra import Arithmetic, Metric, Quantity
from tilth.dataset.splits import draw
from tilth.errors import UsageError
from tilth.metrics.measures import Measure, right
from tilth.metrics.proof import below, score_bound
from tilth.metrics.quality import MEASURES
from tilth.state import State

__all__ = ["Paired", "compared", "paired", "standard_error"]

Ids = npt.NDArray[np.int64]

DRAWS = 1000
"""Bootstrap draws: the error of a standard error is then about 2 %."""
GROUPS = 20
"""Groups that are left out in turn where a user's own metric cannot be weighted."""

ACCURACY, RECALL = "tilth.metrics.quality:accuracy", "tilth.metrics.quality:recall"


def standard_error(metric: Quantity, state: State, split: str = "valid") -> float:
    """Return how far a metric would move if other records of the same kind had been held out: its standard error.

    By bootstrap over the records of the split (1,000 draws from the state's seed; Efron 1979); for a user's own metric
    by leaving out each of 20 groups of records. 0 for a metric that judges no records, such as `labels_spent()`. NaN
    where it is not defined.
    """
    ids = _by_key(state, state.judged(split))
    measure = _measure(metric, state, ids)
    if measure is None:
        return _jackknife(len(ids), state, ids, lambda kept: _on(metric, _limited(state, split, ids[kept]), split))
    if not _judges(metric):
        return 0.0
    return _bootstrap(len(ids), state.seed, measure)


@dataclass(frozen=True)
class Paired:
    """The difference of a metric between two models, judged on the same records, and how sure it is.

    `gain`: after less before; `standard_error`: how far it would move if other records of the same kind had been held
    out and, where there are several seeds, the models trained from others. NaN where it is not defined.
    """

    gain: float
    standard_error: float
    records: int
    freedom: float
    """Of the standard error: how many independent pieces it was taken from, less one."""
    change: Ids | None = field(default=None, compare=False, repr=False)
    """int64[records] where the metric is a share of records that are right: on how many more seeds each is right."""
    seeds: int = 1

    def bound(self, level: float) -> float:
        """Return what the gain is above, with a chance of 1 - `level` (in (0, 1)); NaN where that is not defined.

        Shares of records (accuracy, the recall of one class): a score bound, not above 0 unless the exact paired test
        rejects; what is judged by few records is not called sure. Other metrics: gain - t * standard error, with
        Student's t. With several seeds it is at most that for shares too, so that luck in training is not called sure.
        """
        score = np.inf if self.change is None else score_bound(self.change, self.seeds, level)
        if self.change is not None and self.seeds == 1:
            return score
        if self.freedom < 1 or np.isnan(self.standard_error):
            return np.nan
        return min(score, self.gain - below(level, self.freedom) * self.standard_error)


def paired(
    metric: Quantity, before: State | Sequence[State], after: State | Sequence[State], split: str = "valid"
) -> Paired:
    """Compare two models, or two sets of models from as many training seeds, by a metric on the same records.

    `metric`: a metric, or arithmetic on metrics such as `-rmse()`. Records are matched by key; those that only one of
    the two judges are left out. Several states a side are one version trained from several seeds: the metric is
    averaged over them, and how unlike they are counts in its error. For accuracy, and for the recall of one class, the
    error is sqrt(variance of the records' difference in being right / n); for others it comes from a bootstrap over the
    records, all models on the same draw (1,000 draws, from the seed of `before`; Efron 1979); for a user's own metric
    from leaving out each of 20 groups (Kott 2001). UsageError for a signal.
    """
    if not isinstance(metric, Quantity) or metric.per_record:
        raise UsageError(f"paired({metric!r}): a metric, such as accuracy(), or arithmetic on metrics")
    olds = (before,) if isinstance(before, State) else tuple(before)
    news = (after,) if isinstance(after, State) else tuple(after)
    if not olds or len(olds) != len(news):
        raise UsageError(f"paired({metric!r}): as many states before as after, got {len(olds)} and {len(news)}")
    ids, twins = _common(olds[0], news[0], split)
    some = _share(metric, olds[0], ids)
    if some is not None:
        ids, twins = ids[some], twins[some]
        return compared(
            np.array([right(b, twins).astype(np.int64) - right(a, ids) for a, b in zip(olds, news, strict=True)])
        )
    first, second = ([_measure(metric, s, at) for s in side] for side, at in ((olds, ids), (news, twins)))
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(both) < len(olds):

        def rises_on(kept: npt.NDArray[np.bool_]) -> list[float]:
            sides = ((olds, ids), (news, twins))
            old, new = ([_on(metric, _limited(s, split, at[kept]), split) for s in side] for side, at in sides)
            return [b - a for a, b in zip(old, new, strict=True)]

        error = _jackknife(len(ids), olds[0], ids, lambda kept: float(np.mean(rises_on(kept))))
        return _over_seeds(rises_on(np.ones(len(ids), bool)), error, len(ids), min(GROUPS, len(ids)) - 1)

    def rises_by(weights: npt.NDArray[np.float64]) -> list[float]:
        return [b(weights) - a(weights) for a, b in both]

    judges = _judges(metric)
    error = _bootstrap(len(ids), olds[0].seed, lambda w: float(np.mean(rises_by(w)))) if judges else 0.0
    return _over_seeds(rises_by(np.ones(len(ids))), error, len(ids), len(ids) - 1)


def compared(rises: Ids) -> Paired:
    """Return the same for a share of records: int64[k, n] of -1, 0 and 1, how being right changes, by seed and record.

    >>> compared(np.array([[1, 0, 0, 1], [1, 0, -1, 1]])).gain
    0.375
    """
    n, rise = rises.shape[1], rises.mean(axis=0)
    error = float(np.sqrt(rise.var(ddof=1) / n)) if n > 1 else np.nan
    return _over_seeds(rises.mean(axis=1) if n else [np.nan], error, n, n - 1, rises.sum(axis=0))


def _over_seeds(
    rises: Sequence[float] | npt.NDArray[Any], error: float, n: int, freedom: int, change: Ids | None = None
) -> Paired:
    """Put together how far other records and other seeds would move the mean rise (Satterthwaite 1946)."""
    gain, k = float(np.mean(rises)), len(rises)
    if k > 1:
        by_records, by_seeds = error**2, float(np.var(rises, ddof=1)) / k
        if by_seeds > 0:
            both = by_records + by_seeds
            freedom_of_both = both**2 / (by_records**2 / max(freedom, 1) + by_seeds**2 / (k - 1))
            return Paired(gain, both**0.5, n, freedom_of_both, change, k)
    return Paired(gain, error, n, freedom, change, k)


def _share(metric: Quantity, state: State, ids: Ids) -> npt.NDArray[np.bool_] | None:
    """Return of which of the records the metric is the share that are right, None where it is none."""
    if not isinstance(metric, Metric):
        return None
    if metric.function.where == ACCURACY:
        return np.ones(len(ids), bool)
    cls = metric.args.get("cls")
    if metric.function.where == RECALL and cls in state.classes and state.dataset.schema.label.kind == "class":
        return state.view.label[ids] == state.classes.index(cls)
    return None


def _measure(metric: Quantity | float, state: State, ids: Ids) -> Measure | None:
    """Return a metric as a function of the records' weights, None where a user's own metric is in it."""
    if not isinstance(metric, Quantity):
        return lambda _: float(metric)
    if isinstance(metric, Arithmetic):
        left, right_ = _measure(metric.left, state, ids), _measure(metric.right, state, ids)
        if left is None or right_ is None:
            return None
        return lambda w: float(Arithmetic(metric.op, left(w), right_(w)).compute(state))
    if isinstance(metric, Metric) and metric.function.where in MEASURES:
        return MEASURES[metric.function.where](state, ids, **metric.args)
    if _judges(metric):
        return None
    value = float(metric.value(state))
    return lambda _: value


def _judges(metric: Quantity | float) -> bool:
    """Return whether it looks at the records of a split, rather than at the state as a whole."""
    if isinstance(metric, Metric):
        return "split" in inspect.signature(metric.function.load()).parameters
    return isinstance(metric, Arithmetic) and (_judges(metric.left) or _judges(metric.right))


def _bootstrap(n: int, seed: int, measure: Callable[[npt.NDArray[np.float64]], float]) -> float:
    if n < 2:
        return np.nan
    chance = np.random.default_rng([seed, n])
    found = np.array([measure(np.bincount(chance.integers(0, n, n), minlength=n).astype(float)) for _ in range(DRAWS)])
    found = found[~np.isnan(found)]  # draws without any record of a class
    return float(found.std(ddof=1)) if len(found) > 1 else np.nan


def _jackknife(n: int, state: State, ids: Ids, value: Callable[[npt.NDArray[np.bool_]], float]) -> float:
    """Return the delete-a-group jackknife's standard error (Kott 2001)."""
    if n < 2:
        return np.nan
    groups = min(GROUPS, n)
    rank = np.empty(n, np.int64)
    rank[np.argsort(draw(state.dataset.key_hash[ids], "jackknife", state.seed))] = np.arange(n)
    found = np.array([value(rank % groups != g) for g in range(groups)])
    return float(np.sqrt((groups - 1) / groups * ((found - found.mean()) ** 2).sum()))


def _limited(state: State, split: str, ids: Ids) -> State:
    """Return the state as it would be if only these records of the split were there."""
    alive = state.view.alive & ~state.view.among(split)
    alive[ids] = True
    arrays = {text: value for text, value in state.memo.items() if text.startswith("output:")}
    found = replace(state, memo=arrays)
    vars(found)["view"] = replace(state.view, alive=alive)  # where the cached property keeps it
    return found


def _on(metric: Quantity | float, state: State, split: str) -> float:
    if isinstance(metric, Arithmetic):
        sides = _on(metric.left, state, split), _on(metric.right, state, split)
        return float(Arithmetic(metric.op, *sides).compute(state))
    if isinstance(metric, Metric):
        return metric.on(state, split)
    return float(metric.value(state)) if isinstance(metric, Quantity) else float(metric)


def _by_key(state: State, ids: Ids) -> Ids:
    return ids[np.argsort(state.dataset.key_hash[ids], kind="stable")]


def _common(before: State, after: State, split: str) -> tuple[Ids, Ids]:
    a, b = before.judged(split), after.judged(split)
    _, at, there = np.intersect1d(before.dataset.key_hash[a], after.dataset.key_hash[b], return_indices=True)
    return a[at], b[there]
