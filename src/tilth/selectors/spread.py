"""Choose records that lie far apart: farthest-first traversal, which is k-center greedy."""

import numpy as np
import numpy.typing as npt

__all__ = ["farthest"]

Floats = npt.NDArray[np.float32]

BLOCK, TILE = 1024, 8192


def farthest(rows: Floats, known: Floats, k: int, *, first: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return (positions int64[k], distances float32[k]): each next row is the farthest from all known and chosen ones.

    >>> rows, known = np.array([[0], [1], [10]], np.float32), np.array([[0.25]], np.float32)
    >>> position, distance = farthest(rows, known, 2, first=0)
    >>> position.tolist(), distance.tolist()
    ([2, 1], [9.75, 0.75])

    Distances are Euclidean, each at the moment of choice; ties go to the lower position. Without known rows, `first` is
    the first, at distance inf. The largest distance that remains is at most twice the least possible: Gonzalez 1985,
    Clustering to Minimize the Maximum Intercluster Distance; for active learning Sener and Savarese 2018, A Core-Set
    Approach.
    """
    center = rows.mean(axis=0, dtype=np.float64).astype(np.float32)  # |x|2 + |c|2 - 2xc loses less near the origin
    rows = rows - center
    square = np.einsum("ij,ij->i", rows, rows)
    nearest = np.full(len(rows), np.inf, np.float32)
    for at in range(0, len(known), TILE):
        others = known[at : at + TILE] - center
        squares = np.einsum("ij,ij->i", others, others)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            tile = squares - 2 * (rows[part] @ others.T)
            nearest[part] = np.minimum(nearest[part], tile.min(axis=1) + square[part])
    np.maximum(nearest, 0, out=nearest)
    found, distance = np.empty(k, np.int64), np.empty(k, np.float32)
    for i in range(k):
        at = first if i == 0 and len(known) == 0 else int(np.argmax(nearest))
        found[i], distance[i] = at, np.sqrt(nearest[at])
        to_it = square + square[at] - 2 * (rows @ rows[at])
        np.minimum(nearest, np.maximum(to_it, 0), out=nearest)
        nearest[at] = -np.inf
    return found, distance
