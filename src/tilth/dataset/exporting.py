"""Write a version, or the whole history, to files that need no Tilth to be read."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from tilth.dataset.core import Core
from tilth.errors import Exists, UsageError

__all__ = ["export"]


def export(core: Core, path: Path, table: Callable[[], pa.Table], version: int, *, history: bool) -> Path:
    """Write `table()` to a .parquet, .csv or .jsonl file, or every table up to `version` to a folder; return the path."""
    if path.exists():
        raise Exists(f"{path} exists already; remove it, or choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    if history:
        return _history(core, path, version)
    writers: dict[str, Callable[[pa.Table, Path], Any]] = {".parquet": pq.write_table, ".csv": _csv, ".jsonl": _jsonl}
    writer = writers.get(path.suffix)
    if writer is None:
        raise UsageError(
            f"cannot export to {path.name!r}: end the name with {', '.join(writers)}, or ask for the history, a folder"
        )
    part = path.with_name(f".{path.name}.part")
    try:
        writer(table(), part)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _csv(table: pa.Table, path: Path) -> None:
    nested = [f.name for f in table.schema if pa.types.is_nested(f.type)]
    binary = [f.name for f in table.schema if pa.types.is_large_binary(f.type)]
    if binary:
        raise UsageError(
            f"columns {', '.join(binary)} hold images or audio, which CSV cannot; export to .parquet, or choose columns"
        )
    for name in nested:
        texts = [None if v is None else json.dumps(v) for v in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(texts, pa.string()))
    csv.write_csv(table, path)


def _jsonl(table: pa.Table, path: Path) -> None:
    binary = [f.name for f in table.schema if pa.types.is_large_binary(f.type)]
    if binary:
        raise UsageError(
            f"columns {', '.join(binary)} hold images or audio, which JSON cannot; export to .parquet, or choose columns"
        )
    with path.open("w", encoding="utf-8") as file:
        for batch in table.to_batches(max_chunksize=10_000):
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())


def _history(core: Core, path: Path, version: int) -> Path:
    part = path.with_name(f".{path.name}.part")
    part.mkdir()
    commits = core.log.commits[: version + 1]
    txns = pa.array([c.txn for c in commits], pa.int64())
    for name, table, marker in (
        ("payload", core.store.payload, "born_txn"),
        ("events", core.store.events, "txn"),
        ("labels", core.store.labels, "txn"),
    ):
        rows = table.read(table.schema.names, 0, table.rows())
        rows = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
        pq.write_table(rows.filter(pc.is_in(rows[marker], txns)), part / f"{name}.parquet")
    with (part / "commits.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(c), sort_keys=True) + "\n" for c in commits)
    (part / "schema.json").write_text(json.dumps(core.schema.to_json(), indent=1), encoding="utf-8")
    part.rename(path)
    return path
