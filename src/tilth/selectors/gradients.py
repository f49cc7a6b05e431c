"""BADGE's gradient embeddings, never written out: k-means++ over them by their two factors."""

import numpy as np
import numpy.typing as npt

__all__ = ["gradient_seeds"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

EQUAL = 1e-12
"""Two gradients whose squared distance is this share of their squared lengths are the same one, rounded."""
BLOCK = 512
MARGIN = 1e-5
"""More than float32 loses in the bound, as a share of the squared lengths."""


def gradient_seeds(
    probabilities: Floats, embeddings: Floats, draws: Doubles, *, several: bool = False, origin: bool = False
) -> tuple[Ids, Doubles]:
    """Return (positions int64[k], lengths float64[k]): k-means++ seeds among the gradients of the last layer.

    >>> p, e = np.array([[0.6, 0.9, 0.6]], np.float32), np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    >>> position, length = gradient_seeds(np.concatenate([p, 1 - p]), e, np.array([0.5]))
    >>> position.tolist(), length.tolist()
    ([0, 2], [0.57, 0.57])

    The gradient of a record is the outer product of a = p - onehot(predicted) and its embedding h, so |g - g'|^2 =
    |a|^2|h|^2 + |a'|^2|h'|^2 - 2(a.a')(h.h'). The first is the longest gradient; each next one is drawn with a chance
    in proportion to the squared distance to the nearest so far, by the inverse of the running sum at a draw in [0, 1),
    of which k - 1 are given. `origin`: no gradient at all counts as chosen from the start. Where |a.a'||h||h'| shows
    that a record comes no nearer, h.h' is not computed, which saves most of the work. Ties go to the lower position;
    where all that is left equals a chosen one, each is as likely.

    `probabilities`: float32 [k, n]; `several`: classes do not exclude each other. `embeddings`: float32 [n, d].
    k x n x (classes + d) multiplications at most.
    """
    p = np.asarray(probabilities, np.float64)
    if several:
        a = np.ascontiguousarray((p - (p >= 0.5)).T)
    else:
        a = np.ascontiguousarray(p.T)
        a[np.arange(len(a)), p.argmax(axis=0)] -= 1
    squares = _squares(embeddings)
    square = np.einsum("ij,ij->i", a, a) * squares
    n, k = len(a), len(draws) + 1
    padded = np.zeros(n + -n % BLOCK)  # in whole blocks, so that sums of blocks are sums of rows
    nearest = padded[:n]
    nearest[:] = square if origin else np.inf
    found, taken = np.empty(k, np.int64), np.zeros(n, bool)
    # 2|a.a'||h||h'| > |g|2 + |g'|2 - nearest, in float32 with a margin for its rounding; class by class it is read fast
    scaled = np.ascontiguousarray((a * np.sqrt(squares)[:, None]).T, np.float32)
    room = (square - nearest - MARGIN * (square + nearest)).astype(np.float32)
    rounding = (embeddings.shape[1] + 4) * 2.0**-24
    for i in range(k):
        at = int(np.argmax(square)) if i == 0 else _drawn(padded, taken, float(draws[i - 1]))
        found[i], taken[at] = at, True
        shared = scaled[:, at].copy() @ scaled
        np.abs(shared, out=shared)
        shared *= 2
        maybe = np.flatnonzero(shared > room + np.float32((1 - MARGIN) * square[at]))
        rows, both = embeddings.take(maybe, axis=0), square[maybe] + square[at]
        double = 2 * (a.take(maybe, axis=0) @ a[at])
        sure = np.flatnonzero(both * (1 - rounding) - double * (rows @ embeddings[at]) < nearest[maybe])
        maybe, both = maybe[sure], both[sure]
        apart = both - double[sure] * (rows[sure].astype(np.float64) @ embeddings[at].astype(np.float64))
        apart[apart < EQUAL * both] = 0
        near = np.minimum(nearest[maybe], apart)
        nearest[maybe] = near
        room[maybe] = square[maybe] - near - MARGIN * (square[maybe] + near)
        nearest[at] = 0
    return found, np.sqrt(square[found])


def _drawn(padded: Doubles, taken: npt.NDArray[np.bool_], u: float) -> int:
    """Return the place at which the running sum passes this share of the whole: first the block, then the row."""
    sums = padded.reshape(-1, BLOCK).sum(axis=1)
    if not sums.any():
        padded = np.pad(~taken, (0, len(padded) - len(taken))).astype(np.float64)
        sums = padded.reshape(-1, BLOCK).sum(axis=1)
    total = np.cumsum(sums)
    block = _passed(total, u * total[-1])
    start = block * BLOCK
    inside = np.cumsum(padded[start : start + BLOCK])
    return start + _passed(inside, u * total[-1] - (total[block - 1] if block else 0.0))


def _passed(total: Doubles, bar: float) -> int:
    # the last place at which the sum grows, where rounding puts the bar at the sum itself
    return int(min(np.searchsorted(total, bar, side="right"), np.searchsorted(total, total[-1])))


def _squares(rows: Floats) -> Doubles:
    return np.concatenate(
        [np.einsum("ij,ij->i", part, part, dtype=np.float64) for part in np.array_split(rows, len(rows) // 4096 + 1)]
    )
