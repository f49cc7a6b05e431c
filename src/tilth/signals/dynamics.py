"""What training itself says of a labelled record: how soon, how surely and how steadily its label was learned."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tilth.algebra import Signal, signal
from tilth.signals import curves
from tilth.signals.making import count, one_of, refined
from tilth.state import State

__all__ = ["aum", "cartography_confidence", "correctness", "el2n", "forgetting", "loss", "variability"]

Floats = npt.NDArray[np.float32]


def _known_mean(made: Signal) -> Signal:
    one_of("loss(by=...)", made.args.get("by", "mean"), ("mean", "last"))
    return made


@refined(_known_mean)
@signal(needs={"epoch_probabilities"})
def loss(state: State, *, by: str = "mean") -> Floats:
    """How badly the given label was predicted while it was learned: its cross-entropy.

    >>> loss(by="last") > 2
    loss(by="last") > 2

    float32[n] in [0, 16.2] nats: 0 = the label was certain. `"mean"`: over all epochs; `"last"`: after the last one.
    Probabilities below 1e-7 count as that. NaN without a label, and where the record was not trained on. Small losses
    as clean labels: Han et al. 2018, Co-teaching; the mean over epochs: Huang et al. 2019, O2U-Net.
    Cost: one look at each epoch's probability of the label. Use it to find wrong labels and hard records together, for
    both have a high mean. Do not use "last" with a model that learns its training data by heart, where every loss ends
    near 0.
    """
    return _told(state, _last_loss if by == "last" else _mean_loss)


@signal(needs={"epoch_probabilities"})
def forgetting(state: State) -> Floats:
    """How often a record was predicted right after one epoch and wrong after the next.

    >>> forgetting() < 1
    forgetting() < 1

    float32[n], a whole number in [0, e]: 0 = once right, it stayed so; e (the number of epochs) = never right. Right:
    the given class was more probable than every other. NaN without a label, and where the record was not trained on.
    Toneva et al. 2019, An Empirical Study of Example Forgetting during Deep Neural Network Learning (there counted
    at each minibatch, here at each epoch; never right is infinite there).
    Cost: one pass over the epochs. Use it to leave out what is never forgotten from a large training set, or to look
    at what is never learned. Do not use it with fewer than some 10 epochs, or where the learning rate is so low that
    nothing is forgotten.
    """
    return _told(state, curves.events_of_forgetting)


def _whole_first(made: Signal) -> Signal:
    count("el2n(first=...)", made.args.get("first", 10))
    return made


@refined(_whole_first)
@signal(needs={"epoch_probabilities"})
def el2n(state: State, *, first: int = 10) -> Floats:
    """How far predictions were from the label early in training: the length of the error vector.

    >>> el2n(first=5) > 0.5
    el2n(first=5) > 0.5

    float32[n] in [0, 1.42]: the Euclidean norm of (probabilities less the one-hot label), mean over the `first` epochs
    (all, where there are fewer). NaN without a label, and where the record was not trained on. Paul, Ganguli and
    Dziugaite 2021, Deep Learning on a Data Diet (there the mean over ten networks after one early epoch).
    Cost: one pass over the first epochs. Use it to prune a large training set early: low scores teach little. Do not
    use it to keep the highest scores where labels are noisy, for wrong labels are among them.
    """
    return _told(state, curves.squared_error_norm, first=first)


@signal(needs={"epoch_probabilities"})
def aum(state: State) -> Floats:
    """The area under the margin: how far ahead of the others the given class was, mean over epochs; low is suspicious.

    >>> aum() < 0
    aum() < 0

    float32[n] in [-16.2, 16.2]: the log-probability of the given class less the highest of another. Where a softmax
    made the probabilities, that is the difference of logits of the paper. Probabilities below 1e-7 count as that. NaN
    without a label, and where the record was not trained on. Pleiss, Zhang, Elenberg and Weinberger 2020, Identifying
    Mislabeled Data using the Area Under the Margin Ranking.
    Cost: one pass over the epochs. Use it to find wrong labels with a model that is trained in epochs: other labels
    like it pull a wrong one below 0 before it is learned by heart. Do not use a fixed threshold over models, or
    training that goes on long after the data is learned.
    """
    return _told(state, curves.margin_area)


@signal(needs={"epoch_probabilities"})
def cartography_confidence(state: State) -> Floats:
    """How probable the given label was, mean over epochs: high = easy to learn, low = hard, or wrong.

    >>> cartography_confidence() < 0.2
    cartography_confidence() < 0.2

    float32[n] in [0, 1]. NaN without a label, and where the record was not trained on. What the paper calls confidence;
    confidence() is that of a prediction. Swayamdipta et al. 2020, Dataset Cartography.
    Cost: one look at each epoch's probability of the label. Use it with variability(): low in both is where wrong
    labels are. Do not use it alone to throw records out, for rare and hard records are low as well.
    """
    return _told(state, lambda said, code: curves.given(said, code).mean(axis=0, dtype=np.float64))


@signal(needs={"epoch_probabilities"})
def variability(state: State) -> Floats:
    """How much the probability of the given label went up and down: its standard deviation over epochs.

    >>> variability() > 0.2
    variability() > 0.2

    float32[n] in [0, 0.5]: 0 = the same after every epoch; 0 with one epoch. NaN without a label, and where the record
    was not trained on. Swayamdipta et al. 2020, Dataset Cartography: records of high variability teach most.
    Cost: one look at each epoch's probability of the label. Use it to choose what to keep of a training set: the
    ambiguous third does as well as the whole on data not seen before. Do not use it with a handful of epochs, where it
    tells the learning rate.
    """
    return _told(state, lambda said, code: curves.given(said, code).std(axis=0, dtype=np.float64))


@signal(needs={"epoch_probabilities"})
def correctness(state: State) -> Floats:
    """The share of epochs after which the given class was more probable than every other.

    >>> correctness() < 0.3
    correctness() < 0.3

    float32[n] in [0, 1]: 1 = always right. NaN without a label, and where the record was not trained on. Swayamdipta et
    al. 2020, Dataset Cartography.
    Cost: one pass over the epochs. Use it to tell in one number how soon a label was learned. Do not use it to rank
    finely: it has as many values as there are epochs.
    """
    return _told(state, lambda said, code: curves.right(said, code).mean(axis=0))


def _mean_loss(said: Floats, code: npt.NDArray[np.integer]) -> Floats:
    return (0 - np.log(np.maximum(curves.given(said, code), curves.LEAST))).mean(axis=0)


def _last_loss(said: Floats, code: npt.NDArray[np.integer]) -> Floats:
    return _mean_loss(said[-1:], code)


def _told(
    state: State,
    tell: Callable[[Floats, npt.NDArray[np.integer]], npt.NDArray[np.floating]],
    *,
    first: int | None = None,
) -> Floats:
    """Return what is told of each labelled record's epochs, NaN of the others."""
    ids = np.flatnonzero(state.view.alive & state.view.labeled)
    out = np.full(len(state), np.nan, np.float32)
    out[ids] = curves.each_given(state.output("epoch_probabilities")[:first], ids, state.view.label[ids], tell)
    return out
