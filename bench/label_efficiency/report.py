"""What the curves come to: labels until the target, area under the curve, and differences to random by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student
from scipy.stats import wilcoxon

from bench.label_efficiency.arms import BASE, Case

__all__ = ["SHARE", "Result", "holm", "results", "show", "start_results"]

SHARE = 0.95
"""The share of the accuracy with all labels that is to be reached."""

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """An arm over all seeds.

    `labels`: the mean of labels until the target, where a seed that did not reach it counts with all that were bought
    (`reached` says how many did); `saved`, `area_gain`: paired differences to random, mean and half the 95 % interval;
    `p_saved`, `p_area`: Wilcoxon's signed rank test, corrected by Holm over the arms of a case.
    """

    arm: str
    labels: float
    median: float
    reached: int
    saved: tuple[float, float]
    p_saved: float
    area: float
    area_gain: tuple[float, float]
    p_area: float
    rare: float
    choosing: float


def to_target(curve: Told, target: float) -> float:
    """Return how many labels a curve needs to the target, between rounds by a straight line; inf if it never does."""
    labels, accuracy = np.array(curve["labels"], float), np.array(curve["accuracy"])
    there = np.flatnonzero(accuracy >= target)
    if not len(there):
        return float("inf")
    i = int(there[0])
    if i == 0:
        return float(labels[0])
    share = (target - accuracy[i - 1]) / (accuracy[i] - accuracy[i - 1])
    return float(labels[i - 1] + share * (labels[i] - labels[i - 1]))


def area(curve: Told, values: str = "accuracy") -> float:
    """Return the mean height of a curve over the labels bought."""
    labels, heights = np.array(curve["labels"], float), np.array(curve[values])
    return float(np.trapezoid(heights, labels) / (labels[-1] - labels[0]))


def mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval over seeds."""
    n = len(values)
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(np.mean(values)), half


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    out, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(np.argsort(p, kind="stable").tolist()):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        out[i] = highest
    return out


def results(case: Case, trials: Mapping[str, Told]) -> list[Result]:
    """Return every arm that all seeds have, best area first after random."""
    seeds = sorted(trials, key=int)
    names = [arm for arm in case.arms if all(arm in trials[s]["curves"] for s in seeds)]
    curves = {arm: [trials[s]["curves"][arm] for s in seeds] for arm in names}
    targets = [SHARE * trials[s]["full"] for s in seeds]
    needed = {arm: [to_target(c, g) for c, g in zip(curves[arm], targets, strict=True)] for arm in names}
    bought = {arm: [min(n, c["labels"][-1]) for n, c in zip(needed[arm], curves[arm], strict=True)] for arm in names}
    areas = {arm: [area(c) for c in curves[arm]] for arm in names}
    others = [arm for arm in names if arm != BASE]
    saved = {arm: [b - a for a, b in zip(bought[arm], bought[BASE], strict=True)] for arm in others}
    gained = {arm: [a - b for a, b in zip(areas[arm], areas[BASE], strict=True)] for arm in others}
    p_saved = dict(zip(others, holm([_signed_rank(saved[arm]) for arm in others]), strict=True))
    p_area = dict(zip(others, holm([_signed_rank(gained[arm]) for arm in others]), strict=True))
    nothing = (float("nan"), float("nan"))
    found = [
        Result(
            arm,
            float(np.mean(bought[arm])),
            float(np.median(needed[arm])),
            int(np.isfinite(needed[arm]).sum()),
            mean(saved[arm]) if arm in saved else nothing,
            p_saved.get(arm, float("nan")),
            float(np.mean(areas[arm])),
            mean(gained[arm]) if arm in gained else nothing,
            p_area.get(arm, float("nan")),
            float(np.mean([area(c, "rare") for c in curves[arm]])) if case.rare else float("nan"),
            float(np.mean([c["choosing"] for c in curves[arm]])),
        )
        for arm in names
    ]
    return sorted(found, key=lambda r: (r.arm != BASE, -r.area))


def _signed_rank(differences: Sequence[float]) -> float:
    if not any(differences) or len(differences) < 2:
        return 1.0
    return float(wilcoxon(differences).pvalue)


def show(case: Case, trials: Mapping[str, Told]) -> None:
    """Print the table of a case."""
    seeds = len(trials)
    full = mean([trials[s]["full"] for s in trials])
    print(f"\n{case.title}: {case.start} labels to start with, {case.most:,} at the end, {seeds} seeds; ", end="")
    print(f"with all labels of the pool {_percent(full)} % right, target {100 * SHARE * full[0]:.1f} %")
    recall = f"  recall of {case.rare}" if case.rare else ""
    print(f"  {'':36} labels to target        saved (paired)         p   area   gain (paired)         p  ms{recall}")
    for r in results(case, trials):
        least = ">" if r.reached < seeds else " "
        told = f"  {r.arm:36} {least}{r.labels:6.0f} ({r.reached:2} of {seeds})"
        if r.arm == BASE:
            told += f"{'':38} {100 * r.area:5.2f}{'':28}"
        else:
            told += f"   {r.saved[0]:+8.0f} ± {r.saved[1]:<6.0f} {_p(r.p_saved):>8}"
            told += f"   {100 * r.area:5.2f}  {_percent(r.area_gain, sign='+')} {_p(r.p_area):>8}"
        rare = f"  {100 * r.rare:.1f}" if case.rare else ""
        print(f"{told} {1e3 * r.choosing:4.0f}{rare}", flush=True)
    sizes = list(next(iter(trials.values()))["starts"])
    if sizes:
        print("  accuracy with the first labels alone, and its paired difference to random")
    for size in sizes:
        (_, right, _, _), *others = start_results(trials, size)
        print(f"  {size:>5} labels: {BASE} {100 * right:.1f}", end="")
        for name, right, gain, p in others:
            print(f"; {name} {100 * right:.1f} ({_percent(gain, sign='+')}, p {_p(p)})", end="")
        print()


def start_results(trials: Mapping[str, Told], size: str) -> list[tuple[str, float, tuple[float, float], float]]:
    """Return (name, accuracy, paired difference to random, p) of the ways to choose so many first labels."""
    names = list(next(iter(trials.values()))["starts"][size])
    by = {name: [trials[s]["starts"][size][name] for s in trials] for name in names}
    gains = {name: [a - b for a, b in zip(by[name], by[BASE], strict=True)] for name in names}
    others = [name for name in names if name != BASE]
    p = {BASE: 1.0} | dict(zip(others, holm([_signed_rank(gains[name]) for name in others]), strict=True))
    return [(name, float(np.mean(by[name])), mean(gains[name]), p[name]) for name in names]


def _percent(found: tuple[float, float], *, sign: str = "") -> str:
    value, half = found
    return f"{100 * value:{sign}.2f}" + (f" ± {100 * half:.2f}" if half == half else "")


def _p(value: float) -> str:
    return "< .0001" if value < 1e-4 else f"{value:.4f}"
