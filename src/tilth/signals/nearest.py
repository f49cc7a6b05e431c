"""The k nearest of every row, exactly: candidates by blocks of matrix products, then their distances one by one."""

import numpy as np
import numpy.typing as npt

__all__ = ["local_outlier_factor", "nearest"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

BLOCK, TILE = 512, 2048
"""Rows compared at once: 512 x 2048 products in float32 are 4 MB, which stay in the cache until looked through."""
GROUP = 16
"""Columns of the first tile of which only the highest score is looked at: a first bar without a sort."""
SPARE = 8
"""Candidates beyond k: where the last of them is farther than rounding can hide, the k nearest are among them."""
FEW = 64
"""Rows looked at again at once: in the worst case with all others."""
PAIRS = 16_384
"""Distances taken at once: of rows of 384 numbers these are 50 MB in float64."""


def nearest(rows: Floats, k: int) -> tuple[npt.NDArray[np.int32], Doubles]:
    """Return (row int32[n, k], Euclidean distance float64[n, k]) of the k nearest other rows of each, nearest first.

    >>> row, distance = nearest(np.array([[0], [1], [3]], np.float32), 2)
    >>> row.tolist()
    [[1, 2], [0, 2], [1, 0]]
    >>> distance.tolist()
    [[1.0, 3.0], [1.0, 2.0], [2.0, 3.0]]

    Of rows at an equal distance the first are taken, so fewer neighbours are the beginning of more. With k others or
    fewer, all of them: k is then n - 1. Products of float32 say which rows may be among the nearest; distances are
    differences squared and added in float64, so those of equal rows are 0. `rows` must be finite; their scale does not
    matter.
    """
    n, k = len(rows), min(k, max(len(rows) - 1, 0))
    near, far = np.empty((n, k), np.int32), np.empty((n, k))
    if k == 0:
        return near, far
    rows = np.ascontiguousarray(rows, np.float32) + np.float32(0)  # -0 and 0 are equal, and then have equal bytes
    size = np.ldexp(1.0, int(np.frexp(np.abs(rows).max(initial=0))[1]))  # squares of 1e20 or 1e-30 are no float32
    rows = (rows / size).astype(np.float32)
    # of equal rows only the first k + 1 can be anyone's nearest: with many copies there would be no end of candidates
    among = np.flatnonzero(_earlier_copies(rows) <= k)
    search = _Search(rows, among, k)
    for start in range(0, n, BLOCK):
        some = np.arange(start, min(start + BLOCK, n))
        near[some], distance = search.of(some)
        far[some] = distance * size
    return near, far


class _Search:
    """Rows, moved so that their mean is 0 (which makes rounding least), with half their squared length beside them."""

    def __init__(self, rows: Floats, among: Ids, k: int) -> None:
        self.rows, self.among, self.k = rows, among, k
        moved = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.square = np.einsum("ij,ij->i", moved, moved, dtype=np.float64)
        self.left = np.column_stack([moved, np.ones(len(rows), np.float32)])
        self.right = np.column_stack([moved, -self.square / 2]).astype(np.float32)[among]
        self.place = np.full(len(rows), -1, np.int64)
        self.place[among] = np.arange(len(among))
        # the error of a sum of that many products in float32 (Higham 2002, section 3.1), and that of moving the rows
        reach = np.abs(rows).max(initial=0).astype(np.float64)
        self.unsure = 2.0**-23 * (rows.shape[1] + 4) * (self.square + self.square.max(initial=0))
        self.unsure += 2.0**-21 * reach * np.sqrt(rows.shape[1] * np.maximum(self.square, self.square.max(initial=0)))

    def of(self, some: Ids) -> tuple[Ids, Doubles]:
        """Return the k nearest of a block of rows, and how far they are."""
        found, least = self.candidates(some)
        square = self.squares(np.repeat(some, found.shape[1]), found.ravel()).reshape(found.shape)
        order = np.lexsort((found, square), axis=-1)[:, : self.k]
        found, square = np.take_along_axis(found, order, 1), np.take_along_axis(square, order, 1)
        # what was left out is at least this far
        beyond = self.square[some] - 2 * least - self.unsure[some]
        unsure = np.flatnonzero(square[:, -1] >= beyond)
        for start in range(0, len(unsure), FEW):
            at = unsure[start : start + FEW]
            found[at], square[at] = self.again(some[at], square[at, -1])
        return found, np.sqrt(square)

    def candidates(self, some: Ids) -> tuple[Ids, Floats]:
        """Return (row [m, k + spare], score [m]): those of the highest scores, and the least of these scores.

        A score is a.b - |b|^2 / 2: the higher, the nearer. Where nothing is left out the least is minus infinity.
        """
        keep = min(self.k + SPARE, len(self.among) - 1)
        best = _Best(len(some), keep)
        left, own = self.left[some], self.place[some]
        for at in range(0, len(self.among), TILE):
            tile = left @ self.right[at : at + TILE].T
            here = np.flatnonzero((own >= at) & (own < at + tile.shape[1]))
            tile[here, own[here] - at] = -np.inf
            best.add(tile, at)
        score, place = best.done()
        least = score.min(axis=1)
        if keep >= len(self.among) - 1:
            least = np.where(own >= 0, np.float32(-np.inf), least)
        return self.among[place], least

    def again(self, some: Ids, square: Doubles) -> tuple[Ids, Doubles]:
        """Return the k nearest of rows for which rounding, or others equally far, leaves open which these are.

        `square`: how far the k-th of their candidates is, squared; all that may be as near are looked at.
        """
        bar = ((self.square[some] - square - self.unsure[some]) / 2)[:, None]
        rows: list[Ids] = []
        places: list[Ids] = []
        for at in range(0, len(self.among), TILE):
            tile = self.left[some] @ self.right[at : at + TILE].T
            row, column = np.divmod(np.flatnonzero((tile >= bar).ravel()), tile.shape[1])
            rows.append(row)
            places.append(column + at)
        row, found = np.concatenate(rows), self.among[np.concatenate(places)]
        other = found != some[row]
        row, found = row[other], found[other]
        squares = self.squares(some[row], found)
        order = np.lexsort((found, squares, row))
        first = np.searchsorted(row[order], np.arange(len(some)))
        order = order[first[:, None] + np.arange(self.k)]
        return found[order], squares[order]

    def squares(self, a: Ids, b: Ids) -> Doubles:
        """Return the squared distances of pairs."""
        out = np.empty(len(a))
        for start in range(0, len(a), PAIRS):
            part = slice(start, start + PAIRS)
            apart = np.subtract(self.rows[a[part]], self.rows[b[part]], dtype=np.float64)
            np.einsum("ij,ij->i", apart, apart, out=out[part])
        return out


class _Best:
    """The highest scores of each of some rows so far, and where they are.

    Those that pass the least of them are gathered and put among them only when there are enough of them: to do so
    after every tile took longer than the products.
    """

    def __init__(self, rows: int, keep: int) -> None:
        self.score = np.full((rows, keep), -np.inf, np.float32)
        self.place = np.zeros((rows, keep), np.int64)
        self.bar = np.full((rows, 1), -np.inf, np.float32)
        self.waiting: list[tuple[Ids, Ids, Floats]] = []

    def add(self, tile: Floats, at: int) -> None:
        """Look through the scores of further columns, the first of which has the place `at`."""
        rows, width = tile.shape
        keep = self.score.shape[1]
        if at == 0 and width % GROUP == 0 and width // GROUP > keep:
            # each of the `keep` groups of the highest maxima has a score of that much
            most = tile.reshape(rows, GROUP, width // GROUP).max(axis=1)
            self.bar = np.partition(most, -keep, axis=1)[:, -keep, None]
        row, column = np.divmod(np.flatnonzero((tile >= self.bar).ravel()), width)
        self.waiting.append((row, column + at, tile[row, column]))
        if sum(len(row) for row, _, _ in self.waiting) > rows * keep // 2:
            self.done()

    def done(self) -> tuple[Floats, Ids]:
        """Return the highest scores of each row, float32 [rows, keep], and their places."""
        row = np.concatenate([row for row, _, _ in self.waiting])
        place = np.concatenate([place for _, place, _ in self.waiting])
        score = np.concatenate([score for _, _, score in self.waiting])
        self.waiting = [(row[:0], place[:0], score[:0])]
        order = np.argsort(row, kind="stable")
        keep, number = self.score.shape[1], np.bincount(row, minlength=len(self.score))
        to = keep + np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
        scores = np.full((len(self.score), keep + int(number.max())), -np.inf, np.float32)
        places = np.zeros(scores.shape, np.int64)
        scores[:, :keep], places[:, :keep] = self.score, self.place
        scores[row[order], to], places[row[order], to] = score[order], place[order]
        best = np.argpartition(scores, -keep, axis=1)[:, -keep:]
        self.score, self.place = np.take_along_axis(scores, best, 1), np.take_along_axis(places, best, 1)
        self.bar = self.score.min(axis=1)[:, None]
        return self.score, self.place


def _earlier_copies(rows: Floats) -> Ids:
    """Return for each row how many before it are equal to it."""
    cells = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, group = np.unique(cells, return_inverse=True)
    order = np.argsort(group, kind="stable")
    size = np.bincount(group)
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows)) - np.repeat(np.cumsum(size) - size, size)
    return rank


def local_outlier_factor(near: npt.NDArray[np.int32], far: Doubles) -> Doubles:
    """Return how much sparser it is around each row than around its k nearest, float64[n]; 1 = just as dense.

    >>> row, distance = nearest(np.array([[0], [1], [2], [9]], np.float32), 2)
    >>> local_outlier_factor(row, distance).tolist()
    [0.875, 1.333, 0.875, 4.375]

    `near`, `far` [n, k]: as `nearest` returns them. Breunig, Kriegel, Ng and Sander 2000, LOF: Identifying
    Density-Based Local Outliers; 1e-10 is added to the mean distance, so that it is finite among copies.
    """
    reach = np.maximum(far, far[:, -1][near])
    dense = 1 / (reach.mean(axis=1) + 1e-10)
    return dense[near].mean(axis=1) / dense
