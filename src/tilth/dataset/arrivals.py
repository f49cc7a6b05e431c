"""How rows of a source become records: their splits, and the list of those that were refused."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.changes import EVENT, Batch, Changes
from tilth.dataset.disk import force
from tilth.dataset.log import Commit
from tilth.dataset.readers import Imported
from tilth.dataset.splits import assign_splits, key_hashes

__all__ = ["REJECTED", "arrivals", "cells", "newest", "note_rejected", "rejected"]

REJECTED = pa.schema([("source", pa.string()), ("row", pa.int64()), ("key", pa.string()), ("reason", pa.string())])


def arrivals(rows: Imported, *, splits: Mapping[str, float], stratify: bool, seed: int) -> Changes:
    """Return the changes that add a source's rows; where it gave no split, the key's hash decides."""
    given = rows.table["split0"].to_numpy()
    if (given < 0).any():
        strata = None
        if stratify and rows.schema.label.kind == "class":
            strata = rows.table["label0"].to_numpy()
        drawn = assign_splits(key_hashes(rows.table["key"]), fractions=splits, seed=seed, strata=strata)
        given = np.where(given < 0, drawn, given).astype(np.int8)
    at = rows.table.column_names.index("split0")
    return Changes(EVENT.empty_table(), rows.table.set_column(at, "split0", pa.array(given)))


def newest(commits: Sequence[Commit], source: str) -> Batch | None:
    """Return the newest batch of a source that these versions hold, None where they hold none.

    A version that was undone or rolled back counts: its rows were read, and are among the removed records.
    """
    found = (c.meta["batch"] for c in reversed(commits) if "batch" in c.meta and c.meta["batch"]["source"] == source)
    told = next(found, None)
    return None if told is None else Batch(**told)


def note_rejected(dataset: Path, rows: pa.Table | None, batch: Batch | None = None, *, sync: bool = False) -> None:
    """Keep the list of refused rows beside the dataset; that of a batch once, though it is written down again."""
    if rows is None or rows.num_rows == 0:
        return
    folder = dataset / "rejected"
    folder.mkdir(exist_ok=True)
    n = len(list(folder.glob("*.arrow")))
    mark = secrets.token_hex(4)
    if batch is not None:
        told = json.dumps([batch.source, batch.first, batch.rows])
        mark = f"b-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        if next(folder.glob(f"*-{mark}.arrow"), None) is not None:
            return
    part = folder / f".{secrets.token_hex(4)}.part"
    with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, REJECTED) as writer:
        writer.write_table(rows.cast(REJECTED))
    path = part.rename(folder / f"{n:04d}-{mark}.arrow")
    if sync:
        force(path, folder)


def rejected(dataset: Path) -> pa.Table:
    """Return all refused rows, oldest import first."""
    folder = dataset / "rejected"
    tables: list[pa.Table] = []
    for path in sorted(folder.glob("*.arrow")) if folder.is_dir() else []:
        with pa.OSFile(str(path), "rb") as file:
            tables.append(pa.ipc.open_file(file).read_all())
    return pa.concat_tables(tables) if tables else REJECTED.empty_table()


def cells(column: pa.ChunkedArray) -> list[Any]:
    """Return a column as a user's function sees it: vectors as float32 arrays, the rest as plain Python."""
    if pa.types.is_fixed_size_list(column.type):
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return list(flat.reshape(-1, column.type.list_size).astype(np.float32))
    return column.to_pylist()
