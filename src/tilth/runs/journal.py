"""The journal of a project: which runs there are, which steps have finished and what they returned."""

import json
import sqlite3
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tilth.errors import Busy, Damaged, NotFound, did_you_mean

__all__ = ["Journal"]

_TABLES = """
create table if not exists runs (
  run text primary key, number integer not null, spec text not null, state text not null, why text not null default '',
  source text not null default '', started real not null, ended real);
create table if not exists steps (
  run text not null, key text not null, result text not null, finished real not null, seconds real not null, primary key
  (run, key));
create table if not exists specs (spec text primary key, json text not null);
"""


class Journal:
    """Runs and finished steps in one SQLite file; a step's result is on disk before the next step begins.

    `state` of a run: running, waiting, paused, failed, done. A run whose process is gone stays "running" here; who
    looks at it tells by the project's lock that it is resting.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            self._db.execute("pragma journal_mode=WAL")
            # a lost step result only repeats a step, whose effects are keyed commits that are on disk themselves
            self._db.execute("pragma synchronous=NORMAL")
            self._db.executescript(_TABLES)
        except sqlite3.DatabaseError as why:
            raise Damaged(
                f"{path} is not a journal ({why}); move it away: the datasets are intact, runs begin anew"
            ) from why

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin(self, spec: str, text: str, source: str) -> str:
        """Start a new run and return its name."""
        with self._write() as db:
            number = db.execute("select coalesce(max(number), 0) + 1 from runs").fetchone()[0]
            run = f"run-{number}"
            db.execute("insert or ignore into specs values (?, ?)", (spec, text))
            db.execute(
                "insert into runs (run, number, spec, state, source, started) values (?, ?, ?, 'running', ?, ?)",
                (run, number, spec, source, time.time()),
            )
        return run

    def adopt(self, run: str, spec: str, text: str) -> None:
        """Let a run go on with another spec from its next round."""
        with self._write() as db:
            db.execute("insert or ignore into specs values (?, ?)", (spec, text))
            db.execute("update runs set spec = ? where run = ?", (spec, run))

    def set_state(self, run: str, state: str, why: str = "") -> None:
        """Note how a run is doing."""
        ended = time.time() if state == "done" else None
        with self._write() as db:
            db.execute("update runs set state = ?, why = ?, ended = ? where run = ?", (state, why, ended, run))

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, oldest first."""
        cursor = self._db.execute("select run, spec, state, why, source, started, ended from runs order by number")
        names = [c[0] for c in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def run(self, name: str | None = None) -> dict[str, Any]:
        """Return one run, default the newest; NotFound names those there are."""
        runs = self.runs()
        found = [r for r in runs if name is None or r["run"] == name]
        if not found:
            what = f"no run {name!r}" if name else "no run yet"
            raise NotFound(f"{what}. {did_you_mean(name or '', [r['run'] for r in runs])} `tilth run FILE` starts one")
        return found[-1]

    def spec(self, spec: str) -> Mapping[str, Any]:
        """Return the JSON of a spec."""
        row = self._db.execute("select json from specs where spec = ?", (spec,)).fetchone()
        if row is None:
            raise Damaged(f"the journal has no spec {spec}; start a new run")
        return json.loads(row[0])

    def result(self, run: str, key: str) -> tuple[bool, Any]:
        """Return (True, result) of a finished step, (False, None) of one that has not."""
        row = self._db.execute("select result from steps where run = ? and key = ?", (run, key)).fetchone()
        return (False, None) if row is None else (True, json.loads(row[0]))

    def finish(self, run: str, key: str, result: Any, seconds: float) -> None:
        """Write a step's result down."""
        with self._write() as db:
            db.execute(
                "insert or replace into steps values (?, ?, ?, ?, ?)",
                (run, key, json.dumps(result), time.time(), seconds),
            )

    def steps(self, run: str) -> list[dict[str, Any]]:
        """Return the finished steps of a run in the order in which they finished."""
        cursor = self._db.execute(
            "select key, result, finished, seconds from steps where run = ? order by finished, rowid", (run,)
        )
        return [{"key": k, "result": json.loads(r), "finished": f, "seconds": s} for k, r, f, s in cursor.fetchall()]

    @contextmanager
    def _write(self) -> Generator[sqlite3.Connection]:
        try:
            self._db.execute("begin immediate")
        except sqlite3.OperationalError as why:
            raise Busy(
                f"the journal is locked by another process ({why}); wait for it to finish, then run again"
            ) from why
        try:
            yield self._db
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")
