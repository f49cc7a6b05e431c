"""What training says of a record, epoch by epoch: from float32 [e, k, n] and the given class of each record."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["LEAST", "each_given", "events_of_forgetting", "given", "margin_area", "right", "squared_error_norm"]

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.integer]

BLOCK = 262_144
"""Numbers at once: all epochs and classes of a block of records are 1 MB."""
LEAST = 1e-7
"""Lower probabilities count as this, the resolution of float32 at 1: a logarithm stays finite, at -16.1."""


def each_given(epochs: Floats, ids: Codes, code: Codes, tell: Callable[[Floats, Codes], Floats]) -> Floats:
    """Return what `tell(said [e, k, m], code [m])` says of the records `ids`, block by block; float32[len(ids)].

    NaN of a record that has NaN in any epoch or class.
    """
    epochs = np.asarray(epochs)
    out = np.empty(len(ids), np.float32)
    for part in _blocks(len(ids), epochs.shape[0] * epochs.shape[1]):
        some = ids[part]
        dense = int(some[-1] - some[0]) == len(some) - 1  # then no copy is made
        said = epochs[:, :, some[0] : some[-1] + 1] if dense else epochs[:, :, some]
        out[part] = tell(said, code[part])
        out[part][np.isnan(np.add.reduce(said, axis=(0, 1)))] = np.nan
    return out


def given(said: Floats, code: Codes) -> Floats:
    """Return the probability of the given class, float32[e, m]."""
    return said[:, code, np.arange(len(code))]


def _others(said: Floats, code: Codes) -> Floats:
    """Return the highest probability of another class, float32[e, m]; -inf where there is no other."""
    rest = np.array(said)
    rest[:, code, np.arange(len(code))] = -np.inf
    return np.maximum.reduce(rest, axis=1)


def right(said: Floats, code: Codes) -> npt.NDArray[np.bool_]:
    """Return bool[e, m]: whether the given class was more probable than every other; a tie is not right."""
    return given(said, code) > _others(said, code)


def events_of_forgetting(said: Floats, code: Codes) -> Floats:
    """Return how often a record was right after one epoch and wrong after the next; e where it was never right."""
    good = right(said, code)
    times = np.count_nonzero(good[:-1] & ~good[1:], axis=0)
    return np.where(good.any(axis=0), times, len(good)).astype(np.float32)


def squared_error_norm(said: Floats, code: Codes) -> Floats:
    """Return the length of the error vector (probabilities less the one-hot label), mean over epochs."""
    own = given(said, code).astype(np.float64)
    squares = np.einsum("ekm,ekm->em", said, said, dtype=np.float64)
    return np.sqrt(np.maximum(squares - own**2, 0) + (1 - own) ** 2).mean(axis=0)


def margin_area(said: Floats, code: Codes) -> Floats:
    """Return the log-probability of the given class less the highest of another, mean over epochs."""
    own, other = np.maximum(given(said, code), LEAST), np.maximum(_others(said, code), LEAST)
    return (np.log(own) - np.log(other)).mean(axis=0)


def _blocks(n: int, numbers: int) -> Iterator[slice]:
    size = max(64, BLOCK // numbers)
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
