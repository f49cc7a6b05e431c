"""Clusters by average linkage, and turns among clusters."""

import numpy as np
import numpy.typing as npt

__all__ = ["average_linkage", "in_turns", "ranks"]

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def average_linkage(rows: Floats, clusters: int) -> Ids:
    """Return the cluster of each row, int64[n], when the two nearest on average are joined until so many are left.

    >>> average_linkage(np.array([[0], [1], [10], [11]], np.float32), 2).tolist()
    [0, 0, 1, 1]

    Exact, by chains of nearest neighbours (Murtagh 1983, A Survey of Recent Advances in Hierarchical Clustering
    Algorithms): n x n distances in memory (float32) and as many operations, times a small factor. Clusters are numbered
    by their first row.
    """
    n = len(rows)
    clusters = max(1, min(clusters, n))
    rows = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    square = np.einsum("ij,ij->i", rows, rows)
    apart = rows @ rows.T
    apart *= -2
    apart += square
    apart += square[:, None]
    np.sqrt(np.maximum(apart, 0, out=apart), out=apart)
    np.fill_diagonal(apart, np.inf)
    size = np.ones(n)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    for _ in range(n - 1):
        if not chain:
            chain.append(int(np.argmax(size > 0)))
        while True:
            row = apart[chain[-1]]
            near = int(np.argmin(row))
            if len(chain) > 1 and row[chain[-2]] <= row[near]:  # of equals the one before, or a chain has no end
                break
            chain.append(near)
        right, left = chain.pop(), chain.pop()
        left, right = min(left, right), max(left, right)
        merges.append((float(apart[left, right]), left, right))
        joined = (size[left] * apart[left] + size[right] * apart[right]) / (size[left] + size[right])
        apart[left], apart[:, left] = joined, joined
        apart[left, left] = np.inf
        apart[right], apart[:, right] = np.inf, np.inf
        size[left], size[right] = size[left] + size[right], 0
    return _cut(n, merges, clusters)


def _cut(n: int, merges: list[tuple[float, int, int]], clusters: int) -> Ids:
    """Return the clusters after the lowest merges; merges of one row come in the order of their heights."""
    root = np.arange(n)
    for _, left, right in sorted(merges, key=lambda merge: merge[0])[: n - clusters]:
        one, other = _root(root, left), _root(root, right)
        root[max(one, other)] = min(one, other)
    first = np.array([_root(root, i) for i in range(n)], np.int64)
    return np.unique(first, return_inverse=True)[1]


def _root(root: Ids, i: int) -> int:
    while root[i] != i:
        root[i] = root[root[i]]
        i = int(root[i])
    return i


def ranks(group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return each element's place among those of its group, from 0.

    >>> ranks(np.array([7, 3, 7, 7])).tolist()
    [0, 0, 1, 2]
    """
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))
    return rank


def in_turns(group: Ids, turn: npt.NDArray[np.int64], best: Ids) -> Ids:
    """Return the positions `best` in turns: the first of each group, then the second of each, and so on.

    >>> in_turns(np.array([0, 0, 1]), np.array([1, 0]), np.array([0, 1, 2])).tolist()
    [2, 0, 1]

    `best`: positions, the wanted first; `turn`: int64[groups], the lower goes first; equals by group.
    """
    mine = group[best]
    return best[np.lexsort((mine, turn[mine], ranks(mine)))]
