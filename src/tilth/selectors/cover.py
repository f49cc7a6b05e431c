"""Cover vectors with balls: the greedy choice of centres, how pure balls are, and which vectors are too near."""

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "Points", "apart", "greedy_cover", "nearest_other"]

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]

BLOCK, TILE = 512, 2048
ROUNDING = 1e-6
"""Two equal rows of length 1 have a product this far from 1."""


class Points:
    """Rows about their mean, for squared distances by matrix products."""

    def __init__(self, rows: Floats) -> None:
        self.center = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.rows, self.square = self.of(rows)

    def of(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return rows about the same mean, and their squared lengths."""
        rows = rows - self.center
        return rows, np.einsum("ij,ij->i", rows, rows)


def _within(left: Floats, left_square: Floats, right: Floats, right_square: Floats, bar: np.float32) -> Flags:
    tile = left @ (-2 * right.T)
    tile += right_square
    return tile <= bar - left_square[:, None]


def greedy_cover(rows: Floats, known: Floats, k: int, radius: float) -> tuple[Ids, Ids]:
    """Return (positions int64[k], covered int64[k]): each next row has the most uncovered rows within the radius.

    >>> rows = np.array([[0], [1], [2], [9]], np.float32)
    >>> position, covered = greedy_cover(rows, rows[:0], 3, 1.0)
    >>> position.tolist(), covered.tolist()
    ([1, 3, 0], [3, 1, 0])

    What lies within the radius of a known row is covered from the start. Ties go to the lower position. The maximum
    coverage of Nemhauser, Wolsey and Fisher 1978; the graph is never stored: neighbours of what was newly covered are
    found again, so 2 x n x n x d multiplications at most and no more memory than a block.
    """
    points = Points(rows)
    free = np.ones(len(rows), bool)
    bar = np.float32(radius * radius)
    for at in range(0, len(known), TILE):
        others, squares = points.of(known[at : at + TILE])
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            free[part] &= ~_within(points.rows[part], points.square[part], others, squares, bar).any(axis=1)
    degree = _degrees(points, np.flatnonzero(free), bar)
    found, covered = np.empty(k, np.int64), np.empty(k, np.int64)
    for i in range(k):
        at = int(np.argmax(degree))
        found[i], covered[i] = at, degree[at]
        if degree[at]:
            left = np.flatnonzero(free)
            own, own_square = points.rows[at : at + 1], points.square[at : at + 1]
            near = _within(points.rows[left], points.square[left], own, own_square, bar)[:, 0]
            near |= left == at  # rounding must not keep a row out of its own ball
            new = left[near]
            free[new] = False
            degree -= _degrees(points, new, bar)
        degree[at] = -len(rows) - 1
    return found, covered


def _degrees(points: Points, among: Ids, bar: np.float32) -> Ids:
    """Return how many rows `among` are within reach of each row; a row is always within its own."""
    number = np.zeros(len(points.rows), np.int64)
    for at in range(0, len(among), TILE):
        some = among[at : at + TILE]
        others, squares = points.rows[some], points.square[some]
        for start in range(0, len(points.rows), BLOCK):
            part = slice(start, start + BLOCK)
            near = _within(points.rows[part], points.square[part], others, squares, bar)
            own = np.flatnonzero((some >= start) & (some < start + BLOCK))
            near[some[own] - start, own] = True
            number[part] += np.count_nonzero(near, axis=1)
    return number


def nearest_other(rows: Floats, group: Ids, some: Ids) -> Floats:
    """Return the distance of some rows to the nearest row of another group, float32[len(some)]; inf without one.

    >>> nearest_other(np.array([[0], [1], [5]], np.float32), np.array([0, 0, 1]), np.array([0, 1])).tolist()
    [5.0, 4.0]
    """
    points = Points(rows)
    out = np.full(len(some), np.inf, np.float32)
    for start in range(0, len(some), BLOCK):
        mine = some[start : start + BLOCK]
        for at in range(0, len(rows), TILE):
            part = slice(at, at + TILE)
            tile = points.rows[mine] @ (-2 * points.rows[part].T)
            tile += points.square[part]
            tile[group[mine][:, None] == group[part]] = np.inf
            near = tile.min(axis=1) + points.square[mine]
            np.minimum(out[start : start + BLOCK], near, out=out[start : start + BLOCK])
    return np.sqrt(np.maximum(out, 0))


def apart(rows: Floats, threshold: float) -> Flags:
    """Return bool[n]: whether a row stays when, in this order, each that is near one that stays is dropped.

    >>> apart(np.array([[1, 0], [2, 0], [0, 1]], np.float32), 0.95).tolist()
    [True, False, True]

    Near: a cosine similarity of `threshold` or more. n x stays x d multiplications.
    """
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    rows = (rows / length[:, None]).astype(np.float32)
    bar = np.float32(threshold - ROUNDING)
    stays = np.zeros(len(rows), bool)
    kept = np.empty(0, np.int64)
    for start in range(0, len(rows), BLOCK):
        left = rows[start : start + BLOCK]
        free = np.ones(len(left), bool)
        for at in range(0, len(kept), TILE):
            free &= ~(left @ rows[kept[at : at + TILE]].T >= bar).any(axis=1)
        near = np.tril(left @ left.T >= bar, -1)
        for i in np.flatnonzero(near.any(axis=1)):  # only rows with a near one in the same block
            free[i] &= not (near[i] & free).any()
        stays[start : start + BLOCK] = free
        kept = np.concatenate([kept, start + np.flatnonzero(free)])
    return stays
