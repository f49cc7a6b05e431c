"""What reading, writing and history share: the tables, the log of a branch, and the views of its versions."""

import contextlib
import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.dataset.carrying import settle, unpacked
from tilth.dataset.contents import Contents
from tilth.dataset.disk import force, space, write_file
from tilth.dataset.log import Commit, Log
from tilth.dataset.schema import Schema
from tilth.dataset.splits import key_hashes
from tilth.dataset.store import Durability, Store
from tilth.dataset.view import View
from tilth.errors import Damaged, NotFound, did_you_mean

__all__ = ["FORMAT", "Core"]

FORMAT = 2
"""The format of a dataset on disk. In format 1 no commit carried its events; all else is the same."""

Ids = npt.NDArray[np.int64]

_VIEWS = 4
"""Views kept in memory, newest use last: head, the round's start and two to compare."""
_CHECKPOINTS = 4
"""The newest checkpoints are all kept on disk; a view is read from the nearest before it and the events since."""
_APART = 10
"""Of older checkpoints those are kept that are so many times `_REPLAY` events apart (or as many events as records)."""
_REPLAY = 100_000
"""Events after which the next checkpoint is written, or a quarter of the records if that is more: they take ~10 ms."""

_FEW = 20
"""Keys up to which numpy is faster than Arrow: 4 ms among a million; for more Arrow takes 10-20 ms, numpy 200."""

_LOOSE = 32
"""Commits that carry their events before these move into the table: to open a dataset reads them all."""

_APPLY = ["record_id", "op", "field", "new_num", "cost", "txn"]


class Core:
    """One branch of a dataset on disk."""

    def __init__(self, path: Path, schema: Schema, *, branch: str, durability: Durability) -> None:
        self.path = path
        self.schema = schema
        self.store = Store(path, schema, durability=durability)
        self.contents = Contents(self.store)
        self.log = Log(path / "commits", branch)
        self.lock = threading.RLock()
        self._views: dict[int, View] = {}
        self.digests: dict[tuple[int, bool], str] = {}
        self._ready = False

    def view(self, version: int) -> View:
        """Return the view of a version of this branch: from memory, or the nearest earlier one and the events since."""
        self.log.get(version)
        with self.lock:
            found = self._views.pop(version, None)
            if found is None:
                near = max((v for v in self._views if v < version), default=-1)
                saved = max((v for v in self._saved() if near < v <= version), default=-1)
                start = self._load(saved) if saved > near else None
                if start is None:
                    start = self._views[near] if near >= 0 else View.empty(self.schema.label)
                found = start if start.version == version else self._replay(start, version)
            self._views[version] = found
            while len(self._views) > _VIEWS:
                del self._views[next(iter(self._views))]
            return found

    def ready(self) -> None:
        """Before the first commit, say in which format it is; where it has to survive a power cut, force what is there.

        Other writers may have left that unforced.
        """
        if self._ready:
            return
        about = json.loads((self.path / "tilth.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT:  # an older Tilth, which would take a commit for damaged, says what is the matter
            write_file(self.path / "tilth.json", json.dumps(about | {"format": FORMAT}, indent=1), sync=self.store.sync)
        if self.store.sync:
            self.log.force()
            force(self.path / "tilth.json", self.path)
        self._ready = True

    def tidy(self) -> None:
        """Save the head's view and compact tables where that is due; what fails here is left to the next commit."""
        with contextlib.suppress(OSError):
            self._checkpoint()
        if self.log.loose >= _LOOSE:
            with contextlib.suppress(OSError):
                settle(self.log, self.store)
        self.store.tidy()

    def compact(self, *, older_than: timedelta) -> None:
        """Move what commits carry into the tables, and rewrite these as few large files."""
        with self.lock, space(self.path):
            settle(self.log, self.store)
            self.store.compact(older_than=older_than)

    def _checkpoint(self) -> None:
        head = self.log.head
        saved = self._saved()
        last = saved[-1] if saved else -1
        n_events = sum(c.n_events for c in self.log.commits[last + 1 :])
        if last < 0 or n_events > max(_REPLAY, len(self.view(head)) // 4):
            self.view(head).save(self._folder(head), sync=self.store.sync)
            kept = -1
            for version in saved[: max(0, len(saved) + 1 - _CHECKPOINTS)]:
                between = sum(c.n_events for c in self.log.commits[kept + 1 : version + 1])
                if kept < 0 or between >= max(_APART * _REPLAY, len(self.view(head))):
                    kept = version
                else:
                    shutil.rmtree(self._folder(version), ignore_errors=True)

    def events(self, after: int, to: int, columns: Sequence[str]) -> pa.Table:
        """Return the events of versions after + 1 to `to`, in order; `columns` must include txn."""
        commits = [c for c in self.log.commits[after + 1 : to + 1] if c.n_events]
        placed = [c for c in commits if not c.carried]
        start = min((c.events_start for c in placed), default=0)
        end = max((c.events_start + c.n_events for c in placed), default=0)
        table = self.store.events.read(columns, start, end - start)
        counts = [c.n_events for c in commits]
        together = all(a.events_start + a.n_events == b.events_start for a, b in pairwise(placed))
        if len(placed) < len(commits) or not together:
            # some are carried, or stand behind those of a later version because they were; or those of other branches,
            # or of crashed writers, stand between
            table = pa.concat_tables(
                [
                    unpacked(c.carried).select(columns)
                    if c.carried
                    else table.slice(c.events_start - start, c.n_events)
                    for c in commits
                ]
            )
        if not np.array_equal(table["txn"].to_numpy(), np.repeat([c.txn for c in commits], counts)):
            raise Damaged(
                f"{self.path}: the events of versions {after + 1} to {to} are not those that the log speaks of; "
                "restore events.lance from a backup"
            )
        return table

    def events_of(self, record: int, version: int) -> list[dict[str, Any]]:
        """Return all events of one record up to a version, oldest first."""
        commits = self.log.commits[: version + 1]  # before the table is read: what moves there now is read once
        found: list[tuple[int, dict[str, Any]]] = []
        for row in self.store.events_of(record).to_pylist():
            made = self.log.txns.get(row["txn"], version + 1)
            # what was carried may have been appended more than once: one place counts
            if made <= version and commits[made].holds(row["row"]):
                found.append((made, row))
        for commit in commits:
            if commit.carried:
                table = unpacked(commit.carried)
                about = table.filter(pc.equal(table["record_id"], record)).to_pylist()
                found += [(commit.version, row) for row in about]
        return [row for _, row in sorted(found, key=lambda each: each[0])]

    def keys(self, ids: Ids) -> list[str]:
        """Return the keys of records."""
        return self.store.payload.take(ids, ["key"])["key"].to_pylist()

    def find(self, keys: Sequence[str], version: int) -> Ids:
        """Return the record id of each key, -1 where no record of that version has or had it."""
        view = self.view(version)
        wanted = key_hashes(pa.array(list(keys), pa.string()))
        hashes = self.store.column("key_hash", len(view))
        if len(wanted) <= _FEW:
            among = np.isin(hashes, wanted)
        else:
            among = pc.is_in(pa.array(hashes), pa.array(wanted)).to_numpy(zero_copy_only=False)
        hit = np.flatnonzero(among & view.known)
        by_key = dict(zip(self.keys(hit), hit.tolist(), strict=True))
        return np.array([by_key.get(k, -1) for k in keys], np.int64)

    def id_of(self, key: str, version: int) -> int:
        """Return the id of one key; NotFound suggests the nearest among some keys."""
        found = int(self.find([key], version)[0])
        if found < 0:
            some = np.flatnonzero(self.view(version).known)[:5000]
            raise NotFound(f"no record {key!r} in version {version}. {did_you_mean(key, self.keys(some), limit=5)}")
        return found

    def column(self, name: str, version: int) -> npt.NDArray[Any]:
        """Return a store column for every row of a version's view."""
        return self.store.column(name, len(self.view(version)))

    def children(self, ids: Ids, version: int) -> tuple[Ids, Ids]:
        """Return (child, parent) for the records, living or removed, that derive from `ids`."""
        view = self.view(version)
        parent = self.store.column("parent", len(view))
        if not self.log.derived:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        child = np.flatnonzero(np.isin(parent, ids) & view.known & (parent >= 0))
        return child, parent[child]

    def advance(self, commit: Commit, events: pa.Table) -> None:
        """Keep the view of a version that was just committed, if the one before is there: nothing has to be read."""
        before = self._views.get(commit.parent)
        if before is not None:
            self._views[commit.version] = self._onto(before, [commit], events)

    def _replay(self, start: View, version: int) -> View:
        todo = self.log.commits[start.version + 1 : version + 1]
        return self._onto(start, todo, self.events(start.version, version, _APPLY))

    def _onto(self, start: View, todo: Sequence[Commit], events: pa.Table) -> View:
        n = max((c.payload_start + c.n_added + c.n_revised for c in todo), default=0)
        none = np.empty(0)
        born = any(c.n_added for c in todo)
        view = start.grown(
            todo,
            self.store.column("label0", n) if born and self.schema.label.kind != "classes" else none,
            self.store.column("split0", n) if born else none,
        )
        if events.num_rows:
            ids = events["record_id"].to_numpy()
            if int(ids.max()) >= len(view) or int(ids.min()) < 0:
                raise Damaged(
                    f"{self.path}: an event speaks of record {int(ids.max())} of {len(view)}; restore "
                    "events.lance from a backup"
                )
            view = view.applied(events)
        return replace(view, version=todo[-1].version).frozen()

    def _folder(self, version: int) -> Path:
        # by txn: branches that share a version share its checkpoint
        return self.path / "checkpoints" / f"{self.log.commits[version].txn:016x}"

    def _saved(self) -> list[int]:
        """Return the versions of this branch that have a checkpoint, in order."""
        folder = self.path / "checkpoints"
        txns = [int(p.name, 16) for p in folder.iterdir() if p.name[0] != "."] if folder.is_dir() else []
        return sorted(self.log.txns[txn] for txn in txns if txn in self.log.txns)

    def _load(self, version: int) -> View | None:
        try:
            return View.load(self._folder(version), self.schema.label)
        except (OSError, ValueError, EOFError):  # half-written by a power cut: a cache, so it is built again
            shutil.rmtree(self._folder(version), ignore_errors=True)
            return None
