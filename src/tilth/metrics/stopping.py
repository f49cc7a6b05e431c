"""When more labels would change nothing: how steady predictions are from round to round."""

import numpy as np

from tilth.algebra import Metric, metric
from tilth.labeling.agreement import cohen_kappa
from tilth.outputs import Outputs
from tilth.signals.kernels import best
from tilth.signals.making import count, refined
from tilth.state import State

__all__ = ["stability"]


def _counted(made: Metric) -> Metric:
    count("stability(over=...)", made.args.get("over", 1))
    return made


@refined(_counted)
@metric(needs={"probabilities"})
def stability(state: State, *, over: int = 1) -> float:
    """How far the model predicts what that of `over` rounds ago did: Cohen's kappa on the living training records.

    >>> (stability() >= 0.99) & (stability(over=2) >= 0.99)
    (stability() >= 0.99) & (stability(over=2) >= 0.99)

    At most 1 = the same class for every record, 0 = as by chance. NaN in the first `over` rounds, where the earlier
    model's outputs are gone, and where both models only ever say one class: no comparison holds. It needs no held-out
    labels. Bloodgood and Vijay-Shanker 2009, A Method for Stopping Active Learning Based on Stabilizing Predictions,
    who stop at .99 three times in a row.
    """
    if state.round < over:
        return np.nan
    earlier = Outputs(state.dataset.path / "outputs" / state.rounds[-over].model)
    if not earlier.has("probabilities"):
        return np.nan
    then = np.full(len(state), -1, np.int32)
    n = int(np.searchsorted(earlier.ids, len(state)))
    then[earlier.ids[:n]] = best(earlier.get("probabilities"))[0][:n]
    return cohen_kappa(then[state.view.train], state.predicted[state.view.train])
