"""How good the trained model is, on the labelled records of a split that it was not trained on."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.algebra import Metric, metric
from tilth.metrics.measures import Measure, classwise, counts, losses, mean, numbers, right
from tilth.signals.making import one_of, refined
from tilth.state import State

__all__ = ["MEASURES", "accuracy", "f1", "log_loss", "mae", "precision", "r2", "recall", "rmse"]

Ids = npt.NDArray[np.int64]

CLASSES = ("class", "classes")


@metric(needs={"probabilities"}, tasks=CLASSES)
def accuracy(state: State, *, split: str = "valid") -> float:
    """The share of records whose class is predicted right.

    >>> accuracy() >= 0.95
    accuracy() >= 0.95

    In [0, 1]; NaN where the split has no labelled record. Where a record may have several classes: the share of records
    for which all of them are right, a class being predicted at a probability of one half or more.
    """
    return _value(_accuracy, state, split)


def _accuracy(state: State, ids: Ids) -> Measure:
    return mean(right(state, ids))


@metric(needs={"probabilities"}, tasks=CLASSES)
def precision(state: State, cls: str | None = None, *, split: str = "valid") -> float:
    """The share of a class's predictions that are right, or the mean of that over the classes.

    >>> precision("cat") < 0.9
    precision("cat") < 0.9

    In [0, 1]; 0 where the class is never predicted, NaN where no label of the split has it, so that no comparison
    holds. The mean is over the classes that the labels have. UsageError, when it is computed, for a class that there is
    not.
    """
    return _value(_precision, state, split, cls=cls)


def _precision(state: State, ids: Ids, cls: str | None = None) -> Measure:
    return classwise(state, ids, cls, lambda hits, _given, said: hits / np.maximum(said, np.finfo(float).tiny))


@metric(needs={"probabilities"}, tasks=CLASSES)
def recall(state: State, cls: str | None = None, *, split: str = "valid") -> float:
    """The share of a class's records that are found, or the mean of that over the classes.

    >>> recall("cat") < 0.9
    recall("cat") < 0.9

    In [0, 1]; NaN where no label of the split has the class, so that no comparison holds. The mean, also called
    balanced accuracy, is over the classes that the labels have. UsageError, when it is computed, for a class that there
    is not.
    """
    return _value(_recall, state, split, cls=cls)


def _recall(state: State, ids: Ids, cls: str | None = None) -> Measure:
    return classwise(state, ids, cls, lambda hits, given, _said: hits / given)


def _average(made: Metric) -> Metric:
    one_of("f1(average=...)", made.args.get("average", "macro"), ("macro", "micro"))
    return made


@refined(_average)
@metric(needs={"probabilities"}, tasks=CLASSES)
def f1(state: State, cls: str | None = None, *, average: str = "macro", split: str = "valid") -> float:
    """The harmonic mean of precision and recall, of one class or over all.

    >>> f1() >= 0.8
    f1() >= 0.8

    In [0, 1]; NaN where no label of the split has the class. `average`: `"macro"`, the mean over the classes that the
    labels have, or `"micro"`, from the counts of all classes together (for one class a record that is the accuracy).
    """
    return _value(_f1, state, split, cls=cls, average=average)


def _f1(state: State, ids: Ids, cls: str | None = None, average: str = "macro") -> Measure:
    if cls is not None or average == "macro":
        return classwise(state, ids, cls, lambda hits, given, said: 2 * hits / (given + said))
    count = counts(state, ids)

    def micro(w: npt.NDArray[np.float64]) -> float:
        hits, given, said = (part.sum() for part in count(w))
        return float(2 * hits / (given + said)) if given else np.nan

    return micro


@metric(needs={"probabilities"})
def log_loss(state: State, *, split: str = "valid") -> float:
    """How surprised the model is by the labels: the mean of minus the log of the given class's probability.

    >>> log_loss() < 0.3
    log_loss() < 0.3

    In nats, 0 or more; lower is better. Probabilities are clipped at 1.2e-7.
    """
    return _value(_log_loss, state, split)


def _log_loss(state: State, ids: Ids) -> Measure:
    return mean(losses(state, ids))


@metric(needs={"probabilities"}, tasks={"number"})
def mae(state: State, *, split: str = "valid") -> float:
    """How far a predicted number is off, on average.

    >>> mae() < 2.5
    mae() < 2.5

    In the label's unit; lower is better.
    """
    return _value(_mae, state, split)


def _mae(state: State, ids: Ids) -> Measure:
    y, said = numbers(state, ids)
    return mean(np.abs(said - y))


@metric(needs={"probabilities"}, tasks={"number"})
def rmse(state: State, *, split: str = "valid") -> float:
    """How far a predicted number is off, large errors counting more: the root of the mean squared error.

    >>> rmse() < 2.5
    rmse() < 2.5

    In the label's unit; lower is better.
    """
    return _value(_rmse, state, split)


def _rmse(state: State, ids: Ids) -> Measure:
    y, said = numbers(state, ids)
    squared = mean((said - y) ** 2)
    return lambda w: float(np.sqrt(squared(w)))


@metric(needs={"probabilities"}, tasks={"number"})
def r2(state: State, *, split: str = "valid") -> float:
    """The share of the labels' variance that the predictions explain.

    >>> r2() >= 0.7
    r2() >= 0.7

    Up to 1; 0 = no better than the mean, negative = worse. NaN where all labels are equal.
    """
    return _value(_r2, state, split)


def _r2(state: State, ids: Ids) -> Measure:
    y, said = numbers(state, ids)
    y0 = y - (y.mean() if len(y) else 0.0)  # the same result, and no loss of digits where labels are far from 0
    error, level, square = mean((said - y) ** 2), mean(y0), mean(y0**2)

    def measure(w: npt.NDArray[np.float64]) -> float:
        variance = square(w) - level(w) ** 2
        return 1 - error(w) / variance if variance > 1e-12 * max(square(w), 1e-300) else np.nan

    return measure


def _value(prepare: Callable[..., Measure], state: State, split: str, **args: Any) -> float:
    ids = state.judged(split)
    return prepare(state, ids, **args)(np.ones(len(ids)))


MEASURES: Mapping[str, Callable[..., Measure]] = {
    f"{__name__}:{prepare.__name__[1:]}": prepare
    for prepare in (_accuracy, _precision, _recall, _f1, _log_loss, _mae, _rmse, _r2)
}
"""The measure behind each metric of this file, by where the metric stands."""
