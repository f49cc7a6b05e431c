"""What the data cost and how much of it there is: metrics that need no model."""

import numpy as np

from tilth.algebra import Metric, metric
from tilth.errors import UsageError
from tilth.signals.making import count, refined
from tilth.state import State

__all__ = ["cost", "gain", "labeled_count", "labels_spent", "pool_size", "rounds"]

ALL = ("class", "classes", "number")


@metric(tasks=ALL)
def labels_spent(state: State) -> float:
    """How many answers annotators have given so far.

    >>> labels_spent() >= 2000
    labels_spent() >= 2000
    """
    return state.view.labels_spent


@metric(tasks=ALL)
def cost(state: State) -> float:
    """What the annotators' answers have cost so far, in the unit in which they are paid.

    >>> cost() >= 150.0
    cost() >= 150.0
    """
    return state.view.cost


@metric(tasks=ALL)
def rounds(state: State) -> float:
    """How many rounds are finished.

    >>> rounds() >= 20
    rounds() >= 20
    """
    return state.round


@metric(tasks=ALL)
def labeled_count(state: State) -> float:
    """How many living training records have a label.

    >>> labeled_count() >= 5000
    labeled_count() >= 5000
    """
    return int(np.count_nonzero(state.view.train & state.view.labeled))


@metric(tasks=ALL)
def pool_size(state: State) -> float:
    """How many records are left to ask about: living, in train, without a label, and nobody is or was asked.

    >>> pool_size() <= 0
    pool_size() <= 0
    """
    return int(np.count_nonzero(state.view.pool))


def _of_a_metric(made: Metric) -> Metric:
    inner = made.args["metric"]
    if not isinstance(inner, Metric):
        raise UsageError(f"gain({inner!r}): the gain of a metric, such as gain(accuracy()); got {type(inner).__name__}")
    count("gain(over=...)", made.args.get("over", 1))
    return made


@refined(_of_a_metric)
@metric(tasks=ALL)
def gain(state: State, metric: Metric, *, over: int = 1) -> float:
    """How much a metric has risen since `over` rounds ago.

    >>> from tilth.metrics import accuracy
    >>> gain(accuracy(), over=3) < 0.001
    gain(accuracy(), over=3) < 0.001

    Its value now less the one that the finished round had then, in the metric's unit. NaN in the first `over` rounds,
    so that no comparison holds: `until=gain(accuracy()) < 0.001` does not end a run before there is anything to
    compare.
    """
    if state.round < over:
        return np.nan
    return float(metric.value(state)) - float(state.rounds[-over].metrics.get(repr(metric), np.nan))
