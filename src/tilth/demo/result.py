"""What the demo measures: scores by arm and seed, with intervals and the sentences they support."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from tilth.demo.arms import Tuned

__all__ = ["ARMS", "Seed", "interval", "shown", "verdict"]

ARMS: Mapping[str, str] = {
    "start": "data and model as they are",
    "model": "B: tune the model only",
    "random": "as many answers, at random",
    "data": "A: change the data only",
    "both": "A, then B on its data",
    "ceiling": "all labels true",
    "clean tuned": "all labels true, then B",
}
"""The arms, in the order of the table."""


@dataclass(frozen=True)
class Seed:
    """What one seed gave: test accuracy by arm, the wall time that each of A and B had, the labels that A paid for."""

    seed: int
    scores: Mapping[str, float]
    seconds: float
    labels: int
    tuned: Mapping[str, Tuned]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half width of its 95 % interval by Student's t (nan for fewer than two values)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan")
    return mean, float(student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))


def shown(values: Sequence[float], *, signed: bool = False) -> str:
    """Return the mean with its interval, which a single value has not.

    >>> shown([0.5])
    '0.500'
    """
    mean, half = interval(values)
    number, spread = (f"{mean:+.1f}", f"{half:.1f}") if signed else (f"{mean:.3f}", f"{half:.3f}")
    return f"{number} ± {spread}" if np.isfinite(half) else number


def verdict(done: Sequence[Seed]) -> list[str]:
    """Return in sentences what the paired differences show, the cases where tuning wins included."""

    def paired(a: str, b: str) -> str:
        return f"{shown([100 * (s.scores[a] - s.scores[b]) for s in done], signed=True)} points"

    return [
        f"Work on the data: {paired('data', 'start')}; work on the model in the same time: {paired('model', 'start')}.",
        f"Data over model: {paired('data', 'model')} (A paid for answers, B did not).",
        f"Choosing by the model's state over drawing the same number of answers at random: {paired('data', 'random')}.",
        f"Tuning on top of the better data: {paired('both', 'data')}.",
        f"Where all labels are true, nothing is left to repair; tuning is worth {paired('clean tuned', 'ceiling')}.",
    ]
