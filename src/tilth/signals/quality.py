"""How far a given label can be believed, judged by models that were not trained on it."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilth.algebra import Signal, signal
from tilth.signals.confident import FILTERS, label_issues, label_scores
from tilth.signals.judges import BY, METHODS, chosen, judgement, known, reads
from tilth.signals.kernels import best
from tilth.signals.making import one_of, refined
from tilth.state import State

__all__ = ["detector", "label_issue", "label_quality", "suggest"]

Floats = npt.NDArray[np.float32]


def _judged(made: Signal) -> Signal:
    method = one_of("label_quality(method=...)", made.args.get("method", METHODS[0]), METHODS)
    by = one_of("label_quality(by=...)", made.args.get("by", "probe"), BY)
    # what "auto" takes depends on all records
    return replace(made, wants=reads(by), alone=made.alone and "auto" not in (by, method))


@refined(_judged)
@signal(pointwise=True)
def label_quality(state: State, *, by: str = "probe", method: str = "normalized_margin") -> Floats:
    """How far the given label of a record can be believed; low is suspicious.

    >>> label_quality() < 0.1
    label_quality() < 0.1
    >>> sorted(label_quality(by="model").needs)
    ['out_of_fold_probabilities']

    float32[n] in [0, 1], from probabilities by a model that saw neither the record nor what derives from the same
    source: a `"probe"` (a simple model on the embeddings), the `"model"` itself, the `"ensemble"` of both (the mean of
    their probabilities), or `"auto"`, which of the two agrees with more labels. `"normalized_margin"`: (p of the given
    class - highest p of another + 1) / 2, which is 0.5 where the label ties with another; `"self_confidence"`: p of the
    given class; `"confidence_weighted_entropy"`: log(x + 1) / x with x = entropy (as a share of the most) / p of the
    given class; `"auto"`: the margin where the estimated errors go to particular classes, self-confidence where they
    are spread evenly, which `detector` tells. NaN where there is no label or no such probability. Northcutt, Jiang and
    Chuang 2021, Confident Learning; Kuan and Mueller 2022, Model-agnostic Label Quality Scoring to Detect Real-world
    Label Errors.

    Cost: one pass over the probabilities; `"auto"` takes three more, and an order of the keys. Use it to rank labels
    for a second look, with `bottom(k, by=...)`; `by="auto"` where the model may be better than the probe. Do not use it
    with a fixed threshold where a part is `"auto"`, since the scale is that of the method chosen; nor the `"ensemble"`
    where one judge has learned the errors and the other has not.
    """
    by, method = chosen(state, by=by, method=method)
    p = judgement(state, by)
    labelled = state.view.labeled
    out = label_scores(p, np.where(labelled, state.view.label, 0), ranking=method)
    out[~labelled] = np.nan
    return out


def _filtered(made: Signal) -> Signal:
    one_of("label_issue(filter=...)", made.args.get("filter", FILTERS[0]), FILTERS)
    by = one_of("label_issue(by=...)", made.args.get("by", "probe"), BY)
    return replace(made, wants=reads(by))


@refined(_filtered)
@signal()
def label_issue(state: State, *, by: str = "probe", filter: str = "prune_by_noise_rate") -> Floats:
    """Whether the given label of a record is taken to be wrong: 1 for yes, 0 for no.

    >>> label_issue(filter="both") > 0
    label_issue(filter="both") > 0

    float32[n] of 0 and 1, by confident learning on the labelled living training records: how many labels are wrong,
    from which class to which, is estimated from the records that the judge is confident of, and as many are flagged.
    `"prune_by_noise_rate"`, `"prune_by_class"`, `"both"`, `"confident_learning"`, `"predicted_neq_given"`,
    `"low_normalized_margin"` and `"low_self_confidence"` are the rules of `tilth.signals.confident.label_issues`;
    `by` is as in `label_quality`. At least one record of each class is left. NaN for all other records and where there
    is no such probability. Northcutt, Jiang and Chuang 2021, Confident Learning.

    Cost: about three passes over the probabilities; the first and third rule also order what they flag: 0.2 s for a
    million records of 10 classes. Use it where you do not know how many labels are wrong: the number comes from the
    data. Do not use it with a handful of records a class, of which no joint can be estimated; rank by `label_quality`.
    """
    p, ids = judgement(state, by), known(state, by)
    out = np.full(len(state), np.nan, np.float32)
    out[ids] = label_issues(p[:, ids], state.view.label[ids], filter=filter)
    return out


def detector(state: State, *, by: str = "auto", method: str = "auto") -> tuple[str, str]:
    """Return the (judge, method) that `label_quality(by=..., method=...)` takes on this state.

    Chosen without knowing which labels are wrong. The judge: whose most probable class most often is the given label.
    The method: `"normalized_margin"` where more than half of what could be concentrated of the estimated errors is, so
    that what a record is confused with tells; otherwise `"self_confidence"` (`noise_concentration`).
    """
    return chosen(state, by=by, method=method)


def suggest(state: State, by: str = "probe") -> tuple[npt.NDArray[np.int32], Floats]:
    """Return (code int32[n], its probability float32[n]): the class that the judge finds most probable.

    -1 and NaN where it says nothing. `by`: as in `label_quality`. NotFound where the model's state has no such
    probabilities.
    """
    return best(judgement(state, one_of("suggest(by=...)", by, BY)))
