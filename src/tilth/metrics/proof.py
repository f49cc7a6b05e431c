"""How sure a difference is: lower bounds, an exact test of paired right and wrong, and what many looks may cost."""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["allowance", "below", "exact_p", "score_bound"]

Counts = npt.NDArray[np.int64]

PATIENCE = 10
"""After this many rejected looks half of what may go wrong in a run is spent."""


def allowance(confidence: float, rejections: int) -> float:
    """Return how likely the next look may err, so that no number of looks errs more often than 1 - confidence in all.

    >>> f"{allowance(0.95, 0):.5f} {allowance(0.95, 10):.5f} {allowance(0.95, 50):.6f}"
    '0.00455 0.00119 0.000137'

    (1 - confidence) * 10 / ((r + 10)(r + 11)) after r rejected looks: a falling sequence whose sum over all r is
    1 - confidence. A look that was kept costs nothing: before the first wrong one is kept, every edit that is no
    improvement has been rejected, so the j-th of them is judged at the j-th term of the sequence or a later one, and
    the union bound holds however the looks depend on each other. This is alpha-spending with the recycling of the
    online fallback procedure (Tian and Ramdas 2021, "Online control of the familywise error rate").
    """
    return (1 - confidence) * PATIENCE / ((rejections + PATIENCE) * (rejections + PATIENCE + 1))


def exact_p(change: Counts) -> float:
    """Return how likely a rise as large as this is where a change helps and harms each record alike.

    >>> exact_p(np.array([1, 1, 1, 1, 1, -1, 0, 0]))
    0.109375

    `change`: int64[n], on how many of the repeated seeds more a record is right after it than before. The exact
    sign-flip test of pairs (Fisher 1935); with one seed the exact test of McNemar (1947). In [0, 1]; 1 where no record
    changed.
    """
    size = np.abs(change)
    chance, floor, total = np.ones(1), 0, int(size.sum())
    for step in range(1, int(size.max(initial=0)) + 1):
        m = int((size == step).sum())
        if m == 0:
            continue
        low, share = _coin(m)
        spread = np.zeros((len(share) - 1) * step + 1)
        spread[::step] = share
        chance, floor = np.convolve(chance, spread), floor + low * step
    least = (total + int(change.sum())) // 2  # a record counts up or down, so that both have the same parity
    return float(min(1.0, chance[max(0, least - floor) :].sum())) if total else 1.0


def score_bound(change: Counts, seeds: int, level: float) -> float:
    """Return the lower bound of the mean rise in being right: what it is above with a chance of 1 - level.

    >>> round(score_bound(np.repeat([1, 0, -1], [40, 950, 10]), 1, 0.05), 3)
    0.018

    The score bound of a paired difference of shares (Tango 1998, with the plain variance in place of the restricted
    maximum likelihood), which does not call a few records without any change a proof: of n records it says no more
    than -z^2/(n + z^2). Never above 0 where the exact test does not reject.
    """
    n = len(change)
    if n == 0:
        return float("nan")
    mean, square, z = float(change.mean()) / seeds, float((change.astype(float) ** 2).mean()) / seeds**2, below(level)
    low, high = -1.0, mean
    for _ in range(60):
        middle = (low + high) / 2
        spread = max(square, abs(middle)) - middle**2
        if mean - middle > z * (max(spread, 0.0) / n) ** 0.5:
            low = middle
        else:
            high = middle
    return min(low, 0.0) if low > 0 and exact_p(change) > level else low


def below(level: float, freedom: float | None = None) -> float:
    """Return how many standard errors below the estimate the bound lies; with `freedom`, by Student's distribution.

    >>> round(below(0.05), 3), round(below(0.05, 19), 3)
    (1.645, 1.729)
    """
    if freedom is None:
        return NormalDist().inv_cdf(1 - level)
    from scipy.special import stdtrit

    return float(-stdtrit(freedom, level))


def _coin(m: int) -> tuple[int, npt.NDArray[np.float64]]:
    """Return (k, chances of k, k + 1, ... heads in m throws): all but what is less likely than 1e-20."""
    from scipy.special import gammaln

    reach = 5 * m**0.5 + 10
    low, high = max(0, int(m / 2 - reach)), min(m, int(m / 2 + reach) + 1)
    k = np.arange(low, high + 1)
    return low, np.exp(gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1) - m * np.log(2))
