"""Comparisons that can never hold: a p-value by permutation has a least value."""

from tilth.algebra import Comparison, Metric
from tilth.metrics.drift import drift
from tilth.metrics.shift import confidence_shift, label_shift

__all__ = ["out_of_reach"]

PERMUTED = frozenset(made().function.where for made in (drift, label_shift, confidence_shift))
USUAL = 999


def out_of_reach(compared: Comparison) -> str:
    """Return why a comparison can never hold, and what would; "" for one that can.

    >>> out_of_reach(drift() < 0.01)
    ''
    >>> out_of_reach(drift() < 0.001)
    'by 999 permutations it is 0.001 at least, so that never holds; give permutations=9999, or a higher bar'
    """
    metric, bar = compared.left, compared.right
    if not isinstance(metric, Metric) or metric.function.where not in PERMUTED or not isinstance(bar, (int, float)):
        return ""
    if metric.args.get("test") == "martingale":  # not by permutation
        return ""
    times = metric.args.get("permutations", USUAL)
    least = 1 / (times + 1)
    if (compared.op != "<" or bar > least) and (compared.op != "<=" or bar >= least):
        return ""
    return (
        f"by {times:,} permutations it is {least:.3g} at least, so that never holds; give "
        f"permutations={10 * (times + 1) - 1}, or a higher bar"
    )
