"""Has what the model says, or what is true, shifted? Tests on predictions and labels, and the shares behind them."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilth.algebra import Metric, metric
from tilth.errors import UsageError, did_you_mean
from tilth.metrics.two_sample import column_test
from tilth.signals.making import count, one_of, refined
from tilth.signals.windows import SMALLEST, Window, current, reference
from tilth.state import State

__all__ = ["class_share", "confidence_shift", "label_shift"]

Ids = npt.NDArray[np.int64]
PROBABILITIES = "probabilities"


def _judged(made: Metric) -> Metric:
    if made.args.get("window") is not None:
        count(f"{made.name}(window=...)", made.args["window"])
    count(f"{made.name}(permutations=...)", made.args.get("permutations", 999))
    by = one_of(f"{made.name}(by=...)", made.args.get("by", "predictions"), ("predictions", "labels"))
    return replace(made, wants=frozenset({PROBABILITIES})) if by == "predictions" else made


@refined(_judged)
@metric()
def label_shift(state: State, *, by: str = "predictions", window: int | None = None, permutations: int = 999) -> float:
    """How probable it is that the classes of new records differ as much from before as they do, had nothing changed.

    >>> label_shift() < 0.01
    label_shift() < 0.01
    >>> label_shift(by="labels", window=500) < 0.01
    label_shift(by="labels", window=500) < 0.01

    A p-value by permutation, as for `drift`: chi-square of the classes. `by="predictions"`: of the predicted class,
    against that of the records of valid, which the model did not learn from either; where only the shares of
    the classes change, it sees it without any label (Lipton, Wang and Smola 2018, Detecting and Correcting for Label
    Shift with Black Box Predictors, section 4). `by="labels"`: of the labels that new records came with or got, against
    what the model was trained on; needs nothing of the model. `window`, `permutations`: as for `drift`. NaN where
    either side has fewer than 20 records. Do not use it where rare records were chosen to be labelled.
    """
    ids = current(state, window)
    if by == "labels":
        before, code = reference(state, "trained"), state.view.label
    else:
        before, code = reference(state, "valid"), state.predicted
    windows = Window(before[code[before] >= 0], ids[code[ids] >= 0])
    if windows.small:
        return float("nan")
    both = np.concatenate([windows.reference, windows.current])
    cells = {"class": code[both].astype(np.int64)}
    return column_test(cells, len(windows.reference), times=permutations, seed=state.seed)[0]


@refined(_judged)
@metric()
def confidence_shift(state: State, *, window: int | None = None, permutations: int = 999) -> float:
    """How probable it is that the model is as much less (or more) sure of new records as it is, had nothing changed.

    >>> confidence_shift() < 0.01
    confidence_shift() < 0.01

    A p-value by permutation, as for `drift`: Kolmogorov-Smirnov on the probability of the most probable class, against
    the records of valid (of what it learned from, a model is too sure to compare). NaN where either side has
    fewer than 20 records. It sees only what the model reacts to; a change of the labels alone it cannot see.
    """
    top = state.probabilities.max(axis=0)
    before, ids = reference(state, "valid"), current(state, window)
    windows = Window(before[~np.isnan(top[before])], ids[~np.isnan(top[ids])])
    if windows.small:
        return float("nan")
    both = np.concatenate([windows.reference, windows.current])
    cells = {"confidence": top[both].astype(np.float64)}
    return column_test(cells, len(windows.reference), times=permutations, seed=state.seed)[0]


def _of_a_window(made: Metric) -> Metric:
    if made.args.get("window") is not None:
        count("class_share(window=...)", made.args["window"])
    return made


@refined(_of_a_window)
@metric(needs={PROBABILITIES})
def class_share(state: State, cls: str, *, window: int | None = None) -> float:
    """The share of a class among new records, estimated from predictions alone.

    >>> class_share("spam") > 0.3
    class_share("spam") > 0.3

    In [0, 1]. The model's confusions on valid say how often each class is taken for each; the shares under which new
    records would be predicted as they are solve that system (black-box shift estimation: Lipton, Wang and Smola 2018),
    those below 0 set to 0. Right where only the shares of the classes have changed, and not what records of a class
    look like. NaN where either side has fewer than 20 records, or the model takes some class for others so often that
    the system has no answer. UsageError for a class that there is not.
    """
    if cls not in state.classes:
        raise UsageError(f"class_share({cls!r}): no such class. {did_you_mean(cls, state.classes)}")
    said, label, k = state.predicted, state.view.label, len(state.classes)
    before, ids = reference(state, "valid"), current(state, window)
    before, ids = before[(said[before] >= 0) & (label[before] >= 0)], ids[said[ids] >= 0]
    if min(len(before), len(ids)) < SMALLEST:
        return float("nan")
    joint = np.zeros((k, k))
    np.add.at(joint, (said[before], label[before]), 1 / len(before))
    seen = np.flatnonzero(joint.sum(axis=0) > 0)  # of a class that valid does not have nothing can be said
    if len(seen) < k or np.linalg.cond(joint) > 1e6:
        return float("nan")
    now = np.bincount(said[ids], minlength=k) / len(ids)
    shares = np.maximum(np.linalg.solve(joint, now), 0.0) * joint.sum(axis=0)
    return float(shares[state.classes.index(cls)] / shares.sum())
