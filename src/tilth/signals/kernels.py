"""One pass over the probabilities of every record: what all signals of a prediction are made of.

Probabilities come column-major, float32 [k, n], and leave in chunks of records that stay in the cache, so that each
number is read from memory once and nothing of size k x n is made. 1M records and 10 classes: 6-10 ms on one core.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["TINY", "best", "chunks", "entropy_above", "leading", "logarithm", "mean_entropy"]

Floats = npt.NDArray[np.float32]

CHUNK = 32_768
"""Records at once: three float32 buffers and a class of that many are 512 kB, half of a usual L2 cache."""

TINY = 1e-30
"""Added before a logarithm, as 0 log 0 = 0: no probability above 1e-23 is changed by it, and it is 4 x np.maximum."""

_ONE = np.float32(1).view(np.int32)
"""The bits of 1, beyond which those of a float32 are 2^23 times its logarithm to base 2, and less."""


def _quickest_logarithm() -> np.ufunc:
    # With vectors of 512 bits log2 takes two thirds of the time of log; without them numpy has none at all for log2.
    built = np.lib.introspect.opt_func_info(func_name="^log2$", signature="float32")
    loops = {loop["current"] for loops in built.values() for loop in loops.values()}
    return np.log2 if loops & {"X86_V4", "AVX512_SKX", "AVX512F"} else np.log


logarithm = _quickest_logarithm()
"""Of whatever base is quickest here: an entropy is divided by the highest there can be, so its unit does not matter."""


def chunks(n: int) -> Iterator[slice]:
    """Yield slices that cover n records."""
    for start in range(0, n, CHUNK):
        yield slice(start, min(start + CHUNK, n))


def leading(p: Floats) -> Iterator[tuple[slice, Floats, Floats]]:
    """Yield (records, highest, second highest) probability chunk by chunk.

    The arrays are used again for the next chunk. With one class only the second is 0. NaN where any class is NaN.
    """
    p = np.asarray(p)  # a memory map's own slicing costs more than the arithmetic
    size = min(CHUNK, p.shape[1])
    high, low, less = (np.empty(size, p.dtype) for _ in range(3))
    for part in chunks(p.shape[1]):
        m = part.stop - part.start
        first, second, rest = high[:m], low[:m], less[:m]
        np.copyto(first, p[0, part])
        if len(p) == 1:
            np.multiply(first, 0, out=second)
        else:
            np.minimum(first, p[1, part], out=second)
        for j in range(1, len(p)):
            q = p[j, part]
            if j > 1:
                np.minimum(first, q, out=rest)
                np.maximum(second, rest, out=second)
            np.maximum(first, q, out=first)
        yield part, first, second


def best(p: Floats) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return (code int32[n], probability float32[n]) of each record's most probable class.

    -1 and NaN where any class is NaN. Ties go to the first class.
    """
    p = np.asarray(p)
    code, top = np.zeros(p.shape[1], np.int32), np.array(p[0], np.float32)
    flags = np.empty(min(CHUNK, p.shape[1]), bool)
    for part in chunks(p.shape[1]):
        codes, highest, better = code[part], top[part], flags[: part.stop - part.start]
        for j in range(1, len(p)):
            q = p[j, part]
            np.greater(q, highest, out=better)
            np.copyto(codes, j, where=better)
            np.maximum(highest, q, out=highest)
    code[np.isnan(top)] = -1
    return code, top


def mean_entropy(p: Floats, *, several: bool) -> Floats:
    """Return the entropy of each record's prediction over its highest possible value, float32[n] in [0, 1].

    `several=True`: classes do not exclude each other; the mean over them of the entropy of yes or no.
    """
    return _entropy(np.asarray(p), several, logarithm, _add_plogp)


def entropy_above(p: Floats, bar: float, *, several: bool) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return where `mean_entropy` is `bar` or more, or NaN, and what it is there.

    The bits of a float, read as a whole number, are a logarithm that is never too high: between two powers of 2 it is
    straight, where the logarithm bends upwards. So they give a bound in a third of the time, which few records reach.
    """
    p = np.asarray(p)
    if bar == -np.inf:
        return np.arange(p.shape[1]), mean_entropy(p, several=several)
    most = _entropy(p.astype(np.float32, copy=False), several, _in_bits, _add_bits)
    # what rounding may take from a sum of so many terms, here and there
    at = np.flatnonzero(~(most < bar - (4 * len(p) + 16) * 2.0**-24))
    found = mean_entropy(p[:, at], several=several)
    kept = ~(found < bar)
    return at[kept], found[kept]


def _entropy(
    p: Floats, several: bool, unit: Callable[[float], float], add: Callable[[Floats, Floats, Floats], None]
) -> Floats:
    out = np.zeros(p.shape[1], np.float32)
    buffer, other = (np.empty(min(CHUNK, p.shape[1]), np.float32) for _ in range(2))
    for part in chunks(p.shape[1]):
        total, term, no = out[part], buffer[: part.stop - part.start], other[: part.stop - part.start]
        for q in p[:, part]:
            add(total, q, term)
            if several:
                np.subtract(1, q, out=no)
                add(total, no, term)
        total /= np.float32(-(len(p) * unit(2) if several else unit(max(len(p), 2))))
        np.clip(total, 0, 1, out=total)  # probabilities that do not quite sum to 1
    return out


def _add_plogp(total: Floats, q: npt.NDArray[Any], term: Floats) -> None:
    np.add(q, TINY, out=term)
    logarithm(term, out=term)
    np.multiply(term, q, out=term)
    np.add(total, term, out=total)


def _in_bits(x: float) -> float:
    return float(np.log2(x)) * 2**23


def _add_bits(total: Floats, q: Floats, term: Floats) -> None:
    bits = term.view(np.int32)
    np.subtract(q.view(np.int32), _ONE, out=bits)
    np.copyto(term, bits, casting="unsafe")
    np.multiply(term, q, out=term)
    np.add(total, term, out=total)
