"""Runs on a durable engine: as the local engine runs them, by workers that are killed, stopped and lose their runs."""

import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import crash_program, launching
from tests.test_crash import decisions
from tilth.dataset import Dataset
from tilth.demo.data import digits
from tilth.errors import Busy, RunFailed, UsageError
from tilth.runs import Run, durable, run
from tilth.runs.engines import database_of, project_of
from tilth.runs.journal import Journal
from tilth.runs.slots import work
from tilth.runs.workers import Workers
from tilth.testing.people import answer_open, from_column

pytestmark = pytest.mark.slow

# several processes at a time: each with a thread a core would be slower than one
os.environ.setdefault("OMP_NUM_THREADS", "1")

PROGRAM = """
import os
from pathlib import Path

from tilth import Gate, Oracle, Record, Rule, Workflow, annotate, augment, labeled, margin, rounds, unlabeled
from tilth.dataset import Dataset
from tilth.demo.arms import base_model
from tilth.integrations.sklearn import SklearnModel

HERE = Path(__file__).parent


def shift(record: Record) -> Record:
    if (HERE / "broken").exists():
        raise ValueError("the pictures cannot be shifted")
    if (HERE / "gate").exists():
        os.read(os.open(HERE / "gate", os.O_RDWR), 1)
    return record.change(pixels=[0.0, *record["pixels"][:-1]])


workflow = Workflow(
    dataset=Dataset.open(HERE / "dataset"),
    model=SklearnModel(base_model()),
    rules={
        "ask": Rule(select=unlabeled.top(15, by=margin()), do=annotate(by=Oracle("truth", error=0.1), votes=2)),
        "shift": Rule(select=labeled.where(label="3").sample(12), do=augment(shift), gate=Gate(by=0.02)),
    },
    until=rounds() >= 1,
)


def main(engine):
    from tilth.runs.durable import submit

    submit(workflow, engine=engine, source=__file__)
"""
"""A project's workflow file, with its own function, which fails while there is a file `broken`, and waits at a named
pipe `gate` until somebody writes to it."""

Came = tuple[str, dict[str, Any]]
"""Digest and decisions of a run."""


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Postgres, where a test does not say otherwise: the crash tests examine the engine on SQLite."""
    if getattr(request, "param", "") == "sqlite":
        return f"sqlite:///{tmp_path / 'engine.sqlite'}"
    return request.getfixturevalue("postgres_url")


on_both = pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that every test copies."""
    folder = tmp_path_factory.mktemp("durable") / "start"
    digits(folder / "dataset", seed=3)
    (folder / "workflow.py").write_text(PROGRAM)
    return folder


@pytest.fixture(scope="module")
def local(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Came:
    """Digest and decisions of the local engine."""
    folder = shutil.copytree(start, tmp_path_factory.mktemp("durable") / "local")
    script = (
        "import workflow; from tilth.runs import run; run(workflow.workflow, source=workflow.__file__, inline=True)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
    return outcome(folder)


def outcome(project: Path, engine: str | None = None) -> Came:
    """What a run came to: digest and decisions; nothing was committed twice."""
    dataset = Dataset.open(project / "dataset")
    done = Run(dataset, engine=engine)
    assert done.state == "done", done
    assert len({c.key for c in dataset.log()}) == len(dataset.log())
    return dataset.digest(), decisions(done)


def submit(project: Path, engine: str) -> None:
    """Hand a project's run to the workers, from a process that has ended by then."""
    code, said = launching.launch(
        launching.as_program, str(project / "workflow.py"), engine, out=project / "submitted.txt"
    )
    assert code == 0, said


class Heard:
    """What was heard from workers, in order; `crew` says from which."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._news = threading.Condition()

    def listen(self, crew: int, event: Mapping[str, Any]) -> None:
        with self._news:
            self.events.append({"crew": crew, **event})
            self._news.notify_all()

    def that(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the events that say `wanted`."""
        return [e for e in self.events if all(e.get(k) == v for k, v in wanted.items())]

    def until(self, *, count: int = 1, **wanted: Any) -> dict[str, Any]:
        """Wait for `count` events that say `wanted`, and return the last; the limit makes a failure a failure."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.that(**wanted)) >= count, timeout=240), self.events
            return self.that(**wanted)[-1]


@pytest.fixture
def heard() -> Heard:
    return Heard()


Hire = Callable[..., threading.Event]


@pytest.fixture
def hire(engine: str, heard: Heard) -> Generator[Hire]:
    """Start a worker of the engine in a thread (its runs have processes of their own); return what stops it."""
    hired: list[tuple[threading.Thread, threading.Event]] = []

    def hire(*, at_once: int = 1, lease: float = 15.0) -> threading.Event:
        stop, crew = threading.Event(), len(hired)
        told = {"at_once": at_once, "stop": stop, "listen": lambda e: heard.listen(crew, e), "lease": lease}
        thread = threading.Thread(target=work, args=[engine], kwargs=told)
        thread.start()
        hired.append((thread, stop))
        return stop

    yield hire
    for _, stop in hired:
        stop.set()
    for thread, _ in hired:
        thread.join()


def name(project: Path) -> str:
    return project_of(project / "dataset")


def holder(engine: str, project: Path) -> int:
    """Return the process that holds a project's run."""
    workers = Workers(database_of(engine))
    try:
        held = [r["holder"] for r in workers.held(name(project))]
        return next(row["pid"] for row in workers.living() if row["worker"] in held)
    finally:
        workers.close()


def let_through(gate: Path) -> None:
    """Write to a named pipe; where nobody waits at it, nothing happens."""
    pipe = os.open(gate, os.O_RDWR)
    os.write(pipe, b"!")
    os.close(pipe)


def state(engine: str, project: Path) -> str:
    return Run(Dataset.open(project / "dataset"), engine=engine).state


@on_both
def test_a_run_in_this_process_is_what_the_local_engine_makes_of_it(engine: str, tmp_path: Path) -> None:
    told: list[str] = []
    here, there = tmp_path / "here", tmp_path / "there"
    digits(here, seed=3)
    shutil.copytree(here, there)
    a = run(crash_program.workflow(here, small=True), inline=True)
    b = durable.run(
        crash_program.workflow(there, small=True), engine=engine, inline=True, listen=lambda e: told.append(e["what"])
    )
    assert a.dataset.digest() == b.dataset.digest()
    assert decisions(a) == decisions(b)
    assert [s["key"] for s in a.steps] == [s["key"] for s in b.steps]
    assert (b.state, len(b.rounds)) == ("done", 2)
    assert told.count("rounded") == 1
    # the next call begins a run anew
    again = durable.run(crash_program.workflow(there, small=True), engine=engine, inline=True)
    assert again.name == "run-2"


def test_two_workers_carry_each_run_once_whatever_their_files_are_called(
    engine: str, start: Path, local: Came, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    projects = [shutil.copytree(start, tmp_path / f"project-{i}") for i in range(3)]
    for project in projects:
        submit(project, engine)
        assert state(engine, project) == "queued"
    hire()
    hire()
    heard.until(what="left", why="done", count=3)
    assert sorted(e["project"] for e in heard.that(what="took")) == sorted(name(p) for p in projects)
    assert {e["crew"] for e in heard.that(what="took")} == {0, 1}
    for project in projects:
        assert outcome(project, engine) == local


ASKING = """
from pathlib import Path
import sys
from tilth import Rule, Team, Workflow, annotate, margin, rounds, unlabeled
from tilth.dataset import Dataset
from tilth.demo.arms import base_model
from tilth.integrations.sklearn import SklearnModel

workflow = Workflow(
    dataset=Dataset.open(Path(__file__).parent / "dataset"),
    model=SklearnModel(base_model()),
    rules={"ask": Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=Team("crowd")))},
    until=rounds() >= 1,
)


def main(engine):
    from tilth.runs.durable import submit

    submit(workflow, engine=engine, source=__file__)
"""


def test_a_run_that_waits_for_people_takes_no_process_and_goes_on_when_they_have_answered(
    engine: str, start: Path, local: Came, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    asking, other = (shutil.copytree(start, tmp_path / n) for n in ("asking", "other"))
    (asking / "workflow.py").write_text(ASKING)
    submit(asking, engine)
    hire(at_once=1)
    heard.until(what="left", project=name(asking))
    assert state(engine, asking) == "waiting"
    submit(other, engine)  # one worker, one run at a time: the one that waits is not in its way
    heard.until(what="left", why="done", project=name(other))
    assert answer_open(database_of(engine), "ann", from_column("truth"), team="crowd", most=4) == 4
    assert answer_open(database_of(engine), "bob", from_column("truth"), team="crowd") == 1
    heard.until(what="left", why="done", project=name(asking))
    assert Dataset.open(asking / "dataset").view.labels_spent == 5
    assert len(heard.that(what="took", project=name(asking))) == 2  # four answers of five are no reason to look


@on_both
def test_a_killed_workers_run_is_taken_over(
    engine: str, start: Path, local: Came, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    project = shutil.copytree(start, tmp_path / "project")
    os.mkfifo(project / "gate")
    submit(project, engine)
    hire(at_once=2)
    heard.until(what="step", key="r0/shift/propose")
    os.kill(holder(engine, project), signal.SIGKILL)
    (project / "gate").unlink()
    heard.until(what="left", why="done")
    assert len(heard.that(what="took")) == 2
    assert len(heard.that(what="step", key="r0/train")) == 1  # what had finished was not done again
    assert outcome(project, engine) == local


@on_both
def test_a_worker_that_slept_through_its_lease_finds_its_run_taken_and_stops(
    engine: str, start: Path, local: Came, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    project = shutil.copytree(start, tmp_path / "project")
    os.mkfifo(project / "gate")
    submit(project, engine)
    hire(lease=2.0)
    heard.until(what="step", key="r0/shift/propose")
    asleep = holder(engine, project)
    os.kill(asleep, signal.SIGSTOP)
    (project / "gate").rename(project / "behind")
    hire()
    heard.until(what="left", crew=1, why="done")
    steps = Run(Dataset.open(project / "dataset"), engine=engine).steps
    log = [c.key for c in Dataset.open(project / "dataset").log()]
    os.kill(asleep, signal.SIGCONT)
    let_through(project / "behind")  # its step goes on now, and comes to its end
    left = heard.until(what="left", crew=0)
    assert "not this worker's any more" in left["why"]
    assert Run(Dataset.open(project / "dataset"), engine=engine).steps == steps
    assert [c.key for c in Dataset.open(project / "dataset").log()] == log
    assert outcome(project, engine) == local


def test_a_worker_that_stops_gives_its_run_back(
    engine: str, start: Path, local: Came, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    project = shutil.copytree(start, tmp_path / "project")
    os.mkfifo(project / "gate")
    submit(project, engine)
    stop = hire()
    heard.until(what="step", key="r0/shift/propose")
    stop.set()
    heard.until(what="stopping")
    (project / "gate").rename(project / "behind")
    let_through(project / "behind")
    assert "waits for another worker" in heard.until(what="left", crew=0)["why"]
    assert not heard.that(what="step", key="r0/shift/commit")
    assert state(engine, project) == "running"
    hire()
    heard.until(what="left", crew=1, why="done")
    assert len(heard.that(what="step", key="r0/train")) == 1
    assert outcome(project, engine) == local


def test_the_processes_of_a_killed_worker_end_and_give_their_runs_back(
    engine: str, start: Path, local: Came, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    project = shutil.copytree(start, tmp_path / "project")
    submit(project, engine)
    say = "lambda e: print(e['what'], flush=True)"
    script = f"import sys; from tilth.runs.slots import work; work(sys.argv[1], listen={say})"
    with subprocess.Popen([sys.executable, "-c", script, engine], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        while worker.stdout.readline() != "evaluated\n":
            assert worker.poll() is None
        handle = os.pidfd_open(holder(engine, project))
        worker.kill()
    assert select.select([handle], [], [], 120)[0]  # readable when that process has ended
    os.close(handle)
    if state(engine, project) != "done":  # it comes to its end where that is nearer than the news
        hire()
        heard.until(what="left", why="done")
    assert outcome(project, engine) == local


def test_a_run_that_failed_at_a_worker_goes_on_after_mending(
    engine: str, start: Path, local: Came, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    project = shutil.copytree(start, tmp_path / "project")
    (project / "broken").touch()
    submit(project, engine)
    hire()
    left = heard.until(what="left")
    assert "the pictures cannot be shifted" in left["why"]
    failed = Run(Dataset.open(project / "dataset"), engine=engine)
    assert failed.state == "failed"
    assert "the pictures cannot be shifted" in failed.why
    (project / "broken").unlink()
    submit(project, engine)
    heard.until(what="left", why="done")
    assert len(heard.that(what="step", key="r0/train")) == 1
    assert outcome(project, engine) == local


def test_a_run_whose_file_is_gone_fails_and_says_so(
    engine: str, start: Path, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    project = shutil.copytree(start, tmp_path / "project")
    submit(project, engine)
    (project / "workflow.py").unlink()
    hire()
    assert "workflow.py" in heard.until(what="left")["why"]
    assert state(engine, project) == "failed"


def test_a_run_at_a_worker_can_be_paused_and_cancelled(
    engine: str, start: Path, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    project = shutil.copytree(start, tmp_path / "project")
    submit(project, engine)
    hire()
    heard.until(what="step", key="r0/train")
    journal = Journal(database_of(engine), name(project))
    journal.request("run-1", "pause")
    heard.until(what="left", why="run-1 was paused")
    assert state(engine, project) == "paused"
    submit(project, engine)
    heard.until(what="took", count=2)
    journal.request("run-1", "cancel")
    heard.until(what="left", why="run-1 was cancelled")
    assert state(engine, project) == "cancelled"
    journal.close()


def test_ctrl_c_pauses_a_run_and_it_goes_on(engine: str, tmp_path: Path) -> None:
    folder = digits(tmp_path / "digits", seed=3).path
    program = [sys.executable, crash_program.__file__, str(folder), "small", f"engine={engine}"]
    cut = subprocess.run([*program, "interrupt"], capture_output=True, text=True)
    assert "KeyboardInterrupt" in cut.stderr
    stopped = Run(Dataset.open(folder), engine=engine)
    assert (stopped.state, stopped.why) == ("paused", "stopped by Ctrl-C")
    subprocess.run(program, check=True, capture_output=True)
    done = Run(Dataset.open(folder), engine=engine)
    assert (done.name, done.state) == ("run-1", "done")


def test_a_run_at_a_worker_is_not_begun_here_as_well(
    engine: str, start: Path, hire: Hire, heard: Heard, tmp_path: Path
) -> None:
    folder = digits(tmp_path / "digits", seed=3).path
    made = crash_program.workflow(folder, small=True)
    durable.submit(made, engine=engine, source=crash_program.__file__)
    hire()
    took = heard.until(what="took")
    assert Run(made.dataset, engine=engine).at_work
    with pytest.raises(Busy, match=r"worker .* runs run-1 already"):
        durable.run(made, engine=engine, inline=True)
    with pytest.raises(Busy, match=r"worker .* runs run-1 already"):
        durable.submit(made, engine=engine)
    assert took["run"] == heard.until(what="left", why="done")["run"]
    assert not Run(made.dataset, engine=engine).at_work


def test_an_edited_workflow_is_refused_until_it_is_adopted(engine: str, tmp_path: Path) -> None:
    folder = digits(tmp_path / "digits", seed=3).path
    small, full = crash_program.workflow(folder, small=True), crash_program.workflow(folder)
    durable.submit(small, engine=engine)
    with pytest.raises(UsageError, match=r"edited since run-1 began(.|\n)*rule 'fix'"):
        durable.run(full, engine=engine, inline=True)
    done = durable.run(full, engine=engine, inline=True, adopt=True)
    assert (done.name, done.state) == ("run-1", "done")
    assert "fix" in done.rounds[0].rules


def test_what_cannot_be_an_engine_is_refused(engine: str, tmp_path: Path) -> None:
    folder = digits(tmp_path / "digits", seed=3).path
    made = crash_program.workflow(folder, small=True)
    with pytest.raises(UsageError, match="sqlite:///file"):
        durable.run(made, engine="mysql://localhost/tilth")
    with pytest.raises(UsageError, match="at_once=0"):
        work(engine, at_once=0)
    with pytest.raises(RunFailed, match="does not answer"):
        work("postgresql://tilth@127.0.0.1:1/tilth")


def test_without_dbos_the_error_says_what_to_install() -> None:
    script = "import sys; sys.modules['dbos'] = None; import tilth.runs.durable"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert 'a durable engine needs dbos: pip install "tilth[postgres]"' in done.stderr
