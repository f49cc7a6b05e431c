"""How unsure the trained model is of a record; every signal here is high where it is unsure."""

import numpy as np
import numpy.typing as npt

from tilth.algebra import signal
from tilth.signals.kernels import leading, mean_entropy
from tilth.state import State

__all__ = ["confidence", "entropy", "least_confident", "margin"]

Floats = npt.NDArray[np.float32]


@signal(needs={"probabilities"}, tasks={"class", "classes"}, pointwise=True)
def margin(state: State) -> npt.NDArray[np.float64]:
    """How close the two most probable classes are: one minus the gap between them.

    >>> margin() > 0.9
    margin() > 0.9

    float64[n] in [0, 1]: 0 = sure, 1 = the first two classes are equally probable. Where a record may have several
    classes: how close the least decided class is to one half. NaN where the model has not seen the record. Scheffer,
    Decomain and Wrobel 2001, Active Hidden Markov Models for Information Extraction; for several classes, Brinker 2006,
    On Active Learning in Multi-label Classification.
    """
    p = state.probabilities
    out = np.zeros(len(state))  # in float32 one minus a small gap would round many of them to the same number
    if _several(state):
        for q in np.asarray(p):
            np.maximum(out, 1 - np.abs(2 * q.astype(np.float64) - 1), out=out)
        return out
    for part, first, second in leading(p):
        np.subtract(second, first, out=second)
        np.add(second, 1, out=out[part], dtype=np.float64)
    return out


@signal(needs={"probabilities"}, tasks={"class", "classes"}, pointwise=True)
def entropy(state: State) -> Floats:
    """How spread out the predicted probabilities are, as a share of the most that they could be.

    >>> entropy() > 0.5
    entropy() > 0.5

    float32[n] in [0, 1]: 0 = one class has all the probability, 1 = all classes are equally probable. It is the entropy
    divided by log k, so that a threshold means the same for any number of classes. Where a record may have several
    classes: the mean over the classes of the entropy of yes or no. NaN where the model has not seen the record. Shannon
    1948; Dagan and Engelson 1995, Committee-Based Sampling for Training Probabilistic Classifiers.
    """
    return mean_entropy(state.probabilities, several=_several(state))


@signal(needs={"probabilities"}, pointwise=True)
def least_confident(state: State) -> Floats:
    """How little the model believes its own prediction: one minus the probability of the most probable class.

    >>> least_confident() > 0.4
    least_confident() > 0.4

    float32[n] in [0, 1 - 1/k]: 0 = sure. NaN where the model has not seen the record.
    Lewis and Gale 1994, A Sequential Algorithm for Training Text Classifiers.
    """
    return 1 - _highest(state)


@signal(needs={"probabilities"}, pointwise=True)
def confidence(state: State) -> Floats:
    """How probable the model finds the class that it predicts; high where it is sure.

    >>> confidence() >= 0.99
    confidence() >= 0.99

    float32[n] in [1/k, 1]. NaN where the model has not seen the record. To believe such predictions as labels is
    pseudo-labelling: Lee 2013, Pseudo-Label.
    """
    return _highest(state)


def _highest(state: State) -> Floats:
    out = np.empty(len(state), np.float32)
    for part, first, _ in leading(state.probabilities):
        out[part] = first
    return out


def _several(state: State) -> bool:
    return state.dataset.schema.label.kind == "classes"
