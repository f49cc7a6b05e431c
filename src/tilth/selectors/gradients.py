"""BADGE's gradient embeddings, never written out: k-means++ over them by their two factors."""

import numpy as np
import numpy.typing as npt

__all__ = ["gradient_seeds"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

EQUAL = 1e-12
"""Two gradients whose squared distance is this share of their squared lengths are the same one, rounded."""


def gradient_seeds(
    probabilities: Floats, embeddings: Floats, draws: Doubles, *, several: bool = False
) -> tuple[Ids, Doubles]:
    """Return (positions int64[k], lengths float64[k]): k-means++ seeds among the gradients of the last layer.

    >>> p, e = np.array([[0.6, 0.9, 0.6]], np.float32), np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    >>> position, length = gradient_seeds(np.concatenate([p, 1 - p]), e, np.array([0.5]))
    >>> position.tolist(), length.tolist()
    ([0, 2], [0.57, 0.57])

    The gradient of a record is the outer product of a = p - onehot(predicted) and its embedding h, so |g - g'|^2 =
    |a|^2|h|^2 + |a'|^2|h'|^2 - 2(a.a')(h.h'). The first is the longest gradient; each next one is drawn with a chance
    in proportion to the squared distance to the nearest so far, by the inverse of the running sum at a draw in [0, 1),
    of which k - 1 are given. Where (a.a')|h||h'| shows that a record comes no nearer, h.h' is not computed: it saves
    most of the work. Ties go to the lower position; where all that is left equals a chosen one, each is as likely.

    `probabilities`: float32 [k, n]; `several`: classes do not exclude each other. `embeddings`: float32 [n, d].
    k x n x (classes + d) multiplications at most.
    """
    p = np.asarray(probabilities, np.float64)
    if several:
        a = np.ascontiguousarray((p - (p >= 0.5)).T)
    else:
        a = np.ascontiguousarray(p.T)
        a[np.arange(len(a)), p.argmax(axis=0)] -= 1
    length = np.sqrt(_squares(embeddings))
    square = np.einsum("ij,ij->i", a, a) * length**2
    n, k = len(a), len(draws) + 1
    nearest = square.copy()
    found, taken = np.empty(k, np.int64), np.zeros(n, bool)
    for i in range(k):
        at = int(np.argmax(square)) if i == 0 else _drawn(nearest, taken, float(draws[i - 1]))
        found[i], taken[at] = at, True
        if i == 0:
            nearest[:] = np.inf
        shared = a @ a[at]
        closest = square + square[at] - 2 * np.abs(shared) * (length * length[at])
        maybe = np.flatnonzero(closest < nearest)
        inner = embeddings[maybe].astype(np.float64) @ embeddings[at].astype(np.float64)
        both = square[maybe] + square[at]
        apart = both - 2 * shared[maybe] * inner
        apart[apart < EQUAL * both] = 0
        nearest[maybe] = np.minimum(nearest[maybe], apart)
        nearest[at] = 0
    return found, np.sqrt(square[found])


def _drawn(nearest: Doubles, taken: npt.NDArray[np.bool_], u: float) -> int:
    total = np.cumsum(nearest)
    if total[-1] == 0:
        total = np.cumsum(~taken, dtype=np.float64)
    # the last place at which the sum grows: u * total may round up to the total itself
    return int(min(np.searchsorted(total, u * total[-1], side="right"), np.searchsorted(total, total[-1])))


def _squares(rows: Floats) -> Doubles:
    return np.concatenate(
        [np.einsum("ij,ij->i", part, part, dtype=np.float64) for part in np.array_split(rows, len(rows) // 4096 + 1)]
    )
