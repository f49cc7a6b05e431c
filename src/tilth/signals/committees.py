"""How far the members of a committee, or several random passes, disagree: one pass over what each of them said.

What they said comes as float32 [d, k, n] and is worked on in blocks of records that stay in the cache, so that each
number is read from memory once and nothing as large as a member's predictions is made.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tilth.signals.kernels import TINY, logarithm

__all__ = ["mutual_information", "vote_entropy"]

Floats = npt.NDArray[np.float32]

BLOCK = 131_072
"""Numbers at once: a class of that many, from all members, is 512 kB: calls cost more than what leaves an L2 cache."""


def mutual_information(draws: Floats, *, several: bool = False) -> Floats:
    """Return the entropy of the mean prediction less the mean entropy of each, over log k; float32[n] in [0, 1].

    >>> one, two = [[1, 0.5], [0, 0.5]], [[0, 0.5], [1, 0.5]]  # two members, each [k, n]
    >>> mutual_information(np.array([one, two], np.float32))
    array([1., 0.], dtype=float32)

    `several=True`: classes do not exclude each other; the mean over them for yes or no. NaN where any number is NaN.
    """
    draws = np.asarray(draws)  # a memory map's own slicing costs more than the arithmetic
    d, k, n = draws.shape
    out = np.empty(n, np.float32)
    share, most = np.float32(1 / d), np.float32(k * logarithm(2) if several else logarithm(max(k, 2)))
    for part in _blocks(n, d):
        m = part.stop - part.start
        term, no = np.empty((d, m), np.float32), np.empty((d if several else 0, m), np.float32)
        mean, total, inner = (np.zeros(m, np.float32) for _ in range(3))
        for j in range(k):
            q = draws[:, j, part]
            np.add.reduce(q, axis=0, out=mean)
            mean *= share
            total -= _plogp(mean, term[0]).copy()
            inner += np.add.reduce(_plogp(q, term), axis=0)
            if several:
                total -= _plogp(1 - mean, term[0]).copy()
                inner += np.add.reduce(_plogp(np.subtract(1, q, out=no), term), axis=0)
        inner *= share
        total += inner
        total /= most
        np.clip(total, 0, 1, out=out[part])  # probabilities that do not quite sum to 1, and rounding
    return out


def vote_entropy(draws: Floats) -> Floats:
    """Return the entropy of the classes that members vote for, over the most that it could be; float32[n] in [0, 1].

    >>> vote_entropy(np.array([[[0.9, 0.9], [0.1, 0.1]], [[0.4, 0.8], [0.6, 0.2]]], np.float32))
    array([1., 0.], dtype=float32)

    A member votes for its most probable class, the first of equals. d votes among k classes have at most the entropy
    log min(d, k). NaN where any number is NaN.
    """
    draws = np.asarray(draws)
    d, k, n = draws.shape
    out = np.empty(n, np.float32)
    shares = np.arange(d + 1) / d
    table = (-shares * np.log(np.maximum(shares, TINY)) / np.log(max(min(d, k), 2))).astype(np.float32)
    for part in _blocks(n, d + k):
        m = part.stop - part.start
        top, votes = np.array(draws[:, 0, part]), np.zeros((d, m), np.min_scalar_type(k - 1))
        better = np.empty((d, m), bool)
        for j in range(1, k):
            q = draws[:, j, part]
            np.greater(q, top, out=better)
            np.copyto(votes, votes.dtype.type(j), where=better)
            np.maximum(top, q, out=top)
        place = votes.astype(np.int64) * m + np.arange(m)
        counts = np.bincount(place.ravel(), minlength=k * m).reshape(k, m)
        np.clip(table[counts].sum(axis=0), 0, 1, out=out[part])
        out[part][np.isnan(top).any(axis=0)] = np.nan
    return out


def _blocks(n: int, numbers: int) -> Iterator[slice]:
    size = max(64, BLOCK // numbers)
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def _plogp(q: Floats, out: Floats) -> Floats:
    np.add(q, TINY, out=out)
    logarithm(out, out=out)
    return np.multiply(out, q, out=out)
