"""Kill -9 at every boundary that a run can name, and at random moments: the data and the decisions end up the same."""

import os
import random
import select
import shutil
import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any

import pytest

from tests import crash_program, launching
from tilth.dataset import Dataset
from tilth.demo.data import digits
from tilth.errors import Busy
from tilth.runs import Run

PROGRAM = Path(crash_program.__file__)

pytestmark = pytest.mark.crash


@dataclass(frozen=True)
class Exam:
    """An engine to be examined: every engine sits the same exam.

    One start of the durable engine costs more than a second, so it runs the smaller workflow and is killed less often
    at random; at the boundaries of steps it is killed at every one all the same.
    """

    engine: str
    flags: tuple[str, ...]
    moments: int

    def at(self, folder: Path) -> str | None:
        """Return the URL of the engine for a dataset, None for the local one."""
        return f"sqlite:///{folder.with_suffix('.engine')}" if self.engine == "durable" else None

    def program(self, folder: Path, *more: str) -> tuple[Any, ...]:
        engine = [f"engine={self.at(folder)}"] if self.at(folder) else []
        return launching.as_program, str(PROGRAM), str(folder), *self.flags, *engine, *more

    def launch(self, folder: Path) -> AbstractContextManager[tuple[BaseProcess, IO[str]]]:
        """Run it, with a training child, in a process that can be killed; with what it says."""
        return launching.running(*self.program(folder))

    def go(self, folder: Path, *, kill: str = "") -> tuple[int, str]:
        """Run it to its end, or to the fault point `kill`: its exit code, and what it said."""
        return launching.launch(*self.program(folder, "inline"), out=folder.with_suffix(".out"), kill=kill)

    def decisions(self, folder: Path) -> dict[str, Any]:
        return decisions(Run(Dataset.open(folder), engine=self.at(folder)))


@dataclass(frozen=True)
class Unkilled:
    """What the run that nobody killed came to."""

    digest: str
    decided: dict[str, Any]
    keys: list[str]


def decisions(done: Run) -> dict[str, Any]:
    """What a run decided, by step: numbers of records, metrics and verdicts, but no version numbers, which shift after
    a crash."""
    kept = ("n", "why", "metrics", "test", "labels_spent", "kept", "before", "after", "done", "ref")
    return {
        s["key"]: {k: s["result"][k] for k in kept if k in s["result"]} for s in done.steps if s["key"] != "outcome"
    }


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("crash") / "start", seed=3).path


@pytest.fixture(scope="module", params=["local", "durable"])
def exam(request: pytest.FixtureRequest) -> Exam:
    moments = int(os.environ.get("TILTH_CRASHES", "20"))
    return Exam("local", (), moments) if request.param == "local" else Exam("durable", ("small",), moments * 2 // 5)


@pytest.fixture(scope="module")
def unkilled(exam: Exam, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Unkilled:
    """By the local engine, whichever is examined: an engine decides nothing."""
    folder = tmp_path_factory.mktemp("crash") / "unkilled"
    shutil.copytree(start, folder)
    out = folder.with_suffix(".out")
    code, said = launching.launch(launching.as_program, str(PROGRAM), str(folder), "inline", *exam.flags, out=out)
    assert code == 0, said
    run = Run(Dataset.open(folder))
    return Unkilled(said.split()[-1], decisions(run), [s["key"] for s in run.steps if s["key"] != "outcome"])


def test_killed_before_inside_and_after_every_step(exam: Exam, start: Path, unkilled: Unkilled, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    # the end of a step is the beginning of the next: its result is in the journal, and nothing else happens in between
    keys = unkilled.keys
    points = [f"before {keys[0]}", *(f"{point} {key}" for key in keys for point in ("inside", "after"))]
    assert len(points) == 2 * len(keys) + 1 > 25
    for point in points:
        code, out = exam.go(folder, kill=point)
        assert code == -signal.SIGKILL, f"{point}: {out}"
    code, out = exam.go(folder)
    assert code == 0, out
    assert out.split()[-1] == unkilled.digest
    assert exam.decisions(folder) == unkilled.decided
    assert len({c.key for c in Dataset.open(folder).log()}) == len(Dataset.open(folder).log())


def test_killed_at_random_moments(exam: Exam, start: Path, unkilled: Unkilled, tmp_path: Path) -> None:
    """The moment: right after a random line of output, with the training child at work too.

    A run that has come to its end is compared, and another begins: launched again it would be the project's second run.
    """
    random_moments = random.Random(7)
    killed = 0
    while killed < exam.moments:
        folder = tmp_path / f"killed-{killed}"
        shutil.copytree(start, folder)
        over = False
        while not over:
            with exam.launch(folder) as (process, said):
                lines = random_moments.randint(1, 12) if killed < exam.moments else None
                over = not all(said.readline() for _ in range(lines)) if lines else True
                if not over:
                    process.kill()
                    killed += 1
            over = over or Run(Dataset.open(folder), engine=exam.at(folder)).state == "done"
            assert not over or process.exitcode in (0, -signal.SIGKILL)
        assert Dataset.open(folder).digest() == unkilled.digest
        assert exam.decisions(folder) == unkilled.decided


@pytest.mark.parametrize("point", ["after r0/train", "inside r0/shift/gate/judge"])
def test_what_a_power_cut_took_of_a_models_outputs_is_made_again(
    exam: Exam, start: Path, unkilled: Unkilled, tmp_path: Path, point: str
) -> None:
    """A commit is forced to disk, what a model said is not: files that were written may be empty, or cut short."""
    folder = tmp_path / "cut"
    shutil.copytree(start, folder)
    code, out = exam.go(folder, kill=point)
    assert code == -signal.SIGKILL, out
    cut = sorted((folder / "outputs").glob("*/*.npy"))
    assert cut
    for i, path in enumerate(cut):
        os.truncate(path, path.stat().st_size // 2 if i % 2 else 0)
    code, out = exam.go(folder)
    assert code == 0, out
    assert out.split()[-1] == unkilled.digest
    assert exam.decisions(folder) == unkilled.decided


def children(process: BaseProcess) -> set[int]:
    """Return the processes that any thread of a process has started."""
    lists = [p.read_text().split() for p in Path(f"/proc/{process.pid}/task").glob("*/children")]
    return {int(child) for some in lists for child in some}


def test_a_killed_training_child_is_replaced(exam: Exam, start: Path, unkilled: Unkilled, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    killed, last = 0, ""
    with exam.launch(folder) as (process, said):
        for line in said:
            if line.startswith("evaluated") and killed == 0:  # it is idle now; the next training finds it gone
                for child in children(process):
                    os.kill(child, signal.SIGKILL)
                    killed += 1
            last = line
    assert process.exitcode == 0
    assert killed == 1
    assert last.split()[-1] == unkilled.digest


def test_the_training_child_ends_with_its_parent(exam: Exam, start: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    with exam.launch(folder) as (process, said):
        for line in said:
            if line.startswith("evaluated"):
                break
        handles = [os.pidfd_open(child) for child in children(process)]
        process.kill()
    assert len(handles) == 1
    for handle in handles:  # readable when that process has ended; the limit is there so that a failure is a failure
        assert select.select([handle], [], [], 60)[0]
        os.close(handle)


def test_a_second_launcher_is_refused_and_told_who_holds_it(exam: Exam, start: Path, tmp_path: Path) -> None:
    folder = tmp_path / "held"
    shutil.copytree(start, folder)
    with exam.launch(folder) as (process, said):
        said.readline()
        with pytest.raises(Busy, match=str(process.pid)):
            crash_program.start(
                folder, "inline", *exam.flags, *([f"engine={exam.at(folder)}"] if exam.at(folder) else [])
            )
        process.kill()
