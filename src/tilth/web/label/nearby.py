"""What lies near: the labelled records next to a task's, and tasks that are alike, by a model's embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.dataset import Dataset
from tilth.labeling.inbox import Task
from tilth.outputs import Outputs

__all__ = ["alike", "embedded", "neighbours"]

_FEW = 3
_MOST = 20_000
"""Labelled records that are compared, drawn evenly by id: a page is not kept waiting for a million."""
_GROUP = 24

Vectors = npt.NDArray[np.float32]


def embedded(dataset: Dataset) -> Outputs | None:
    """Return the newest outputs of a dataset that have embeddings; None where there are none."""
    found = sorted((dataset.path / "outputs").glob("*/embeddings.npy"), key=lambda path: path.stat().st_mtime)
    return Outputs(found[-1].parent) if found else None


def neighbours(dataset: Dataset, outputs: Outputs, tasks: Sequence[Task]) -> Mapping[int, str]:
    """Return for each task the labelled training records nearest to its record, in words; never the record itself."""
    near = np.flatnonzero(dataset.view.train & dataset.view.labeled)
    near = near[:: max(1, len(near) // _MOST)]
    near, theirs = _vectors(outputs, near)
    mine, vectors = _vectors(outputs, np.array([t.record for t in tasks], np.int64))
    if len(near) == 0 or len(mine) == 0:
        return {}
    apart = _distances(vectors, theirs)
    apart[mine[:, None] == near[None, :]] = np.inf
    first = np.argsort(apart, axis=1, kind="stable")[:, :_FEW]
    ids = np.unique(near[first])
    keys, labels = dataset.keys(ids), dataset.labels(ids)
    said = {i: f"{label} ({key})" for i, key, label in zip(ids.tolist(), keys, labels, strict=True)}
    told: dict[int, str] = {
        int(record): ", ".join(said[int(near[j])] for j in row if np.isfinite(apart[n, j]))
        for n, (record, row) in enumerate(zip(mine, first, strict=True))
    }
    return {t.id: told[t.record] for t in tasks if told.get(t.record)}


def alike(outputs: Outputs, tasks: Sequence[Task]) -> Mapping[int, int]:
    """Return a group for each task with an embedding: the first that has none yet, and those nearest to it."""
    by_record = {t.record: t.id for t in tasks}
    records, vectors = _vectors(outputs, np.array(list(by_record), np.int64))
    left, groups = np.arange(len(records)), dict[int, int]()
    while len(left):
        order = np.argsort(_distances(vectors[left[:1]], vectors[left])[0], kind="stable")[:_GROUP]
        seed = by_record[int(records[left[0]])]
        groups |= {by_record[int(records[i])]: seed for i in left[order]}
        left = np.delete(left, order)
    return groups


def _vectors(outputs: Outputs, records: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Vectors]:
    """Return those of these records that have an embedding, and the embeddings."""
    ids = outputs.ids
    at = np.searchsorted(ids, records)
    there = (at < len(ids)) & (ids[np.minimum(at, len(ids) - 1)] == records) if len(ids) else np.zeros(0, bool)
    records = records[there] if len(ids) else records[:0]
    vectors: Any = np.asarray(outputs.get("embeddings")[at[there]] if len(ids) else np.empty((0, 1)), np.float32)
    whole = np.isfinite(vectors).all(axis=1)
    return records[whole], vectors[whole]


def _distances(a: Vectors, b: Vectors) -> Vectors:
    squares: Vectors = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.maximum(squares, 0)
