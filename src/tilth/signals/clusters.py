"""Which records lie together: k-means by Lloyd's rounds from k-means++ seeds."""

import numpy as np
import numpy.typing as npt

__all__ = ["centers", "kmeans", "nearest", "trials"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

BLOCK = 4096
ROUNDS = 100
"""Lloyd's rounds at most; few data need a third of them."""


def trials(k: int) -> int:
    """Return how many draws each of k seeds is the best of: 2 + log k, as is usual."""
    return 2 + int(np.log(k))


def kmeans(rows: Floats, draws: Doubles) -> tuple[Ids, Floats]:
    """Return (cluster int64[n], distance float32[n] to its centre) for as many clusters as there are rows of draws.

    >>> rows = np.array([[0], [1], [10], [11]], np.float32)
    >>> cluster, distance = kmeans(rows, np.array([[0.1, 0.7], [0.9, 0.6]]))
    >>> cluster.tolist(), distance.tolist()
    ([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5])
    """
    found, cluster = _lloyd(rows, draws)
    distance = np.empty(len(rows), np.float32)
    for at in range(0, len(rows), BLOCK):
        off = rows[at : at + BLOCK] - found[cluster[at : at + BLOCK]]
        distance[at : at + BLOCK] = np.sqrt(np.einsum("ij,ij->i", off, off))
    return cluster, distance


def centers(rows: Floats, draws: Doubles) -> Floats:
    """Return the centres of as many clusters as there are rows of draws, float32[k, d]; fewer where rows are equal.

    >>> rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    >>> centers(rows, np.array([[0.1], [0.9]])).tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Seeds are drawn as in Arthur and Vassilvitskii 2007, k-means++, of each row of draws in [0, 1) the one that leaves
    the least squared distance; then Lloyd 1982, until no record changes its cluster, 100 rounds at most. No centre is
    without a row that is nearest to it. n x k x d multiplications a round, and n x draws x d for the seeds.
    """
    return _lloyd(rows, draws)[0]


def _lloyd(rows: Floats, draws: Doubles) -> tuple[Floats, Ids]:
    """Return the centres and the centre of each row."""
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    rows = rows - mean  # |x|2 + |c|2 - 2xc loses less near the origin
    found = rows[_seeds(rows, np.einsum("ij,ij->i", rows, rows), draws)]
    cluster = _assigned(rows, found)
    for _ in range(ROUNDS):
        order = np.argsort(cluster, kind="stable")
        number = np.bincount(cluster, minlength=len(found))
        filled = np.flatnonzero(number)
        sums = np.add.reduceat(rows[order], (np.cumsum(number) - number)[filled], axis=0, dtype=np.float64)
        found = (sums / number[filled, None]).astype(np.float32)
        before, cluster = np.searchsorted(filled, cluster), _assigned(rows, found)
        if np.array_equal(before, cluster):
            break
    filled, cluster = np.unique(cluster, return_inverse=True)
    return found[filled] + mean, cluster


def nearest(rows: Floats, found: Floats) -> Ids:
    """Return the nearest centre of each row, int64[n]; -1 for a row with NaN. Ties go to the first."""
    mean = found.mean(axis=0, dtype=np.float64).astype(np.float32)
    out = np.full(len(rows), -1, np.int64)
    known = ~np.isnan(rows).any(axis=1)
    out[known] = _assigned(rows[known] - mean, found - mean)
    return out


def _seeds(rows: Floats, square: Floats, draws: Doubles) -> Ids:
    found, left_over = np.empty(len(draws), np.int64), np.ones(len(rows), np.float32)
    doubled = -2 * rows.T
    for i, some in enumerate(draws):
        total = np.cumsum(left_over, dtype=np.float64)
        if total[-1] == 0:  # all rows are equal to a seed
            total = np.arange(1.0, len(rows) + 1)
        at = np.searchsorted(total, some * total[-1], side="right")
        at = np.minimum(at, np.searchsorted(total, total[-1]))
        left = rows[at] @ doubled
        left += square
        left += square[at, None]
        left[np.arange(len(at)), at] = 0
        np.clip(left, 0, left_over if i else None, out=left)
        best = int(left.sum(axis=1, dtype=np.float64).argmin())
        found[i], left_over = at[best], left[best]
    return found


def _assigned(rows: Floats, found: Floats) -> Ids:
    """Return the nearest centre of each row, the first of equals."""
    cluster = np.empty(len(rows), np.int64)
    doubled, squares = -2 * found.T, np.einsum("ij,ij->i", found, found)
    for at in range(0, len(rows), BLOCK):
        part = slice(at, at + BLOCK)
        tile = rows[part] @ doubled
        tile += squares
        cluster[part] = tile.argmin(axis=1)
    return cluster
