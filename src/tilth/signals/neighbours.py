"""Which records are near each other: exact, by blocks of matrix products.

Rows are taken in an order that depends on keys only, so that the same records give the same bits whatever their ids
are.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["leaders", "similarity", "unit"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

BLOCK, TILE = 512, 2048
"""Rows compared at once: 512 x 2048 products in float32 are 4 MB, which stay in the cache until looked through."""
GROUP = 16
"""Products of which only the highest is compared with the bar: few pass it, and only these are sorted."""
ROUNDING = 1e-6
"""Two equal rows of length 1 have a product this far from 1."""


def unit(rows: Floats) -> Floats:
    """Return rows of length 1; NaN where a row has no direction (zero, or NaN itself).

    >>> unit(np.array([[3, 4], [0, 0]], np.float32))
    array([[0.6, 0.8],
           [nan, nan]], dtype=float32)
    """
    rows = np.asarray(rows, np.float32)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)).astype(np.float32)
    length[length == 0] = np.nan
    return rows / length[:, None]


def similarity(of: Ids, among: Ids, rows: Callable[[Ids], Floats], k: int) -> Floats:
    """Return the mean cosine similarity of each record of `of` to the k nearest of `among`; float32[len(of)].

    A record is not its own neighbour.     `rows(ids)` gives unit rows. With fewer than k others, the mean over those
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
    stays = np.zeros(len(ids), bool)
    bar = np.float32(threshold - ROUNDING)
    kept = ids[:0]
    for start in range(0, len(ids), BLOCK):
        some = ids[start : start + BLOCK]
        left = rows(some)
        free = np.ones(len(some), bool)
        for at in range(0, len(kept), TILE):
            free &= ~((left @ rows(kept[at : at + TILE]).T) >= bar).any(axis=1)
        near = np.tril(left @ left.T >= bar, -1)
        for i in np.flatnonzero(near.any(axis=1)):  # only records with a near one in the same block
            free[i] &= not (near[i] & free).any()
        stays[start : start + BLOCK] = free
        kept = np.concatenate([kept, some[free]])
    return stays
