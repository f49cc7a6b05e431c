"""The gates that are compared: each a function of the looks of one run, in their order."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tilth.metrics.proof import allowance, exact_p, score_bound

__all__ = ["CONFIDENCE", "GATES", "OURS", "Verdicts"]

CONFIDENCE = 0.95
OURS = "Gate(confidence=0.95)"
Looks = Sequence[npt.NDArray[np.int64]]
Verdicts = npt.NDArray[np.bool_]


def naive(looks: Looks, _: np.random.Generator) -> Verdicts:
    """Keep it if valid rose."""
    return np.array([c.mean() > 0 for c in looks])


def ladder(looks: Looks, _: np.random.Generator) -> Verdicts:
    """Keep it if valid rose by a standard error: Gate(), the parameter-free Ladder."""
    return np.array([c.mean() > 0 and c.mean() >= c.std(ddof=1) / np.sqrt(len(c)) for c in looks])


def uncounted(looks: Looks, _: np.random.Generator) -> Verdicts:
    """Keep what the exact test finds significant, every time as if it were the first."""
    return np.array([exact_p(c) <= 1 - CONFIDENCE for c in looks])


def proved(looks: Looks, _: np.random.Generator) -> Verdicts:
    """Gate(confidence=0.95)."""
    out: list[bool] = []
    for c in looks:
        out.append(score_bound(c, 1, allowance(CONFIDENCE, out.count(False))) > 0)
    return np.array(out)


def saffron(looks: Looks, _: np.random.Generator) -> Verdicts:
    """Control the share of wrong ones among the kept (SAFFRON; Ramdas et al. 2018), as if looks were independent."""
    share = np.arange(1, 10_000) ** -1.6
    share /= share.sum()
    alpha, half = 1 - CONFIDENCE, (1 - CONFIDENCE) / 2
    kept: list[int] = []
    candidate: list[bool] = []
    out: list[bool] = []
    for t, c in enumerate(looks, 1):
        level = half * share[t - 1 - sum(candidate)]
        for i, at in enumerate(kept):
            level += (alpha - half if i == 0 else alpha) * share[t - at - 1 - sum(candidate[at:])]
        p = exact_p(c)
        out.append(bool(p <= min(0.5, 0.5 * level)))
        candidate.append(p <= 0.5)
        if out[-1]:
            kept.append(t)
    return np.array(out)


def noisy(height: float) -> Callable[[Looks, np.random.Generator], Verdicts]:
    """Compare with a bar by the noise of Thresholdout (Dwork et al. 2015); `height`: of the bar, in units of noise."""

    def gate(looks: Looks, chance: np.random.Generator) -> Verdicts:
        out: list[bool] = []
        bar = 0.0
        for i, c in enumerate(looks):
            scale = 0.5 / np.sqrt(len(c))
            if i == 0 or out[-1]:
                bar = height * scale + chance.laplace(0, scale)
            out.append(bool(c.mean() + chance.laplace(0, 2 * scale) > bar))
        return np.array(out)

    return gate


GATES: dict[str, Callable[[Looks, np.random.Generator], Verdicts]] = {
    "valid rose (naive)": naive,
    "Gate(): one standard error": ladder,
    "exact test, looks not counted": uncounted,
    "Thresholdout, bar at 4 noises": noisy(4),
    "Thresholdout, bar at 8 noises": noisy(8),
    "SAFFRON (of the kept)": saffron,
    OURS: proved,
}
