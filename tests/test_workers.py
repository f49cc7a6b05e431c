"""Who runs what: signs of life, and a run held by one worker at a time."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tilth.errors import Busy, Parked, UsageError
from tilth.runs.engines import database_of
from tilth.runs.journal import Journal
from tilth.runs.workers import Workers

SPEC = '{"dataset": {"branch": "main"}, "rules": {}}'

JOIN = """
import sys
from tilth.runs.workers import Workers
workers = Workers(sys.argv[1])
worker = workers.join()
assert workers.claim("pets", "run-1", worker)
print(worker, flush=True)
sys.stdin.read()
"""
"""A worker in a process of its own, which lives until it is killed."""

Open = Callable[[float], Workers]


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "engine.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def journal(where: str) -> Generator[Journal]:
    """With a run of the project `pets`."""
    journal = Journal(where, "pets")
    journal.begin("5f2c", SPEC, "pets.py")
    yield journal
    journal.close()


@pytest.fixture
def workers(where: str, journal: Journal) -> Generator[Workers]:
    workers = Workers(where)
    yield workers
    workers.close()


@pytest.fixture
def hasty(where: str, journal: Journal) -> Generator[Workers]:
    """Its workers are given up at once."""
    workers = Workers(where, lease=-1.0)
    yield workers
    workers.close()


def test_a_run_is_held_by_one_worker_until_it_lets_go(workers: Workers) -> None:
    first, second = workers.join(), workers.join()
    assert workers.claim("pets", "run-1", first) == 1
    with pytest.raises(Busy, match=f"worker {first} runs run-1 already"):
        workers.claim("pets", "run-1", second)
    with pytest.raises(Busy, match="runs run-1 already"):
        workers.queue("pets", "run-1")
    assert [(r["run"], r["branch"], r["holder"]) for r in workers.held("pets")] == [("run-1", "main", first)]
    assert workers.held("birds") == []
    workers.release("pets", "run-1", second)  # it is not its to release
    assert workers.held("pets")
    workers.release("pets", "run-1", first)
    assert workers.claim("pets", "run-1", second) == 2


def test_a_launch_that_is_not_the_newest_is_not_taken_up(workers: Workers, journal: Journal) -> None:
    worker = workers.join()
    assert workers.queue("pets", "run-1") == 1
    assert journal.run()["state"] == "queued"
    assert workers.queue("pets", "run-1", after=1) == 2
    assert workers.queue("pets", "run-1", after=1) == 0  # another was quicker
    assert workers.claim("pets", "run-1", worker, 1) == 0
    assert workers.claim("pets", "run-1", worker, 2) == 2
    assert journal.run()["state"] == "running"


@pytest.mark.parametrize("state", ["paused", "failed", "cancelled", "done"])
def test_a_run_that_is_not_to_go_on_is_not_taken_from_the_queue(workers: Workers, journal: Journal, state: str) -> None:
    launch = workers.queue("pets", "run-1")
    journal.set_state("run-1", state)
    assert workers.claim("pets", "run-1", workers.join(), launch) == 0
    assert workers.queue("pets", "run-1", after=launch) == 0
    assert workers.resting() == []


def test_a_worker_without_a_sign_of_life_loses_its_runs(workers: Workers, hasty: Workers, where: str) -> None:
    slow = hasty.join()
    assert hasty.claim("pets", "run-1", slow) == 1
    journal = Journal(where, "pets", holder=slow)
    journal.finish("run-1", "r0/start", {}, 0.0)  # nobody has taken it yet
    assert [(r.run, r.launch, r.held) for r in workers.resting()] == [("run-1", 1, True)]
    another = workers.join()
    assert workers.claim("pets", "run-1", another) == 2
    assert workers.resting() == []
    assert not hasty.beat(slow)
    assert workers.beat(another)
    with pytest.raises(Parked, match=f"worker {another} runs it now") as lost:
        journal.finish("run-1", "r0/train", {}, 0.0)
    assert lost.value.state == "lost"
    hasty.release("pets", "run-1", slow)
    hasty.leave(slow)
    assert [r["holder"] for r in workers.held("pets")] == [another]
    assert [s["key"] for s in journal.steps("run-1")] == ["r0/start"]
    journal.close()


def test_a_killed_process_of_this_machine_is_not_waited_for(workers: Workers, where: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", JOIN, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        holder = process.stdout.readline().strip()
        assert [r["holder"] for r in workers.held("pets")] == [holder]
        assert {row["pid"] for row in workers.living()} == {process.pid}
        process.kill()
    assert workers.living() == []
    assert workers.claim("pets", "run-1", workers.join()) == 2


def test_a_worker_that_leaves_frees_its_runs(workers: Workers) -> None:
    worker = workers.join()
    workers.claim("pets", "run-1", worker)
    assert [row["pid"] for row in workers.living()] == [os.getpid()]
    workers.leave(worker)
    assert workers.living() == []
    assert not workers.beat(worker)
    assert [(r.run, r.held) for r in workers.resting()] == [("run-1", False)]


def test_of_many_that_claim_at_once_one_gets_the_run(workers: Workers, where: str) -> None:
    got: list[int] = []
    refused: list[str] = []

    def claim() -> None:
        own = Workers(where)
        try:
            got.append(own.claim("pets", "run-1", own.join()))
        except Busy as busy:
            refused.append(str(busy))
        finally:
            own.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1]
    assert len(refused) == 7


@pytest.mark.parametrize("engine", ["", "engine.sqlite", "mysql://localhost/tilth", "sqlite://", "sqlite:///:memory:"])
def test_what_is_no_engine_is_refused(engine: str) -> None:
    with pytest.raises(UsageError, match="postgresql://user@host/database, or sqlite:///file"):
        database_of(engine)
