"""The values that decisions are written in: signals, metrics, arithmetic on them, comparisons, and their logic.

A value is frozen, prints as it was written, says what it `needs` of the model's state, and goes to JSON and back. A
*quantity* is a number per record (`Signal`) or one number (`Metric`); compared with another it is a *condition*, per
record or for the whole state.
"""

from tilth.algebra.named import Metric, Signal, metric, signal
from tilth.algebra.quantities import Arithmetic, Comparison, Condition, Logic, Quantity
from tilth.algebra.values import Function, Value, from_json, show, to_json

__all__ = [
    "Arithmetic",
    "Comparison",
    "Condition",
    "Function",
    "Logic",
    "Metric",
    "Quantity",
    "Signal",
    "Value",
    "from_json",
    "metric",
    "show",
    "signal",
    "to_json",
]
