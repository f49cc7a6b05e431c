"""How sure a metric is, and how sure the difference of two models: what a gate asks for."""

import inspect
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilth.algebra import Arithmetic, Metric, Quantity
from tilth.dataset.splits import draw
from tilth.errors import UsageError
from tilth.metrics.measures import Measure, right
from tilth.metrics.quality import MEASURES
from tilth.state import State

__all__ = ["paired", "standard_error"]

Ids = npt.NDArray[np.int64]

DRAWS = 200
"""Bootstrap draws: the error of a standard error is then about 5 %."""
GROUPS = 20
"""Groups that are left out in turn where a user's own metric cannot be weighted."""

ACCURACY = "tilth.metrics.quality:accuracy"


def standard_error(metric: Quantity, state: State, split: str = "valid") -> float:
    """Return how far a metric would move if other records of the same kind had been held out: its standard error.

    By bootstrap over the records of the split (200 draws from the state's seed; Efron 1979); for a user's own metric by
    leaving out each of 20 groups of records. 0 for a metric that judges no records, such as `labels_spent()`. NaN where
    it is not defined.
    """
    ids = _by_key(state, state.judged(split))
    measure = _measure(metric, state, ids)
    if measure is None:
        return _jackknife(len(ids), state, ids, lambda kept: _on(metric, _limited(state, split, ids[kept]), split))
    if not _judges(metric):
        return 0.0
    return _bootstrap(len(ids), state.seed, measure)


def paired(metric: Quantity, before: State, after: State, split: str = "valid") -> tuple[float, float]:
    """Return (difference, its standard error) of a metric between two models, judged on the same records.

    `metric`: a metric, or arithmetic on metrics such as `-rmse()`. Records are matched by key; those that only one of
    the two judges are left out. For accuracy the error is sqrt(variance of the records' difference in being right / n);
    for others it comes from a bootstrap over the records, both models on the same draw (200 draws, from the seed of
    `before`); for a user's own metric from leaving out each of 20 groups. UsageError for a signal. (NaN, NaN) where it
    is not defined.
    """
    if not isinstance(metric, Quantity) or metric.per_record:
        raise UsageError(f"paired({metric!r}): a metric, such as accuracy(), or arithmetic on metrics")
    ids, twins = _common(before, after, split)
    if isinstance(metric, Metric) and metric.function.where == ACCURACY:
        gained = right(after, twins).astype(np.float64) - right(before, ids)
        if len(gained) < 2:
            return (float(gained.mean()) if len(gained) else np.nan), np.nan
        return float(gained.mean()), float(np.sqrt(gained.var(ddof=1) / len(gained)))
    first, second = _measure(metric, before, ids), _measure(metric, after, twins)
    if first is None or second is None:

        def rise(kept: npt.NDArray[np.bool_]) -> float:
            after_value = _on(metric, _limited(after, split, twins[kept]), split)
            return after_value - _on(metric, _limited(before, split, ids[kept]), split)

        return rise(np.ones(len(ids), bool)), _jackknife(len(ids), before, ids, rise)
    ones = np.ones(len(ids))
    difference = second(ones) - first(ones)
    if not _judges(metric):
        return difference, 0.0
    return difference, _bootstrap(len(ids), before.seed, lambda w: second(w) - first(w))


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
