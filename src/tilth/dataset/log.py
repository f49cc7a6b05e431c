"""The commit log: one small JSON file a version, and the only commit point.

A version exists when `commits/<branch>/<version>.json` exists. The file is written beside it, forced to disk, then
given its name by `link(2)`, which fails where that name is taken: of two writers one wins. A Lance table with
`merge_insert` was tried for this: 67 kB and 8-18 ms a commit, both growing with the number of versions; this is 0.5 kB
and flat.
"""

import json
import os
import secrets
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tilth.dataset.disk import force, write_file
from tilth.errors import Damaged, Exists, NotFound, UsageError, did_you_mean

__all__ = ["Commit", "Log", "branches"]


@dataclass(frozen=True)
class Commit:
    """One version: who made it, why, and which blocks of payload and events belong to it.

    `txn` marks the rows it wrote; `events_start`, `payload_start` are row positions. A small commit has its events in
    `carried` instead (see `tilth.dataset.carrying`). `metrics` are those of the round's model.
    """

    version: int
    key: str
    txn: int
    parent: int
    time: float
    message: str = ""
    actor: str = ""
    run: str = ""
    round: int = -1
    rule: str = ""
    model: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    events_start: int = 0
    n_events: int = 0
    payload_start: int = 0
    n_added: int = 0
    n_revised: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])
    carried: str = field(default="", repr=False)

    def holds(self, row: int) -> bool:
        """Whether a row of the table of events is one of its own."""
        return not self.carried and self.events_start <= row < self.events_start + self.n_events

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, without the events that it carries."""
        told = asdict(self)
        del told["carried"]
        return told


class Log:
    """The versions of one branch, kept in memory and read on as others add to it."""

    def __init__(self, folder: Path, branch: str) -> None:
        self.branch = branch
        self.folder = folder / branch
        if branch not in branches(folder):
            raise NotFound(f"no branch {branch!r}. {did_you_mean(branch, branches(folder))}")
        self.commits: list[Commit] = []
        self.keys: dict[str, int] = {}
        self.txns: dict[int, int] = {}
        self.derived = False
        self.loose = 0
        """How many commits carry their events."""
        self._lock = threading.RLock()
        last = max((entry.name for entry in os.scandir(self.folder) if not entry.name.startswith(".")), default="")
        self.refresh()
        if last > self._path(self.head).name:
            raise Damaged(f"{self._path(self.head + 1)} is missing, though {last} is there; restore it from a backup")

    @property
    def head(self) -> int:
        """The newest version, -1 before the first."""
        return len(self.commits) - 1

    def refresh(self) -> None:
        """Read the versions that have come since the last look."""
        with self._lock:
            while (commit := self._read(self.head + 1)) is not None:
                self._take(commit)

    def append(self, commit: Commit, *, sync: bool, after: Sequence[str | Path] = ()) -> bool:
        """Add a version; False where another writer has taken its number first.

        `after`: files and folders that, with `sync`, must be on disk before.
        """
        with self._lock:
            try:
                write_file(self._path(commit.version), _text(commit), sync=sync, replace=False, after=after)
            except FileExistsError:
                self.refresh()
                return False
            self._take(commit)
            return True

    def carrying(self) -> list[Commit]:
        """Return the commits that carry their events, as they are on disk: others may have moved them."""
        with self._lock:
            for commit in [c for c in self.commits if c.carried]:
                now = self._read(commit.version)
                if now is not None and not now.carried:
                    self._put(now)
            return [c for c in self.commits if c.carried]

    def replace(self, commits: Sequence[Commit]) -> None:
        """Put commits in place of those of the same versions, which say the same; they are forced to disk."""
        parts = [
            (c, path.with_name(f".{path.name}.{secrets.token_hex(4)}.part"), path)
            for c, path in ((c, self._path(c.version)) for c in commits)
        ]
        try:
            for commit, part, _ in parts:
                part.write_text(_text(commit), encoding="utf-8")
            force(*(part for _, part, _ in parts))
            with self._lock:
                for commit, part, path in parts:
                    part.replace(path)
                    self._put(commit)
        finally:
            for _, part, _ in parts:
                part.unlink(missing_ok=True)
        force(self.folder)

    def force(self) -> None:
        """Force all versions that are known to disk: they may be those of a writer who did not care for power cuts."""
        force(*(self._path(k) for k in range(self.head + 1)), self.folder, self.folder.parent)

    def get(self, version: int) -> Commit:
        """Return one version's commit; NotFound says which versions there are."""
        if not 0 <= version <= self.head:
            raise NotFound(f"no version {version} on branch {self.branch!r}: it has versions 0 to {self.head}")
        return self.commits[version]

    def fork(self, name: str, version: int, *, sync: bool) -> None:
        """Make a branch that shares the versions 0 to `version` of this one."""
        self.get(version)
        if not name or not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
            raise UsageError(f"a branch cannot be called {name!r}: use letters, digits, '-', '_' and '.'")
        target = self.folder.parent / name
        taken = f"branch {name!r} exists already; open it, or choose another name"
        if target.exists():
            raise Exists(taken)
        part = target.with_name(f".{name}.{secrets.token_hex(4)}.part")
        try:
            part.mkdir()
            for k in range(version + 1):
                os.link(self._path(k), part / self._path(k).name)
            if sync:
                force(part)
            try:
                part.rename(target)
            except OSError as why:
                if target.exists():  # somebody else made it meanwhile
                    raise Exists(taken) from why
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        if sync:
            force(target.parent)

    def _read(self, version: int) -> Commit | None:
        path = self._path(version)
        if not path.exists():  # every look at the head asks: to open what is not there takes longer
            return None
        text = path.read_text(encoding="utf-8")
        try:
            return Commit(**json.loads(text))
        except (ValueError, TypeError) as why:
            raise Damaged(
                f"{path} is not a commit ({why}); restore that file from a backup, the versions below it are intact"
            ) from why

    def _path(self, version: int) -> Path:
        return self.folder / f"{version:012d}.json"

    def _take(self, commit: Commit) -> None:
        self.commits.append(commit)
        self.keys[commit.key] = commit.version
        self.txns[commit.txn] = commit.version
        self.derived |= bool(commit.meta.get("derived"))
        self.loose += bool(commit.carried)

    def _put(self, commit: Commit) -> None:
        self.commits[commit.version] = commit
        self.loose -= 1


def _text(commit: Commit) -> str:
    carried = {"carried": commit.carried} if commit.carried else {}
    return json.dumps(commit.to_json() | carried, sort_keys=True)


def branches(folder: Path) -> list[str]:
    """Return the names of the branches below `folder`, sorted."""
    return (
        sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")) if folder.is_dir() else []
    )
