"""Choose records that lie far apart: farthest-first traversal, which is k-center greedy.

A squared distance is computed in float64 from the difference of two rows, so that it has the same bits whatever it was
computed together with, and one that was kept on disk can stand for one that is computed anew. Matrix products in
float32, with a bound on how wrong they are, only tell for which pairs that has to be done.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["Cloud", "farthest", "lower"]

Floats = npt.NDArray[np.float32]
Squares = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

CELLS, TILE, GROUP = 2**20, 2048, 16
"""Products at once: 2**20 in float32 are 4 MB, which stay in the cache; of 16 centres only the nearest is kept."""
BLOCKS = 32
"""Blocks of rows whose pairs are settled together: a group of centres is looked up once for all of them."""
WATCHED = 512
"""The farthest rows, which alone are followed choice by choice; the others hear of many choices in one product."""


class Cloud:
    """Rows, and what their products are made of: about a centre, for |x|2 + |c|2 - 2xc loses less near the origin."""

    def __init__(self, rows: Floats, center: Squares) -> None:
        self.rows, self.center = rows, center
        self.flat = np.ones((len(rows), rows.shape[1] + 1), np.float32)  # the last: |c|2 - 2xc becomes one product
        self.square = np.empty(len(rows))
        step = max(1, CELLS // rows.shape[1])
        for at in range(0, len(rows), step):
            off = rows[at : at + step] - center
            self.flat[at : at + step, :-1] = off
            self.square[at : at + step] = np.einsum("ij,ij->i", off, off)
        self.length = np.sqrt(self.square)

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, which: Ids) -> "Cloud":
        """Return some of the rows, about the same centre."""
        some = Cloud.__new__(Cloud)
        some.rows, some.center, some.flat = self.rows[which], self.center, self.flat[which]
        some.square, some.length = self.square[which], self.length[which]
        return some

    @staticmethod
    def around(*parts: Floats) -> "list[Cloud]":
        """Return several sets of rows about the mean of all."""
        n = max(1, sum(len(part) for part in parts))
        center = sum((part.sum(axis=0, dtype=np.float64) for part in parts), np.zeros(parts[0].shape[1])) / n
        return [Cloud(part, center) for part in parts]


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def lower(nearest: Squares, of: Cloud, others: Cloud) -> None:
    """Lower the squared distance of each row to the nearest of others, where one of these is nearer; exact."""
    if not len(of) or not len(others):
        return
    others = others.part(np.argsort(others.length, kind="stable"))  # a far one makes only its group's bound loose
    size = min(GROUP, len(others))
    wide = np.zeros((len(others) + -len(others) % size, of.flat.shape[1]), np.float32)
    wide[: len(others), :-1] = -2 * others.flat[:, :-1]
    wide[:, -1] = np.inf
    wide[: len(others), -1] = others.square
    longest = others.length[np.minimum(np.arange(size - 1, len(wide), size), len(others) - 1)]
    step, tile = max(1, CELLS // min(TILE, len(wide))), TILE // size * size
    left: list[tuple[Ids, Ids]] = []
    for start in range(0, len(of), step):
        part = slice(start, start + step)
        flat = of.flat[part].T
        least = np.empty((len(longest), flat.shape[1]), np.float32)
        for at in range(0, len(wide), tile):
            products = (wide[at : at + tile] @ flat).reshape(-1, size, flat.shape[1])
            np.min(products, axis=1, out=least[at // size : at // size + len(products)])
        # d + 1 products and their sum, and both rows, are rounded; the rest is for the bound's own rounding
        slack = np.add.outer(longest, of.length[part]).astype(np.float32)
        slack *= slack
        slack *= np.float32((flat.shape[0] + 9) * 2.0**-24)
        slack += np.float32(1e-40)  # what underflows
        bar = np.minimum((least + slack).min(axis=0), nearest[part] - of.square[part])
        least -= slack
        # not `<=`: what overflowed tells nothing, so it is computed
        group, row = np.nonzero(~(least > np.nextafter(bar.astype(np.float32), np.float32(np.inf))))
        left.append((group, start + row))
        if len(left) == BLOCKS or start + step >= len(of):
            group, row = (np.concatenate(some) for some in zip(*left, strict=True))
            order = np.argsort(group, kind="stable")
            _settle(nearest, of, others, row[order], group[order], size)
            left.clear()


def _settle(nearest: Squares, of: Cloud, others: Cloud, row: Ids, group: Ids, size: int) -> None:
    """Lower the distances of rows to groups of others, which come group by group."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(starts, len(group))[1:]
    # where many are equally near, all pairs of a group may be looked at: so many rows at once are some megabytes
    pieces = [(at, min(at + TILE, e)) for b, e in zip(starts, ends, strict=True) for at in range(b, e, TILE)]
    for begin, end in pieces:
        these, mine = slice(int(group[begin]) * size, (int(group[begin]) + 1) * size), row[begin:end]
        left, right = of.rows[mine] - of.center, others.rows[these] - of.center
        near = left @ (-2 * right.T)
        near += others.square[these]
        slack = (left.shape[1] + 9) * 2.0**-52 * np.add.outer(of.length[mine], others.length[these]) ** 2
        bar = np.minimum((near + slack).min(axis=1), nearest[mine] - of.square[mine])
        pair, other = np.nonzero(near - slack <= bar[:, None])
        exact = _apart(of.rows[mine[pair]], others.rows[these][other])
        np.minimum.at(nearest, mine[pair], exact)


def _apart(left: Floats | Squares, right: Floats) -> Squares:
    """Return the squared distance of each row to its counterpart, or to the one there is: the only place that does."""
    off = left.astype(np.float64)
    off -= right
    return np.einsum("ij,ij->i", off, off)


def farthest(rows: Floats, known: Floats, k: int, *, first: int, nearest: Squares | None = None) -> tuple[Ids, Floats]:
    """Return (positions int64[k], distances float32[k]): each next row is the farthest from all known and chosen ones.

    >>> rows, known = np.array([[0], [1], [10]], np.float32), np.array([[0.25]], np.float32)
    >>> position, distance = farthest(rows, known, 2, first=0)
    >>> position.tolist(), distance.tolist()
    ([2, 1], [9.75, 0.75])

    Distances are Euclidean, each at the moment of choice; ties go to the lower position. Without known rows, `first` is
    the first, at distance inf. `nearest`: the squared distances of the rows to the known ones, where they were computed
    before. n x (known + k) x d multiplications, nearly all of them in matrix products.

    The largest distance that remains is at most twice the least possible: Gonzalez 1985, Clustering to Minimize the
    Maximum Intercluster Distance; for active learning Sener and Savarese 2018, A Core-Set Approach.
    """
    if nearest is None:
        cloud, others = Cloud.around(rows, known)
        nearest = np.full(len(rows), np.inf)
        lower(nearest, cloud, others)
    else:
        (cloud,), nearest = Cloud.around(rows), nearest.copy()
    found, distance = np.empty(k, np.int64), np.empty(k)
    start = first if np.isinf(nearest).all() else -1
    i = 0
    while i < k:
        at = int(np.argmax(nearest)) if start < 0 else start
        if nearest[at] == 0:  # all that is left lies on top of something chosen
            found[i:], distance[i:] = np.flatnonzero(nearest == 0)[: k - i], 0
            break
        start = -1
        number = _burst(rows, nearest, at, found[i:], distance[i:])
        lower(nearest, cloud, cloud.part(found[i : i + number]))
        i += number
        nearest[found[:i]] = -np.inf
    return found, np.sqrt(distance).astype(np.float32)


def _burst(rows: Floats, nearest: Squares, at: int, found: Ids, distance: Squares) -> int:
    """Choose row `at`, then go on while the farthest is sure to be one of those watched; return how many it were.

    Distances only shrink, so a watched row that is farther than every other was before is the farthest of all.
    """
    n, m = len(rows), min(WATCHED, len(rows))
    bar = np.partition(nearest, n - m)[n - m]
    above, equal = np.flatnonzero(nearest > bar), np.flatnonzero(nearest == bar)
    watched, waiting = np.sort(np.append(above, equal[: m - len(above)])), equal[m - len(above) :]
    if not len(waiting):
        bar = nearest[nearest < bar].max(initial=-np.inf)
        waiting = np.flatnonzero(nearest == bar)
    bound = int(waiting[0]) if len(waiting) else n
    points, near, far = rows[watched].astype(np.float64), nearest[watched], nearest[at]
    for i in range(len(found)):
        found[i], distance[i] = at, far
        np.minimum(near, _apart(points, rows[at]), out=near)
        near[watched == at] = -np.inf
        j = int(np.argmax(near))
        at, far = int(watched[j]), near[j]
        sure = far > bar or (far == bar and at < bound)  # of equals the lower position goes first
        if not sure or far <= 0:
            return i + 1
    return len(found)
