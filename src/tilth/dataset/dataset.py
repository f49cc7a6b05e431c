"""`Dataset`: a living, versioned set of records on disk; the one noun of the record store."""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Changes, Field
from tilth.dataset import reading
from tilth.dataset.answering import answers
from tilth.dataset.arrivals import arrivals, note_rejected, rejected
from tilth.dataset.core import Core
from tilth.dataset.digest import digest
from tilth.dataset.exporting import export
from tilth.dataset.history import Event, decode, diff, history, touched
from tilth.dataset.log import Commit, branches
from tilth.dataset.making import found, make, refuse_taken
from tilth.dataset.readers import Imported, read
from tilth.dataset.schema import SPLITS, Schema
from tilth.dataset.splits import FRACTIONS
from tilth.dataset.store import Durability
from tilth.dataset.undoing import restoring, reverting, spoken, told
from tilth.dataset.view import View
from tilth.dataset.writing import write
from tilth.errors import NotFound, UsageError
from tilth.html import table
from tilth.record import Record

__all__ = ["Dataset"]

Ids = npt.NDArray[np.int64]


class Dataset:
    """A living, versioned set of records on disk: open it, look at any version, commit changes, ask why.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> table = {"x": np.eye(4, dtype=np.float32), "kind": np.array(["cat", "dog", "cat", "dog"])}
    >>> pets = Dataset.create(f"{folder}/pets", table, label="kind")
    >>> pets
    Dataset('pets', version 0: 4 records, 4 labelled)
    >>> pets.labels(pets.ids(["0", "1"]))
    ['cat', 'dog']

    Row i of every column of a version's `view` is record i. A dataset that `at(version)` returned stays at that version
    and refuses to write; any other follows its branch.
    """

    def __init__(self, core: Core, *, version: int | None = None) -> None:
        self._core = core
        self._pinned = version

    # -- make and open ---------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: str | Path,
        source: Any = None,
        *,
        schema: Schema | None = None,
        splits: Mapping[str, float] = FRACTIONS,
        stratify: bool = False,
        seed: int = 0,
        hidden: Sequence[str] = (),
        on_error: Literal["raise", "quarantine"] = "raise",
        durability: Durability = "power",
        **options: Any,
    ) -> "Dataset":
        """Make a dataset from a source: version 0 holds its records; nothing is left behind where that fails.

        `source`: an Arrow table, pandas DataFrame, Hugging Face dataset, dict of numpy arrays, or the path of a
        Parquet, CSV, JSONL or text file or of a folder of images or wavs; see `tilth.dataset.readers.read` for the
        `options` (`key=`, `label=`, `classes=`, `split=`, `columns=`, ...). Models do not see the columns in `hidden`.
        Without `source`, `schema=` makes an empty dataset. Records of no given split are assigned by a hash of their
        key in the proportions `splits`, class by class with `stratify=True`. With `on_error="quarantine"` the good
        rows enter and `rejected()` lists the others. Raises `Exists` where the path is taken, `DataError` for an
        unusable source.
        """
        path = Path(path)
        refuse_taken(path)
        rows: Imported | None = None
        if source is not None:
            rows = read(source, schema=schema, on_error=on_error, **options)
            schema = rows.schema
        if schema is None:
            raise UsageError("Dataset.create needs a source to read, or schema= for an empty dataset; got neither")
        for name in hidden:
            schema.column(name)  # NotFound names the columns there are
        hide = tuple(replace(c, hidden=c.hidden or c.name in hidden) for c in schema.columns)
        changes = Changes.none() if rows is None else arrivals(rows, splits=splits, stratify=stratify, seed=seed)
        name = Path(source).name if isinstance(source, (str, Path)) else type(source).__name__
        message = "made empty" if rows is None else f"import of {name}"
        make(path, Schema(hide, schema.label), changes, rows, message=message, durability=durability)
        return cls.open(path, durability=durability)

    @classmethod
    def open(
        cls, path: str | Path, *, branch: str = "main", version: int | None = None, durability: Durability = "power"
    ) -> "Dataset":
        """Open a dataset, or the `dataset` folder of a project; NotFound says what is there instead."""
        folder, schema = found(Path(path))
        opened = cls(Core(folder, schema, branch=branch, durability=durability))
        return opened if version is None else opened.at(version)

    def at(self, version: int) -> "Dataset":
        """Return the dataset as it was at a version, read-only; negative versions count from the head (-1 = head)."""
        self._core.log.refresh()
        if version < 0:
            version += self._core.log.head + 1
        self._core.log.get(version)
        return Dataset(self._core, version=version)

    def branch(self, name: str, *, at: int | None = None) -> "Dataset":
        """Make a branch that shares the versions up to `at` (default: this one's), and open it; no data is copied."""
        self._core.ready()
        self._core.log.fork(name, self.version if at is None else at, sync=self._core.store.sync)
        return Dataset.open(self.path, branch=name, durability=self.durability)

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._core.path

    @property
    def name(self) -> str:
        """The name of its folder, or of the project it belongs to."""
        folder = self.path.resolve()
        return folder.parent.name if folder.name == "dataset" else folder.name

    @property
    def schema(self) -> Schema:
        """Its columns and label type."""
        return self._core.schema

    @property
    def durability(self) -> Durability:
        """What an acknowledged commit survives: a "power" cut, or the end of the "process" only."""
        return "power" if self._core.store.sync else "process"

    @property
    def branch_name(self) -> str:
        """The branch this is."""
        return self._core.log.branch

    @property
    def branches(self) -> list[str]:
        """The names of all branches."""
        return branches(self.path / "commits")

    @property
    def version(self) -> int:
        """The version it stands at: the pinned one, or the head of its branch."""
        if self._pinned is not None:
            return self._pinned
        self._core.log.refresh()
        return self._core.log.head

    @property
    def view(self) -> View:
        """The columns of its version in memory: labels, splits, weights; see `View`."""
        return self._core.view(self.version)

    def log(self) -> list[Commit]:
        """Return the commits up to its version, oldest first."""
        return self._core.log.commits[: self.version + 1]

    def __reduce__(self) -> tuple[Callable[[str], "Dataset"], tuple[str]]:
        # Another process gets the place, not what is in memory: it opens the files itself.
        place = {"branch": self.branch_name, "version": self._pinned, "durability": self.durability}
        return partial(Dataset.open, **place), (str(self.path.resolve()),)

    def __len__(self) -> int:
        return int(self.view.alive.sum())

    def __repr__(self) -> str:
        view = self.view
        labelled = int((view.alive & view.labeled).sum())
        branch = "" if self.branch_name == "main" else f", branch {self.branch_name!r}"
        return f"Dataset({self.name!r}, version {view.version}{branch}: {len(self):,} records, {labelled:,} labelled)"

    # -- read ------------------------------------------------------------------------------------------------------

    def keys(self, ids: Ids) -> list[str]:
        """Return the keys of records, in the given order."""
        return self._core.keys(reading.checked(self.view, ids))

    def ids(self, keys: Sequence[str]) -> Ids:
        """Return the record ids of keys; NotFound names the first that is not there and the nearest that is."""
        found = self._core.find(keys, self.version)
        if (found < 0).any():
            self._core.id_of(keys[int(np.argmax(found < 0))], self.version)
        return found

    def find(self, keys: Sequence[str]) -> Ids:
        """Return the record id of each key, -1 where there is none."""
        return self._core.find(keys, self.version)

    def labels(self, ids: Ids | None = None) -> list[Any]:
        """Return the labels (class name, list of names, number, None) of all living records, or of `ids`."""
        view = self.view
        ids = np.flatnonzero(view.alive) if ids is None else reading.checked(view, ids)
        return decode(self._core, Field.LABEL, view.label[ids])

    def features(self, ids: Ids, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the user's columns (all, or those named) of records, in the given order."""
        return reading.features(self._core, self.view, ids, columns)

    def table(self, ids: Ids | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """Return records as an Arrow table: key, label, split, weight, then the user's columns."""
        view = self.view
        ids = np.flatnonzero(view.alive) if ids is None else reading.checked(view, ids)
        return reading.table(self._core, view, ids, columns)

    def records(self, ids: Ids, columns: Sequence[str] | None = None) -> Iterator[Record]:
        """Yield records one by one, for functions that a user wrote; the core itself never does this."""
        return reading.records(self._core, self.view, ids, columns)

    def batches(
        self, *, size: int = 256, seed: int | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the labelled training records in batches, with `label` and `weight` as this version has them.

        In stored order, or in an order drawn from `seed` and the keys. `label` holds stored codes (int32) or numbers.
        """
        return reading.batches(self._core, self.view, size=reading.sized(size), seed=seed, columns=columns)

    def stream(self, *, size: int = 65_536, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield all living records in stored order at the speed of a scan, in tables of at most `size` rows.

        Beside the columns stand `record_id`, and `label` and `weight` as this version has them.
        """
        return reading.stream(self._core, self.view, size=reading.sized(size), columns=columns)

    @property
    def key_hash(self) -> npt.NDArray[np.uint64]:
        """uint64[n]: a hash of every record's key; draws and ties rest on it, for ids shift after a crash."""
        return self._core.column("key_hash", self.version)

    @property
    def content(self) -> npt.NDArray[np.uint64]:
        """uint64[n]: the first 8 bytes of the content hash of every record as it is in this version."""
        return self._core.column("content", self.version)[self.view.payload]

    @property
    def parent(self) -> Ids:
        """int64[n]: the record that each derives from, -1 = none."""
        return self._core.column("parent", self.version)

    def digest(self, *, asked: bool = True) -> str:
        """Return a hash over all living records by key: equal digests mean the same data.

        Ids and versions do not enter. `asked=False` leaves out which records were asked about.
        """
        return digest(self._core, self.view, asked=asked)

    def rejected(self) -> pa.Table:
        """Return the rows that imports refused with `on_error="quarantine"`: source, row, key, reason."""
        return rejected(self.path)

    # -- write -----------------------------------------------------------------------------------------------------

    def commit(
        self,
        changes: Changes,
        *,
        key: str | None = None,
        base: int | None = None,
        on_conflict: Literal["raise", "skip"] = "raise",
        message: str = "",
        actor: str = "",
        run: str = "",
        round: int = -1,
        rule: str = "",
        model: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> Commit:
        """Make changes the next version, exactly once a `key`: one that is committed already returns its commit.

        `base` is the version that the changes rest on (default: the head). Where others have committed since then,
        records that they did not touch go through; `Conflict` names those that they did, or `on_conflict="skip"` leaves
        these out and counts them in the commit's `meta["conflicts"]`. Changes that change nothing make no version.
        Raises UsageError for ids, labels, weights or splits that the dataset cannot have. When it returns, the version
        is on disk (see `durability`).
        """
        self._must_follow("commit to")
        about: dict[str, Any] = {"actor": actor, "run": run, "round": round, "rule": rule, "model": model}
        about |= {"message": message or str(changes.batch or ""), "metrics": dict(metrics or {})}
        return write(self._core, changes, key=key, base=base, on_conflict=on_conflict, **about)

    def append(
        self, source: Any, *, batch: str | None = None, splits: Mapping[str, float] = FRACTIONS, **options: Any
    ) -> Commit:
        """Add the records of a source as one version; `batch` names it, so that a batch that comes twice is added once.

        Sources and options are those of `create`; rows must fit the schema.
        """
        self._must_follow("append to")
        self._core.log.refresh()
        if batch is not None and batch in self._core.log.keys:
            return self._core.log.commits[self._core.log.keys[batch]]
        rows = read(source, schema=self.schema, **options)
        changes = arrivals(rows, splits=splits, stratify=False, seed=0)
        commit = self.commit(changes, key=batch, message=f"{rows.table.num_rows:,} records appended")
        note_rejected(self.path, rows.rejected)
        return commit

    def rollback(self, to: int, *, actor: str = "", message: str = "") -> Commit:
        """Bring the data back to an earlier version by a new commit; questions that wait for an answer are withdrawn.

        Answers of people, and the labels that they gave since then, stay.
        """
        self._must_follow("roll back")
        with self._core.lock:
            changes, counts = restoring(self._core, self.at(to).version)
            message = message or f"rollback to version {to}: {spoken(counts)}"
            about: dict[str, Any] = {"message": message, "actor": actor, "meta": counts, "base": self._core.log.head}
            return write(self._core, changes, key=None, follow=False, **about)

    def revert(
        self, version: int, *, key: str | None = None, hold: bool = False, undone: Iterable[int] = (), **about: Any
    ) -> Commit:
        """Undo one version by a new commit, except records that were touched again later and labels that people gave.

        `hold=True` sets those labels back too; the answers stay in the history either way. `undone`: later versions
        that are undone already, and those that undid them: what only they touched is free. `about`: as for `commit`.
        """
        self._must_follow("revert a version of")
        with self._core.lock:
            self._core.log.refresh()
            base = self._core.log.head
            changes, counts = reverting(self._core, version, hold=hold, undone=undone)
            said: dict[str, Any] = {"message": f"version {version} undone: {told(counts)}"} | about
            said["meta"] = {"undoes": version} | counts
            return write(self._core, changes, key=key, base=base, on_conflict="skip", follow=False, **said)

    def would_roll_back(self, to: int) -> dict[str, int]:
        """Return what `rollback(to)` would do, in numbers: see `tilth.dataset.undoing.spoken`; nothing is written."""
        return restoring(self._core, self.at(to).version)[1]

    def would_revert(self, version: int) -> dict[str, int]:
        """Return what `revert(version)` would do: `undone` changes, labels `kept`, records `touched` since, if any."""
        return reverting(self._core, version)[1]

    def compact(self, *, older_than: timedelta = timedelta(days=14)) -> None:
        """Rewrite many small files as few large ones; files that a reader may have open stay for `older_than`."""
        self._core.compact(older_than=older_than)

    def _must_follow(self, verb: str) -> None:
        if self._pinned is not None:
            raise UsageError(f"this is version {self._pinned}, held still by at(); {verb} Dataset.open('{self.path}')")

    # -- why -------------------------------------------------------------------------------------------------------

    def diff(self, a: int, b: int) -> pa.Table:
        """Return what differs between two versions: a row a record and part of it, with the rule and reason.

        Columns: `DIFF` in `tilth.dataset.history`. From a later to an earlier version, `before` and `after` are turned.
        """
        return diff(self._core, self.at(a).version, self.at(b).version)

    def history(self, key: str | int) -> list[Event]:
        """Return all that happened to one record (by key or id) up to this version, oldest first."""
        record = self._core.id_of(key, self.version) if isinstance(key, str) else operator.index(key)
        view = self.view
        if not 0 <= record < len(view) or not view.known[record]:
            raise NotFound(f"no record {record} in version {view.version}; ids come from `Dataset.ids(keys)`")
        return history(self._core, record, view.version)

    def touched(self, versions: Iterable[int]) -> Ids:
        """Return the records, ascending, that came, changed or were spoken of in these versions (up to its own)."""
        return touched(self._core, (v for v in versions if v <= self.version))

    def answers(self) -> pa.Table:
        """Return all that annotators answered up to this version, a row an answer: `ANSWERS` in `dataset.answering`."""
        return answers(self._core, self.version)

    def export(self, path: str | Path, *, history: bool = False) -> Path:
        """Write this version to a .parquet, .csv or .jsonl file, or, with `history=True`, all versions to a folder.

        The folder (Parquet and JSONL) needs no Tilth and no Lance to be read: payload, events and commits replay to any
        version up to this one. Raises `Exists` where the path is taken.
        """
        return export(self._core, Path(path), self.table, self.version, history=history)

    def _repr_html_(self) -> str:
        view = self.view
        sets = [(name, view.among(name)) for name in SPLITS]
        rows = [[n, *(int((m & also).sum()) for also in (m, view.labeled, view.asked > 0))] for n, m in sets]
        return table(repr(self), ["split", "records", "labelled", "asked"], rows)
