"""What is left of a dataset when a process is killed, the power fails or the disk is full: all that was said."""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests import store_program
from tests.pets import label, make_pets, seen
from tests.replay import replay
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.errors import Damaged

pytestmark = pytest.mark.crash

PROGRAM = Path(store_program.__file__)
ROOT = PROGRAM.parent.parent


def start(*words: str, strace: Path | None = None) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    trace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,link,linkat,rename,write", "-o", str(strace)]
    command = [*(trace if strace else []), sys.executable, str(PROGRAM), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)


def names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return frozenset()


def kill_when_something_appears(process: subprocess.Popen[str], folder: Path) -> str:
    """Kill a process at the moment when a folder gets another entry; return what it said until then."""
    before = names(folder)
    while names(folder) <= before:
        assert process.poll() is None, process.stderr and process.stderr.read()
    process.kill()
    out, _ = process.communicate()
    assert process.returncode == -9
    return out


def test_killed_while_it_commits_it_keeps_all_that_it_acknowledged(tmp_path: Path) -> None:
    keys = [f"a{i}" for i in range(50)]
    source = {"k": keys, "x": np.arange(50.0), "y": ["cat", "dog"] * 25}
    folder = Dataset.create(tmp_path / "d", source, key="k", label="y", splits={"train": 1}).path
    told: dict[int, tuple[str, str]] = {}
    rng = random.Random(7)
    places = ["commits/main", "events.lance/data", "events.lance/_versions", "events.lance/_transactions"]
    places += ["payload.lance/data", "payload.lance/_versions"]
    for kill in range(20):
        process = start(str(folder), "mixed", f"k{kill}")
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        said = [process.stdout.readline() for _ in range(rng.randrange(1, 12))]
        said += kill_when_something_appears(process, folder / rng.choice(places)).splitlines()
        for version, key, digest in map(str.split, said):
            assert told.setdefault(int(version), (key, digest)) == (key, digest)
        ds = Dataset.open(folder)
        log = ds.log()
        assert len(log) - 1 - max(told) in (0, 1)  # one may be there that was not acknowledged any more
        assert len(set(ds.keys(np.flatnonzero(ds.view.alive)))) == len(ds)
        fresh = [v for v in told if v > len(log) - 15]
        assert {v: (log[v].key, ds.at(v).digest()) for v in fresh} == {v: told[v] for v in fresh}
    ds = Dataset.open(folder)
    assert {v: (ds.log()[v].key, ds.at(v).digest()) for v in told} == told
    versions = replay(ds.export(tmp_path / "history", history=True))
    assert [len(version) for version in versions] == [len(ds.at(v)) for v in range(ds.version + 1)]
    assert {key: row["label"] for key, row in versions[-1].items()} == seen(ds)
    ds.compact()
    head = ds.digest()
    ds.commit(Changes(events(Op.SET, ds.ids(["a0"]), field=Field.WEIGHT, num=0.5)))
    ds.revert(ds.version)
    assert Dataset.open(folder).digest() == head
    assert names(folder / "checkpoints") == {n for n in names(folder / "checkpoints") if not n.endswith(".part")}


@pytest.mark.parametrize("place", ["", "commits", "payload.lance", "events.lance", "payload.lance/data", "checkpoints"])
def test_killed_while_it_makes_a_dataset_it_leaves_the_place_free(tmp_path: Path, place: str) -> None:
    process = start(str(tmp_path), "create")
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    last = 0
    while not (parts := [p for p in tmp_path.iterdir() if p.name.endswith(".part") and (p / place).exists()]):
        assert process.poll() is None
    process.kill()
    last = int(([0, *process.communicate()[0].split()])[-1])
    left = [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    assert all(p.name.startswith(f".d{last}.") for p in left)
    assert parts
    for n in range(last):
        assert len(Dataset.open(tmp_path / f"d{n}")) == 20_000
    if (tmp_path / f"d{last}").exists():  # it had got its name a moment before
        assert len(Dataset.open(tmp_path / f"d{last}")) == 20_000
    else:
        again = Dataset.create(tmp_path / f"d{last}", {"x": [1.0]}, classes=["a"], durability="process")
        assert len(again) == 1
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]  # what was left has been cleared away


def test_two_that_make_the_same_dataset_do_not_clear_each_other_away(tmp_path: Path) -> None:
    process = start(str(tmp_path), "create")
    while not (parts := [p for p in tmp_path.iterdir() if p.name.startswith(".d3.") and p.name.endswith(".part")]):
        assert process.poll() is None
    Dataset.create(tmp_path / "d3x", {"x": [1.0]}, classes=["a"], durability="process")
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert parts


# -- power -------------------------------------------------------------------------------------------------------------


def tear(path: Path) -> None:
    """Leave of a file what is left where the power failed before its bytes were forced to disk: its name."""
    path.write_bytes(b"")


@pytest.mark.parametrize("torn", ["manifest", "manifest and data", "transaction", "commit"])
def test_what_a_power_cut_tears_is_not_what_was_acknowledged(tmp_path: Path, torn: str) -> None:
    ds = make_pets(tmp_path, durability="power")
    ds.commit(label(ds, ["p1"], "cat"))
    ds.compact()  # what the commit carries is in the table of events now
    digest = ds.digest()
    events_before, payload_before = ([*(ds.path / t).rglob("*.*")] for t in ("events.lance", "payload.lance"))
    ds.commit(label(ds, ["p2"], "dog", reason="as it was said " * 10_000))  # too long for the file of a commit
    ds.append(
        {"name": ["n"], "x": np.ones((1, 3), np.float32), "note": ["n"], "kind": ["cat"]}, key="name", label="kind"
    )
    for version in (2, 3):
        (ds.path / "commits" / "main" / f"{version:012d}.json").unlink()
    for name, before in (("events.lance", events_before), ("payload.lance", payload_before)):
        for path in {p for p in (ds.path / name).rglob("*.*") if p.is_file()} - set(before):
            if path.suffix == ".manifest" and "manifest" in torn:
                tear(path)
            if path.suffix == ".lance" and "data" in torn:
                tear(path)
            if path.suffix == ".txn" and torn == "transaction":
                tear(path)
    again = Dataset.open(ds.path)
    assert (again.version, again.digest()) == (1, digest)
    again.commit(label(again, ["p3"], "cat"))
    again.append(
        {"name": ["m"], "x": np.ones((1, 3), np.float32), "note": ["n"], "kind": ["cat"]}, key="name", label="kind"
    )
    again.compact()
    assert (len(Dataset.open(ds.path)), seen(again)["p3"], seen(again)["p2"]) == (7, "cat", "cat")


def test_a_checkpoint_that_was_torn_is_made_anew(tmp_path: Path) -> None:
    ds = make_pets(tmp_path)
    digest = ds.digest()
    for name in ("label", "counts", "alive"):
        Dataset.open(ds.path).commit(label(ds, ["p0"], "cat"))  # makes the checkpoint, where it is missing
        (checkpoint,) = (ds.path / "checkpoints").iterdir()
        tear(checkpoint / f"{name}.npy")
        assert Dataset.open(ds.path).digest() == digest
        assert not checkpoint.exists()


def test_a_table_that_is_gone_is_damage(tmp_path: Path) -> None:
    ds = make_pets(tmp_path)
    for path in (ds.path / "payload.lance" / "_versions").glob("*.manifest"):
        tear(path)
    with pytest.raises(Damaged, match=r"payload.lance cannot be read as a Lance table"):
        Dataset.open(ds.path).features(np.array([0]))


@pytest.fixture(scope="module")
def strace(tmp_path_factory: pytest.TempPathFactory) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    out = tmp_path_factory.mktemp("strace") / "out"
    if subprocess.run(["strace", "-o", str(out), "true"], capture_output=True).returncode:
        pytest.skip("strace is not allowed to trace processes here")


def calls(trace: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the system calls of a trace as they ended: (what was done, to which file of the dataset)."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call
            continue
        call = begun.pop(thread, "") + call if "resumed>" in call else call.strip()
        if found := re.match(r"\s*f(?:data)?sync\(\d+<([^>]*)>", call):
            yield "force", os.path.relpath(found[1], folder)
        elif found := re.match(r'\s*link(?:at)?\(.*?"[^"]+", .*?"([^"]+)"', call):
            yield "name", os.path.relpath(found[1], folder)
        elif re.match(r'\s*write\(1<[^>]*>, "a0 1', call):
            yield "say", ""


@pytest.mark.parametrize(("durability", "size"), [("power", "small"), ("power", "large"), ("process", "small")])
def test_a_commit_is_on_disk_before_it_is_acknowledged(
    strace: None, tmp_path: Path, durability: str, size: str
) -> None:
    source = {"k": ["a0", "a1"], "x": [0.0, 1.0], "y": ["cat", "dog"]}
    folder = Dataset.create(tmp_path / "d", source, key="k", label="y", durability="process").path
    process = start(str(folder), "once", durability, size, strace=tmp_path / "trace")
    out, err = process.communicate()
    assert (process.returncode, out) == (0, "ready\na0 1\n"), err
    told = list(calls(tmp_path / "trace", folder))
    before = told[: told.index(("say", ""))]
    forced = [what for call, what in before if call == "force"]
    if durability == "process":
        assert forced == []
        return
    named = before.index(("name", "commits/main/000000000001.json"))
    early = [what for call, what in before[:named] if call == "force"]
    new = {os.path.relpath(p, folder) for p in (folder / "events.lance").rglob("*.*") if p.is_file()}
    new |= {os.path.relpath(p, folder) for p in (folder / "payload.lance").rglob("*.*") if p.is_file()}
    new |= {os.path.relpath(p, folder) for p in (folder / "labels.lance").rglob("*.*") if p.is_file()}
    # a small commit carries its events in its own file
    written = ("events", "payload") if size == "large" else ("payload",)
    new |= {f"{t}.lance/{sub}" for t in written for sub in ("data", "_versions", "_transactions")}
    new = {n for n in new if not n.endswith("hint.json")}
    assert new <= set(early)  # those of the import too, which a writer made that did not care
    assert {"tilth.json", ".", "commits", "commits/main/000000000000.json"} <= set(early)
    assert [what for what in early if re.fullmatch(r"commits/main/\.0+1\.json\..*\.part", what)]
    assert before.index(("force", "commits/main"), named) > named
    for name in written:  # a manifest that can be read has all its data
        manifest = next(
            i for i, (call, what) in enumerate(before) if call == "name" and what.startswith(f"{name}.lance")
        )
        assert [what for call, what in before[:manifest] if what.startswith(f"{name}.lance/data/")]


# -- space -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system of a few megabytes cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_on_a_full_disk_nothing_happens_and_later_it_goes_on(small_disk: Path) -> None:
    n = 20_000
    ds = Dataset.create(small_disk / "d", {"x": np.arange(float(n)), "y": ["cat", "dog"] * (n // 2)}, label="y")
    ids = np.arange(n)
    failures: list[str] = []
    for free in (0, 1, 4, 8, 16, 32, 64, 128, 256):  # in kB: each time it fails somewhere else
        digest, version = ds.digest(), ds.version
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            space = os.statvfs(small_disk)
            file.write(b"\0" * max(0, space.f_bavail * space.f_frsize - free * 1024))
        change = Changes(events(Op.SET, ids, field=Field.WEIGHT, num=np.random.default_rng(free).random(n)))
        try:
            ds.commit(change, key=f"k{free}")
        except OSError as why:
            failures.append(str(why))
            for at in (ds, Dataset.open(small_disk / "d")):
                assert (at.version, at.digest()) == (version, digest)
        filler.unlink()
        assert ds.commit(change, key=f"k{free}").version == version + 1
        assert Dataset.open(small_disk / "d").digest() == ds.digest() != digest
        ds.compact(older_than=timedelta(0))
    assert len(failures) >= 5
    assert all("nothing was changed; make room and do it again" in told for told in failures)


def test_a_dataset_that_does_not_fit_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(OSError, match="no space left"):
        Dataset.create(small_disk / "d", {"x": np.random.default_rng(0).random((80_000, 64))}, classes=["a"])
    assert list(small_disk.iterdir()) == []
    Dataset.create(small_disk / "d", {"x": np.zeros(3)}, classes=["a"])
