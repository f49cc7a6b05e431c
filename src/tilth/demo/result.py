"""What the demo measures: scores by arm and seed, with intervals and the sentences they support."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from tilth.demo.arms import Tuned

__all__ = ["ARMS", "Seed", "interval", "verdict"]

ARMS: Mapping[str, str] = {
    "start": "data as it is, model as it is",
    "model": "B: only the model tuned, data as it is",
    "data": "A: only the data changed, model as it is",
    "both": "A then B: the model tuned on the changed data",
    "ceiling": "all labels true, model as it is",
    "clean tuned": "all labels true, the model tuned",
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


def verdict(done: Sequence[Seed]) -> list[str]:
    """Return in sentences what the paired differences show, the cases where tuning wins included."""

    def paired(a: str, b: str) -> str:
        mean, half = interval([s.scores[a] - s.scores[b] for s in done])
        return f"{100 * mean:+.1f} ± {100 * half:.1f} points"

    return [
        f"Work on the data: {paired('data', 'start')}; work on the model in the same time: {paired('model', 'start')}.",
        f"Data over model: {paired('data', 'model')} (it paid for answers, tuning did not).",
        f"Tuning on top of the better data: {paired('both', 'data')}.",
        f"Where labels are clean there is nothing to repair, and tuning helps: {paired('clean tuned', 'ceiling')}.",
    ]
