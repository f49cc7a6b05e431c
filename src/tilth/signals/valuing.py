"""What each of many rows is worth to a nearest-neighbour vote, in closed form: no model is trained, nothing is drawn.

A row votes for its label. `family` says which rows descend from one source: relatives never vote on each other, for
a copy of what is asked about would tell its label and not what it is worth.
"""

from collections.abc import Iterator
from math import lgamma

import numpy as np
import numpy.typing as npt

__all__ = ["bagged_votes", "leave_one_out_values", "shapley_values", "unrelated"]

Ids = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

AT_ONCE = 8_000_000
"""Distances held at once: 64 MB in float64."""
MOST_BITS = 44
"""Of a squared distance beside the largest; what is below is rounding, and rows equally far go by their order."""
SUMMED = 8
"""Numbers in a block of sums: those of a line of the cache."""
LEFT_OUT = 1e-8
"""The chance, at most, that a bag's vote goes to a neighbour beyond those that are looked at."""


def shapley_values(
    rows: npt.NDArray[np.floating],
    label: Ids,
    reference: npt.NDArray[np.floating],
    reference_label: Ids,
    k: int,
    *,
    family: Ids | None = None,
    reference_family: Ids | None = None,
) -> Doubles:
    """Return the exact Shapley value of each row for a k-nearest-neighbour vote on reference rows; float64[n].

    >>> shapley_values(np.array([[0.0], [1], [5]]), np.array([1, 0, 1]), np.array([[0.2]]), np.array([1]), 1)
    array([ 0.8, -0.2,  0.3])

    The worth of a set of rows is the share of right votes among its k nearest to a reference row (a set of fewer than k
    gives that many votes of k), and the mean over reference rows; the values add up to the worth of all rows. Rows
    equally far vote in their order. Relatives of a reference row are left out where it is asked about, and a row's
    value is the mean over those that it is not a relative of (NaN where there is none). Jia et al. 2019, Efficient
    Task-Specific Data Valuation for Nearest Neighbor Algorithms, Theorem 1: a sort of all rows for each reference row.
    """
    n = len(rows)
    total, right = np.zeros(n), np.zeros(n + 1, np.int8)
    place = np.arange(1, n + 1, dtype=np.float64)
    step = np.minimum(k, place) / (k * place)
    blocks = np.zeros((-(-n // SUMMED), SUMMED))
    value = blocks.reshape(-1)[:n]
    _, code = np.unique(np.concatenate([label, reference_label]), return_inverse=True)
    code = code.astype(np.int32)
    for one, order, kin in _nearest_first(rows, reference, family, reference_family):
        np.take(code[:n] == code[n + one], order, out=right[:-1].view(bool), mode="clip")
        right[n - len(kin) : n] = 0  # relatives come last
        np.multiply(right[:-1] - right[1:], step, out=value)
        _sum_from_the_end(blocks)
        total += np.bincount(order, value, n)
    return _mean(total, family, reference_family, len(reference))


def _sum_from_the_end(blocks: Doubles) -> None:
    """Put in the place of each number the sum of it and all that follow.

    By blocks, since numpy's cumsum waits for each sum before the next: 3.3 ns a number, where this takes 1.4.
    """
    for i in range(SUMMED - 2, -1, -1):
        blocks[:, i] += blocks[:, i + 1]
    blocks[:-1] += np.cumsum(blocks[:0:-1, 0])[::-1, None]


def _nearest_first(
    rows: npt.NDArray[np.floating],
    reference: npt.NDArray[np.floating],
    family: Ids | None,
    reference_family: Ids | None,
) -> Iterator[tuple[int, Ids, Ids]]:
    """Yield (reference row, all rows from near to far with its relatives last, its relatives).

    The order is in memory that is used again for the next.
    """
    middle = np.asarray(rows, np.float64).mean(axis=0)  # near 0 the rounding of products is least
    rows, reference = rows - middle, reference - middle
    square, own = np.einsum("ij,ij->i", rows, rows), np.einsum("ij,ij->i", reference, reference)
    # one product gives squared distances that are already brought to 1 ... 2^bits - 3; rounding does not reach 0
    most = (np.sqrt(own) + np.sqrt(square.max(initial=0))) ** 2
    lower = len(rows).bit_length()
    bits = min(MOST_BITS, 63 - lower)
    scale = (2**bits - 4) / np.where(most > 0, most, 1)
    left = np.column_stack([scale[:, None] * -2 * reference, scale, scale * own + 1])
    right = np.ascontiguousarray(np.column_stack([rows, square, np.ones(len(rows))]).T)
    # the same memory for every block: new pages would take as long as a third of the product
    block = np.empty((max(1, min(AT_ONCE // max(len(rows), 1), len(reference))), len(rows)))
    place, order = np.arange(len(rows)), np.empty(len(rows), np.int64)
    for start in range(0, len(reference), len(block)):
        some = left[start : start + len(block)]
        for one, far in enumerate(np.matmul(some, right, out=block[: len(some)]), start):
            if family is None or reference_family is None:
                kin = np.empty(0, np.int64)
            else:
                kin = np.flatnonzero(family == reference_family[one])
            # distance and place in one number: vectors sort that five times as fast as an argsort takes, ties by place
            np.copyto(order, far, casting="unsafe")
            order[kin] = 2**bits - 1
            np.left_shift(order, lower, out=order)
            np.bitwise_or(order, place, out=order)
            order.sort()
            np.bitwise_and(order, 2**lower - 1, out=order)
            yield one, order, kin


def _mean(total: Doubles, family: Ids | None, reference_family: Ids | None, number: int) -> Doubles:
    """Return totals over the number of reference rows that are no relatives."""
    counted = np.full(len(total), float(number))
    if family is not None and reference_family is not None:
        names, count = np.unique(reference_family, return_counts=True)
        at = np.minimum(np.searchsorted(names, family), len(names) - 1)
        counted -= np.where(names[at] == family, count[at], 0)
    return np.divide(total, counted, out=np.full(len(total), np.nan), where=counted > 0)


def unrelated(near: npt.NDArray[np.int32], family: Ids) -> Ids:
    """Return the neighbours of each row without its relatives, int64[n, k], -1 at the end where fewer are left.

    >>> unrelated(np.array([[1, 2], [0, 2], [1, 0]], np.int32), np.array([7, 7, 8]))
    array([[ 2, -1],
           [ 2, -1],
           [ 1,  0]])
    """
    out = np.where(family[near] == family[:, None], -1, near).astype(np.int64)
    return np.take_along_axis(out, np.argsort(out < 0, axis=1, kind="stable"), 1)


def leave_one_out_values(near: Ids, label: Ids, k: int, *, family: Ids) -> Doubles:
    """Return how much worse the vote of the k nearest on all other rows is without a row; float64[n].

    >>> near = np.array([[1, 2], [0, 2], [1, 0]])
    >>> leave_one_out_values(near, np.array([5, 5, 6]), 1, family=np.arange(3))
    array([0.5, 0.5, 0. ])

    The worth is that of `shapley_values`, each row being asked about with all that are no relatives of it as voters. A
    row that is not among the k nearest of any is worth 0. `near` int64[n, k + 1 or more]: from near to far, relatives
    left out, -1 where there are no more.
    """
    total = np.zeros(len(near))
    right = (label[near] == label[:, None]) & (near >= 0)
    voters, next_one = near[:, :k], right[:, k : k + 1] if near.shape[1] > k else np.zeros((len(near), 1), bool)
    share = (right[:, :k].astype(np.float64) - next_one) / k
    np.add.at(total, voters[voters >= 0], share[voters >= 0])
    return _mean(total, family, family, len(near))


def bagged_votes(k: int, voters: int, draws: int) -> Doubles:
    """Return the expected share in a bag's vote of the nearest, second nearest, ... row: float64[at most `voters`].

    >>> bagged_votes(1, 3, 3).round(3)
    array([0.704, 0.259, 0.037])

    A bag is `draws` rows taken with replacement from `voters`, and its k nearest vote, a row drawn twice with two
    votes. The j-th nearest of the bag is the j-th order statistic of the draws, so that it is among the r nearest rows
    with the chance that j of the draws or more fall there: a binomial tail. Ends where all that follow have a share
    below 1e-8 together.
    """
    k = min(k, draws)
    most = min(voters, int(2 * k + 8 * np.sqrt(k) + 40) * voters // draws + 1)
    chance = np.minimum(np.arange(most + 1) / voters, 1)
    number = np.arange(k)
    choices = np.array([lgamma(draws + 1) - lgamma(j + 1) - lgamma(draws - j + 1) for j in number])
    with np.errstate(divide="ignore", invalid="ignore"):
        log = choices + number * np.log(chance)[:, None] + (draws - number) * np.log1p(-chance)[:, None]
    exactly = np.where(chance[:, None] == 0, number == 0, np.exp(log))
    exactly[chance == 1] = draws == number
    fewer = np.cumsum(exactly, axis=1)  # [r, j]: the chance that j draws or fewer are among the r nearest
    share = (fewer[:-1] - fewer[1:]).mean(axis=1)
    enough = np.flatnonzero(np.cumsum(share) >= 1 - LEFT_OUT)
    return share[: enough[0] + 1] if len(enough) else share
