"""A small dataset for tests of the record store, and short names for what is done to it."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.changes import EVENT, Changes, Field, Op, events
from tilth.dataset import Dataset

KINDS = ["cat", "dog", "cat", "dog", "cat", None]
NOTHING = EVENT.empty_table()


def table(n: int = 6, start: int = 0) -> dict[str, Any]:
    return {
        "name": [f"p{i}" for i in range(start, start + n)],
        "x": np.arange(start * 3, (start + n) * 3, dtype=np.float32).reshape(n, 3),
        "note": [f"note {i}" for i in range(start, start + n)],
        "kind": (KINDS * n)[:n],
    }


def make_pets(folder: Path, **options: Any) -> Dataset:
    """Make a dataset of six animals, the last without a label."""
    source = table()
    source["kind"] = pa.array(source["kind"])
    options = {"splits": {"train": 1}, "durability": "process"} | options
    return Dataset.create(folder / "pets", source, key="name", label="kind", **options)


def label(ds: Dataset, keys: list[str], name: str | None, **why: Any) -> Changes:
    code = -1 if name is None else ds.schema.label.code(name)
    return Changes(events(Op.SET, ds.ids(keys), field=Field.LABEL, num=code, **why))


def child(ds: Dataset, source: str, key: str, name: str | None = "cat", recipe: str | None = "flip") -> Changes:
    added = pa.table(
        {
            "key": [key],
            "x": pa.array([[0.0, 0.0, 0.0]], pa.list_(pa.float32(), 3)),
            "note": ["made"],
            "label0": pa.array([-1 if name is None else ds.schema.label.code(name)], pa.int32()),
            "split0": pa.array([0], pa.int8()),
            "parent": ds.ids([source]),
            "recipe": pa.array([recipe], pa.string()),
        }
    )
    return Changes(NOTHING, added)


def seen(ds: Dataset) -> dict[str, Any]:
    keys = ds.table()["key"].to_pylist()
    return dict(zip(keys, ds.labels(), strict=True))


def asked(ds: Dataset, key: str) -> int:
    return int(ds.view.asked[ds.ids([key])[0]])
