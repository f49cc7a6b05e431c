"""Clusters of vectors: k-means by Lloyd's rounds from k-means++ seeds, and average linkage."""

import numpy as np
import numpy.typing as npt

__all__ = ["average_linkage", "in_turns", "kmeans", "ranks"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

BLOCK = 4096
ROUNDS = 100
"""Lloyd's rounds at most; few data need a third of them."""


def kmeans(rows: Floats, draws: Doubles) -> tuple[Ids, Floats]:
    """Return (cluster int64[n], distance float32[n] to its centre) for as many clusters as there are rows of draws.

    >>> rows = np.array([[0], [1], [10], [11]], np.float32)
    >>> cluster, distance = kmeans(rows, np.array([[0.1, 0.7], [0.9, 0.6]]))
    >>> cluster.tolist(), distance.tolist()
    ([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5])

    Seeds are drawn as in Arthur and Vassilvitskii 2007, k-means++, of each row of draws in [0, 1) the one that leaves
    the least squared distance; then Lloyd 1982, until no record changes its cluster, 100 rounds at most. A cluster may
    be empty where rows are equal. n x k x d multiplications a round, and n x draws x d for the seeds.
    """
    rows = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)  # |x|2 + |c|2 - 2xc loses less near the origin
    square = np.einsum("ij,ij->i", rows, rows)
    center = rows[_seeds(rows, square, draws)]
    cluster = _assigned(rows, center)
    for _ in range(ROUNDS):
        before = cluster
        order = np.argsort(cluster, kind="stable")
        number = np.bincount(cluster, minlength=len(draws))
        filled = np.flatnonzero(number)
        sums = np.add.reduceat(rows[order], (np.cumsum(number) - number)[filled], axis=0, dtype=np.float64)
        center[filled] = sums / number[filled, None]
        cluster = _assigned(rows, center)
        if np.array_equal(before, cluster):
            break
    distance = np.empty(len(rows), np.float32)
    for at in range(0, len(rows), BLOCK):
        off = rows[at : at + BLOCK] - center[cluster[at : at + BLOCK]]
        distance[at : at + BLOCK] = np.sqrt(np.einsum("ij,ij->i", off, off))
    return cluster, distance


def _seeds(rows: Floats, square: Floats, draws: Doubles) -> Ids:
    found, nearest = np.empty(len(draws), np.int64), np.ones(len(rows), np.float32)
    doubled = -2 * rows.T
    for i, some in enumerate(draws):
        total = np.cumsum(nearest, dtype=np.float64)
        if total[-1] == 0:  # all rows are equal to a seed
            total = np.arange(1.0, len(rows) + 1)
        at = np.searchsorted(total, some * total[-1], side="right")
        at = np.minimum(at, np.searchsorted(total, total[-1]))
        left = rows[at] @ doubled
        left += square
        left += square[at, None]
        left[np.arange(len(at)), at] = 0
        np.clip(left, 0, nearest if i else None, out=left)
        best = int(left.sum(axis=1, dtype=np.float64).argmin())
        found[i], nearest = at[best], left[best]
    return found


def _assigned(rows: Floats, center: Floats) -> Ids:
    """Return the nearest centre of each row, the first of equals."""
    cluster = np.empty(len(rows), np.int64)
    doubled, squares = -2 * center.T, np.einsum("ij,ij->i", center, center)
    for at in range(0, len(rows), BLOCK):
        part = slice(at, at + BLOCK)
        tile = rows[part] @ doubled
        tile += squares
        cluster[part] = tile.argmin(axis=1)
    return cluster


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
