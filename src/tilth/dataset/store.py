"""Tables on disk: payload, events and labels, append-only, by Lance; the one file that imports lance.

A row is real only if its `txn` is in the commit log: rows of a writer that crashed or lost a race stay behind and are never read.
Lance itself never forces anything to disk on a local file system, so this does, before a commit is acknowledged.
"""

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import EVENT
from tilth.dataset.log import fsync_folder
from tilth.dataset.schema import Schema
from tilth.errors import Damaged, NotFound, UsageError, did_you_mean

__all__ = ["Durability", "Store", "payload_schema"]

Durability = Literal["power", "process"]

_FORMAT = "2.2"
_SMALL = 64
"""Event fragments that make a compaction worth it: the manifest, written anew by every append, stays below ~10 kB."""
_FULL = 1 << 19
"""Rows at which an event fragment is left alone for ever, so that each event is rewritten about once."""

_EVENTS = pa.schema([*EVENT, ("txn", pa.int64())])
_LABELS = pa.schema([("txn", pa.int64()), ("value", pa.large_string())])


def payload_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of the payload table: the store's own columns, then the user's.

    `revises` is the record whose content a row replaces (-1: the row is a record's first), `parent` the record it derives from.
    """
    own = [
        ("key", pa.string()),
        ("key_hash", pa.uint64()),
        ("content_hash", pa.binary(32)),
        ("born_txn", pa.int64()),
        ("revises", pa.int64()),
        ("parent", pa.int64()),
        ("recipe", pa.string()),
        ("label0", schema.label.arrow),
        ("split0", pa.int8()),
    ]
    return pa.schema([*own, *((c.name, c.arrow) for c in schema.columns)])


class _Table:
    """One append-only Lance table, its row ids = row positions."""

    def __init__(self, path: Path, schema: pa.Schema, marker: str, *, sync: bool) -> None:
        self.path = path
        self.schema = schema
        self.marker = marker
        self.sync = sync
        self._dataset: Any = None
        self._synced: set[str] = set()

    def create(self) -> None:
        self._dataset = lance.write_dataset(
            self.schema.empty_table(), str(self.path), enable_stable_row_ids=True, data_storage_version=_FORMAT
        )
        self._force()

    @property
    def dataset(self) -> Any:
        if self._dataset is None:
            try:
                self._dataset = lance.dataset(str(self.path))
            except (ValueError, OSError) as why:
                raise Damaged(f"{self.path} cannot be read as a Lance table ({why}); restore it from a backup") from why
            self._synced = self._files()
        return self._dataset

    def rows(self) -> int:
        self.dataset.checkout_latest()
        return int(self._dataset.count_rows())

    def append(self, table: pa.Table, txn: int) -> int:
        """Append rows and force them to disk; return the position of the first."""
        _ = self.dataset  # remembers the files there are, so that only new ones are forced
        n = table.num_rows
        self._dataset = lance.write_dataset(
            table.cast(self.schema), str(self.path), mode="append", data_storage_version=_FORMAT
        )
        self._force()
        start = int(self._dataset.count_rows()) - n
        ends = self._dataset.take([start, start + n - 1], columns=[self.marker])[self.marker].to_pylist()
        if ends != [txn, txn]:
            # another writer's rows came between: look our block up by its mark
            mine = (
                self._dataset.scanner(columns=["_rowid"], filter=f"{self.marker} = {txn}")
                .to_table()["_rowid"]
                .to_numpy()
            )
            if len(mine) != n or int(mine[-1]) - int(mine[0]) != n - 1:
                raise Damaged(f"{self.path}: the {n} rows just written are not one block; the commit was not made")
            start = int(mine[0])
        return start

    def read(self, columns: Sequence[str], start: int, n: int) -> pa.Table:
        """Return rows start to start + n."""
        if n <= 0:
            return pa.schema([self.schema.field(c) for c in columns]).empty_table()
        if start + n > self.dataset.count_rows():
            self.dataset.checkout_latest()
        whole = start == 0 and n == self.dataset.count_rows()
        bounds = {} if whole else {"offset": start, "limit": n}
        table = self.dataset.scanner(columns=list(columns), **bounds).to_table()
        if table.num_rows != n:
            raise Damaged(
                f"{self.path} ends at row {start + table.num_rows}, but the log speaks of row {start + n}; restore it from a backup"
            )
        return table

    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Return the rows of the given positions, in the given order."""
        if len(rows) == 0:
            return pa.schema([self.schema.field(c) for c in columns]).empty_table()
        if int(rows.max()) >= self.dataset.count_rows():
            self.dataset.checkout_latest()
        return self.dataset.take(rows.tolist() if len(rows) < 1024 else rows, columns=list(columns))

    def compact(self, *, target: int, older_than: timedelta) -> None:
        """Rewrite small fragments as larger ones, in order; files that a reader may still have open stay for `older_than`."""
        self.dataset.checkout_latest()
        self._dataset.optimize.compact_files(target_rows_per_fragment=target)
        self._dataset.checkout_latest()
        self._force()
        self._dataset.cleanup_old_versions(older_than=older_than)

    def small_fragments(self) -> int:
        return sum(f.count_rows() < _FULL for f in self.dataset.get_fragments())

    def _files(self) -> set[str]:
        folders = [self.path / sub for sub in ("data", "_versions", "_transactions") if (self.path / sub).is_dir()]
        return {entry.path for folder in folders for entry in os.scandir(folder)}

    def _force(self) -> None:
        """Force the files that are new since the last look to disk, and the folders that name them."""
        if not self.sync:
            return
        files = self._files()
        new = files - self._synced
        for path in new:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        for folder in {Path(path).parent for path in new} | (
            {self.path, self.path.parent} if not self._synced else set[Path]()
        ):
            fsync_folder(folder)
        self._synced = files


class Store:
    """The three tables of a dataset, and the columns of the payload that views need, cached in memory."""

    def __init__(self, path: Path, schema: Schema, *, durability: Durability = "power") -> None:
        if durability not in get_args(Durability):
            raise UsageError(f"no durability {durability!r}. {did_you_mean(durability, get_args(Durability))}")
        self.schema = schema
        sync = durability == "power"
        self.sync = sync
        self.payload = _Table(path / "payload.lance", payload_schema(schema), "born_txn", sync=sync)
        self.events = _Table(path / "events.lance", _EVENTS, "txn", sync=sync)
        self.labels = _Table(path / "labels.lance", _LABELS, "txn", sync=sync)
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def create(self) -> None:
        """Make the empty tables."""
        for table in (self.payload, self.events, self.labels):
            table.create()

    def append_payload(self, table: pa.Table, txn: int) -> int:
        """Append payload rows; return the position of the first."""
        return self.payload.append(table, txn)

    def append_events(self, table: pa.Table, txn: int) -> int:
        """Append events; return the position of the first."""
        start = self.events.append(
            table.append_column("txn", pa.repeat(pa.scalar(txn, pa.int64()), table.num_rows)), txn
        )
        if self.events.small_fragments() >= _SMALL:
            self.compact_events()
        return start

    def append_labels(self, values: Sequence[str], txn: int) -> int:
        """Append structured labels as JSON; return the position of the first."""
        return self.labels.append(pa.table({"txn": [txn] * len(values), "value": list(values)}, schema=_LABELS), txn)

    def compact_events(self, *, older_than: timedelta = timedelta(hours=1)) -> None:
        """Make one large fragment of many small ones and index events by record; events are read in one go, so an hour is ample."""
        self.events.compact(target=_FULL, older_than=older_than)
        dataset = self.events.dataset
        if dataset.has_index:
            dataset.optimize.optimize_indices()
        else:
            dataset.create_scalar_index("record_id", "BTREE")

    def compact_payload(self, *, older_than: timedelta) -> None:
        """The same for the payload; `older_than` must be longer than the longest training run that reads it."""
        self.payload.compact(target=1 << 20, older_than=older_than)

    def events_of(self, record: int) -> pa.Table:
        """Return all events of one record, committed or not, in the order of writing."""
        self.events.dataset.checkout_latest()
        table = self.events.dataset.scanner(filter=f"record_id = {int(record)}", with_row_id=True).to_table()
        return table.sort_by("_rowid").drop_columns(["_rowid"])

    def column(self, name: str, n: int) -> npt.NDArray[Any]:
        """Return a store column (`key_hash`, `revises`, `parent`, `label0`, `split0`, `content`) of the first n payload rows.

        `content` is the first 8 bytes of the content hash, as uint64.
        """
        have = self._columns.get(name)
        if have is None or len(have) < n:
            at = 0 if have is None else len(have)
            source = "content_hash" if name == "content" else name
            array = self.payload.read([source], at, n - at)[source].combine_chunks()
            if name == "content":
                raw = np.frombuffer(array.buffers()[1] or b"", np.uint8, count=32 * (array.offset + len(array)))
                new = raw.reshape(-1, 32)[array.offset :, :8].copy().view(np.uint64).ravel()
            else:
                new = array.to_numpy(zero_copy_only=False)
            have = new if have is None or at == 0 else np.concatenate([have, new])
            self._columns[name] = have
        return have[:n]

    def batches(self, columns: Sequence[str], *, size: int, n: int) -> Iterator[pa.RecordBatch]:
        """Stream the first n payload rows."""
        left = n
        for batch in self.payload.dataset.to_batches(columns=list(columns), batch_size=size):
            yield batch if batch.num_rows <= left else batch.slice(0, left)
            left -= batch.num_rows
            if left <= 0:
                return

    def label_values(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return structured labels by row."""
        if len(rows) and int(rows.max()) >= self.labels.rows():
            raise NotFound(f"no structured label {int(rows.max())}")
        return self.labels.take(rows, ["value"])["value"].to_pylist()
