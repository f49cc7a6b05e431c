"""Chance by record: a draw is a function of the record's key and a salt, so order and growth change nothing."""

import operator
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.dataset.schema import SPLITS
from tilth.errors import UsageError, did_you_mean

__all__ = ["FRACTIONS", "assign_splits", "draw", "key_hashes", "uniform"]

FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.8, "valid": 0.1, "test": 0.1})
"""The shares of the splits where nothing else is asked for."""


def key_hashes(keys: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each key that is the same on every machine, for ever.

    >>> key_hashes(pa.array(["cat/1.png", "cat/2.png"])).tolist()
    [904424096894533348, 18164274012330265577]

    BLAKE2b (RFC 7693) of the key's UTF-8, 8 bytes, little-endian; 1 s for a million keys. (xxhash takes 0.2 s, but is
    no part of Python, and this is done once a record.) `keys`: n texts without null. Returns `uint64[n]`.
    """
    cells: list[bytes] = keys.cast(pa.large_binary()).to_pylist()
    digests = b"".join([blake2b(cell, digest_size=8).digest() for cell in cells])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def draw(key_hash: npt.NDArray[np.uint64], *salt: str | int) -> npt.NDArray[np.uint64]:
    """Return 64 random bits a record: the one source of chance by record (splits, samples, folds, errors of an oracle).

    >>> hashes = key_hashes(pa.array(["a", "b"]))
    >>> bool((draw(hashes, "folds", 1) == draw(hashes, "folds", 1)).all())
    True
    >>> bool((draw(hashes, "folds", 1) == draw(hashes, "folds", 2)).any())
    False

    SplitMix64 (Steele, Lea and Flood 2014) of the hash of the key, xor that of the salt. `salt`: what the draw is for,
    texts and integers; 1 and "1" differ, and so do ("ab", "c") and ("a", "bc"). `key_hash`: `uint64[n]`. Returns
    `uint64[n]`.
    """
    if key_hash.dtype != np.uint64:
        raise UsageError(f"draw takes the uint64 of key_hashes(keys), got {key_hash.dtype}")
    with np.errstate(over="ignore"):
        z = (key_hash ^ _salt(salt)) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(key_hash: npt.NDArray[np.uint64], *salt: str | int) -> npt.NDArray[np.float64]:
    """Return a random number in [0, 1) a record: `draw`, of which the first 53 bits are taken.

    >>> u = uniform(key_hashes(pa.array(["a", "b", "c"])), "sample")
    >>> bool(((u >= 0) & (u < 1)).all())
    True
    """
    return np.multiply(draw(key_hash, *salt) >> np.uint64(11), 2.0**-53, dtype=np.float64)


def assign_splits(
    key_hash: npt.NDArray[np.uint64],
    *,
    fractions: Mapping[str, float] = FRACTIONS,
    seed: int = 0,
    strata: npt.NDArray[Any] | None = None,
) -> npt.NDArray[np.int8]:
    """Return the split of each record, as its position in `SPLITS`.

    >>> hashes = key_hashes(pa.array([str(i) for i in range(1000)]))
    >>> np.bincount(assign_splits(hashes)).tolist()
    [808, 96, 96]
    >>> np.bincount(assign_splits(hashes, strata=np.arange(1000) % 2)).tolist()
    [800, 100, 100]

    Without `strata` the split of a record depends on its key and the seed alone: new records never move others, and
    shares are met as chance has it. With `strata` (`int[n]`, label codes; -1, no label, is a stratum like any other)
    the shares of every stratum are met to less than one record, and those of the whole as closely as that allows;
    records of a stratum are dealt in the order of their draws. A stratum always has a record in train if train has a
    share, for a class that no model sees cannot be learned.

    `fractions`: shares of "train", "valid", "test", 0 or more, summing to 1; who is not named gets none. Returns
    `int8[n]`. Raises UsageError where the fractions or the shape of `strata` are wrong.
    """
    shares = _shares(fractions)
    salt = ("split", operator.index(seed))
    if strata is None:
        ends = np.cumsum(shares)
        ends[np.flatnonzero(shares)[-1] :] = 1.0  # the sum may be a rounding below 1
        return np.searchsorted(ends, uniform(key_hash, *salt), side="right").astype(np.int8)
    if strata.shape != key_hash.shape or strata.dtype.kind not in "iu":
        raise UsageError(
            f"strata are int[{len(key_hash)}], a label code for each record; got {strata.dtype} of shape {strata.shape}"
        )
    order = np.lexsort((key_hash, draw(key_hash, *salt), strata))
    _, sizes = np.unique(strata, return_counts=True)
    counts = _deal(sizes.tolist(), shares)
    splits = np.empty(len(key_hash), dtype=np.int8)
    splits[order] = np.repeat(np.tile(np.arange(len(shares), dtype=np.int8), len(sizes)), counts.reshape(-1))
    return splits


def _deal(sizes: list[int], shares: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return how many records of each stratum go to each split: `int64[strata, splits]`.

    Each share is rounded down; the records left over go where most is owed, over all strata so far. Rounded stratum by
    stratum instead, a hundred classes of four records each would never give one to the third split.
    """
    counts = np.zeros((len(sizes), len(shares)), dtype=np.int64)
    owed = np.zeros(len(shares))
    for stratum, size in enumerate(sizes):
        quota = shares * size
        counts[stratum] = np.floor(quota + 1e-9)
        owed += quota - counts[stratum]
        open_to = np.where(quota - counts[stratum] > 1e-9, owed, -np.inf)
        for split in np.argsort(-open_to, kind="stable")[: size - int(counts[stratum].sum())]:
            counts[stratum, split] += 1
            owed[split] -= 1
        if shares[0] > 0 and counts[stratum, 0] == 0:
            giver = int(np.argmax(counts[stratum]))
            counts[stratum, [0, giver]] += (1, -1)
            owed[[0, giver]] += (-1, 1)
    return counts


def _shares(fractions: Mapping[str, float]) -> npt.NDArray[np.float64]:
    for name, share in fractions.items():
        if name not in SPLITS:
            raise UsageError(f"fractions: no split {name!r}. {did_you_mean(name, SPLITS)}")
        if not 0 <= share <= 1:
            raise UsageError(f"fractions: the share of {name!r} is {share}; it must be between 0 and 1")
    shares = np.array([float(fractions.get(name, 0.0)) for name in SPLITS])
    if abs(shares.sum() - 1) > 1e-6:
        raise UsageError(f"fractions must sum to 1; {dict(fractions)} sums to {shares.sum():g}")
    return shares / shares.sum()


def _salt(salt: tuple[str | int, ...]) -> np.uint64:
    told = repr(tuple(part if isinstance(part, str) else operator.index(part) for part in salt))
    return np.uint64(
        int.from_bytes(blake2b(told.encode("utf-8", errors="surrogatepass"), digest_size=8).digest(), "little")
    )
