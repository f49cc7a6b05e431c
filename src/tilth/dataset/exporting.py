"""Write a version, or the whole history, to files that need no Tilth to be read."""

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from tilth.dataset.carrying import unpacked
from tilth.dataset.core import Core
from tilth.errors import Exists, UsageError

__all__ = ["export"]

Ids = npt.NDArray[np.int64]

_CHUNK = 8192


def export(core: Core, path: Path, table: Callable[[], pa.Table], version: int, *, history: bool) -> Path:
    """Write `table()` to a .parquet, .csv or .jsonl file, or all tables up to `version` to a folder; return it."""
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
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
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
        raise UsageError(f"columns {', '.join(binary)} hold images or audio, which CSV cannot; export to .parquet")
    for name in nested:
        texts = [None if v is None else json.dumps(v) for v in table[name].to_pylist()]
        table = table.set_column(table.column_names.index(name), name, pa.array(texts, pa.string()))
    csv.write_csv(table, path)


def _jsonl(table: pa.Table, path: Path) -> None:
    binary = [f.name for f in table.schema if pa.types.is_large_binary(f.type)]
    if binary:
        raise UsageError(f"columns {', '.join(binary)} hold images or audio, which JSON cannot; export to .parquet")
    with path.open("w", encoding="utf-8") as file:
        for batch in table.to_batches(max_chunksize=10_000):
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())


def _history(core: Core, path: Path, version: int) -> Path:
    commits = core.log.commits[: version + 1]
    txns = pa.array([c.txn for c in commits], pa.int64())
    # what was carried may have been appended more than once: of events one place counts
    placed = sorted((c.events_start, c.n_events) for c in commits if c.n_events and not c.carried)
    starts, counts = np.array(placed, np.int64).reshape(-1, 2).T
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    part.mkdir()
    try:
        for name, table in (
            ("payload", core.store.payload),
            ("events", core.store.events),
            ("labels", core.store.labels),
        ):
            row = 0
            with pq.ParquetWriter(part / f"{name}.parquet", table.schema.append(pa.field("row", pa.int64()))) as file:
                for batch in table.scan(table.schema.names, size=_CHUNK, n=table.rows()):  # never all in memory
                    rows = pa.array(np.arange(row, row + batch.num_rows))
                    row += batch.num_rows
                    whole = pa.Table.from_batches([batch]).append_column("row", rows)
                    kept = pc.is_in(whole[table.marker], txns)
                    if table is core.store.events:
                        kept = pc.and_(kept, _within(rows.to_numpy(), starts, counts))
                    file.write_table(whole.filter(kept).cast(file.schema))
                for c in commits if table is core.store.events else ():
                    if c.carried:
                        rows = pa.array(np.arange(row, row + c.n_events))
                        row += c.n_events
                        file.write_table(unpacked(c.carried).append_column("row", rows).cast(file.schema))
        with (part / "commits.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(c.to_json(), sort_keys=True) + "\n" for c in commits)
        (part / "schema.json").write_text(json.dumps(core.schema.to_json(), indent=1), encoding="utf-8")
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def _within(rows: Ids, starts: Ids, counts: Ids) -> pa.Array:
    """Return which rows lie in one of the blocks, which are in order."""
    if len(starts) == 0:
        return pa.array(np.zeros(len(rows), bool))
    at = np.searchsorted(starts, rows, "right") - 1
    return pa.array((at >= 0) & (rows < starts[at] + counts[at]))
