"""A figure with its spread and its target, as it is printed and kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

__all__ = ["Figure", "show", "spread"]


@dataclass(frozen=True)
class Figure:
    """What was measured, its 95 % interval, over what, and what it should be.

    >>> Figure("accuracy", 0.94, 0.93, 0.95, "5 seeds", target=0.96).verdict
    'missed by 0.02'
    >>> Figure("false alarms", 0.01, 0.0, 0.08, "5 seeds", target=0.05, most=True).verdict
    'reached, not beyond chance'

    `most`: the target is the highest that it may be, not the lowest. Figures of one `unit` share an axis.
    """

    what: str
    value: float
    low: float
    high: float
    over: str
    target: float | None = None
    most: bool = False
    unit: str = "share"

    @property
    def verdict(self) -> str:
        """Say "reached" (beyond chance or not), "missed by ...", or nothing where there is no target."""
        if self.target is None:
            return ""
        if np.isnan(self.value):
            return "not measured"
        short = self.value - self.target if self.most else self.target - self.value
        if short > 0:
            return f"missed by {short:.3g}"
        return "reached, not beyond chance" if self.low < self.target < self.high else "reached"

    @property
    def interval(self) -> str:
        """The 95 % interval, or nothing where there is one measurement."""
        return "" if np.isnan(self.low) else f"[{_short(self.low)}, {_short(self.high)}]"

    def __str__(self) -> str:
        bound = "" if self.target is None else f"target {'<=' if self.most else '>='} {self.target:g}"
        return f"  {self.what:66} {_short(self.value):>7} {self.interval:18} {self.over:22} {bound:15} {self.verdict}"


def spread(
    what: str,
    values: Sequence[float],
    over: str = "seeds",
    *,
    target: float | None = None,
    most: bool = False,
    unit: str = "share",
) -> Figure:
    """Return the mean of values with the 95 % interval of Student's t."""
    found = np.asarray(values, float)
    n = len(found)
    half = student.ppf(0.975, n - 1) * found.std(ddof=1) / np.sqrt(n) if n > 1 else float("nan")
    mean = float(found.mean())
    return Figure(what, mean, mean - half, mean + half, f"{n} {over}", target, most, unit)


def show(title: str, figures: Sequence[Figure], seconds: float) -> None:
    """Print what came of a question."""
    print(f"\n{title}")
    for figure in figures:
        print(str(figure).rstrip())
    print(f"  {seconds:.0f} s", flush=True)


def _short(value: float) -> str:
    return f"{value:,.{3 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
