"""How often a rule can act in one run, as far as conditions on `rounds()` tell; everything else may go either way."""

import math
from collections.abc import Iterable, Mapping

from tilth.algebra import Arithmetic, Comparison, Condition, Logic, Metric, Quantity, Value
from tilth.metrics import rounds
from tilth.rules import Rule

__all__ = ["acts", "certain"]

_ROUNDS = rounds()

FAR = 100_000
"""Rounds that are looked at: a run that ends later has changed its data more than once."""


def acts(rules: Mapping[str, Rule], until: Condition) -> dict[str, int]:
    """Return how often each rule can act in one run: 0, 1, or 2 for more often.

    A rule can act after r rounds where `until` does not surely hold then and `when` does not surely fail.
    """
    found = dict.fromkeys(rules, 0)
    far = min(FAR, math.ceil(max([0.0, *_numbers([until, *(r.when for r in rules.values() if r.when is not None)])])))
    for r in range(far + 4):
        if certain(until, r) is True:
            break
        for name, rule in rules.items():
            if rule.when is None or certain(rule.when, r) is not False:
                found[name] = min(2, found[name] + 1)
        if all(n == 2 for n in found.values()):
            break
    return found


def certain(condition: Condition, r: int) -> bool | None:
    """Return whether a condition holds after r rounds, whatever data and model are; None where that depends on them.

    >>> certain(rounds() >= 2, 1), certain(rounds() >= 2, 2)
    (False, True)
    """
    match condition:
        case Logic(op="~"):
            found = certain(condition.left, r)
            return None if found is None else not found
        case Logic(op=op, left=left, right=Condition() as right):
            sides = (certain(left, r), certain(right, r))
            decides = op == "|"  # a yes decides an or, a no an and
            if decides in sides:
                return decides
            return None if None in sides else not decides
        case Comparison(op=op, left=left, right=right):
            a, b = _value(left, r), _value(right, r)
            if a is None or b is None or math.isnan(a) or math.isnan(b):
                return None
            return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]
        case _:
            return None


def _value(side: Quantity | float, r: int) -> float | None:
    match side:
        case Metric() if side == _ROUNDS:
            return float(r)
        case Arithmetic(op=op, left=left, right=right):
            a, b = _value(left, r), _value(right, r)
            if a is None or b is None or (op == "/" and b == 0):
                return None
            return {"+": a + b, "-": a - b, "*": a * b, "/": a / (b or 1)}[op]
        case int() | float():
            return float(side)
        case _:
            return None


def _numbers(values: Iterable[Value]) -> Iterable[float]:
    """Yield the finite numbers that conditions compare with: beyond the greatest, rounds tell nothing new."""
    for value in values:
        for part in value.walk():
            if isinstance(part, (Comparison, Arithmetic)):
                for side in (part.left, part.right):
                    if isinstance(side, (int, float)) and math.isfinite(side):
                        yield abs(side)
