"""Kill -9 at every boundary that a run can name, and at random moments: the data and the decisions end up the same."""

import os
import random
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import crash_program
from tilth.dataset import Dataset
from tilth.demo.data import digits
from tilth.errors import Busy
from tilth.runs import Run, run

Unkilled = tuple[str, dict[str, Any], list[str]]
"""Digest, decisions and step keys of the run that nobody killed."""

PROGRAM = Path(crash_program.__file__)

pytestmark = pytest.mark.crash


def launch(folder: Path, *more: str, kill: str = "") -> subprocess.Popen[str]:
    env = os.environ | {"TILTH_KILL": kill, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


def decisions(folder: Path) -> dict[str, Any]:
    """What the run decided, by step: numbers of records, metrics and verdicts, but no version numbers, which shift
    after a crash."""
    kept = ("n", "why", "metrics", "test", "labels_spent", "kept", "before", "after", "done", "ref")
    steps = Run(Dataset.open(folder)).steps
    return {s["key"]: {k: s["result"][k] for k in kept if k in s["result"]} for s in steps if s["key"] != "outcome"}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("crash") / "start", seed=3).path


@pytest.fixture(scope="module")
def unkilled(start: Path, tmp_path_factory: pytest.TempPathFactory) -> Unkilled:
    folder = tmp_path_factory.mktemp("crash") / "unkilled"
    shutil.copytree(start, folder)
    process = launch(folder, "inline")
    out, err = process.communicate()
    assert process.returncode == 0, err
    keys = [s["key"] for s in Run(Dataset.open(folder)).steps if s["key"] != "outcome"]
    return out.split()[-1], decisions(folder), keys


def test_killed_before_inside_and_after_every_step(start: Path, unkilled: Unkilled, tmp_path: Path) -> None:
    digest, decided, keys = unkilled
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    kills = 0
    # the end of a step is the beginning of the next: its result is in the journal, and nothing else happens in between
    points = [f"before {keys[0]}", *(f"{point} {key}" for key in keys for point in ("inside", "after"))]
    for point in points:
        process = launch(folder, "inline", kill=point)
        _, err = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"{point}: {err}"
        kills += 1
    process = launch(folder, "inline")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert kills == 2 * len(keys) + 1 > 40
    assert out.split()[-1] == digest
    assert decisions(folder) == decided
    assert len({c.key for c in Dataset.open(folder).log()}) == len(Dataset.open(folder).log())


def test_killed_at_twenty_random_moments(start: Path, unkilled: Unkilled, tmp_path: Path) -> None:
    """The moment: right after a random line of output, with the training child at work too."""
    digest, decided, _ = unkilled
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    random_moments = random.Random(7)
    for _ in range(20):
        process = launch(folder)
        assert process.stdout is not None
        for _ in range(random_moments.randint(1, 12)):
            if not process.stdout.readline():
                break
        process.kill()
        process.communicate()
    process = launch(folder)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.split()[-1] == digest
    assert decisions(folder) == decided


def children(process: subprocess.Popen[str]) -> set[int]:
    """Return the processes that any thread of a process has started."""
    lists = [p.read_text().split() for p in Path(f"/proc/{process.pid}/task").glob("*/children")]
    return {int(child) for some in lists for child in some}


def test_a_killed_training_child_is_replaced(start: Path, unkilled: Unkilled, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    killed, last = 0, ""
    with launch(folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("evaluated") and killed == 0:  # it is idle now; the next training finds it gone
                for child in children(process):
                    os.kill(child, signal.SIGKILL)
                    killed += 1
            last = line
    assert process.returncode == 0
    assert killed == 1
    assert last.split()[-1] == unkilled[0]


def test_the_training_child_ends_with_its_parent(start: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    shutil.copytree(start, folder)
    with launch(folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("evaluated"):
                break
        handles = [os.pidfd_open(child) for child in children(process)]
        process.kill()
    assert len(handles) == 1
    for handle in handles:  # readable when that process has ended; the limit is there so that a failure is a failure
        assert select.select([handle], [], [], 60)[0]
        os.close(handle)


def test_a_second_launcher_is_refused_and_told_who_holds_it(start: Path, tmp_path: Path) -> None:
    folder = tmp_path / "held"
    shutil.copytree(start, folder)
    with launch(folder) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(Busy, match=str(process.pid)):
            run(crash_program.workflow(folder), inline=True)
        process.kill()
