"""The journal of a project: which runs there are, which steps have finished and what they returned."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, select, update

from tilth.errors import Damaged, NotFound, Parked, UsageError, did_you_mean
from tilth.runs.tables import insert, open_tables, runs, specs, steps
from tilth.sql import Alone, reading, shut, writing

__all__ = ["Journal"]

_GONE = "deleted"
"""The state of a run that was deleted: its name is not given again, because commits keep it in their keys."""

_ENDED = ("done", "cancelled")

_ABOUT = (runs.c.run, runs.c.spec, runs.c.branch, runs.c.state, runs.c.why, runs.c.source, runs.c.started, runs.c.ended)

_ASKED = select(runs.c.asked).where(runs.c.project == bindparam("project"), runs.c.run == bindparam("run"))
_THIS = and_(steps.c.project == bindparam("project"), steps.c.run == bindparam("run"))
_RESULT = select(steps.c.result).where(_THIS, steps.c.key == bindparam("key"))
_SINCE = select(steps.c.number, steps.c.key, steps.c.result, steps.c.finished, steps.c.seconds).where(
    _THIS, steps.c.number > bindparam("after")
)
_STEPS = select(steps.c.key, steps.c.result, steps.c.finished, steps.c.seconds).where(_THIS).order_by(steps.c.number)


class Journal:
    """Runs and finished steps in an SQLite file or a Postgres database; a result is there before the next step begins.

    >>> import tempfile
    >>> journal = Journal(Path(tempfile.mkdtemp()) / "journal.sqlite")
    >>> run = journal.begin("5f2c", '{"rules": {}}', "pets.py")
    >>> journal.finish(run, "r0/start", {"version": 7}, seconds=0.1)
    >>> run, journal.result(run, "r0/start"), journal.result(run, "r0/train")
    ('run-1', (True, {'version': 7}), (False, None))
    >>> journal.close()

    `where`: a file, or postgresql://user@host/database; `project` keeps apart the projects that share one. `state` of a
    run: running, waiting, paused, failed, cancelled, done. A run whose process is gone stays "running" here; who looks
    at it tells by the project's lock, or by its worker's signs of life, that it is resting. With `holder` (a worker's
    name) all that is written about a run raises `Parked` with state "lost" where another worker holds it by now.
    `above`: new runs have higher numbers than this; a dataset's commits keep the names of runs, also of those that
    another journal knows.
    """

    def __init__(self, where: str | Path, project: str = "", *, holder: str = "", above: int = 0) -> None:
        self.project = project
        self.holder = holder
        self.above = above
        self._engine = open_tables(where)
        made = insert(self._engine, steps)
        names = ("result", "finished", "seconds")
        self._finish = made.on_conflict_do_update(
            index_elements=["project", "run", "key"], set_={n: made.excluded[n] for n in names}
        )
        self._finish_alone = Alone(self._engine, self._finish, ["project", "run", "key", *names])

    def close(self) -> None:
        """Let go of the database."""
        self._finish_alone.close()
        shut(self._engine)

    # -- runs --------------------------------------------------------------------------------------------------------

    def begin(self, spec: str, text: str, source: str, *, branch: str = "main") -> str:
        """Start a new run and return its name; `text`: the spec as JSON."""
        with writing(self._engine) as connection:
            return self._new(connection, spec, text, source, branch)

    def adopt(self, run: str, spec: str, text: str, source: str = "") -> None:
        """Let a run go on with another spec, and from another file, from its next round."""
        to = {"spec": spec, **({"source": source} if source else {})}
        with writing(self._engine) as connection:
            self._keep(connection, spec, text)
            connection.execute(update(runs).where(self._is(run)).values(**to))

    def fork(self, run: str, to_round: int, *, branch: str) -> str:
        """Return a new run on `branch` that has the steps of the rounds before `to_round`; the old one stays.

        UsageError where the run has not begun that round.
        """
        about = self.run(run)
        old = [s for s in self.steps(run) if _round(s["key"]) is not None]
        reached = max((_round(s["key"]) or 0 for s in old), default=0)
        if not 0 <= to_round <= reached:
            raise UsageError(f"{run} has the rounds 0 to {reached}, not {to_round}: fork it at one of these")
        with writing(self._engine) as connection:
            text = json.dumps(self.spec(about["spec"]))
            name = self._new(connection, about["spec"], text, about["source"], branch)
            kept = [s for s in old if (_round(s["key"]) or 0) < to_round]
            if kept:
                connection.execute(self._finish, [self._row(name, **s) for s in kept])
        return name

    def delete(self, run: str) -> None:
        """Forget a run and its steps; what it changed in the dataset stays, and its name is never given again."""
        self.run(run)
        with writing(self._engine) as connection:
            connection.execute(delete(steps).where(steps.c.project == self.project, steps.c.run == run))
            gone = {"state": _GONE, "why": "", "source": "", "asked": None, "holder": None}
            connection.execute(update(runs).where(self._is(run)).values(**gone))

    def set_state(self, run: str, state: str, why: str = "", ticket: Mapping[str, Any] | None = None) -> None:
        """Note how a run is doing; `ticket`: what it waits for."""
        waits = None if ticket is None else json.dumps(ticket)
        ended = time.time() if state in _ENDED else None
        with writing(self._engine) as connection:
            self._held(connection, run)
            connection.execute(
                update(runs).where(self._is(run)).values(state=state, why=why, ended=ended, ticket=waits)
            )

    def request(self, run: str, what: str | None) -> None:
        """Ask a run to "pause" or "cancel"; None takes that back. Whoever runs it looks once a second."""
        if what not in ("pause", "cancel", None):
            raise UsageError(f"a run is asked to 'pause' or 'cancel', not {what!r}")
        self.run(run)
        with writing(self._engine) as connection:
            connection.execute(update(runs).where(self._is(run)).values(asked=what))

    def requested(self, run: str) -> str | None:
        """Return what is asked of a run, and take it: it is told once."""
        this = {"project": self.project, "run": run}
        with reading(self._engine) as connection:
            if connection.scalar(_ASKED, this) is None:
                return None
        with writing(self._engine) as connection:
            what = connection.scalar(_ASKED.with_for_update(), this)
            connection.execute(update(runs).where(self._is(run)).values(asked=None))
        return what

    def runs(self) -> list[dict[str, Any]]:
        """Return all runs, oldest first: run, spec, branch, state, why, source, started, ended."""
        wanted = (runs.c.project == self.project, runs.c.state != _GONE)
        with reading(self._engine) as connection:
            return [
                dict(r) for r in connection.execute(select(*_ABOUT).where(*wanted).order_by(runs.c.number)).mappings()
            ]

    def run(self, name: str | None = None) -> dict[str, Any]:
        """Return one run, default the newest; NotFound names those there are."""
        found = self.runs()
        named = [r for r in found if name is None or r["run"] == name]
        if not named:
            what = f"no run {name!r}" if name else "no run yet"
            raise NotFound(f"{what}. {did_you_mean(name or '', [r['run'] for r in found])} `tilth run FILE` starts one")
        return named[-1]

    def spec(self, spec: str) -> Mapping[str, Any]:
        """Return the JSON of a spec."""
        with reading(self._engine) as connection:
            text = connection.scalar(select(specs.c.json).where(specs.c.project == self.project, specs.c.spec == spec))
        if text is None:
            raise Damaged(f"the journal has no spec {spec}; start a new run")
        return json.loads(text)

    # -- steps -------------------------------------------------------------------------------------------------------

    def result(self, run: str, key: str) -> tuple[bool, Any]:
        """Return (True, result) of a finished step, (False, None) of one that has not."""
        with reading(self._engine) as connection:
            text = connection.scalar(_RESULT, {"project": self.project, "run": run, "key": key})
        return (False, None) if text is None else (True, json.loads(text))

    def finish(self, run: str, key: str, result: Any, seconds: float) -> None:
        """Write a step's result (JSON) down; one that has finished before gets the new result at its old place."""
        row = self._row(run, key=key, result=result, finished=time.time(), seconds=seconds)
        if not self.holder:  # nobody else may hold the run, so there is nothing to look at before
            self._finish_alone(row)
            return
        with writing(self._engine) as connection:
            self._held(connection, run)
            connection.execute(self._finish, row)

    def steps(self, run: str) -> list[dict[str, Any]]:
        """Return the finished steps of a run in the order in which they finished: key, result, finished, seconds."""
        with reading(self._engine) as connection:
            rows = connection.execute(_STEPS, {"project": self.project, "run": run}).all()
        return [{"key": k, "result": json.loads(r), "finished": f, "seconds": s} for k, r, f, s in rows]

    def since(self, run: str, after: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return how a run is (as `run` does) and its steps that finished after the one with a number, at one moment.

        Each step has its `number` too, by which they ascend: whoever looks on asks for what came after the last. Only
        what is new is read, so that a run may be looked at ten times a second. NotFound where the run is gone.
        """
        with reading(self._engine) as connection:
            about = connection.execute(select(*_ABOUT).where(self._is(run), runs.c.state != _GONE)).mappings().first()
            asked = {"project": self.project, "run": run, "after": after}
            rows = connection.execute(_SINCE.order_by(steps.c.number), asked).all()
        if about is None:
            raise NotFound(f"{run} is gone; `tilth list` shows the runs that are there")
        made = [{"number": n, "key": k, "result": json.loads(r), "finished": f, "seconds": s} for n, k, r, f, s in rows]
        return dict(about), made

    # -- inside ------------------------------------------------------------------------------------------------------

    def _is(self, run: str) -> Any:
        return and_(runs.c.project == self.project, runs.c.run == run)

    def _row(self, run: str, *, key: str, result: Any, finished: float, seconds: float) -> dict[str, Any]:
        told = {"key": key, "result": json.dumps(result), "finished": finished, "seconds": seconds}
        return {"project": self.project, "run": run, **told}

    def _new(self, connection: Connection, spec: str, text: str, source: str, branch: str) -> str:
        if connection.dialect.name != "sqlite":
            # two that begin at once would take the same number; SQLite has one writer anyway
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(self.project))))
        newest = select(func.coalesce(func.max(runs.c.number), 0)).where(runs.c.project == self.project)
        number = max(connection.scalar(newest) or 0, self.above) + 1
        run = f"run-{number}"
        self._keep(connection, spec, text)
        row = {"project": self.project, "run": run, "number": number, "spec": spec, "branch": branch}
        connection.execute(runs.insert().values(**row, state="running", source=source, started=time.time()))
        return run

    def _keep(self, connection: Connection, spec: str, text: str) -> None:
        made = insert(self._engine, specs).values(project=self.project, spec=spec, json=text)
        # the newest text: it tells where the dataset lies today
        kept = made.on_conflict_do_update(index_elements=["project", "spec"], set_={"json": text})
        connection.execute(kept)

    def _held(self, connection: Connection, run: str) -> None:
        if not self.holder:
            return
        holder = connection.scalar(select(runs.c.holder).where(self._is(run)).with_for_update())
        if holder != self.holder:
            by = f"worker {holder} runs it now" if holder else "it waits for another worker"
            raise Parked(f"{run} is not this worker's any more: {by}. All that was done is safe", state="lost")


def _round(key: str) -> int | None:
    """Return the round that a step belongs to: 3 of `r3/ask/propose`."""
    head = key.split("/", 1)[0]
    return int(head[1:]) if head[:1] == "r" and head[1:].isdigit() else None
