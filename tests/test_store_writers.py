"""Several processes on one dataset: none loses what another wrote, none sees half of it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import store_program
from tilth.dataset import Dataset

PROGRAM = Path(store_program.__file__)
ROOT = PROGRAM.parent.parent


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "PYTHONWARNINGS": "error"}
    pipe = subprocess.PIPE
    command = [sys.executable, str(PROGRAM), str(folder), *words]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)


class Others:
    """Processes that take signals on their standard input and answer each by a line."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[str]] = []

    def start(self, folder: Path, *words: str) -> subprocess.Popen[str]:
        self.running.append(start(folder, *words))
        return self.running[-1]

    def hear(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline().strip()
        assert line, process.stderr.read()
        return line

    def tell(self, process: subprocess.Popen[str], line: object) -> None:
        assert process.stdin is not None
        process.stdin.write(f"{line}\n")
        process.stdin.flush()

    def end(self, process: subprocess.Popen[str]) -> list[str]:
        """Let a process come to its end, see that it is a good one, and return what it said on the way."""
        out, err = process.communicate()
        assert process.returncode == 0, err
        return out.splitlines()

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                assert pipe is not None
                pipe.close()


@pytest.fixture
def others() -> Iterator[Others]:
    found = Others()
    yield found
    found.stop()


@pytest.fixture
def shared(tmp_path: Path) -> Dataset:
    keys = [f"{name}{i}" for name in "ab" for i in range(50)]
    source: dict[str, Any] = {"k": keys, "x": [float(i) for i in range(100)], "y": ["cat"] * 99 + ["dog"]}
    return Dataset.create(tmp_path / "d", source, key="k", label="y", splits={"train": 1}, durability="process")


def test_two_writers_on_distinct_records_lose_and_double_nothing(shared: Dataset, others: Others) -> None:
    both = [others.start(shared.path, "distinct", name, "50") for name in "ab"]
    told = {key: int(version) for process in both for key, version in map(str.split, others.end(process))}
    log = Dataset.open(shared.path).log()
    assert len(told) == 100
    assert {c.key: c.version for c in log[1:]} == told
    assert [c.version for c in log] == list(range(101))
    assert [c.parent for c in log] == list(range(-1, 100))
    assert shared.labels() == ["dog"] * 100
    assert [e.version for e in shared.history("b7")] == [0, told["b7"]]
    views = [int((shared.at(v).view.label == 1).sum()) for v in range(101)]
    assert sorted(views) == views  # each version has at most one label more than the one before
    assert (views[0], views[-1]) == (1, 100)


def test_of_two_writers_on_one_record_one_wins(shared: Dataset, others: Others) -> None:
    both = [others.start(shared.path, "same_record", str(i)) for i in range(2)]
    for process in both:
        assert others.hear(process) == "ready"
    for base in range(20):
        for process in both:
            others.tell(process, base)
        answers = [others.hear(process) for process in both]
        assert sorted(answers) == [str(base + 1), f"Conflict {shared.ids(['a0'])[0]}"]
        winner = answers.index(str(base + 1))
        assert shared.labels(shared.ids(["a0"])) == [["cat", "dog"][winner]]
        assert shared.version == base + 1
    assert [others.end(process) for process in both] == [[], []]


def test_one_key_makes_one_version_whoever_brings_it(shared: Dataset, others: Others) -> None:
    both = [others.start(shared.path, "same_key", name) for name in "ab"]
    for process in both:
        assert others.hear(process) == "ready"
    for i in range(20):
        for process in both:
            others.tell(process, f"key-{i}")
        assert {others.hear(process) for process in both} == {str(i + 1)}
    assert [c.key for c in shared.log()[1:]] == [f"key-{i}" for i in range(20)]


def test_a_reader_reads_on_while_others_commit_and_compact(shared: Dataset, others: Others) -> None:
    others.end(others.start(shared.path, "distinct", "b", "8"))
    reader = others.start(shared.path, "read")
    compacting = others.start(shared.path, "compact")
    assert [others.hear(reader), others.hear(reader)] == ["ready", "reading 9"]
    assert others.hear(compacting) == "ready"
    writers = [others.start(shared.path, "repeat", name, "100") for name in "ab"]
    for _ in range(10):
        others.tell(reader, "go")
        others.tell(compacting, "go")
        assert others.hear(reader) == "same"
        assert others.hear(compacting) == "compacted"
    assert [len(others.end(process)) for process in writers] == [100, 100]
    for process in (reader, compacting):
        others.tell(process, "once more")
        assert others.end(process) in (["same"], ["compacted"])
    assert shared.version == 208
    assert [c.version for c in Dataset.open(shared.path).log()] == list(range(209))


def test_threads_read_and_write_by_one_handle_while_somebody_else_writes(shared: Dataset) -> None:
    other = Dataset.open(shared.path, durability="process")
    over, faults = threading.Event(), list[BaseException]()

    def add(to: Dataset, name: str) -> None:
        for i in range(30):
            to.append({"k": [f"{name}{i}"], "x": [float(i)], "y": ["cat"]}, key="k", label="y")

    def keep(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as why:  # noqa: BLE001  in a thread it would only be printed
            faults.append(why)

    def read() -> None:
        while not over.is_set():
            shared.history("a0")
            shared.table(shared.ids(["a1", "b49"]))

    readers = [threading.Thread(target=keep, args=(read,)) for _ in range(3)]
    writer = threading.Thread(target=keep, args=(lambda: add(other, "c"),))
    for thread in (*readers, writer):
        thread.start()
    keep(lambda: add(shared, "d"))
    writer.join()
    over.set()
    for reader in readers:
        reader.join()
    assert faults == []
    found = Dataset.open(shared.path)
    assert found.version == 60
    assert (
        found.table(found.ids([f"{name}{i}" for name in "cd" for i in range(30)]))["x"].to_pylist() == [*range(30)] * 2
    )
