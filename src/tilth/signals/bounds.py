"""Which pairs of rows have a cosine of so much or more: most are ruled out by a few numbers a row, without doubt.

A row of length 1 is turned so that its first coordinates hold most of what there is (the leading directions of a
principal component analysis without centring), and all it has beyond the first m is kept as one length. By Cauchy and
Schwarz the product of two rows is at most that of their first m coordinates plus the product of the two lengths: a
matrix product of m + 1 columns, an upper bound for every pair. The few pairs that it lets through are multiplied out.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["Pruned", "joined"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

ROUNDING = 1e-6
"""Two equal rows of length 1 have a product this far from 1."""
SLACK = 2e-5
"""What turning and rounding may take from a bound: ten times the most that was seen, 1e-6 at 2,048 dimensions."""
SAMPLE = 2048
"""Rows from which the directions and their number are chosen; any choice is exact, a bad one is slow."""
WIDTHS = (8, 16, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)
AT_ONCE = 1024
"""Pairs multiplied out at once: 2 x 256 rows of 384 numbers are 800 kB, which stay in the cache."""
OVERHEAD, GATHERED = 16, 40
"""Cost in columns of a product: of one product whatever its width, and of a multiplication outside of a matrix product.

Measured: a product of w columns takes (w + 16) / 50 ns, to fetch and multiply out two rows of 384 takes 120 ns.
"""


class Pruned:
    """Unit rows [n, d] made ready to find, between any of them, the pairs whose cosine is `threshold` or more.

    >>> rows = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6]], np.float32)
    >>> [found.tolist() for found in Pruned(rows, 0.9).between(np.arange(3), np.arange(3))]
    [[0, 1, 1, 2, 2], [0, 1, 2, 1, 2]]
    """

    def __init__(self, rows: Floats, threshold: float) -> None:
        self.rows = rows
        self.bar = np.float32(threshold - ROUNDING)
        self.loose = np.float32(threshold - ROUNDING - SLACK)
        self.short = _shortened(rows, self.loose)

    def between(self, left: Ids, right: Ids) -> tuple[Ids, Ids]:
        """Return the pairs (place in `left`, place in `right`) whose rows are that close, a row with itself as well."""
        bound = self.short[left] @ self.short[right].T
        i, j = self.passing(bound)
        if self.short is self.rows:
            return i, j
        return self.checked(left, right, i, j)

    def passing(self, bound: Floats) -> tuple[Ids, Ids]:
        """Return where a block of bounds reaches the bar."""
        bar = self.bar if self.short is self.rows else self.loose
        return np.divmod(np.flatnonzero((bound >= bar).ravel()), bound.shape[1])

    def checked(self, left: Ids, right: Ids, i: Ids, j: Ids) -> tuple[Ids, Ids]:
        """Return those of the pairs whose rows, multiplied out, are that close."""
        if len(i) * GATHERED > len(left) * len(right):
            near = (self.rows[left] @ self.rows[right].T)[i, j] >= self.bar
        else:
            near = np.empty(len(i), bool)
            for start in range(0, len(i), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                a, b = self.rows[left[i[part]]], self.rows[right[j[part]]]
                near[part] = np.einsum("ij,ij->i", a, b) >= self.bar
        return i[near], j[near]


def _shortened(rows: Floats, loose: np.float32) -> Floats:
    """Return float32 [n, m + 1], whose products are bounds; `rows` themselves where that is no less work."""
    n, d = rows.shape
    if n <= max(SAMPLE, 9 * d) or d <= WIDTHS[0]:  # to find the directions takes as long as 40 d^3 multiplications
        return rows
    # other rows than those it is judged on: of its own rows 2,000 hold twice as much in the leading of 384 directions
    learnt, some = rows[:: max(2, 2 * n // (8 * SAMPLE))], rows[1 :: max(2, n // SAMPLE)]
    turn = np.linalg.eigh((learnt.T @ learnt).astype(np.float64))[1][:, ::-1].astype(np.float32)
    turned = some @ turn
    least, best = float(d + OVERHEAD), d
    for width in (w for w in WIDTHS if w < d):
        short = _with_rest(turned[:, :width])
        share = float((short @ short.T >= loose).mean()) - 1 / len(some)
        work = width + OVERHEAD + share * GATHERED * d
        if work < least:
            least, best = work, width
    if best == d:
        return rows
    return _with_rest(rows @ np.ascontiguousarray(turn[:, :best]))


def _with_rest(first: Floats) -> Floats:
    """Return the first coordinates of rows of length 1, and the length of all that they have beyond."""
    rest = 1 - np.einsum("ij,ij->i", first, first, dtype=np.float64)
    return np.column_stack([first, np.sqrt(np.maximum(rest, 0)).astype(np.float32)])


def joined(label: Ids, i: Ids, j: Ids) -> Ids:
    """Return for each of n the lowest member of its group, once each pair (i, j) is in one group.

    >>> joined(np.arange(5), np.array([3, 1]), np.array([1, 4]))
    array([0, 1, 2, 1, 1])

    `label` int64[n]: the groups before, in the same form. Roots take the lowest root they are joined to, again and
    again, which needs about log n rounds (Shiloach and Vishkin 1982).
    """
    label = label.copy()
    while len(i):
        a, b = label[i], label[j]
        apart = a != b
        i, j, a, b = i[apart], j[apart], a[apart], b[apart]
        np.minimum.at(label, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(label, root := label[label]):
            label = root
    return label
