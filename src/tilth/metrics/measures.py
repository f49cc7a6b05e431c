"""What a metric is before it is one number: a function of how much each judged record counts.

With equal weights it is the metric; with the weights of a bootstrap draw, one look at how much it depends on the
records.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.errors import UsageError, did_you_mean
from tilth.signals.kernels import best
from tilth.state import State

__all__ = ["Measure", "classwise", "losses", "mean", "numbers", "right"]

Ids = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]
Measure = Callable[[Weights], float]

SMALLEST = float(np.finfo(np.float32).eps)
"""Probabilities are clipped here before a logarithm: they are stored as float32."""


def mean(values: npt.NDArray[Any]) -> Measure:
    """Return the weighted mean of a number per record; NaN where there is no record."""
    values = values.astype(np.float64)
    return lambda w: float(w @ values / total) if (total := w.sum()) else np.nan


def right(state: State, ids: Ids) -> npt.NDArray[np.bool_]:
    """Return bool[len(ids)]: whether the whole prediction is right."""
    if state.dataset.schema.label.kind == "class":
        return _predicted(state, ids) == state.view.label[ids]
    truth, said = _truth(state, ids), _said(state, ids)
    return (truth == said).all(axis=1)


def classwise(state: State, ids: Ids, cls: str | None, pick: Callable[[Weights, Weights, Weights], Any]) -> Measure:
    """Return a measure of one class, or the mean over all classes that the labels have.

    `pick(hits, given, said)`: from float64[k] each, how many records a class has right, by label, and by prediction.
    NaN for a
    class that no label has. UsageError for a class that there is not.
    """
    if cls is not None and cls not in state.classes:
        raise UsageError(f"no class {cls!r} in version {state.view.version}. {did_you_mean(cls, state.classes)}")
    count = counts(state, ids)

    def measure(w: Weights) -> float:
        hits, given, said = count(w)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(given > 0, pick(hits, given, said), np.nan)
        if cls is not None:
            return float(found[state.classes.index(cls)])
        return float(np.nanmean(found)) if (given > 0).any() else np.nan

    return measure


def counts(state: State, ids: Ids) -> Callable[[Weights], tuple[Weights, Weights, Weights]]:
    """Return a function of weights to (right, labelled, predicted), float64[k] each: how many records of each class."""
    k = len(state.classes)
    if state.dataset.schema.label.kind == "class":
        truth, said = state.view.label[ids], _predicted(state, ids)
        hit = truth == said

        def tally(w: Weights) -> tuple[Weights, Weights, Weights]:
            parts = ((truth[hit], w[hit]), (truth, w), (said, w))
            hits, given, told = (np.bincount(codes, weights, k).astype(np.float64) for codes, weights in parts)
            return hits, given, told

        return tally
    given, told = _truth(state, ids), _said(state, ids)
    both = given & told
    return lambda w: (w @ both, w @ given, w @ told)


def losses(state: State, ids: Ids) -> npt.NDArray[np.float64]:
    """Return float64[len(ids)]: minus the log of the probability of the given class."""
    p = np.asarray(state.probabilities)[state.view.label[ids], ids].astype(np.float64)
    return -np.log(np.clip(p, SMALLEST, 1))


def numbers(state: State, ids: Ids) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (label, prediction), float64[len(ids)] each, of numbers."""
    return np.asarray(state.view.label[ids], np.float64), np.asarray(state.probabilities[0])[ids].astype(np.float64)


def _predicted(state: State, ids: Ids) -> npt.NDArray[np.int32]:
    return best(np.asarray(state.probabilities)[:, ids])[0]


def _said(state: State, ids: Ids) -> npt.NDArray[np.bool_]:
    return np.asarray(state.probabilities)[:, ids].T >= 0.5


def _truth(state: State, ids: Ids) -> npt.NDArray[np.bool_]:
    """Return bool[len(ids), k] of labels that are several classes; equal sets of classes are looked up once."""
    if not len(ids):
        return np.zeros((0, len(state.classes)), bool)
    _, first, again = np.unique(state.view.label[ids], return_index=True, return_inverse=True)
    sets = state.dataset.labels(ids[first])
    table = np.array([[name in names for name in state.classes] for names in sets], bool)
    return table[again]
