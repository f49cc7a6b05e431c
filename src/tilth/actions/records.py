"""Records that derive from others: what their rows, keys and labels are."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.dataset import Dataset
from tilth.state import State

__all__ = ["born", "label_of"]

Ids = npt.NDArray[np.int64]


def born(
    state: State, rows: pa.Table, parent: Ids, recipes: Sequence[str], name: str
) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
    """Return rows of the user's columns as records to add, and bool[n]: whose key no living record has.

    Each is in train, has its parent's label, and a key that follows from the parent's content and the recipe: made once
    more, it is the same record.
    """
    dataset = state.dataset
    contents = dataset.content[parent].tolist()
    keys = [
        f"{key}~{name}-{hashlib.sha256(f'{content:x} {recipe}'.encode()).hexdigest()[:12]}"
        for key, content, recipe in zip(dataset.keys(parent), contents, recipes, strict=True)
    ]
    there = dataset.find(keys)
    free = (there < 0) | ~state.view.alive[np.where(there >= 0, there, 0)]
    columns: dict[str, Any] = {column: rows[column] for column in rows.column_names}
    columns |= {
        "key": pa.array(keys, pa.string()),
        "label0": pa.array(label_of(state, parent), dataset.schema.label.arrow),
        "split0": pa.array(np.zeros(len(keys), np.int8)),
        "parent": pa.array(parent, pa.int64()),
        "recipe": pa.array(list(recipes), pa.string()),
    }
    return pa.table(columns), free


def label_of(state: State, ids: Ids) -> Any:
    """Return the labels of records as `label0` stores them."""
    if state.dataset.schema.label.kind != "classes":
        return state.view.label[ids]
    return _as_json(state.dataset, ids)


def _as_json(dataset: Dataset, ids: Ids) -> list[str | None]:
    return [None if names is None else json.dumps(names) for names in dataset.labels(ids)]
