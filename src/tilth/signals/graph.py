"""The nearest neighbours of a set of records, found once a model: in the state's memo and beside its outputs."""

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.dataset.disk import force
from tilth.signals.nearest import nearest
from tilth.signals.neighbours import unit
from tilth.state import State

__all__ = ["Graph", "METRICS", "embedded", "graph", "in_key_order"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

METRICS: Mapping[str, Callable[[Floats], Floats]] = {"cosine": unit, "euclidean": lambda rows: rows}
"""What is done to embeddings first: between rows of length 1 Euclidean distances order as cosines do."""
LEAST = 20
"""Neighbours that are found even where fewer are asked for, so that the signals' usual k need one graph."""
CELL = np.dtype([("row", "<i4"), ("distance", "<f4")])


@dataclass(frozen=True)
class Graph:
    """The nearest neighbours of records, nearest first.

    `ids` int64[m]: the records that have an embedding (for cosines: a direction), by key hash. `row` int32[m, k]:
    neighbours, as places in `ids`; of those equally far the lower key hash comes first, so a smaller k is a prefix.
    `distance` float32[m, k]: Euclidean, or 1 - the cosine similarity. k is m - 1 where there are fewer others
    than asked for.
    """

    ids: Ids
    row: npt.NDArray[np.int32]
    distance: Floats

    def first(self, k: int) -> "Graph":
        """Return it with the k nearest only."""
        return replace(self, row=self.row[:, :k], distance=self.distance[:, :k])


def graph(state: State, of: npt.NDArray[np.bool_], k: int, *, metric: str = "cosine") -> Graph:
    """Return the k nearest neighbours of each of some records among them, by their embeddings.

    Exact. Computed on first use and kept twice: in `state.memo`, and in `outputs/<model>/neighbours/` under a hash of
    what it is computed from (the metric, and keys and embeddings of the records), so other records or embeddings never
    meet it. The file appears whole or not at all; one that does not read is made anew, and where none can be written
    the memo alone keeps it. `of` bool[n]: which records. Compares all with all: m x m x d multiplications.
    """
    chosen = in_key_order(state, of)
    text = f"neighbours:{metric}:{hashlib.blake2b(chosen.tobytes(), digest_size=16).hexdigest()}"
    found: Graph | None = state.memo.get(text)
    if found is None or found.row.shape[1] < min(k, len(found.ids) - 1):
        ids, rows = embedded(state, chosen, metric)
        found = state.memo[text] = Graph(ids, *_kept(state, ids, rows, max(k, LEAST), metric))
    return found.first(k)


def in_key_order(state: State, mask: npt.NDArray[np.bool_]) -> Ids:
    """Return the ids in a mask, ordered by key hash: in an order that depends on keys only."""
    ids = np.flatnonzero(mask)
    return ids[np.argsort(state.dataset.key_hash[ids], kind="stable")]


def embedded(state: State, ids: Ids, metric: str = "cosine") -> tuple[Ids, Floats]:
    """Return those of the records that have an embedding, for cosines one with a direction, and the rows compared."""
    rows = METRICS[metric](np.asarray(state.output("embeddings")[ids], np.float32))
    known = np.isfinite(rows).all(axis=1)
    return ids[known], rows[known]


def _kept(state: State, ids: Ids, rows: Floats, k: int, metric: str) -> tuple[npt.NDArray[np.int32], Floats]:
    """Return k neighbours of each row, or more: from disk where they are, else computed and written there."""
    k = min(k, max(len(ids) - 1, 0))
    told = hashlib.blake2b(f"{metric} {rows.shape}".encode(), digest_size=16)
    told.update(state.dataset.key_hash[ids].tobytes())
    told.update(np.ascontiguousarray(rows).data)
    folder = state.dataset.path if state.outputs is None else state.outputs.folder
    path = folder / "neighbours" / f"{told.hexdigest()}.npy"
    cells = _read(path)
    if cells is None or cells.shape[0] != len(ids) or cells.shape[1] < k:
        cells = np.empty((len(ids), k), CELL)
        cells["row"], far = nearest(rows, k)
        cells["distance"] = far**2 / 2 if metric == "cosine" else far
        with suppress(OSError):  # a disk that is full or read-only costs only the time to find them again
            _write(path, cells)
    return np.ascontiguousarray(cells["row"]), np.ascontiguousarray(cells["distance"])


def _read(path: Path) -> npt.NDArray[Any] | None:
    try:
        cells = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # none there, or not a whole one
        return None
    return cells if cells.dtype == CELL and cells.ndim == 2 else None


def _write(path: Path, cells: npt.NDArray[Any]) -> None:
    """Write the file whole or not at all; in place of one with fewer neighbours."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            np.save(file, cells, allow_pickle=False)
        force(part)  # else its name may outlive a power cut, and its bytes not
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
