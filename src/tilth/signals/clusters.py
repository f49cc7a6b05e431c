"""Which records lie together: k-means on rows of length 1."""

import numpy as np
import numpy.typing as npt

__all__ = ["centers", "nearest"]

Floats = npt.NDArray[np.float32]

BLOCK = 8192
ROUNDS = 25


def centers(rows: Floats, k: int, chance: np.random.Generator) -> Floats:
    """Return up to k centers, float32[k, d], none without a row that is nearest to it.

    >>> rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    >>> centers(rows, 2, np.random.default_rng(0)).tolist()
    [[0.0, 1.0], [1.0, 0.0]]

    Lloyd 1982, Least Squares Quantization in PCM, from the start of Arthur and Vassilvitskii 2007, k-means++; fewer
    than k where there are fewer different rows.
    """
    found = rows[chance.integers(len(rows), size=1)]
    apart = _apart(rows, found)[:, 0]
    while len(found) < k and apart.max() > 1e-6:
        at = int(np.searchsorted(np.cumsum(apart, dtype=np.float64), chance.random() * apart.sum(dtype=np.float64)))
        found = np.concatenate([found, rows[min(at, len(rows) - 1)][None]])
        apart = np.minimum(apart, _apart(rows, found[-1:])[:, 0])
    before = np.empty(0, np.int64)
    for _ in range(ROUNDS):
        own = nearest(rows, found)
        if np.array_equal(own, before):
            break
        before = own
        total = np.stack([rows[own == c].sum(axis=0, dtype=np.float64) for c in range(len(found))])
        number = np.bincount(own, minlength=len(found))
        found = (total[number > 0] / number[number > 0, None]).astype(np.float32)
    return found


def nearest(rows: Floats, found: Floats) -> npt.NDArray[np.int64]:
    """Return the nearest center of each row, int64[n]; -1 for a row with NaN. Ties go to the first."""
    out = np.full(len(rows), -1, np.int64)
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        known = ~np.isnan(some).any(axis=1)
        out[start : start + BLOCK][known] = _apart(some[known], found).argmin(axis=1)
    return out


def _apart(rows: Floats, found: Floats) -> Floats:
    """Return float32[n, k]: the squared distance of each row from each center, never below 0."""
    square = np.einsum("ij,ij->i", rows, rows)[:, None] + np.einsum("ij,ij->i", found, found)
    return np.maximum(square - 2 * (rows @ found.T), 0)
