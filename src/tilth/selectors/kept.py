"""Distances to the nearest labelled record, kept on disk between rounds: only what was labelled since is compared.

They are a cache: a file is believed as far as the vectors of its records are the same to the byte and all that was
labelled still is, so one that is old, broken or deleted changes nothing but time.
"""

import os
import secrets
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tilth.selectors.spread import Cloud, lower

__all__ = ["FOLDER", "WORTH", "nearest_known"]

Floats = npt.NDArray[np.float32]
Squares = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint64]

FOLDER = "nearest"
"""Where they are, in the dataset's folder."""
WORTH = 10**9
"""Multiplications from which on distances are kept: these take 0.1 s, as long as looking whether vectors changed."""
KIND = np.dtype([("key", "<u8"), ("vector", "<u8"), ("nearest", "<f8"), ("known", "?")])


def nearest_known(folder: Path, name: str, pool: tuple[Floats, Keys], labelled: tuple[Floats, Keys]) -> Squares:
    """Return float64[n], the squared distance of each row to the nearest known one; inf without one.

    `pool`, `labelled`: the vectors of records and the hashes of their keys. `name`: whose distances these are, such as
    the selector; each has a file of its own.
    """
    (rows, keys), (known, known_keys) = pool, labelled
    points, others = Cloud.around(rows, known)
    nearest = np.full(len(rows), np.inf)
    if len(rows) * known.size < WORTH:
        lower(nearest, points, others)
        return nearest
    told = repr((name, rows.shape[1])).encode("utf-8", errors="surrogatepass")
    path = folder / FOLDER / f"{blake2b(told, digest_size=16).hexdigest()}.npy"
    now = np.concatenate([_described(rows, keys, False), _described(known, known_keys, True)])
    mine, theirs = now[: len(rows)], now[len(rows) :]
    before = _read(path)
    old = _found(before[before["known"]], theirs)
    if int(np.count_nonzero(old >= 0)) < int(np.count_nonzero(before["known"])):  # not only added to: begin anew
        before, old = before[:0], np.full(len(known), -1)
    waiting = before[~before["known"]]
    place = _found(waiting, mine)
    seen = place >= 0
    nearest[seen] = waiting["nearest"][place[seen]]
    if seen.any() and (old < 0).any():
        nearest[seen] = _lowered(nearest, points, seen, others.part(np.flatnonzero(old < 0)))
    if not seen.all():
        nearest[~seen] = _lowered(nearest, points, ~seen, others)
    if not seen.all() or (old < 0).any():
        mine["nearest"] = nearest
        _write(path, now)
    return nearest


def _lowered(nearest: Squares, points: Cloud, which: npt.NDArray[np.bool_], others: Cloud) -> Squares:
    if which.all():
        lower(nearest, points, others)
        return nearest
    some = nearest[which]
    lower(some, points.part(np.flatnonzero(which)), others)
    return some


def _described(rows: Floats, keys: Keys, known: bool) -> npt.NDArray[np.void]:
    out = np.zeros(len(rows), KIND)
    out["key"], out["known"] = keys, known
    hashes = b"".join([blake2b(row, digest_size=8).digest() for row in np.ascontiguousarray(rows)])
    out["vector"] = np.frombuffer(hashes, "<u8")
    return out


def _found(before: npt.NDArray[np.void], now: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return where each of `now` is in `before`, with the same vector; -1 where it is not."""
    if not len(before):
        return np.full(len(now), -1)
    order = np.argsort(before["key"], kind="stable")
    place = order[np.minimum(np.searchsorted(before["key"], now["key"], sorter=order), len(before) - 1)]
    same = (before["key"][place] == now["key"]) & (before["vector"][place] == now["vector"])
    return np.where(same, place, -1)


def _read(path: Path) -> npt.NDArray[np.void]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, or not whole
        return np.zeros(0, KIND)
    return found if found.dtype == KIND and found.ndim == 1 else np.zeros(0, KIND)


def _write(path: Path, rows: npt.NDArray[np.void]) -> None:
    """Write it whole or not at all; where this folder cannot be written, the next round does the work again."""
    part = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        with part.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
