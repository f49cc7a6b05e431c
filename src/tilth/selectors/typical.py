"""The most typical records of clusters in which few are labelled."""

import numpy as np
import numpy.typing as npt

from tilth.selectors.clusters import in_turns
from tilth.selectors.cover import BLOCK, Points

__all__ = ["typical_first", "typicality"]

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

NEIGHBOURS = 20
"""How many neighbours typicality is measured by."""


def typical_first(
    rows: Floats, cluster: Ids, known: npt.NDArray[np.bool_], candidates: int, *, neighbours: int = NEIGHBOURS
) -> tuple[Ids, Floats]:
    """Return (positions of the candidates, the wanted first, and typicality float32[n] of all rows).

    >>> rows = np.array([[0], [1], [2], [9], [10]], np.float32)
    >>> known = np.array([False, False, False, False, True])
    >>> typical_first(rows, np.array([0, 0, 0, 1, 1]), known, 4)[0].tolist()
    [1, 3, 0, 2]

    Candidates are the first so many rows. Clusters with the fewest known rows come first, of these the largest; each
    gives in turn the candidate of the highest typicality in it. Hacohen, Dekel and Weinshall 2022, Active Learning on a
    Budget.
    """
    number = int(cluster.max()) + 1
    score = np.empty(len(rows), np.float32)
    order = np.argsort(cluster, kind="stable")
    for mine in np.split(order, np.cumsum(np.bincount(cluster))[:-1]):
        score[mine] = typicality(rows[mine], neighbours)
    has, size = (np.bincount(cluster[which], minlength=number) for which in (known, slice(None)))
    turn = np.empty(number, np.int64)
    turn[np.lexsort((-size, has))] = np.arange(number)
    return in_turns(cluster, turn, np.argsort(-score[:candidates], kind="stable")), score


def typicality(rows: Floats, neighbours: int) -> Floats:
    """Return one over the mean distance of each row to its nearest others, float32[n]; a row alone has 1.

    >>> typicality(np.array([[0], [1], [3]], np.float32), 2).tolist()
    [0.5, 0.66, 0.4]

    With fewer others, the mean over those there are; rows that lie on all of these have the highest of float32.
    """
    n = len(rows)
    if not n:
        return np.empty(0, np.float32)
    k = min(neighbours, n - 1)
    if k < 1:
        return np.ones(n, np.float32)
    points = Points(rows)
    mean = np.empty(n, np.float32)
    for start in range(0, n, BLOCK):
        part = slice(start, start + BLOCK)
        tile = points.rows[part] @ (-2 * points.rows.T)
        tile += points.square
        tile += points.square[part, None]
        here = np.arange(len(tile))
        tile[here, start + here] = np.inf
        nearest = np.partition(tile, k - 1, axis=1)[:, :k]
        mean[part] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
    return (1 / np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)
