"""Kill -9 runs that people are part of, at every point they can name: the data and the decisions end up the same."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests import people_program
from tests.launching import launch
from tests.test_crash import decisions
from tests.test_people import CROWD, answers, flow, waits
from tilth import Rule, annotate, margin, run, unlabeled
from tilth.dataset import Dataset
from tilth.demo.data import digits
from tilth.errors import Parked, RunFailed
from tilth.labeling.inbox import Given, Inbox, Task, Verdict
from tilth.runs import Run
from tilth.runs.home import inbox_of
from tilth.testing.people import answer_open, from_column

pytestmark = pytest.mark.crash

TRUE = from_column("truth")
WAITING = 3


def go(folder: Path, *, kill: str = "", engine: str = "") -> tuple[int, str]:
    return launch(people_program.main, str(folder), engine, out=folder.parent / f"{folder.name}.out", kill=kill)


def careless(task: Task) -> tuple[Verdict, Any]:
    """Wrong about some records, always the same ones; a lead who refuses every third."""
    verdict, value = TRUE(task)
    odd = sum(task.key.encode()) % 3 == 0
    if task.question.kind in ("approve", "pick"):
        return "answer", "no" if odd else "yes"
    return (verdict, str((int(value) + 1) % 10)) if odd else (verdict, value)


def people(folder: Path, engine: str = "") -> int:
    """Answer whatever is open: two of the crowd (one careless, and late at first), an expert, a lead."""
    where = inbox_of(folder, engine or None)
    if not Path(where).exists():
        return 0
    done = answer_open(where, "ann", TRUE, team="crowd")
    with Inbox(where) as inbox:
        asked = [inbox.progress(q.id) for q in inbox.questions(state="open") if q.rule == "ask"]
    # half of the records of rule "ask" have both their votes then, which is enough: the other answers come late
    most = 4 if any(p.answers == p.tasks for p in asked) else None
    done += answer_open(where, "bob", careless, team="crowd", most=most)
    who = (("eve", TRUE, "expert"), ("lea", careless, "lead"))
    return done + sum(answer_open(where, name, says, team=team) for name, says, team in who)


def to_the_end(folder: Path, *, kill: str = "", engine: str = "") -> tuple[str, int]:
    """Launch and answer until it is done; return the digest, and how often it was killed."""
    kills = 0
    for _ in range(60):
        code, out = go(folder, kill=kill, engine=engine)
        if code == 0:
            return out.split()[-1], kills
        if code == -signal.SIGKILL:
            kills, kill = kills + 1, ""
            continue
        assert code == WAITING, out
        people(folder, engine)
    raise AssertionError("it neither ends nor moves")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("crash") / "start", seed=3).path


@pytest.fixture(scope="module")
def unkilled(start: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], list[str]]:
    folder = tmp_path_factory.mktemp("crash") / "unkilled"
    shutil.copytree(start, folder)
    digest, _ = to_the_end(folder)
    steps = [s["key"] for s in Run(Dataset.open(folder)).steps if s["key"] != "outcome"]
    return digest, decisions(Run(Dataset.open(folder))), steps


def test_killed_in_every_step_of_asking_and_taking(
    start: Path, unkilled: tuple[str, dict[str, Any], list[str]], tmp_path: Path
) -> None:
    digest, decided, keys = unkilled
    about_people = [k for k in keys if k.rsplit("/", 1)[-1] in ("ask", "wait", "take", "late", "plan", "last")]
    points = [f"{where} {key}" for key in about_people for where in ("before", "inside")]
    points += [f"asked {k.removesuffix('/ask')}" for k in about_people if k.endswith("/ask")]
    points += [f"claimed {k.removesuffix('/take')}" for k in about_people if k.endswith("/take")]
    points += ["claimed r1/late", "claimed last", "drained last"]
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    # one run through all points, each killed once, in the order in which it comes to them
    reached: list[str] = []
    code, out = WAITING, ""
    todo = sorted(points, key=lambda p: _order(p, keys))
    while todo:
        code, out = go(folder, kill=todo[0])
        if code == -signal.SIGKILL:
            reached.append(todo.pop(0))
        elif code == WAITING:
            if not people(folder):
                todo.pop(0)  # behind it already: the point is not reached on this way
        elif code == 0:
            break
        else:
            raise AssertionError(f"{todo[0]}: {out}")
    if code != 0:
        out, _ = to_the_end(folder)
    assert out.split()[-1] == digest
    assert decisions(Run(Dataset.open(folder))) == decided
    assert len(reached) >= 2 * len(about_people), set(points) - set(reached)
    assert {"claimed r0/ask", "asked r0/ask", "claimed r1/late"} <= set(reached)
    assert {"inside r0/more/pick/plan", "asked r0/more/pick", "claimed r0/more/pick", "asked r0/more"} <= set(reached)
    with Inbox(inbox_of(folder)) as inbox:
        assert inbox.undrained("", branch="main") == []


def _order(point: str, keys: list[str]) -> tuple[int, int]:
    what, key = point.split(" ", 1)
    at = {"claimed": "/wait", "asked": "/ask"}.get(what, "")
    place = key + at if key + at in keys else key
    return keys.index(place) if place in keys else len(keys), ["before", "asked", "claimed", "inside", "drained"].index(
        what
    )


def test_a_hundred_restarts_in_one_wait_repeat_nothing_and_lose_nothing(tmp_path: Path) -> None:
    dataset = digits(tmp_path / "digits", seed=0)
    workflow = flow(dataset, ask=Rule(select=unlabeled.top(100, by=margin()), do=annotate(by=CROWD)))
    waits(workflow)
    begun: list[str] = []

    def listen(event: Any) -> None:
        if event["what"] == "step":
            begun.append(event["key"])

    for _ in range(99):
        assert answers(dataset, "ann", most=1) == 1
        with pytest.raises(Parked, match="waits for crowd"):
            run(workflow, inline=True, wait=False, listen=listen)
    answers(dataset, "ann", most=1)
    done = run(workflow, inline=True, wait=False, listen=listen)
    assert done.state == "done"
    assert set(begun[:99]) == {"r0/ask/wait"}
    assert dataset.view.labels_spent == 100


def test_an_answer_given_twice_counts_once(tmp_path: Path) -> None:
    dataset = digits(tmp_path / "digits", seed=0)
    workflow = flow(dataset, ask=Rule(select=unlabeled.top(3, by=margin()), do=annotate(by=CROWD)))
    waits(workflow)
    with Inbox(inbox_of(dataset.path)) as inbox:
        tasks = inbox.lease("ann", 3, team="crowd")
        given = [Given(t.id, "answer", TRUE(t)[1], key=f"k{t.id}") for t in tasks]
        assert [r.state for r in inbox.answer("ann", given)] == ["kept"] * 3
        assert [r.state for r in inbox.answer("ann", given)] == ["duplicate"] * 3
    run(workflow, inline=True, wait=False)
    assert dataset.view.labels_spent == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_parks_the_run_which_goes_on_when_there_is_room(small_disk: Path) -> None:
    dataset = digits(small_disk / "digits", seed=0)
    workflow = flow(dataset, ask=Rule(select=unlabeled.top(50, by=margin()), do=annotate(by=CROWD)))
    waits(workflow)
    answers(dataset, "ann")
    filler = small_disk / "filler"
    space = os.statvfs(small_disk)
    with filler.open("wb") as file:
        file.write(b"\0" * (space.f_bavail * space.f_frsize))
    with pytest.raises((RunFailed, OSError, OperationalError), match=r"(?i)no space left|disk is full"):
        run(workflow, inline=True, wait=False)
    assert Dataset.open(dataset.path).view.labels_spent == 0
    filler.unlink()
    done = run(workflow, inline=True, wait=False)
    assert done.state == "done"
    assert dataset.view.labels_spent == 50


@pytest.mark.parametrize(
    "kill",
    [
        "asked r0/ask",
        "claimed r0/check/first",
        "inside r0/weed/take",
        "inside r0/more/pick/plan",
        "asked r0/more/pick",
        "claimed r1/more/pick",
        "inside r0/more/pick/take",
        "drained last",
    ],
)
def test_the_durable_engine_sits_the_same_exam(
    kill: str, start: Path, unkilled: tuple[str, dict[str, Any], list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    engine = f"sqlite:///{folder.with_suffix('.engine')}"
    digest, kills = to_the_end(folder, kill=kill, engine=engine)
    assert (digest, kills) == (unkilled[0], 1)
    assert decisions(Run(Dataset.open(folder), engine=engine)) == unkilled[1]


def test_no_answer_is_lost_or_doubled_over_all_the_kills(
    start: Path, unkilled: tuple[str, dict[str, Any], list[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    digest, kills = to_the_end(folder, kill="claimed r0/check/first")
    assert (digest, kills) == (unkilled[0], 1)
    ds = Dataset.open(folder)
    with Inbox(inbox_of(folder)) as inbox:
        given = sum(m.answers for m in inbox.annotators())
    assert ds.view.labels_spent == given > 50
