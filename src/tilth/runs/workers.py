"""Who runs what: workers give signs of life, and a run is held by one of them at a time."""

import contextlib
import json
import os
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, delete, extract, func, or_, select, update

from tilth.errors import Busy
from tilth.runs.tables import open_tables, runs, workers
from tilth.sql import reading, shut, writing

__all__ = ["LEASE", "Resting", "Workers"]

LEASE = 15.0
"""Seconds without a sign of life after which a worker's runs are another's to take."""

_GOES_ON = ("running", "waiting")
"""The states in which a run wants a worker."""


@dataclass(frozen=True)
class Resting:
    """A run that should be running and is held by nobody alive."""

    project: str
    run: str
    launch: int
    held: bool
    """Whether a worker that is gone had it; else it was queued, and the queue may know more."""


class Workers:
    """The workers of an engine and which runs they hold, by the clock of the database.

    >>> import tempfile
    >>> from tilth.runs.journal import Journal
    >>> place = Path(tempfile.mkdtemp()) / "engine.sqlite"
    >>> journal, workers = Journal(place, "pets"), Workers(place)
    >>> run = journal.begin("5f2c", '{"dataset": {"branch": "main"}}', "pets.py")
    >>> me, another = workers.join(), workers.join()
    >>> workers.claim("pets", run, me)
    1
    >>> workers.claim("pets", run, another)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    tilth.errors.Busy: worker ... runs run-1 already; wait for it, or stop it
    >>> workers.leave(me)
    >>> workers.claim("pets", run, another)
    2
    >>> workers.close(); journal.close()
    """

    def __init__(self, where: str | Path, *, lease: float = LEASE) -> None:
        self.lease = lease
        self._engine = open_tables(where)

    def close(self) -> None:
        """Let go of the database."""
        shut(self._engine)

    # -- workers -----------------------------------------------------------------------------------------------------

    def join(self) -> str:
        """Take up work in this process and return the name of the worker, new each time."""
        name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        with writing(self._engine) as connection:
            now = _now(connection)
            row = {"worker": name, "host": socket.gethostname(), "pid": os.getpid(), "place": _place(os.getpid())}
            connection.execute(workers.insert().values(**row, begun=now, seen=now, lease=self.lease))
        return name

    def beat(self, worker: str) -> bool:
        """Give a sign of life; False where it came too late: what the worker held is another's by now."""
        with writing(self._engine) as connection:
            seen = update(workers).where(workers.c.worker == worker).values(seen=_now(connection))
            return connection.execute(seen).rowcount == 1

    def leave(self, worker: str) -> None:
        """Take leave; what the worker held is free."""
        with writing(self._engine) as connection:
            connection.execute(update(runs).where(runs.c.holder == worker).values(holder=None))
            connection.execute(delete(workers).where(workers.c.worker == worker))

    def living(self) -> list[dict[str, Any]]:
        """Return the workers that live: worker, host, pid, begun, seen; those that are gone are struck off."""
        with writing(self._engine) as connection:
            return [dict(row) for row in self._living(connection)]

    # -- runs --------------------------------------------------------------------------------------------------------

    def claim(self, project: str, run: str, worker: str, launch: int | None = None) -> int:
        """Hold a run, and return the number of its launch; Busy where another worker that lives holds it.

        With `launch` only that launch is taken up: 0 where there was a newer one since, or it is not to go on.
        """
        with writing(self._engine) as connection:
            now = self._run(connection, project, run)
            if launch is not None and (now["launch"] != launch or now["state"] not in (*_GOES_ON, "queued")):
                return 0
            self._free(connection, now, worker)
            taken: int = now["launch"] + (launch is None)
            to = {"holder": worker, "launch": taken, "state": "running", "why": "", "ticket": None}
            connection.execute(update(runs).where(_is(project, run)).values(**to))
            return taken

    def release(self, project: str, run: str, worker: str) -> None:
        """Let go of a run; nothing where another holds it."""
        with writing(self._engine) as connection:
            own = and_(_is(project, run), runs.c.holder == worker)
            connection.execute(update(runs).where(own).values(holder=None))

    def queue(self, project: str, run: str, *, after: int | None = None) -> int:
        """Let the next worker that is free have a run, and return the number of that launch.

        Busy where a worker that lives holds it. With `after` 0, and nothing done, where that is not its launch any
        more or it is not to go on: of several that try, one succeeds.
        """
        with writing(self._engine) as connection:
            now = self._run(connection, project, run)
            if after is not None and (now["launch"] != after or now["state"] not in (*_GOES_ON, "queued")):
                return 0
            self._free(connection, now, "")
            launch: int = now["launch"] + 1
            to = {"holder": None, "launch": launch, "state": "queued", "why": "waits for a worker", "ticket": None}
            connection.execute(update(runs).where(_is(project, run)).values(**to))
            return launch

    def held(self, project: str) -> list[dict[str, Any]]:
        """Return the runs of a project that a living worker holds: run, branch, holder."""
        with writing(self._engine) as connection:
            alive = [row["worker"] for row in self._living(connection)]
            wanted = select(runs.c.run, runs.c.branch, runs.c.holder)
            here = wanted.where(runs.c.project == project, runs.c.holder.in_(alive))
            return [dict(row) for row in connection.execute(here).mappings()]

    def waiting(self) -> list[tuple[str, str, int, dict[str, Any]]]:
        """Return the runs that wait for people and that nobody carries: project, run, launch, ticket."""
        wanted = select(runs.c.project, runs.c.run, runs.c.launch, runs.c.ticket)
        here = wanted.where(runs.c.state == "waiting", runs.c.holder.is_(None), runs.c.ticket.is_not(None))
        with reading(self._engine) as connection:
            rows = connection.execute(here.order_by(runs.c.project, runs.c.number)).all()
        return [(project, run, launch, json.loads(ticket)) for project, run, launch, ticket in rows]

    def resting(self) -> list[Resting]:
        """Return the runs of all projects that should go on and that no living worker holds."""
        with writing(self._engine) as connection:
            alive = [row["worker"] for row in self._living(connection)]
            nobody = or_(runs.c.holder.is_(None), runs.c.holder.not_in(alive))
            # launch 0: entered a moment ago by a process that is about to hold it
            wanted = and_(runs.c.state.in_((*_GOES_ON, "queued")), runs.c.launch > 0, nobody)
            # what waits for people with a ticket rests until that is due
            wanted &= or_(runs.c.state != "waiting", runs.c.holder.is_not(None), runs.c.ticket.is_(None))
            columns = (runs.c.project, runs.c.run, runs.c.launch, runs.c.holder)
            found = connection.execute(select(*columns).where(wanted).order_by(runs.c.project, runs.c.number)).all()
        return [Resting(project, run, launch, holder is not None) for project, run, launch, holder in found]

    # -- inside ------------------------------------------------------------------------------------------------------

    def _run(self, connection: Connection, project: str, run: str) -> dict[str, Any]:
        wanted = select(runs.c.run, runs.c.launch, runs.c.state, runs.c.holder).where(_is(project, run))
        return dict(connection.execute(wanted.with_for_update()).mappings().one())

    def _free(self, connection: Connection, now: dict[str, Any], worker: str) -> None:
        """Refuse a run that another worker holds, unless that one is gone."""
        if now["holder"] in (None, worker):
            return
        for row in self._living(connection):
            if row["worker"] == now["holder"]:
                raise Busy(f"worker {now['holder']} runs {now['run']} already; wait for it, or stop it")

    def _living(self, connection: Connection) -> list[Any]:
        now = _now(connection)
        alive: list[Any] = []
        for row in connection.execute(select(workers)).mappings().all():
            if row["seen"] + row["lease"] < now or _is_gone(row["place"], row["pid"]):
                # its name is gone for good: should it wake up after all, it finds that it was given up
                connection.execute(delete(workers).where(workers.c.worker == row["worker"]))
            else:
                alive.append(row)
        return alive


def _is(project: str, run: str) -> Any:
    return and_(runs.c.project == project, runs.c.run == run)


def _now(connection: Connection) -> float:
    """Return the time by the one clock that all workers share; a file is shared on one machine only."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(select(extract("epoch", func.clock_timestamp()))) or 0.0)


def _place(pid: int) -> str:
    """Return what tells a process apart: the machine since it was started, the process namespace, its own beginning."""
    with contextlib.suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        began = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}/{began}"  # noqa: PTH115  it is no path
    return ""


def _is_gone(place: str, pid: int) -> bool:
    """Whether a process of this machine has ended: then nobody needs to wait for its lease to run out."""
    mine = _place(os.getpid()).rpartition("/")[0]
    if not mine or place.rpartition("/")[0] != mine:
        return False
    if _place(pid) != place:
        return True
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] in ("Z", "X")
    return True
