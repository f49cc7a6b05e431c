"""How far a given label can be believed, judged by a model that was not trained on it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilth.algebra import Signal, signal
from tilth.signals.kernels import best, leading
from tilth.signals.making import one_of, refined
from tilth.state import State

__all__ = ["label_quality", "suggest"]

Floats = npt.NDArray[np.float32]

JUDGES: Mapping[str, str] = {"probe": "probe_probabilities", "model": "out_of_fold_probabilities"}
"""Who judges a label, and which output holds what it says; neither saw the record that it judges, nor its relatives."""
METHODS = ("normalized_margin", "self_confidence")


def _judged(made: Signal) -> Signal:
    one_of("label_quality(method=...)", made.args.get("method", METHODS[0]), METHODS)
    by = one_of("label_quality(by=...)", made.args.get("by", "probe"), tuple(JUDGES))
    return replace(made, wants=frozenset({JUDGES[by]}))


@refined(_judged)
@signal(pointwise=True)
def label_quality(state: State, *, by: str = "probe", method: str = "normalized_margin") -> Floats:
    """How far the given label of a record can be believed; low is suspicious.

    >>> label_quality() < 0.1
    label_quality() < 0.1
    >>> sorted(label_quality(by="model").needs)
    ['out_of_fold_probabilities']

    float32[n] in [0, 1], from probabilities by a model that saw neither the record nor what derives from the same
    source: a `"probe"` (a simple model on the embeddings) or the `"model"` itself. `"normalized_margin"`: (p of the
    given class - highest p of another + 1) / 2, which is 0.5 where the label ties with another; `"self_confidence"`: p
    of the given class. NaN where there is no label or no such probability. Northcutt, Jiang and Chuang 2021, Confident
    Learning; Kuan and Mueller 2022, Model-agnostic Label Quality Scoring to Detect Real-world Label Errors.
    """
    p = np.asarray(state.output(JUDGES[by]))
    labelled = np.flatnonzero(state.view.labeled)
    given = np.full(len(state), np.nan, np.float32)
    given[labelled] = p[state.view.label[labelled], labelled]
    if method == "self_confidence":
        return given
    out = np.empty(len(state), np.float32)
    for part, first, second in leading(p):
        own = given[part]
        other = np.where(own >= first, second, first)
        out[part] = (own - other + 1) / 2
    return out


def suggest(state: State, by: str = "probe") -> tuple[npt.NDArray[np.int32], Floats]:
    """Return (code int32[n], its probability float32[n]): the class that the judge finds most probable.

    -1 and NaN where it says nothing. `by`: `"probe"` or `"model"`, as in `label_quality`. NotFound where the model's
    state has no such probabilities.
    """
    return best(state.output(JUDGES[one_of("suggest(by=...)", by, tuple(JUDGES))]))
