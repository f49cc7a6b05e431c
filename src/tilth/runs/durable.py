"""The durable engine: runs in a database that several machines share, by DBOS Transact; a killed worker's runs go on.

DBOS keeps the queue and runs the workflows; data, finished steps and who holds a run are in Tilth's own store and
journal. So every launch of a run is a DBOS workflow of its own over the same journal: whatever ended the last launch,
the next begins at the first step that has not finished.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tilth.asking import due
from tilth.errors import Busy, MissingExtra, Parked, RunFailed, TilthError
from tilth.labeling.inbox import Inbox
from tilth.runs.base import Run
from tilth.runs.engines import database_of, project_of
from tilth.runs.home import highest_run, home_of, inbox_of, scope_of
from tilth.runs.jobs import Job, workflow_of
from tilth.runs.journal import Journal
from tilth.runs.lives import enter
from tilth.runs.local import drive
from tilth.runs.pool import open_pool, shut_pool
from tilth.runs.steps import Listener, Steps
from tilth.runs.trainer import Child, Inline, Trainer
from tilth.runs.workers import LEASE, Workers
from tilth.workflow import Workflow

try:
    from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID
except ImportError as why:
    raise MissingExtra("a durable engine", "dbos", extra="postgres") from why

__all__ = ["run", "serve", "submit"]

_NAME = "tilth"
"""Of the queue, of the workflow and of the application in DBOS' tables."""

_VERSION = "tilth-1"
"""A fixed version: with DBOS' own, a hash of the source, an edit would strand every run that waits."""


def run(
    workflow: Workflow,
    *,
    engine: str,
    name: str | None = None,
    source: str | Path | None = None,
    listen: Listener | None = None,
    inline: bool = False,
    adopt: bool = False,
    wait: bool = True,
    lease: float = LEASE,
) -> Run:
    """Run a workflow in this process until it is done, or go on with the run that is not, as `tilth.run` does.

    `engine`: postgresql://user@host/database, or sqlite:///file. Should this process be killed, a worker of the engine
    takes the run over, or the next call goes on with it. Raises what the local engine raises, `Busy` where a worker
    holds the run, or took it over while this process was stopped.
    """
    with _Engine(engine, lease=lease) as on:
        path = Path(source).resolve() if source else None
        project, entered = on.enter(workflow, path, name=name, adopt=adopt)
        job = Job(workflow, path, listen, inline=inline, wait_for_people=wait)
        on.start(project, entered, job)
        job.wait()
    if job.error is not None:
        raise job.error
    return Run(workflow.dataset, entered, engine=engine)


def submit(
    workflow: Workflow, *, engine: str, name: str | None = None, source: str | Path | None = None, adopt: bool = False
) -> Run:
    """Put a workflow's run, new or to go on, in the queue of an engine: the next worker that is free takes it.

    The workers must reach the dataset and `source` by the paths that they have here. `Busy` where a worker holds the
    run. Whatever starts runs by a clock or on arrival of data calls this.
    """
    with _Engine(engine) as on:
        path = Path(source).resolve() if source else None
        project, entered = on.enter(workflow, path, name=name, adopt=adopt)
        on.queue(project, entered)
    return Run(workflow.dataset, entered, engine=engine)


def serve(engine: str, stop: threading.Event, *, listen: Listener | None = None, lease: float = LEASE) -> None:
    """Take one run from the queue and carry it as far as it goes, then return; or return when `stop` is set.

    One, because a run imports its user's files: they must not meet those of other runs, nor what they were before an
    edit. Until then it looks after runs of workers that are gone. A run that is under way when it has to stop goes
    back to the queue. `listen` is told of it: `took`, what the run says of itself, `left` with the reason, `stopping`.
    """
    with _Engine(engine, lease=lease, takes=listen or (lambda _: None)) as on:
        while not stop.is_set() and not on.served.wait(0.2):
            pass


class _Durable(Steps):
    """The loop's context on an engine: each step is one of DBOS' too; a lost run stops before its next step."""

    lost: Callable[[], None] | None = None
    """Set where this process must let go of the run: called, then no other step begins."""

    async def once(self, key: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Await `work()` as a step of DBOS, unless the journal has its result."""
        if key in self.known:
            return self.known[key]

        async def memo() -> None:
            # only `Parked` leaves it: an exception would be recorded by DBOS as the step's result
            await super(_Durable, self).once(key, work)

        await DBOS.run_step_async({"name": key}, memo)
        return self.known[key]

    async def heed(self) -> None:
        """Watch for what is asked of the run; a database that is away for a while does not end that."""
        while not self._over.is_set():
            try:
                await super().heed()
            except OperationalError:
                await asyncio.sleep(1.0)

    def lose(self, release: Callable[[], None]) -> None:
        """Let go of the run at once: end its training, begin no other step; then `release` is called."""
        self.lost = release
        self._trainer.stop()

    def _heed(self) -> None:
        if self.lost is not None:
            self.lost()
            raise Parked(f"{self.run} goes on at another worker", state="lost")
        super()._heed()


class _Engine:
    """DBOS in this process, under a worker's name that is new each time, with a thread that gives signs of life."""

    def __init__(self, engine: str, *, lease: float = LEASE, takes: Listener | None = None) -> None:
        self.engine = engine
        self.database = database_of(engine)
        self.worker = ""
        self.served = threading.Event()
        """Set when a run that came from the queue has been carried, or none can be any more."""
        self._lease = lease
        self._takes = takes
        self._jobs: dict[tuple[str, str], Job] = {}
        self._leaving = threading.Event()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "_Engine":
        if _here:
            raise Busy("this process runs on a durable engine already; wait for that run, or use another process")
        with contextlib.ExitStack() as stack:
            self._workers = Workers(self.database, lease=self._lease)
            stack.callback(self._workers.close)
            self.worker = self._workers.join()
            stack.callback(self._leave)
            own, opened = open_pool(self.database)
            stack.callback(shut_pool, own, opened)
            _here.append(self)
            stack.callback(_here.clear)
            stack.callback(DBOS.destroy)
            _launch(own, self.worker, takes=self._takes is not None)
            self._client = DBOSClient(system_database_engine=own, serializer=DBOSPortableJSONSerializer())
            keeper = threading.Thread(target=self._keep, name="tilth-keeper", daemon=True)
            keeper.start()
            stack.callback(keeper.join)
            stack.callback(self._hand_over)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- runs of this process ----------------------------------------------------------------------------------------

    def enter(self, workflow: Workflow, source: Path | None, *, name: str | None, adopt: bool) -> tuple[str, str]:
        """Return the project and the run to go on with, or a new one; Busy where a worker is at work on it."""
        project, branch = project_of(workflow.dataset.path), workflow.dataset.branch_name
        for held in self._workers.held(project):
            if held["run"] == name if name else held["branch"] == branch:
                raise Busy(f"worker {held['holder']} runs {held['run']} already; wait for it, or stop it")
        journal = Journal(self.database, project, above=highest_run(workflow.dataset))
        try:
            return project, enter(journal, workflow, str(source or ""), name=name, adopt=adopt)["run"]
        finally:
            journal.close()

    def start(self, project: str, run: str, job: Job) -> None:
        """Begin or go on with a run here; Busy where another worker holds it."""
        launch = self._workers.claim(project, run, self.worker)
        self._jobs[project, run] = job
        self._strike(project, run, launch - 1)
        with SetWorkflowID(_id(project, run, launch)):
            DBOS.start_workflow(_run, project, run, launch)

    def queue(self, project: str, run: str, *, after: int | None = None) -> None:
        """Put the next launch of a run in the queue; with `after`, only where that is still its newest."""
        launch = self._workers.queue(project, run, after=after)
        if launch:
            self._strike(project, run, launch - 1)
            options: Any = {"workflow_name": _NAME, "queue_name": _NAME, "app_version": _VERSION}
            self._client.enqueue(options | {"workflow_id": _id(project, run, launch)}, project, run, launch)

    async def carry(self, project: str, run: str, launch: int) -> str:
        """Carry a launch of a run as far as it goes, and return how it ended; an error is kept for who waits."""
        if self._leaving.is_set() or self.served.is_set():
            return "passed on"  # whoever looks after the runs finds it queued, but not in the queue
        job = self._jobs.setdefault((project, run), Job(listen=self._takes, wait_for_people=False))
        task = asyncio.current_task()
        if task is not None:
            job.task = (asyncio.get_running_loop(), task)
        try:
            if not await asyncio.to_thread(self._workers.claim, project, run, self.worker, launch):
                return "superseded"
            self._say(job, what="took", project=project, run=run)
            await self._carry(project, run, job)
            self._say(job, what="left", project=project, run=run, why="done")
            return "done"
        except BaseException as error:  # noqa: BLE001  DBOS would record it, and give it again for ever
            job.error = error
            self._say(job, what="left", project=project, run=run, why=str(error))
            return error.state if isinstance(error, Parked) else type(error).__name__
        finally:
            self._jobs.pop((project, run), None)
            self.served.set()
            job.ended.set()

    async def _carry(self, project: str, run: str, job: Job) -> None:
        journal = Journal(self.database, project, holder=self.worker)
        trainer: Trainer | None = None
        steps: _Durable | None = None
        try:
            about = await asyncio.to_thread(journal.run, run)
            source = job.source or (Path(about["source"]) if about["source"] else None)
            workflow = await asyncio.to_thread(workflow_of, journal, about, job.workflow, source)
            trainer = Inline() if job.inline else Child(source)
            path = workflow.dataset.path
            steps = _Durable(
                journal,
                run,
                home_of(path) / run,
                workflow,
                trainer,
                job.listen or (lambda _: None),
                inbox=inbox_of(path, self.engine),
                scope=scope_of(path, self.engine),
                wait=job.wait_for_people,
            )
            job.lose = steps.lose
            await drive(journal, steps, workflow)
        except RunFailed:
            raise  # it is noted already
        except OperationalError as error:
            raise RunFailed(
                f"{run} lost its database ({error.orig}). All that was done is safe; it goes on when that is back"
            ) from error
        except Parked as parked:
            raise (Busy(str(parked)) if parked.state == "lost" else parked) from parked.__cause__
        except Exception as error:
            told = str(error) if isinstance(error, TilthError) else f"{type(error).__name__}: {error}"
            journal.set_state(run, "failed", told)
            raise
        finally:
            job.lose = None
            if steps is not None:
                steps.close()
            elif trainer is not None:
                trainer.close()
            with contextlib.suppress(OperationalError):
                self._workers.release(project, run, self.worker)
            journal.close()

    def _say(self, job: Job, **said: Any) -> None:
        if self._takes is not None and job.listen is not None:
            job.listen(said)

    # -- signs of life, and the runs of workers that are gone --------------------------------------------------------

    def _keep(self) -> None:
        while not self._leaving.wait(self._lease / 5):
            try:
                if not self._workers.beat(self.worker):
                    self._let_go()  # given up: it was stopped, or could not reach the database, for too long
                    return
                if self._takes is not None:
                    self._look_after()
            except OperationalError as error:
                _log.warning("the engine's database does not answer: %s", error.orig)

    def _look_after(self) -> None:
        """Queue the runs that should go on and that no living worker has."""
        for resting in self._workers.resting():
            if not resting.held:
                found = self._client.list_workflows(workflow_ids=[_id(resting.project, resting.run, resting.launch)])
                waits = [w for w in found if w.status == "ENQUEUED"]
                alive = {row["worker"] for row in self._workers.living()}
                begins = [w for w in found if w.status == "PENDING" and w.executor_id in alive]
                if waits or begins:
                    continue
            self.queue(resting.project, resting.run, after=resting.launch)
        # a run that waits for people takes no process: one look at the inbox for all of them
        waiting = self._workers.waiting()
        if waiting:
            with contextlib.closing(Inbox(self.database)) as inbox:
                for project, run, launch, ticket in waiting:
                    if due(inbox, ticket):
                        self.queue(project, run, after=launch)

    def _let_go(self) -> None:
        for (project, run), job in list(self._jobs.items()):
            if job.lose is not None:
                job.lose(lambda p=project, r=run: self._workers.release(p, r, self.worker))
        self.served.set()

    def _hand_over(self) -> None:
        """Let go of what still runs, for another worker; wait for the steps that are under way."""
        self._leaving.set()
        jobs = list(self._jobs.values())
        self._let_go()
        if self._takes is not None:
            self._takes({"what": "stopping"})
        for job in jobs:
            job.ended.wait()

    def _leave(self) -> None:
        with contextlib.suppress(OperationalError):
            self._workers.leave(self.worker)

    def _strike(self, project: str, run: str, launch: int) -> None:
        """Take an earlier launch off DBOS' books, so that nothing there looks as if it ran."""
        if launch > 0:
            self._client.cancel_workflow(_id(project, run, launch))


_here: list[_Engine] = []
"""The engine of this process, none or one: DBOS is one a process too."""

_log = logging.getLogger(__name__)


@DBOS.workflow(name=_NAME, max_recovery_attempts=None)
async def _run(project: str, run: str, launch: int) -> str:
    return await _here[0].carry(project, run, launch) if _here else "passed on"


def _id(project: str, run: str, launch: int) -> str:
    return f"{project}:{run}:{launch}"


def _launch(own: Engine, worker: str, *, takes: bool) -> None:
    config: DBOSConfig = {
        "name": _NAME,
        "application_version": _VERSION,
        "executor_id": worker,
        "system_database_engine": own,
        # never its default, which is pickle: reading that runs code
        "serializer": DBOSPortableJSONSerializer(),
        "use_listen_notify": False,
        # it looks at what waits for messages, which nothing here does; DBOS ends no sooner than this
        "notification_listener_polling_interval_sec": 0.05,
        "enable_otlp": False,
        "log_level": "CRITICAL",  # what a person must know is in the journal
    }
    DBOS(config=config)
    DBOS.listen_queues([_NAME] if takes else [])
    DBOS.launch()
    DBOS.register_queue(_NAME, worker_concurrency=1, polling_interval_sec=0.5, on_conflict="always_update")
