"""How rows of a source become records: their splits, and the list of those that were refused."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.changes import EVENT, Changes
from tilth.dataset.readers import Imported
from tilth.dataset.splits import assign_splits, key_hashes

__all__ = ["REJECTED", "arrivals", "cells", "note_rejected", "rejected"]

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


def note_rejected(dataset: Path, rows: pa.Table) -> None:
    """Keep the list of refused rows beside the dataset."""
    if rows.num_rows == 0:
        return
    folder = dataset / "rejected"
    folder.mkdir(exist_ok=True)
    n = len(list(folder.glob("*.arrow")))
    path = folder / f"{n:04d}-{secrets.token_hex(4)}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, REJECTED) as writer:
        writer.write_table(rows.cast(REJECTED))


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
