"""Which labels are pruned: as many as the joint says, by the lowest score, without ordering all of them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.signals.joint import SLACK, Look
from tilth.signals.kernels import chunks

__all__ = ["CLEAR", "lowest", "prune_by_class", "prune_by_noise_rate"]

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

CLEAR = -2 * SLACK
"""Where the given class is behind another by this much, the label is disputed, whatever rounding does."""


def prune_by_class(look: Look, kept: Counts, least: int) -> Mask:
    """Return which have, of each class, the lowest probability of it: as many as are not kept on the diagonal."""
    out = np.zeros(len(look.codes), np.bool_)
    for j, (rows, own) in enumerate(zip(look.by_class, look.own_by_class, strict=True)):
        if len(rows) > least:
            out[rows] = lowest(own, len(rows) - int(kept[j, j]))
    return out


def prune_by_noise_rate(look: Look, kept: Counts, least: int) -> Mask:
    """Return which have, of each class, the furthest lead of another: as many as are kept in that cell."""
    numbers = np.where((look.counts > least)[:, None], kept, 0)
    np.fill_diagonal(numbers, 0)
    out = np.zeros(len(look.codes), np.bool_)
    # What is not disputed is not flagged: each cut is looked for among the rest, and is right if it is found there.
    some = np.flatnonzero(look.disputed)
    own, codes = look.own[some], look.codes[some]
    low, high = _bars(look, some, numbers)
    for to in np.flatnonzero(numbers.any(axis=0)):
        number, q = numbers[:, to], look.p[to]
        near, lead = _reaching(q, some, own, codes, high[:, to])
        code = codes[near]
        sure = lead < low[:, to][code]
        left = number - np.bincount(code[sure], minlength=len(number))
        rest = np.flatnonzero(~sure)
        first, right = _first(lead[rest], code[rest], left)
        sure[rest[first]] = True
        sure &= right[code]
        out[some[near[sure]]] = True
        for j in np.flatnonzero(~right):
            rows = look.by_class[j]
            out[rows[lowest(look.own_by_class[j] - q[rows], int(number[j]))]] = True
    return out


def _reaching(q: Array, some: Counts, own: Array, codes: Array, bars: Array) -> tuple[Counts, Array]:
    """Return (places in `some`, leads) of records by which another class, of probability q, leads as far as a bar."""
    places, leads = [np.empty(0, np.int64)], [np.empty(0, q.dtype)]
    for part in chunks(len(some)):
        lead = own[part] - q[some[part]]
        found = np.flatnonzero(lead <= bars[codes[part]])
        places.append(found + part.start)
        leads.append(lead[found])
    return np.concatenate(places), np.concatenate(leads)


def _first(lead: Array, code: Array, number: Counts) -> tuple[Counts, Mask]:
    """Return (which are the lowest `number[j]` leads of each class j, whether that can be said of class j).

    It cannot where there are fewer, and where a lead beyond them is equal.
    """
    order = np.argsort(lead)
    order = order[np.argsort(code[order], kind="stable")]
    found = np.bincount(code, minlength=len(number))
    start = np.cumsum(found) - found
    ordered = np.append(lead[order], [np.inf, np.inf])
    end = np.clip(start + number, 1, len(lead))
    tied = (number > 0) & (number < found) & (ordered[end - 1] == ordered[end])
    right = (number >= 0) & (number <= found) & ~tied
    place = np.arange(len(lead)) - np.repeat(start, found)
    return order[place < np.repeat(np.where(right, number, 0), found)], right


def _bars(look: Look, some: Counts, numbers: Counts) -> tuple[Array, Array]:
    """Return (lower, higher) for each pair of classes: leads between which the last that is looked for probably is.

    From a sample of the records, so that few leads have to be ordered: three standard errors from the number to be
    expected there.
    """
    k = len(numbers)
    step = max(1, min(16, len(some) // (64 * k)))
    sample = some[::step]
    sample = sample[np.argsort(look.codes[sample], kind="stable")]
    ends = np.cumsum(np.bincount(look.codes[sample], minlength=k))
    expected = numbers / step
    error = 3 * np.sqrt(expected) + 2 if step > 1 else np.zeros_like(expected)
    first, last = np.ceil(expected - error).astype(np.int64) - 1, np.ceil(expected + error).astype(np.int64) - 1
    low, high = np.full((2, k, k), -np.inf, look.p.dtype)
    for j, rows in enumerate(np.split(sample, ends[:-1])):
        to = np.flatnonzero(numbers[j])
        leads = np.full((len(to), len(rows) + 2), CLEAR, look.p.dtype)
        leads[:, 0] = -np.inf
        leads[:, 1:-1] = np.sort(look.own[rows] - look.p[:, rows][to], axis=1)
        at = np.arange(len(to))
        low[j, to] = leads[at, np.clip(first[j, to] + 1, 0, len(rows) + 1)]
        high[j, to] = leads[at, np.clip(last[j, to] + 1, 0, len(rows) + 1)]
    return np.minimum(low, CLEAR), np.minimum(high, CLEAR)


def lowest(score: Array, number: int) -> Mask:
    """Return which are the lowest so many."""
    if number >= len(score):
        return np.ones(len(score), np.bool_)
    if number <= 0:
        return np.zeros(len(score), np.bool_)
    low = score <= np.partition(score, number - 1)[number - 1]
    if np.count_nonzero(low) > number:
        low[:] = False
        low[np.argpartition(score, number)[:number]] = True
    return low
