"""Temperature scaling: one number that makes probabilities as sure as they are right."""

import numpy as np
import numpy.typing as npt

from tilth.signals.kernels import leading

__all__ = ["LEAST", "calibrated_top", "fitted_temperature"]

Floats = npt.NDArray[np.float32]

LEAST = 1e-6
"""Lower probabilities count as this: in float32 that a softmax made, they are rounding; in a forest, votes not cast."""
COLDEST, HOTTEST = 0.05, 20.0
"""Where every prediction is right (or they say nothing) the best temperature is 0 (or infinite): it stops here."""


def fitted_temperature(p: Floats, code: npt.NDArray[np.integer]) -> float:
    """Return the temperature at which the given classes are most probable; NaN where there is no record.

    >>> sure = np.array([[0.9, 0.9, 0.9], [0.1, 0.1, 0.1]], np.float32)
    >>> fitted_temperature(sure, np.array([0, 0, 1]))  # two of three are right, at log(9) / log(2)
    3.170

    Above 1 the probabilities were too sure, below 1 not sure enough. `p`: float32[k, m], `code`: int[m]. The negative
    log-likelihood is convex in the inverse temperature, so Newton's method, kept inside a bracket, finds its only
    minimum. Between 0.05 and 20.
    """
    if not len(code):
        return float("nan")
    z = np.log(np.maximum(p, LEAST), dtype=np.float64)
    z -= z.max(axis=0)
    own = z[code, np.arange(len(code))].mean()
    low, high = 1 / HOTTEST, 1 / COLDEST
    if _slope(z, own, low)[0] >= 0:
        return HOTTEST
    if _slope(z, own, high)[0] <= 0:
        return COLDEST
    inverse = 1.0
    for _ in range(60):
        slope, bend = _slope(z, own, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / bend if bend > 0 else low
        step = step if low < step < high else (low + high) / 2
        if abs(step - inverse) <= 1e-9 * inverse:
            break
        inverse = step
    return 1 / inverse


def _slope(z: npt.NDArray[np.float64], own: float, inverse: float) -> tuple[float, float]:
    power = np.exp(inverse * z)
    total = power.sum(axis=0)
    mean = (power * z).sum(axis=0) / total
    spread = (power * z * z).sum(axis=0) / total - mean**2
    return float(mean.mean() - own), float(spread.mean())


def calibrated_top(p: Floats, temperature: float) -> Floats:
    """Return the highest probability of each record at a temperature; float32[n] in [1/k, 1], NaN where any is NaN.

    >>> calibrated_top(np.array([[0.9], [0.1]], np.float32), 2.0)
    array([0.75], dtype=float32)
    """
    p = np.asarray(p)
    out = np.empty(p.shape[1], np.float32)
    inverse = np.float32(1 / temperature)
    for part, first, _ in leading(p):
        total, term = np.zeros(len(first), np.float32), np.empty(len(first), np.float32)
        highest = np.log(np.maximum(first, np.float32(LEAST)))
        for q in p[:, part]:
            np.maximum(q, np.float32(LEAST), out=term)
            np.log(term, out=term)
            term -= highest
            term *= inverse
            total += np.exp(term, out=term)
        np.divide(1, total, out=out[part])
    return out
