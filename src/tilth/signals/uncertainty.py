"""How unsure the trained model is of a record; every signal here is high where it is unsure."""

import numpy as np
import numpy.typing as npt

from tilth.algebra import Signal, signal
from tilth.dataset.splits import draw
from tilth.signals.calibration import calibrated_top, fitted_temperature
from tilth.signals.committees import mutual_information, vote_entropy
from tilth.signals.kernels import chunks, entropy_above, leading, mean_entropy
from tilth.signals.making import one_of, refined
from tilth.state import State

__all__ = [
    "bald",
    "calibrated_confidence",
    "confidence",
    "disagreement",
    "entropy",
    "least_confident",
    "margin",
    "temperature",
]

Floats = npt.NDArray[np.float32]

_FITTED = 20_000
"""Labelled records that a temperature is fitted on: one number needs no more, and a hundred classes stay at 16 MB."""


def _close(state: State, bar: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return where margin() is `bar` or more, or NaN, and what it is there."""
    if _several(state):
        found = _least_decided(state.probabilities)
        at = np.flatnonzero(~(found < bar))
        return at, found[at]
    least = np.nextafter(np.float32(bar - 1), np.float32(-np.inf))
    places: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    gaps: list[Floats] = [np.empty(0, np.float32)]
    for part, first, second in leading(state.probabilities):
        np.subtract(second, first, out=second)
        at = np.flatnonzero(~(second < least))
        places.append(at + part.start)
        gaps.append(second[at])
    at, found = np.concatenate(places), 1 + np.concatenate(gaps).astype(np.float64)
    kept = ~(found < bar)
    return at[kept], found[kept]


def _spread(state: State, bar: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return where entropy() is `bar` or more, or NaN, and what it is there."""
    return entropy_above(state.probabilities, bar, several=_several(state))


@signal(needs={"probabilities"}, tasks={"class", "classes"}, pointwise=True, above=_close)
def margin(state: State) -> npt.NDArray[np.float64]:
    """How close the two most probable classes are: one minus the gap between them.

    >>> margin() > 0.9
    margin() > 0.9

    float64[n] in [0, 1]: 0 = sure, 1 = the first two classes are equally probable. Where a record may have several
    classes: how close the least decided class is to one half. NaN where the model has not seen the record. Scheffer,
    Decomain and Wrobel 2001, Active Hidden Markov Models for Information Extraction; for several classes, Brinker 2006,
    On Active Learning in Multi-label Classification.
    Cost: one pass over the probabilities (1M x 10: about 6 ms). Use it first: of the cheap signals it is the one that
    asks where a label decides between two classes. Do not use it alone for a large batch, whose first records are
    alike (put .diverse() after it), or while the model has seen a handful of labels only.
    """
    p = state.probabilities
    if _several(state):
        return _least_decided(p)
    out = np.empty(len(state))  # in float32 one minus a small gap would round many of them to the same number
    for part, first, second in leading(p):
        np.subtract(second, first, out=second)
        np.add(second, 1, out=out[part], dtype=np.float64)
    return out


@signal(needs={"probabilities"}, tasks={"class", "classes"}, pointwise=True, above=_spread)
def entropy(state: State) -> Floats:
    """How spread out the predicted probabilities are, as a share of the most that they could be.

    >>> entropy() > 0.5
    entropy() > 0.5

    float32[n] in [0, 1]: 0 = one class has all the probability, 1 = all classes are equally probable. It is the entropy
    divided by log k, so that a threshold means the same for any number of classes. Where a record may have several
    classes: the mean over the classes of the entropy of yes or no. NaN where the model has not seen the record. Shannon
    1948; Dagan and Engelson 1995, Committee-Based Sampling for Training Probabilistic Classifiers.
    Cost: one pass over the probabilities with a logarithm each (1M x 10: 9 to 25 ms, by what vectors the processor
    has), of which top(k) computes only the few that a bound by the bits of the numbers lets through. Use it where all
    classes matter alike and are few, or in a condition on how unsure the model is. Do not use it by default to choose
    what to label: with many classes small probabilities that mean nothing outweigh the two that compete; margin() does
    not read them.
    """
    return mean_entropy(state.probabilities, several=_several(state))


@signal(needs={"probabilities"}, pointwise=True)
def least_confident(state: State) -> Floats:
    """How little the model believes its own prediction: one minus the probability of the most probable class.

    >>> least_confident() > 0.4
    least_confident() > 0.4

    float32[n] in [0, 1 - 1/k]: 0 = sure. NaN where the model has not seen the record.
    Lewis and Gale 1994, A Sequential Algorithm for Training Text Classifiers.
    Cost: one pass over the probabilities. Use it where only the predicted class counts, for instance before predictions
    are taken as labels. Do not use it to tell a model that hesitates between two classes from one that has no idea.
    """
    return 1 - _highest(state)


@signal(needs={"probabilities"}, pointwise=True)
def confidence(state: State) -> Floats:
    """How probable the model finds the class that it predicts; high where it is sure.

    >>> confidence() >= 0.99
    confidence() >= 0.99

    float32[n] in [1/k, 1]. NaN where the model has not seen the record. To believe such predictions as labels is
    pseudo-labelling: Lee 2013, Pseudo-Label.
    Cost: one pass over the probabilities. Use it to find what the model is sure of. Do not use it as the chance of
    being right: neural networks and boosting are too sure (calibrated_confidence() is that chance).
    """
    return _highest(state)


@signal(needs={"probabilities", "out_of_fold_probabilities"})
def calibrated_confidence(state: State) -> Floats:
    """How often the model would be right of a record like this: its confidence after temperature scaling.

    >>> calibrated_confidence() >= 0.95
    calibrated_confidence() >= 0.95

    float32[n] in [1/k, 1]; the order of classes stays, the order of records may change where k > 2. The temperature is
    fitted on the out-of-fold probabilities of labelled training records (see `temperature`), never on held-out ones.
    NaN where the model has not seen the record, and everywhere while nothing is labelled. Guo, Pleiss, Sun and
    Weinberger 2017, On Calibration of Modern Neural Networks.
    Cost: two passes over the probabilities (1M x 10: about 30 ms), and out-of-fold training, five times that of the
    model. Use it where a threshold on confidence decides, such as labels taken from predictions. Do not use it to
    rank records (confidence() gives nearly the same order for less), or with fewer than some 50 labels.
    """
    hot = temperature(state)
    if np.isnan(hot):
        return np.full(len(state), np.nan, np.float32)
    return calibrated_top(state.probabilities, hot)


def temperature(state: State) -> float:
    """Return by what the logarithms of probabilities are divided so that they are as sure as they are right.

    Above 1: the model is too sure. Between 0.05 and 20; NaN while nothing is labelled. Fitted on the out-of-fold
    probabilities (which a signal must need) of up to 20,000 labelled training records drawn by key; probabilities
    below 1e-6 count as that.
    """
    said = state.output("out_of_fold_probabilities")
    ids = np.flatnonzero(state.view.train & state.view.labeled & ~np.isnan(np.asarray(said[0])))
    ids = ids[np.argsort(draw(state.dataset.key_hash[ids], "temperature"), kind="stable")][:_FITTED]
    return fitted_temperature(np.asarray(said)[:, ids], state.view.label[ids])


@signal(needs={"draws"}, tasks={"class", "classes"})
def bald(state: State) -> Floats:
    """How much the label of a record would tell of the model: the mutual information of both, over several draws.

    >>> bald() > 0.1
    bald() > 0.1

    float32[n] in [0, 1]: the entropy of the mean prediction less the mean entropy of each draw, over log k, so that a
    threshold means the same for any number of classes: 0 = all draws say the same (be it "cannot tell"), high = each is
    sure of something else. Where a record may have several classes: the mean over them. NaN where a draw is NaN; 0 with
    one draw. Houlsby et al. 2011, Bayesian Active Learning for Classification and Preference Learning; Gal, Islam and
    Ghahramani 2017, Deep Bayesian Active Learning with Image Data.
    Cost: one pass over the draws with a logarithm each (200k x 10 classes x 20 draws: 50 to 120 ms, by what vectors the
    processor has), and what drawing costs the model. Use it with an ensemble or dropout passes, where some records are
    noise that no label would mend: entropy asks for these again and again. Do not use it with fewer than some 5 draws,
    or to pick a large batch by itself: its first records are alike.
    """
    return mutual_information(state.output("draws"), several=_several(state))


def _known_way(made: Signal) -> Signal:
    one_of("disagreement(by=...)", made.args.get("by", "votes"), ("votes", "kl"))
    return made


@refined(_known_way)
@signal(needs={"draws"})
def disagreement(state: State, *, by: str = "votes") -> Floats:
    """How far a committee is divided over a record.

    >>> disagreement(by="kl") > 0.2
    disagreement(by="kl") > 0.2

    float32[n] in [0, 1]. `"votes"`: the entropy of the classes that the members vote for, over log min(d, k): 1 = as
    divided as d members can be; Engelson and Dagan 1996, Minimizing Manual Annotation Cost in Supervised Training from
    Corpora. `"kl"`: the mean Kullback-Leibler divergence of the members from their mean, over log k; McCallum and Nigam
    1998, Employing EM and Pool-Based Active Learning for Text Classification. The second is the same number as bald().
    NaN where a member says NaN; 0 with one member.
    Cost: one pass over the draws (200k x 10 classes x 20 members: about 170 ms by votes, 50 to 120 by kl). Use it by
    votes where members tell no real probabilities (trees, support vector machines), by kl where they do. Do not use it
    with fewer than some 5 members: votes then tie for most records.
    """
    draws = state.output("draws")
    return vote_entropy(draws) if by == "votes" else mutual_information(draws)


def _highest(state: State) -> Floats:
    out = np.empty(len(state), np.float32)
    for part, first, _ in leading(state.probabilities):
        out[part] = first
    return out


def _least_decided(p: Floats) -> npt.NDArray[np.float64]:
    out = np.empty(p.shape[1])
    for part in chunks(p.shape[1]):
        gap = np.full(part.stop - part.start, 1, np.float32)
        for q in np.asarray(p)[:, part]:
            np.minimum(gap, np.abs(q - np.float32(0.5)), out=gap)  # near one half, where it matters, exact
        np.multiply(gap, -2, out=out[part], dtype=np.float64)
        out[part] += 1
    return out


def _several(state: State) -> bool:
    return state.dataset.schema.label.kind == "classes"
