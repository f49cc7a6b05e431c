"""Tables on disk: payload, events and labels, append-only, by Lance; the one file that imports lance.

A row is real only if its `txn` is in the commit log: rows of a writer that crashed or lost a race stay behind and are
never read. Lance itself never forces anything to disk on a local file system, so this does, before a commit is
acknowledged.
"""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import lance
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from lance.optimize import Compaction

from tilth.changes import EVENT
from tilth.dataset.columns import Columns
from tilth.dataset.disk import force, locked
from tilth.dataset.schema import Schema
from tilth.errors import Damaged, UsageError, did_you_mean

__all__ = ["Durability", "Store", "payload_schema"]

Durability = Literal["power", "process"]
T = TypeVar("T")

_FORMAT = "2.2"
_SMALL = 32
"""Small fragments that make a compaction worth it: a look-up by record opens each of them, 0.1 ms apiece."""
_FULL = 1 << 18
"""Rows at which a fragment is left alone for ever: a row takes the longer to read the later it comes in one."""
_LEFT = timedelta(seconds=5)
"""How long files of events and labels that were compacted stay; who was about to read one starts anew."""
_MAGIC = b"LANC"
"""How a manifest ends."""
_TRIES = 5
"""How often a read starts anew because another process has replaced the files it was to read."""

_EVENTS = pa.schema([*EVENT, ("txn", pa.int64())])
_LABELS = pa.schema([("txn", pa.int64()), ("value", pa.large_string())])


def payload_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of the payload table: the store's own columns, then the user's.

    `revises` is the record whose content a row replaces (-1: the row is a record's first), `parent` the record it
    derives from.
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
        self._lock = path.with_suffix(".lock")
        self._dataset: Any = None
        # Empty at first, though files may be there: a writer who did not care for power cuts may have left them.
        self._forced: set[str] = set()
        self.known = False
        self.changed = False
        self.grown = False

    def create(self) -> None:
        self._dataset = lance.write_dataset(
            self.schema.empty_table(), str(self.path), enable_stable_row_ids=True, data_storage_version=_FORMAT
        )
        if self.sync:
            with self.forcing() as paths:
                force(*paths)

    @property
    def dataset(self) -> Any:
        if self._dataset is None:
            self._dataset = self._opened(mend=True)
        return self._dataset

    def _opened(self, *, mend: bool) -> Any:
        try:
            return lance.dataset(str(self.path))
        except (ValueError, OSError) as why:
            if mend and self._dropped_torn():
                return self._opened(mend=False)
            raise Damaged(f"{self.path} cannot be read as a Lance table ({why}); restore it from a backup") from why

    def _dropped_torn(self) -> int:
        """Remove the newest manifests that a power cut left unfinished, and return how many there were.

        No version rests on them: what is acknowledged has its manifest on disk, and data is there before a manifest is.
        """
        torn = 0
        for entry in sorted(_entries(self.path / "_versions"), key=lambda entry: entry.name):  # the newest comes first
            if entry.name.endswith(".manifest"):
                if Path(entry.path).read_bytes()[-len(_MAGIC) :] == _MAGIC:
                    break
                Path(entry.path).unlink(missing_ok=True)
                torn += 1
        return torn

    def _newest(self) -> Any:
        """Return the table with what others have appended until now.

        A handle of its own: one that other threads read by cannot be moved on, and what a writer does rests on the
        version that it began with.
        """
        now = self.dataset
        latest = now.latest_version
        if latest != now.version:
            self._dataset = now = now.checkout_version(latest)
        return now

    def rows(self) -> int:
        return int(self._newest().count_rows())

    def append(self, table: pa.Table) -> int:
        """Append rows and return the position of the first; all but the data is left to force."""
        with self._sweeping(), locked(self._lock, shared=True):  # nobody compacts meanwhile: that would move rows
            before = self._newest()
            start = int(before.count_rows())
            fragments = lance.fragment.write_fragments(
                table.cast(self.schema), before, mode="append", data_storage_version=_FORMAT
            )
            if self.sync:
                self._force_data(file.path for fragment in fragments for file in fragment.files)
            append = lance.LanceOperation.Append(fragments)
            after = self._dataset = lance.LanceDataset.commit(before, append, read_version=before.version)
        self.changed = self.grown = True
        if after.version == before.version + 1:
            return start
        # another writer's rows may have come between: look our block up by its marks
        n, there, marks = table.num_rows, int(after.count_rows()), table[self.marker].to_numpy()
        for start in (there - n, *self.find(f"{self.marker} = {marks[0]}", rows=there).tolist()):
            if start + n <= there and np.array_equal(self.read([self.marker], start, n)[self.marker].to_numpy(), marks):
                return start
        raise Damaged(f"{self.path}: the {n} rows just written are not one block; the commit was not made")

    def find(self, condition: str, *, rows: int) -> npt.NDArray[np.int64]:
        """Return the positions of the rows that meet an SQL condition, in order, among at least the first `rows`."""
        # Only the column of the condition is read: with all of them it takes ten times as long.
        found = self.look(lambda d: d.scanner(columns=["_rowid"], filter=condition).to_table(), rows=rows)
        return np.sort(found["_rowid"].to_numpy()).astype(np.int64)

    def look(self, reading: Callable[[Any], T], *, rows: int) -> T:
        """Return what `reading` finds in the table, which must have so many rows."""
        now = self.dataset
        if rows > now.count_rows():
            now = self._newest()
        there = int(now.count_rows())
        if rows > there:
            raise Damaged(
                f"{self.path} ends at row {there}, but the log speaks of row {rows}; restore it from a backup"
            )
        for left in reversed(range(_TRIES)):
            try:
                return reading(now)
            except (OSError, ValueError) as why:
                # A handle opened long ago knows files that compactions have replaced since; rows keep their places.
                if not _gone(why) or not left:
                    raise
                now = self._newest()
        raise AssertionError("the last try returns or raises")

    def read(self, columns: Sequence[str], start: int, n: int) -> pa.Table:
        """Return rows start to start + n."""
        if n <= 0:
            return pa.schema([self.schema.field(c) for c in columns]).empty_table()

        def scan(dataset: Any) -> pa.Table:
            whole = start == 0 and n == dataset.count_rows()
            return dataset.scanner(columns=list(columns), **({} if whole else {"offset": start, "limit": n})).to_table()

        return self.look(scan, rows=start + n)

    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Return the rows of the given positions, in the given order."""
        if len(rows) == 0:
            return pa.schema([self.schema.field(c) for c in columns]).empty_table()
        names, last = list(columns), int(rows.max()) + 1
        if len(rows) < 1024:
            return self.look(lambda d: d.take(rows.tolist(), columns=names), rows=last)
        if (rows[1:] >= rows[:-1]).all():
            return self.look(lambda d: d.take(rows, columns=names), rows=last)
        # In stored order it takes a third less, even with the sorting.
        order = np.argsort(rows, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(rows))
        return self.look(lambda d: d.take(rows[order], columns=names), rows=last).take(pa.array(place))

    def scan(self, columns: Sequence[str], *, size: int, n: int) -> Iterator[pa.RecordBatch]:
        """Stream the first n rows."""
        options: dict[str, Any] = {"columns": list(columns), "batch_size": size}
        batches = self.look(lambda d: d.to_batches(**options), rows=n)
        at, tries = 0, _TRIES
        while at < n:
            try:
                batch = next(batches).slice(0, n - at)
            except (OSError, ValueError) as why:
                tries -= 1
                if not _gone(why) or not tries:
                    raise
                batches = self._newest().to_batches(**options, offset=at)
                continue
            at += batch.num_rows
            yield batch

    def tidy(self) -> None:
        """Compact the end of the table where small fragments have gathered there."""
        grown, self.grown = self.grown, False
        if not grown or _small(self.dataset) < _SMALL:
            return
        with suppress(OSError):  # nothing depends on it: where there is no space, the next commit tries again
            self.compact(target=_FULL, older_than=_LEFT, least=_SMALL)

    def compact(self, *, target: int, older_than: timedelta, least: int = 0) -> None:
        """Rewrite small fragments as larger ones, in order; files that a reader may have open stay for `older_than`.

        Writers wait for it: Lance puts what it rewrites behind all that is there when it is done, so only the end of
        the table can be rewritten without moving rows. What others have compacted meanwhile to fewer small fragments
        than `least` is left. It is forced to disk whatever the durability: what it replaces may have been.
        """
        with self._sweeping(), locked(self._lock):
            mine = self._opened(mend=True)  # others may read by the other one, which a compaction would move on
            if _small(mine) < least:
                return
            done = [task.execute(mine) for task in _end(mine, target)]
            self._force_data(entry.name for entry in _entries(self.path / "data"))
            if done:
                Compaction.commit(mine, done)
            mine.checkout_latest()
            with self.forcing() as paths:
                force(*paths)
            _clean(mine, older_than)
            self._dataset = mine

    @contextmanager
    def _sweeping(self) -> Generator[None]:
        """Remove what a write that failed has left, most of all where it failed for want of space."""
        try:
            yield
        except OSError:
            with suppress(OSError), locked(self._lock):
                _clean(self._opened(mend=True), _LEFT)
            raise

    @contextmanager
    def forcing(self) -> Generator[list[str | Path]]:
        """Yield the files that are new since the last look, and their folders; they count as forced in the end."""
        folders = [self.path / sub for sub in ("data", "_versions", "_transactions")]
        files = {entry.path for folder in folders for entry in _entries(folder)}
        yield [*(files - self._forced), *folders, *([] if self.known else [self.path, self.path.parent])]
        self._forced, self.known, self.changed = files, True, False

    def _force_data(self, names: Iterable[str]) -> None:
        """Force data before the manifest that names it is written: one that can be read has all its data."""
        new = {str(self.path / "data" / name) for name in names} - self._forced
        force(*new, self.path / "data")
        self._forced |= new


def _clean(table: Any, older_than: timedelta) -> None:
    # Under the lock nobody is writing: a file that no manifest names is what a failed or killed writer left.
    table.cleanup_old_versions(older_than=older_than, delete_unverified=True)


def _small(table: Any) -> int:
    """Return how many fragments at the end of a table are small."""
    sizes = [fragment.count_rows() for fragment in table.get_fragments()]
    return next((i for i, rows in enumerate(reversed(sizes)) if rows >= _FULL), len(sizes))


def _end(table: Any, target: int) -> list[Any]:
    """Return what Lance would rewrite, in order, as far as it is the end of a table without a gap."""
    plan = Compaction.plan(table, {"target_rows_per_fragment": target})
    tasks = {task.fragments[-1].id: task for task in plan.tasks}
    left = [fragment.fragment_id for fragment in table.get_fragments()]
    found: list[Any] = []
    while left and left[-1] in tasks:
        found.append(tasks[left[-1]])
        del left[-len(found[-1].fragments) :]
    return found[::-1]


def _gone(why: Exception) -> bool:
    return "not found" in str(why).lower()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


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
        types = {field.name: field.type for field in self.payload.schema}
        numbers = ("key_hash", "revises", "parent", "label0", "split0")
        self._columns = Columns({name: types[name].to_pandas_dtype() for name in numbers}, self.payload.read)

    def create(self) -> None:
        """Make the empty tables."""
        for table in (self.payload, self.events, self.labels):
            table.create()

    @contextmanager
    def forcing(self) -> Generator[list[str | Path]]:
        """Yield what has to be on disk before a commit that rests on it is acknowledged."""
        with ExitStack() as stack:
            every = (self.payload, self.events, self.labels)
            tables = [table for table in every if self.sync and (table.changed or not table.known)]
            yield [path for table in tables for path in stack.enter_context(table.forcing())]

    @staticmethod
    def marked(table: pa.Table, txn: int) -> pa.Table:
        """Return events with their txn, as the table of events has them."""
        own = table.append_column("txn", pa.repeat(pa.scalar(txn, pa.int64()), table.num_rows))
        return own if own.schema.equals(_EVENTS) else own.cast(_EVENTS)

    def append_labels(self, values: Sequence[str], txn: int) -> int:
        """Append structured labels as JSON; return the position of the first."""
        return self.labels.append(pa.table({"txn": [txn] * len(values), "value": list(values)}, schema=_LABELS))

    def tidy(self) -> None:
        """Compact events and labels where that is due."""
        self.events.tidy()
        self.labels.tidy()

    def compact(self, *, older_than: timedelta) -> None:
        """Make one large fragment of many small ones; files that a reader may have open stay for `older_than`.

        Events and labels are read in one go: those of them that it replaces go sooner.
        """
        self.events.compact(target=_FULL, older_than=min(older_than, _LEFT))
        self.labels.compact(target=_FULL, older_than=min(older_than, _LEFT))
        self.payload.compact(target=1 << 20, older_than=older_than)

    def events_of(self, record: int) -> pa.Table:
        """Return all events of one record in the table, committed or not, in order, and the `row` of each.

        A scan of one column: 4 ms among 500,000 events, 40 ms among ten million. A B-tree would take 2 ms, but 58 kB
        more for every 10,000 events, and commits that stop for it.
        """
        rows = self.events.find(f"record_id = {int(record)}", rows=self.events.rows())
        return self.events.take(rows, _EVENTS.names).append_column("row", pa.array(rows))

    def column(self, name: str, n: int) -> npt.NDArray[Any]:
        """Return a column of the first n payload rows: key_hash, revises, parent, label0, split0 or content.

        `content` is the first 8 bytes of the content hash, as uint64.
        """
        return self._columns.of(name, n)

    def label_values(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return structured labels by row."""
        return self.labels.take(rows, ["value"])["value"].to_pylist()
