"""Confident learning: how many labels are wrong, from which class to which, and which they most probably are.

Probabilities come column-major, float32 or float64 [k, n], by a model that did not see the records; labels are codes
[n]. Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels. Where the paper
leaves a choice (tolerance, rounding, ties), it is made as the authors' cleanlab 2.9 makes it, so that masks are the
same: scores that tie at a cut go as `np.argpartition` leaves them, and counts whose fractions tie as `np.argsort` does,
which depends on the order of records and, for more than 16 numbers, on the processor.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.errors import UsageError, did_you_mean
from tilth.signals.joint import Look, calibrated, checked, own_probability, with_examples
from tilth.signals.kernels import leading, mean_entropy
from tilth.signals.pruning import CLEAR, lowest, prune_by_class, prune_by_noise_rate

__all__ = [
    "FILTERS",
    "RANKINGS",
    "class_thresholds",
    "confident_joint",
    "label_issues",
    "label_scores",
    "noise_concentration",
]

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)
RANKINGS = ("normalized_margin", "self_confidence", "confidence_weighted_entropy")


def class_thresholds(p: Array, labels: Array) -> npt.NDArray[np.float64]:
    """Return what the model on average gives to a class where it is the label: what it takes to be confident of it.

    >>> class_thresholds(np.array([[0.9, 0.7, 0.1], [0.1, 0.3, 0.9]]), np.array([0, 0, 1]))
    array([0.8, 0.9])

    float64[k]; 2 for a class without labels, which no probability reaches.
    """
    return Look(*checked(p, labels)).thresholds


def confident_joint(p: Array, labels: Array, *, calibrate: bool = True) -> Counts:
    """Return how many records have label i and are confidently of class j: int64[k, k].

    >>> p = np.array([[0.9, 0.2, 0.2, 0.8], [0.1, 0.8, 0.8, 0.2]])
    >>> confident_joint(p, np.array([0, 0, 1, 0]))
    array([[2, 1],
           [0, 1]])

    A record is confidently of the class whose threshold its probability reaches, of the most probable one where it
    reaches several, of none where it reaches none; at least 1 on the diagonal. `calibrate=True` makes row i add up to
    the number of records with label i.
    """
    look = Look(*checked(p, labels))
    return calibrated(look.joint, look.counts) if calibrate else look.joint


def noise_concentration(p: Array, labels: Array) -> float:
    """Return how far wrong labels of a class are all of one other class: 0 = evenly of all others, 1 = of one.

    >>> noise_concentration(np.array([[0.9, 0.9, 0.1], [0.1, 0.1, 0.9]]), np.array([0, 1, 1]))
    1.0

    From the calibrated joint: the share of the errors that have, of their true class, the most frequent given label,
    moved to [0, 1] from [1 / (k - 1), 1]. 1 where no error is estimated, and with two classes.
    """
    wrong = confident_joint(p, labels)
    np.fill_diagonal(wrong, 0)
    others, total = len(wrong) - 1, wrong.sum()
    if others < 2 or total == 0:
        return 1.0
    return float((wrong.max(axis=0).sum() / total - 1 / others) / (1 - 1 / others))


def label_issues(p: Array, labels: Array, *, filter: str = FILTERS[0], min_examples: int = 1) -> Mask:
    """Return bool[n]: which labels are wrong, as one of seven rules has it.

    >>> p = np.array([[0.9, 0.2, 0.2, 0.8], [0.1, 0.8, 0.8, 0.2]])
    >>> label_issues(p, np.array([0, 0, 1, 0]), filter="confident_learning")
    array([False,  True, False, False])

    `"predicted_neq_given"`: another class is more probable. `"confident_learning"`: that, and the record is confidently
    of another class. `"low_self_confidence"`, `"low_normalized_margin"`: as many as those, with the lowest score.
    `"prune_by_class"`: of each class as many as the calibrated joint has off its diagonal, with the lowest probability
    of the given class. `"prune_by_noise_rate"`: for each pair of classes as many as the joint has there, by which the
    other class is furthest ahead. `"both"`: the last two agree. `min_examples`: so many of each class are left.
    """
    if filter not in FILTERS:
        raise UsageError(f"label_issues(filter=...): no {filter!r}. {did_you_mean(filter, FILTERS)}")
    if min_examples < 1:
        raise UsageError(f"label_issues(min_examples=...) is a whole number of 1 or more, got {min_examples!r}")
    look = Look(*checked(p, labels))
    if filter == "predicted_neq_given":
        return look.disputed
    if filter in ("prune_by_class", "prune_by_noise_rate", "both"):
        kept = with_examples(calibrated(look.joint, look.counts), min_examples)
        out = np.ones(len(look.codes), np.bool_)
        if filter != "prune_by_noise_rate":
            out &= prune_by_class(look, kept, min_examples)
        if filter != "prune_by_class":
            out &= prune_by_noise_rate(look, kept, min_examples)
        return out & look.disputed
    confident = look.guess != look.codes
    confident &= look.guess < len(look.p)
    confident &= look.disputed
    if filter == "confident_learning":
        return confident
    number = int(np.count_nonzero(confident))
    return lowest(look.own, number) if filter == "low_self_confidence" else _lowest_margin(look, number)


def label_scores(p: Array, labels: Array, *, ranking: str = RANKINGS[0]) -> Array:
    """Return how far each label can be believed, in [0, 1]; low is suspicious.

    >>> label_scores(np.array([[0.9, 0.2], [0.1, 0.8]]), np.array([0, 0]), ranking="normalized_margin")
    array([0.9, 0.2])

    `"self_confidence"`: the probability of the given class. `"normalized_margin"`: (that - the highest of another + 1)
    / 2. `"confidence_weighted_entropy"`: log(x + 1) / x with x = entropy as a share of the most that it could be /
    self-confidence; its limits where one of them is 0: 1 at no entropy, 0 at no confidence. In the type of `p`. NaN
    where a probability is.
    """
    if ranking not in RANKINGS:
        raise UsageError(f"label_scores(ranking=...): no {ranking!r}. {did_you_mean(ranking, RANKINGS)}")
    p, codes = checked(p, labels)
    own = own_probability(p, codes)
    if ranking == "self_confidence":
        return own
    if ranking == "normalized_margin":
        for part, first, second in leading(p):
            given = own[part]
            given -= np.where(given >= first, second, first)
            given += 1
            given /= 2
        return own
    spread = mean_entropy(p, several=False).astype(p.dtype, copy=False)
    tiny = np.finfo(p.dtype).tiny
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        ratio = spread / own
        score = np.log1p(ratio) / ratio
    return np.where(own < tiny, np.where(np.isnan(spread), np.nan, 0), np.where(ratio < tiny, 1, score)).astype(p.dtype)


def _lowest_margin(look: Look, number: int) -> Mask:
    some = np.flatnonzero(look.disputed)
    score = (look.own[some] - look.top[some] + 1) / 2
    low = lowest(score, number)
    cut = score[low].max(initial=0)
    if cut > 0.5 + CLEAR or np.count_nonzero(score <= cut) > number:  # others may tie
        return lowest(label_scores(look.p, look.codes, ranking="normalized_margin"), number)
    out = np.zeros(len(look.codes), np.bool_)
    out[some[low]] = True
    return out
