"""Who judges labels: models that did not see the records, alone, together, or whichever agrees most with the labels."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tilth.errors import UsageError
from tilth.signals.confident import RANKINGS, noise_concentration
from tilth.signals.kernels import best
from tilth.signals.making import one_of
from tilth.state import State

__all__ = ["BY", "METHODS", "chosen", "judgement", "known", "reads"]

Floats = npt.NDArray[np.float32]

JUDGES: Mapping[str, str] = {"probe": "probe_probabilities", "model": "out_of_fold_probabilities"}
"""Which output holds what a judge says; neither saw the record that it judges, nor its relatives."""
BY = (*JUDGES, "ensemble", "auto")
METHODS = (*RANKINGS, "auto")


def reads(by: str) -> frozenset[str]:
    """Return the outputs that a judge needs."""
    return frozenset({JUDGES[by]} if by in JUDGES else JUDGES.values())


def judgement(state: State, by: str) -> Floats:
    """Return what a judge says: probabilities float32 [k, n], NaN where it says nothing.

    `"ensemble"`: the mean of all; `"auto"`: see `chosen`. UsageError where labels are not one class a record.
    """
    kind = state.dataset.schema.label.kind
    if kind != "class":
        raise UsageError(f"labels are judged where a record has one class; this dataset's labels are of kind {kind!r}")
    one_of("by", by, BY)
    if by == "auto":
        by = chosen(state)[0]
    if by in JUDGES:
        return np.asarray(state.output(JUDGES[by]))
    if "judges:ensemble" not in state.memo:
        said = [np.asarray(state.output(kind)) for kind in JUDGES.values()]
        state.memo["judges:ensemble"] = (np.add(*said) / 2).astype(np.float32, copy=False)
    return state.memo["judges:ensemble"]


def known(state: State, by: str) -> npt.NDArray[np.int64]:
    """Return the labelled living training records of which a judge speaks, in the order of their keys' hashes.

    Sums and ties then go the same way however records are stored.
    """
    name = f"judges:known:{by}"
    if name not in state.memo:
        ids = np.flatnonzero(state.view.train & state.view.labeled & ~np.isnan(judgement(state, by)[0]))
        state.memo[name] = ids[np.argsort(state.dataset.key_hash[ids], kind="stable")]
    return state.memo[name]


def chosen(state: State, *, by: str = "auto", method: str = "auto") -> tuple[str, str]:
    """Return the (judge, method) that `label_quality(by=..., method=...)` uses on this state.

    `by="auto"`: the judge whose most probable class most often is the given label (the first at a tie).
    `method="auto"`: `"normalized_margin"` where the estimated errors are concentrated, so that the class a record is
    confused with tells; `"self_confidence"` where they are nearer to being spread evenly (`noise_concentration`).
    """
    one_of("by", by, BY)
    one_of("method", method, METHODS)
    if by == "auto":
        agreeing = {name: _agreement(state, name) for name in JUDGES}
        by = max(agreeing, key=lambda name: agreeing[name])
    if method == "auto":
        ids = known(state, by)
        spread = len(ids) > 0 and noise_concentration(judgement(state, by)[:, ids], state.view.label[ids]) <= 0.5
        method = "self_confidence" if spread else "normalized_margin"
    return by, method


def _agreement(state: State, by: str) -> float:
    ids = known(state, by)
    codes, _ = best(judgement(state, by)[:, ids])
    return float((codes == state.view.label[ids]).mean()) if len(ids) else 0.0
