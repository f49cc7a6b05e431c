"""Choose records that lie far apart: farthest-first traversal, which is k-center greedy.

Distances are computed in whole numbers: coordinates are rounded to a lattice so fine that nothing in float32 is lost
that distance could show, and so coarse that every product and sum of them is exact in float64. So a distance has the
same bits whatever it was computed together with, on every machine and with any number of threads, and one that was
kept on disk can stand for one that is computed anew.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Lattice", "farthest", "lower"]

Floats = npt.NDArray[np.float32]
Squares = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

BITS = 24
"""Coordinates of so many bits fit float32; squared distances of rows that short fit float64's 53."""
BLOCK, TILE, GROUP = 512, 2048, 16
"""Rows against others at once: 512 x 2048 products are 4 MB, which stay in the cache; of 16 only the least is kept."""
WATCHED = 512
"""The farthest rows, which alone are followed choice by choice; the others hear of many choices in one product."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Points at whole multiples of `step` around a center."""

    step: float
    center: Squares

    @staticmethod
    def over(*parts: Floats) -> "Lattice":
        """Return the finest on which all rows have 24-bit coordinates."""
        n = sum(len(part) for part in parts)
        center = sum((part.sum(axis=0, dtype=np.float64) for part in parts), np.zeros(parts[0].shape[1])) / max(n, 1)
        most = 0.0
        for part in parts:
            for at in range(0, len(part), BLOCK):
                off = part[at : at + BLOCK] - center
                most = max(most, float(np.einsum("ij,ij->i", off, off).max()))
        step = float(np.exp2(np.ceil(np.log2(np.sqrt(most))) - BITS)) if most else 1.0
        return Lattice(step, np.rint(center / step))

    def of(self, rows: Floats) -> Floats:
        """Return the coordinates of rows, whole numbers in float32."""
        out = np.empty(rows.shape, np.float32)
        for at in range(0, len(rows), BLOCK):
            out[at : at + BLOCK] = np.rint(rows[at : at + BLOCK] / self.step) - self.center
        return out


def lower(nearest: Squares, rows: Floats, others: Floats) -> None:
    """Lower the squared distance of each row to the nearest of others, where one of these is nearer; coordinates.

    Exact, though most of it is done in float32: products there are wrong by no more than a known bound, so groups of
    others that are too far by more than it are left out, and distances to the few that remain are computed in float64.
    """
    if not len(rows) or not len(others):
        return
    squares, longest = _squares(others), float(np.sqrt(_squares(others).max()))
    # |x|2 - d2 = 2xc - |c|2 as one product: a coordinate more, and float32 rounds d + 2 times at most
    wide = np.concatenate([-2 * others, squares.astype(np.float32)[:, None]], axis=1)
    wide = np.pad(wide, ((0, -len(wide) % GROUP), (0, 0)))
    wide[len(others) :, -1] = np.inf
    share = (rows.shape[1] + 3) * 2.0**-24 * 1.01
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        some, near = rows[part], nearest[part]
        square = _squares(some)
        slack = share * (longest * longest + 2 * longest * np.sqrt(square))
        columns = np.concatenate([some, np.ones((len(some), 1), np.float32)], axis=1).T
        lowest = np.empty((len(wide) // GROUP, len(some)), np.float32)
        for at in range(0, len(wide), TILE):
            tile = (wide[at : at + TILE] @ columns).reshape(-1, GROUP, len(some))
            np.min(tile, axis=1, out=lowest[at // GROUP : at // GROUP + len(tile)])
        bar = np.minimum(lowest.min(axis=0) + slack, near - square) + slack
        group, row = np.nonzero(lowest <= np.nextafter(bar.astype(np.float32), np.float32(np.inf)))
        ends = np.searchsorted(group, np.arange(len(lowest) + 1))
        for one in np.unique(group):
            mine, these = row[ends[one] : ends[one + 1]], slice(one * GROUP, (one + 1) * GROUP)
            exact = some[mine].astype(np.float64) @ (-2.0 * others[these].T)
            exact += squares[these]
            near[mine] = np.minimum(near[mine], exact.min(axis=1) + square[mine])


def farthest(
    rows: Floats, known: Floats, k: int, *, first: int, lattice: Lattice | None = None, nearest: Squares | None = None
) -> tuple[Ids, Floats]:
    """Return (positions int64[k], distances float32[k]): each next row is the farthest from all known and chosen ones.

    >>> rows, known = np.array([[0], [1], [10]], np.float32), np.array([[0.25]], np.float32)
    >>> position, distance = farthest(rows, known, 2, first=0)
    >>> position.tolist(), distance.tolist()
    ([2, 1], [9.75, 0.75])

    Distances are Euclidean, each at the moment of choice; ties go to the lower position. Without known rows, `first` is
    the first, at distance inf. `nearest`: the squared distances of the rows to the known ones on the lattice, where
    they were computed before. n x (known + k) x d multiplications, all but the last few of which are matrix products.

    The largest distance that remains is at most twice the least possible: Gonzalez 1985, Clustering to Minimize the
    Maximum Intercluster Distance; for active learning Sener and Savarese 2018, A Core-Set Approach.
    """
    lattice = lattice or Lattice.over(rows, known)
    points = lattice.of(rows)
    if nearest is None:
        nearest = np.full(len(rows), np.inf)
        lower(nearest, points, lattice.of(known))
    else:
        nearest = nearest.copy()
    found, distance = np.empty(k, np.int64), np.empty(k)
    start = first if np.isinf(nearest).all() else -1
    i = 0
    while i < k:
        at = int(np.argmax(nearest)) if start < 0 else start
        if nearest[at] == 0:  # all that is left lies on top of something chosen
            found[i:], distance[i:] = np.flatnonzero(nearest == 0)[: k - i], 0
            break
        start = -1
        number = _burst(points, nearest, at, found[i:], distance[i:])
        lower(nearest, points, points[found[i : i + number]])
        i += number
        nearest[found[:i]] = -np.inf
    return found, (np.sqrt(distance) * lattice.step).astype(np.float32)


def _burst(points: Floats, nearest: Squares, at: int, found: Ids, distance: Squares) -> int:
    """Choose row `at`, then go on while the farthest is sure to be one of those watched; return how many it were.

    Distances only shrink, so a watched row that is farther than every other was before is the farthest of all.
    """
    n, m = len(points), min(WATCHED, len(points))
    order = np.argpartition(nearest, n - m)
    watched = np.sort(order[n - m :])
    bar = nearest[order[: n - m]].max(initial=-np.inf)
    rows = points[watched].astype(np.float64)
    square, near = np.einsum("ij,ij->i", rows, rows), nearest[watched]
    far = nearest[at]
    for i in range(len(found)):
        found[i], distance[i] = at, far
        one = points[at].astype(np.float64)
        np.minimum(near, square + (one @ one) - 2 * (rows @ one), out=near)
        near[watched == at] = -np.inf
        j = int(np.argmax(near))
        at, far = int(watched[j]), near[j]
        if not far > max(bar, 0):  # equal to the bar: the lower position goes first, and that may be another row
            return i + 1
    return len(found)


def _squares(rows: Floats) -> Squares:
    out = np.empty(len(rows))
    for at in range(0, len(rows), BLOCK):
        part = rows[at : at + BLOCK].astype(np.float64)
        out[at : at + BLOCK] = np.einsum("ij,ij->i", part, part)
    return out
