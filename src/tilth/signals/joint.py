"""The confident joint of given and probable labels, and what it is counted from (Northcutt, Jiang and Chuang 2021)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.errors import UsageError
from tilth.signals.kernels import CHUNK, chunks

__all__ = ["SLACK", "Look", "calibrated", "checked", "own_probability", "with_examples"]

Array = npt.NDArray[Any]
Counts = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SLACK = 1e-6
"""A probability this near to a threshold reaches it; a label this near to the most probable class is not disputed."""
UNSEEN = 2.0
"""The threshold of a class without labels: no probability reaches it."""


@dataclass(frozen=True, eq=False)
class Look:
    """What filters need of the probabilities; each is computed when it is first asked for."""

    p: Array
    codes: Array

    @cached_property
    def own(self) -> Array:
        """The probability of the given class."""
        return own_probability(self.p, self.codes)

    @cached_property
    def top(self) -> Array:
        """The highest probability."""
        p = self.p
        out = np.array(p[0])
        for part in chunks(p.shape[1]):
            for q in p[1:, part]:
                np.maximum(out[part], q, out=out[part])
        if np.isnan(out).any():
            raise UsageError("some probabilities are NaN; leave out the records that the model has not seen")
        return out

    @cached_property
    def disputed(self) -> Mask:
        """Whether another class is more probable than the given one."""
        return self.own <= self.top - self.p.dtype.type(SLACK)

    @cached_property
    def counts(self) -> Counts:
        """How many records have each label."""
        return np.bincount(self.codes, minlength=len(self.p))

    @cached_property
    def by_class(self) -> list[npt.NDArray[np.int64]]:
        """The records with each label, in their order."""
        order = np.argsort(self.codes, kind="stable")  # a radix sort, because codes are small
        return np.split(order, np.cumsum(self.counts)[:-1])

    @cached_property
    def own_by_class(self) -> list[Array]:
        """`own` of the records of `by_class`."""
        return [self.own[rows] for rows in self.by_class]

    @cached_property
    def thresholds(self) -> npt.NDArray[np.float64]:
        """See `class_thresholds`."""
        found = [own.mean() if len(own) else UNSEEN for own in self.own_by_class]
        return np.maximum(np.array(found, np.float64), 2 * SLACK)

    @cached_property
    def guess(self) -> Array:
        """The class that each record confidently is of, k where there is none."""
        return _guess(self.p, [_at_least(bar - SLACK, self.p.dtype) for bar in self.thresholds])

    @cached_property
    def joint(self) -> Counts:
        """See `confident_joint`; not calibrated."""
        k = len(self.p)
        cells = np.multiply(self.codes, k + 1, dtype=np.intp)
        cells += self.guess
        out = np.bincount(cells, minlength=k * (k + 1)).reshape(k, k + 1)[:, :k].copy()
        np.fill_diagonal(out, np.maximum(out.diagonal(), 1))
        return out


def checked(p: Array, labels: Array) -> tuple[Array, Array]:
    """Return probabilities row by row in memory and labels in the smallest type; UsageError where they do not fit."""
    p, labels = np.asarray(p), np.asarray(labels)
    if p.ndim != 2 or p.dtype.str not in ("<f4", "<f8") or not 0 < len(p) < 2**16 - 1:
        raise UsageError(f"probabilities are float32 or float64 [k, n], a row a class; got {p.dtype}{list(p.shape)}")
    if labels.shape != p.shape[1:] or labels.dtype.kind not in "iu":
        raise UsageError(f"labels are integers [{p.shape[1]}], one a record; got {labels.dtype}{list(labels.shape)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(p):
        raise UsageError(
            f"labels are 0 to {len(p) - 1}, a row of the probabilities; got {labels.min()}..{labels.max()}"
        )
    return np.ascontiguousarray(p), labels.astype(np.uint8 if len(p) < 2**8 - 1 else np.uint16, copy=False)


def own_probability(p: Array, codes: Array) -> Array:
    """Return the probability of the given class of each record."""
    n = p.shape[1]
    out, flat = np.empty(n, p.dtype), p.reshape(-1)
    for part in chunks(n):
        at = np.multiply(codes[part], n, dtype=np.intp)
        at += np.arange(part.start, part.stop)
        np.take(flat, at, out=out[part], mode="clip")  # "raise" would copy
    return out


def _at_least(bar: float, dtype: np.dtype[Any]) -> Any:
    """Return the least number of a type that reaches a bar."""
    near = dtype.type(bar)
    return near if near >= bar else np.nextafter(near, dtype.type(np.inf))


def _guess(p: Array, bars: list[Any]) -> Array:
    k, n = p.shape
    code = np.uint8 if k < 2**8 - 1 else np.uint16
    out = np.empty(n, code)
    size = min(n, CHUNK)
    top = np.empty(size, p.dtype)
    best, last, some = (np.empty(size, code) for _ in range(3))
    reaches, again, one, several = (np.empty(size, np.bool_) for _ in range(4))
    for part in chunks(n):
        if part.stop - part.start < size:
            size = part.stop - part.start
            top, best, last, some = top[:size], best[:size], last[:size], some[:size]
            reaches, again, one, several = reaches[:size], again[:size], one[:size], several[:size]
        top[:] = p[0, part]
        best[:] = last[:] = 0
        several[:] = False
        np.greater_equal(top, bars[0], out=one)
        number = reaches.view(np.uint8)  # the same bytes: numpy multiplies bool by way of another type
        for j in range(1, k):
            q = p[j, part]
            # The highest number of a class that was ahead of those before it: a masked copy would take longer.
            np.greater(q, top, out=reaches)
            np.multiply(number, code(j), out=some)
            np.maximum(best, some, out=best)
            np.maximum(top, q, out=top)
            np.greater_equal(q, bars[j], out=reaches)
            np.multiply(number, code(j), out=some)
            np.maximum(last, some, out=last)
            np.logical_and(one, reaches, out=again)
            np.logical_or(several, again, out=several)
            np.logical_or(one, reaches, out=one)
        np.copyto(last, best, where=several)
        last[~one] = k
        out[part] = last
    return out


def calibrated(joint: Counts, counts: Counts) -> Counts:
    """Return the joint with rows that add up to the number of labels of each class."""
    # Column by column in memory: that decides the last bit of the sum, and with it which of equal fractions goes up.
    share = np.asfortranarray(joint / joint.sum(axis=1, keepdims=True) * counts[:, None])
    total = share.sum()
    if total:
        share = share / total * counts.sum()
    return np.array([_rounded(row) for row in share])


def _rounded(row: Array) -> Counts:
    """Return whole numbers with the same sum: to the nearest, and those furthest off then go the other way."""
    out = np.round(row)
    while missing := round(float(np.round(row.sum()) - out.sum())):
        step = 1 if missing > 0 else -1
        out[np.argsort(row - out)[::-step][: abs(missing)]] += step
    return out.astype(np.int64)


def with_examples(joint: Counts, least: int) -> Counts:
    """Return the joint with at least so many on its diagonal, taken from the others of the row in equal parts."""
    diagonal = joint.diagonal()
    more = np.maximum(diagonal, least)
    others = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    out = joint - ((more - diagonal) / others)[:, None]
    out[joint == 0] = 0
    np.fill_diagonal(out, more)
    return np.maximum(out, 0).astype(np.int64)
