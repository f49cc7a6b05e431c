"""Which parts of a table hold more errors than the rest: every conjunction of a few simple conditions, at once.

Each column is cut into bins; how many records, and how many errors, each two bins share is a product of the matrix of
bins with itself, and a condition (`age < 25`) is a sum of bins. So all pairs of conditions cost one matrix product, not
a pass over the records each. Sagadeeva and Boehm 2021, SliceLine: Fast, Linear-Algebra-based Slice Finding for ML Model
Debugging.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Coded", "Found", "adjusted", "cuts", "search", "upper_tail"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

BLOCK = 8192
"""Records of which the bins are laid out as a matrix at a time."""
WIDE = 40
"""Columns that are combined: with more, those that say most by themselves."""
COMPARED = 2000
"""Slices, best first, of which it is looked at whether they say something that those before them do not."""
SURE = 3.0
"""Standard errors taken off an error rate before slices are ranked by it: chance flatters the best of thousands."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A column cut into bins: `codes` int64[n] and the conditions on it, each a text and the bins from `lo` to `hi`."""

    codes: Ids
    bins: int
    conditions: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Found:
    """A slice: its condition, how many records and errors it has, and how sure it is (see `slices.Slice`)."""

    text: str
    size: int
    errors: int
    p_value: float
    q_value: float


def cuts(values: Floats, bins: int) -> list[float]:
    """Return where a column of numbers is cut: at its quantiles, beside values that are many, and rounded.

    >>> cuts(np.arange(100.0), 4)
    [25.0, 50.0, 75.0]
    >>> cuts(np.r_[np.zeros(900), np.arange(1.0, 101)], 4)
    [1.0, 26.0, 51.0, 76.0]

    None is the least value: each has values on both sides.
    """
    distinct, count = np.unique(values, return_counts=True)
    if len(distinct) <= 2 * bins:
        return distinct[1:].tolist()
    many = count * bins >= len(values)
    rest = np.repeat(distinct[~many], count[~many])
    at = np.quantile(rest, np.arange(1, bins) / bins, method="higher")
    beside = np.flatnonzero(many)
    found = np.unique(np.concatenate([at, distinct[many], distinct[np.minimum(beside + 1, len(distinct) - 1)]]))
    found = found[found > distinct[0]]
    if len(found) > 1 and not (found == np.rint(found)).all():
        digits = int(np.ceil(-np.log10(np.diff(found).min()))) + 1  # a tenth of the least bin is not seen
        found = np.unique(np.round(found, digits))
        found = found[(found > distinct[0]) & (found <= distinct[-1])]
    return found.tolist()


def search(columns: Sequence[Coded], wrong: Flags, *, depth: int, least: int, level: float, most: int) -> list[Found]:
    """Return the worst slices: significant at a false-discovery rate, the surest to be bad first, none said twice.

    `depth`: conditions in a slice; `least`: records in it. A slice counts at a false-discovery rate of `level` among
    all conjunctions of so many records, also those that are not looked at because there are many columns.
    """
    n, errors = len(wrong), int(wrong.sum())
    if errors in (0, n):
        return []
    kept = _telling(columns, wrong) if len(columns) > WIDE else columns
    tables = _Tables(kept, wrong, least)
    members, size, bad = tables.conjunctions(depth)
    looks = len(members) + _possible(columns, depth) - _possible(kept, depth)
    p = upper_tail(bad, size, errors, n)
    q = adjusted(p, looks)
    lift = _sure_lift(bad, size, errors, n)
    good = np.flatnonzero((q <= level) & (lift > 0))
    good = good[np.argsort(-lift[good], kind="stable")][:COMPARED]
    out: list[Found] = []
    seen = np.zeros(n, bool)
    for i in good:
        inside = tables.holds(members[i])
        new = inside & ~seen
        # half of it is not in the slices before, and holds more errors than what is in none
        if 2 * new.sum() < inside.sum() or not _worse(new, ~(inside | seen), wrong, level):
            continue
        seen |= inside
        out.append(Found(tables.text(members[i]), int(size[i]), int(bad[i]), float(p[i]), float(q[i])))
        if len(out) == most:
            break
    return out


def _worse(inside: Flags, outside: Flags, wrong: Flags, level: float) -> bool:
    both = inside | outside
    bad, size = np.array([(wrong & inside).sum()], float), np.array([inside.sum()], float)
    return bool(upper_tail(bad, size, int((wrong & both).sum()), int(both.sum()))[0] <= level)


def _telling(columns: Sequence[Coded], wrong: Flags) -> list[Coded]:
    """Return the columns of which one condition alone says most, in their order."""
    n, errors, best = len(wrong), int(wrong.sum()), np.empty(len(columns))
    for at, column in enumerate(columns):
        size = np.bincount(column.codes, minlength=column.bins).astype(np.float64)
        bad = np.bincount(column.codes[wrong], minlength=column.bins).astype(np.float64)
        best[at] = _sure_lift(bad, size, errors, n).max(initial=-np.inf)
    return [columns[at] for at in np.sort(np.argsort(-best, kind="stable")[:WIDE])]


def _possible(columns: Sequence[Coded], depth: int) -> int:
    """Return how many conjunctions of up to `depth` conditions on different columns there are."""
    sums = [1, *[0] * depth]
    for column in columns:
        for d in range(depth, 0, -1):
            sums[d] += sums[d - 1] * len(column.conditions)
    return sum(sums[1:])


def upper_tail(bad: Floats, size: Floats, errors: int, n: int) -> Floats:
    """Return the chance that `size` of n records, drawn at random, hold `bad` or more of the errors.

    >>> upper_tail(np.array([3.0, 0.0]), np.array([3.0, 3.0]), 5, 10).round(4)
    array([0.0833, 1.    ])

    Fisher's exact test. 1 for what is less than a standard deviation above what is expected, which is never
    significant.
    """
    out = np.ones(len(bad))
    mean = size * errors / n
    spread = np.sqrt(np.maximum(mean * (1 - errors / n) * (n - size) / max(n - 1, 1), 1e-12))
    todo = np.flatnonzero(bad - mean > spread)
    log = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])  # log of 0!, 1!, 2!, ...

    def among(a: npt.NDArray[np.int64] | int, b: npt.NDArray[np.int64]) -> Floats:
        return log[a] - log[b] - log[a - b]

    k, m = bad[todo].astype(np.int64), size[todo].astype(np.int64)
    first = np.exp(among(errors, k) + among(n - errors, m - k) - among(n, m))
    term, total, j = np.ones(len(todo)), np.ones(len(todo)), k.astype(np.float64)
    live = np.arange(len(todo))
    while len(live):  # each term by the one before; they fall at least as fast as a geometric series
        s = m[live].astype(np.float64)
        term[live] *= (errors - j[live]) * (s - j[live]) / ((j[live] + 1) * (n - errors - s + j[live] + 1))
        total[live] += term[live]
        j[live] += 1
        live = live[term[live] > 1e-12 * total[live]]
    out[todo] = np.minimum(first * total, 1)
    return out


def adjusted(p: Floats, looks: int) -> Floats:
    """Return for each p-value the least false-discovery rate at which it counts, of so many looks.

    >>> adjusted(np.array([0.01, 0.04, 0.03]), 3)
    array([0.03, 0.04, 0.04])

    Benjamini and Hochberg 1995, Controlling the False Discovery Rate.
    """
    order = np.argsort(p, kind="stable")
    scaled = p[order] * looks / np.arange(1, len(p) + 1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return out


def _sure_lift(bad: Floats, size: Floats, errors: int, n: int) -> Floats:
    """Return how far error rates are above that of all records, less three standard errors.

    With two errors and two right answers added: Agresti and Coull 1998, Approximate Is Better than "Exact" for Interval
    Estimation of Binomial Proportions.
    """
    inside = (bad + 2) / (size + 4)
    return inside - errors / n - SURE * np.sqrt(inside * (1 - inside) / (size + 4))


class _Tables:
    """How many records and errors conditions have together."""

    def __init__(self, columns: Sequence[Coded], wrong: Flags, least: int) -> None:
        self.columns, self.wrong, self.least = columns, wrong, least
        self.conditions = [(c, *condition) for c, one in enumerate(columns) for condition in one.conditions]
        self.column = np.array([c for c, *_ in self.conditions], np.int64)
        self.first = np.cumsum([0, *(one.bins for one in columns)])
        # each condition as the bins from `lo` to `hi`, of all columns one after the other
        self.lo = np.array([self.first[c] + lo for c, _, lo, _ in self.conditions], np.int64)
        self.hi = np.array([self.first[c] + hi for c, _, _, hi in self.conditions], np.int64)

    def conjunctions(self, depth: int) -> tuple[Ids, Floats, Floats]:
        """Return (conditions int64[m, depth], records, errors): those of enough records, -1 = no further condition.

        A condition that changes nothing about the others is not put to them.
        """
        size, bad = self._shared(np.arange(len(self.wrong)))
        alone = np.diag(size)
        some = np.flatnonzero(alone >= self.least)
        found = [(some[:, None], alone[some], np.diag(bad)[some])]
        if depth > 1:
            found.append(self._pairs(size, bad, np.minimum(alone[:, None], alone), after=-1))
        for a in some if depth > 2 else ():
            within = self._shared(np.flatnonzero(self.holds(np.array([a]))))
            # more than (a, b), (a, c) and (b, c) say
            bound = np.minimum(np.minimum(size[a][:, None], size[a]), size)
            pairs, together, wrong = self._pairs(*within, bound, after=int(self.column[a]))
            found.append((np.column_stack([np.full(len(pairs), a), pairs]), together, wrong))
        members = [np.pad(m, ((0, 0), (0, depth - m.shape[1])), constant_values=-1) for m, _, _ in found]
        sizes, errors = [size for _, size, _ in found], [bad for _, _, bad in found]
        return np.concatenate(members), np.concatenate(sizes), np.concatenate(errors)

    def _pairs(self, size: Floats, bad: Floats, bound: Floats, *, after: int) -> tuple[Ids, Floats, Floats]:
        later = (self.column[:, None] < self.column) & (self.column[:, None] > after)
        left, right = np.nonzero(later & (size >= self.least) & (size < bound))
        return np.stack([left, right], axis=1), size[left, right], bad[left, right]

    def _shared(self, rows: Ids) -> tuple[Floats, Floats]:
        """Return float64[c, c]: how many of some records, and of their errors, each two conditions share."""
        width = int(self.first[-1])
        size, bad = np.zeros((width, width)), np.zeros((width, width))
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            laid = np.zeros((len(some), width), np.float32)
            for first, column in zip(self.first, self.columns, strict=False):
                laid[np.arange(len(some)), first + column.codes[some]] = 1
            size += laid.T @ laid
            laid = laid[self.wrong[some]]
            bad += laid.T @ laid
        return self._summed(self._summed(size).T).T, self._summed(self._summed(bad).T).T

    def _summed(self, table: Floats) -> Floats:
        """Return the sum of the rows of each condition's bins."""
        total = np.cumsum(np.pad(table, ((1, 0), (0, 0))), axis=0)
        return total[self.hi] - total[self.lo]

    def holds(self, members: Ids) -> Flags:
        """Return bool[n]: the records for which some conditions hold."""
        out = np.ones(len(self.wrong), bool)
        for c, _, lo, hi in (self.conditions[i] for i in members if i >= 0):
            codes = self.columns[c].codes
            out &= (codes >= lo) & (codes < hi)
        return out

    def text(self, members: Ids) -> str:
        """Return some conditions as one."""
        return " & ".join(self.conditions[i][1] for i in members if i >= 0)
