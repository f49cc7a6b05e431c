"""Which records are near each other: exact, by blocks of matrix products.

Rows are taken in an order that depends on keys only, so that the same records give the same bits whatever their ids
are.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tilth.signals.bounds import Pruned, joined

__all__ = ["groups", "leaders", "similarity", "unit"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

BLOCK, TILE = 512, 2048
"""Rows compared at once: 512 x 2048 products in float32 are 4 MB, which stay in the cache until looked through."""
GROUP = 16
"""Products of which only the highest is compared with the bar: few pass it, and only these are sorted."""
PENDING = 16_384
"""Near pairs kept until their groups are joined, which costs a look at every row."""


def unit(rows: Floats) -> Floats:
    """Return rows of length 1; NaN where a row has no direction (zero, or not finite).

    >>> unit(np.array([[3, 4], [0, 0]], np.float32))
    array([[0.6, 0.8],
           [nan, nan]], dtype=float32)
    """
    rows = np.asarray(rows, np.float32)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    length[(length == 0) | ~np.isfinite(length)] = np.nan
    # divided in float64: lengths of float32 rows may be beyond float32
    return np.divide(rows, length[:, None], out=np.empty_like(rows), casting="same_kind")


def similarity(of: Ids, among: Ids, rows: Callable[[Ids], Floats], k: int) -> Floats:
    """Return the mean cosine similarity of each record of `of` to the k nearest of `among`; float32[len(of)].

    A record is not its own neighbour. `rows(ids)` gives unit rows. With fewer than k others, the mean over those
    there are; NaN where there is none.
    """
    out = np.full(len(of), np.nan, np.float32)
    place = np.full(int(max(of.max(initial=-1), among.max(initial=-1))) + 1, -1, np.int64)
    place[among] = np.arange(len(among))
    for start in range(0, len(of), BLOCK):
        some = of[start : start + BLOCK]
        left, own = rows(some), place[some]
        nearest = np.full((len(some), k), -np.inf, np.float32)
        for at in range(0, len(among), TILE):
            others = among[at : at + TILE]
            tile = left @ rows(others).T
            here = np.flatnonzero((own >= at) & (own < at + len(others)))
            tile[here, own[here] - at] = -np.inf
            nearest = _merged(nearest, tile)
        found = np.isfinite(nearest)
        number = found.sum(axis=1)
        total = np.where(found, nearest, 0).sum(axis=1, dtype=np.float64)
        out[start : start + BLOCK] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return out


def _merged(nearest: Floats, tile: Floats) -> Floats:
    """Return the k highest of each row in both, where `nearest` [m, k] are the highest so far."""
    (m, width), k = tile.shape, nearest.shape[1]
    bar = nearest.min(axis=1)
    if width % GROUP == 0 and np.isfinite(bar).all():
        groups = tile.reshape(m, GROUP, width // GROUP)
        row, group = np.nonzero(groups.max(axis=1) > bar[:, None])
        number = np.bincount(row, minlength=m)
        most = int(number.max())
        if most == 0:
            return nearest
        if most * GROUP * 2 < width:
            place = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
            few = np.full((m, most, GROUP), -np.inf, np.float32)
            few[row, place] = groups[row, :, group]
            tile = few.reshape(m, -1)
    both = np.concatenate([nearest, tile], axis=1)
    return np.partition(both, both.shape[1] - k, axis=1)[:, -k:]


def leaders(ids: Ids, rows: Callable[[Ids], Floats], threshold: float) -> npt.NDArray[np.bool_]:
    """Return bool[len(ids)]: whether a record stays when, in this order, each that is near one that stays is dropped.

    So every dropped record has one that stays at a cosine similarity of `threshold` or more, and no two that stay have.
    """
    near = Pruned(rows(ids), threshold)
    stays = np.zeros(len(ids), bool)
    kept = np.empty(0, np.int64)
    for start in range(0, len(ids), BLOCK):
        free = np.arange(start, min(start + BLOCK, len(ids)))
        for at in range(0, len(kept), TILE):
            free = np.delete(free, near.between(free, kept[at : at + TILE])[0])
        later, earlier = near.between(free, free)
        stays[free] = True
        for i, j in zip(later.tolist(), earlier.tolist(), strict=True):  # ordered by `later`
            if j < i and stays[free[j]]:
                stays[free[i]] = False
        kept = np.concatenate([kept, free[stays[free]]])
    return stays


def groups(rows: Floats, threshold: float) -> Ids:
    """Return for each unit row the lowest row of its group: all that a chain of cosines of `threshold` or more joins.

    >>> groups(np.array([[1, 0], [0, 1], [0.8, 0.6], [0.6, 0.8]], np.float32), 0.9)
    array([0, 1, 2, 2])

    int64[n]: the connected components of the graph of near pairs. A pair whose rows are in one group by then is not
    looked at again, and a tile of such pairs is not even multiplied: where all rows are alike the work is that of one
    block.
    """
    near, label = Pruned(rows, threshold), np.arange(len(rows))
    found: list[tuple[Ids, Ids]] = []
    for start in range(0, len(rows), BLOCK):
        left = np.arange(start, min(start + BLOCK, len(rows)))
        for at in range(start, len(rows), TILE):
            right = np.arange(at, min(at + TILE, len(rows)))
            if (label[right] == label[start]).all() and (label[left] == label[start]).all():
                continue
            i, j = near.passing(near.short[start : left[-1] + 1] @ near.short[at : right[-1] + 1].T)
            apart = label[left[i]] != label[right[j]]
            i, j = i[apart], j[apart]
            if near.short is not near.rows:
                i, j = near.checked(left, right, i, j)
            found.append((left[i], right[j]))
            if sum(len(pairs) for pairs, _ in found) > PENDING:
                label, found = _together(label, found), []
    return _together(label, found)


def _together(label: Ids, found: list[tuple[Ids, Ids]]) -> Ids:
    return joined(label, *(np.concatenate([pairs[side] for pairs in found] or [label[:0]]) for side in (0, 1)))
