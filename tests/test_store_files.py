"""The record store and the disk: opening, reading, exporting, compacting, and what is damaged or not there."""

import json
import pickle  # noqa: TID251 (what a data loader does with a dataset that it hands to its workers)
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from tests.pets import NOTHING, child, label, make_pets, table
from tests.replay import replay
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.errors import Damaged, DataError, Exists, NotFound, UsageError


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    return make_pets(tmp_path)


def test_what_is_not_there_is_named(pets: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Exists, match="pets exists already"):
        Dataset.create(pets.path, table())
    with pytest.raises(NotFound, match="does not exist"):
        Dataset.open(tmp_path / "cats")
    with pytest.raises(NotFound, match="holds no dataset"):
        Dataset.open(tmp_path)
    with pytest.raises(NotFound, match="no version 7 on branch 'main': it has versions 0 to 0"):
        pets.at(7)
    with pytest.raises(NotFound, match=r"no branch 'mian'.*Did you mean 'main'"):
        Dataset.open(pets.path, branch="mian")
    with pytest.raises(NotFound, match=r"no branch '\."):
        Dataset.open(pets.path, branch=".")
    with pytest.raises(NotFound, match=r"no record 'p9' in version 0. There is: p0, p1, .*6 in all"):
        pets.ids(["p0", "p9"])
    assert pets.find(["p9", "p0"]).tolist() == [-1, 0]
    for ids in (np.array([-1]), np.array([6])):
        for look in (pets.features, pets.labels, pets.keys, pets.table):
            with pytest.raises(NotFound, match=f"no record {ids[0]} in version 0"):
                look(ids)
    with pytest.raises(NotFound, match="no record 6"):
        pets.history(6)
    with pytest.raises(NotFound, match="no column 'z'"):
        pets.features(np.array([0]), ["z"])
    with pytest.raises(UsageError, match="no durability 'disk'"):
        Dataset.open(pets.path, durability="disk")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs a source"):
        Dataset.create(tmp_path / "none")
    with pytest.raises(UsageError, match="size=0"):
        pets.batches(size=0)


def test_a_failing_import_leaves_nothing(tmp_path: Path) -> None:
    broken = table() | {"name": ["same"] * 6}
    with pytest.raises(DataError, match="6 rows"):
        Dataset.create(tmp_path / "d", broken, key="name", label="kind")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "d").mkdir()  # an empty folder is a free place
    Dataset.create(tmp_path / "d", table(), key="name", label="kind", missing="keep", durability="process")


def test_a_failing_append_leaves_nothing(pets: Dataset) -> None:
    with pytest.raises(DataError, match="cow"):
        pets.append(table(2, start=6) | {"kind": ["cow", "cat"]}, key="name", label="kind")
    assert (pets.version, len(pets), pets.rejected().num_rows) == (0, 6, 0)
    commit = pets.append(
        table(2, start=6) | {"kind": ["cow", "cat"]}, key="name", label="kind", on_error="quarantine", batch="b"
    )
    assert (commit.version, len(pets), pets.rejected().num_rows) == (1, 7, 1)
    assert Dataset.open(pets.path).rejected()["key"].to_pylist() == ["p6"]


@pytest.mark.parametrize("compacted", [False, True])
def test_damage_is_named(pets: Dataset, compacted: bool) -> None:
    for i in range(3):
        pets.commit(label(pets, ["p1"], ["cat", "dog"][i % 2]))
    if compacted:
        pets.compact()
    commits = pets.path / "commits" / "main"
    second = sorted(commits.iterdir())[2]
    text = second.read_text()
    second.write_text(text[: len(text) // 2])
    with pytest.raises(Damaged, match=f"{second.name} is not a commit"):
        Dataset.open(pets.path)
    second.unlink()
    with pytest.raises(Damaged, match=f"{second.name} is missing, though .*3.json is there"):
        Dataset.open(pets.path)
    second.write_text(text.replace('"txn": ', '"txn": 1'))
    shutil.rmtree(pets.path / "checkpoints")
    with pytest.raises(Damaged, match="not those that the log speaks of"):
        _ = Dataset.open(pets.path).view
    if not compacted:
        second.write_text(re.sub('"carried": "....', '"carried": "AAAA', text))
        with pytest.raises(Damaged, match="the events that a commit carries cannot be read"):
            _ = Dataset.open(pets.path).view
    second.write_text(text)
    assert len(Dataset.open(pets.path)) == 6
    shutil.rmtree(pets.path / "events.lance")
    if compacted:
        with pytest.raises(Damaged, match=r"events.lance cannot be read"):
            _ = Dataset.open(pets.path).at(2).view


def test_events_that_moved_behind_those_of_a_later_version_are_read_in_order(pets: Dataset) -> None:
    pets.commit(label(pets, ["p0"], "dog"))  # carried by its commit
    pets.commit(label(pets, ["p0"], "cat", reason="long " * 20_000))  # too large for that
    pets.compact()  # the first stands behind the second now, with nothing between
    again = Dataset.open(pets.path)
    assert [again.at(v).labels(again.ids(["p0"])) for v in range(3)] == [["cat"], ["dog"], ["cat"]]
    assert [e.after for e in again.history("p0")] == ["cat", "dog", "cat"]
    assert again.diff(0, 1)["after"].to_pylist() == ["dog"]


def test_what_commits_carry_moves_into_the_table_of_events(pets: Dataset) -> None:
    reader, other = Dataset.open(pets.path), pets.branch("other")

    def carrying(ds: Dataset) -> int:
        return len(Dataset.open(ds.path, branch=ds.branch_name)._core.log.carrying())

    for i in range(40):
        for ds in (pets, other):
            ds.commit(label(ds, [f"p{i % 5}"], ["cat", "dog"][i % 2], reason=f"{ds.branch_name} {i}"))
    assert 0 < carrying(pets) < 10
    late = pets.branch("late")  # shares commits that carry their events
    rows = pets._core.store.events.rows()
    digests, past = [pets.at(v).digest() for v in range(41)], pets.history("p1")
    assert [event.reason for event in past[1:]] == [f"main {i}" for i in range(1, 40, 5)]
    pets.compact()
    late.compact()
    assert (carrying(pets), carrying(late)) == (0, 0)
    assert pets._core.store.events.rows() > rows
    again = Dataset.open(pets.path)
    for ds in (pets, reader, late, again):
        assert ([ds.at(v).digest() for v in range(41)], ds.history("p1")) == (digests, past)
    assert other.history("p1")[-1].reason == "other 36"
    other.commit(label(other, ["p1"], "dog"))
    assert other.diff(40, 41).num_rows == 1


def test_a_dataset_of_the_first_format_goes_on(pets: Dataset, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        pets.commit(label(pets, ["p1"], name))
    pets.compact()  # as an older Tilth would have written it
    about = pets.path / "tilth.json"
    about.write_text(about.read_text().replace('"format": 2', '"format": 1'))
    old = Dataset.open(pets.path)
    assert old.digest() == pets.digest()
    assert '"format": 1' in about.read_text()  # to look changes nothing
    old.commit(label(old, ["p2"], "cat"))
    assert '"format": 2' in about.read_text()  # the older Tilth would not know what this commit carries
    assert len(replay(old.export(tmp_path / "history", history=True))) == 4


def test_a_version_goes_to_a_file(pets: Dataset, tmp_path: Path) -> None:
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p0"]))))
    found = pq.read_table(pets.export(tmp_path / "out" / "pets.parquet"))
    assert found.equals(pets.table().cast(found.schema))
    assert pq.read_table(pets.at(0).export(tmp_path / "old.parquet")).num_rows == 6
    read = csv.read_csv(pets.export(tmp_path / "pets.csv"))
    assert json.loads(read["x"][0].as_py()) == [3.0, 4.0, 5.0]
    lines = pets.export(tmp_path / "pets.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["key"] == "p1"
    with pytest.raises(Exists, match=r"pets.csv exists already"):
        pets.export(tmp_path / "pets.csv")
    with pytest.raises(UsageError, match=r"cannot export to 'pets.xls'"):
        pets.export(tmp_path / "pets.xls")
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".part")]


def test_the_history_replays_without_lance_and_without_this_package(pets: Dataset, tmp_path: Path) -> None:
    pets.commit(child(pets, "p0", "p0~flip"))
    pets.commit(label(pets, ["p0", "p3"], "dog"))
    pets.commit(Changes(events(Op.ASK, pets.ids(["p5"]))))
    answer = events(Op.ANSWER, pets.ids(["p5"]), txt=['"cat"'], actor="ann")
    pets.commit(Changes.join([Changes(answer), label(pets, ["p5"], "cat")]))
    pets.commit(Changes(events(Op.SET, pets.ids(["p2"]), field=Field.WEIGHT, num=0.1)))
    pets.branch("other", at=1).commit(label(pets, ["p1"], "cat"))
    pets.compact()
    pets.rollback(1)
    versions = replay(pets.export(tmp_path / "history", history=True))
    assert len(versions) == pets.version + 1 == 7
    for k, version in enumerate(versions):
        at = pets.at(k)
        for row, ask in zip(at.table().to_pylist(), at.view.asked[at.view.alive].tolist(), strict=True):
            assert version.pop(row.pop("key")) == row | {"asked": ask}
        assert version == {}
    assert len(replay(pets.at(2).export(tmp_path / "part", history=True))) == 3


def test_compaction_changes_no_answer(pets: Dataset) -> None:
    for i in range(70):
        pets.commit(label(pets, [f"p{i % 5}"], ["cat", "dog"][i // 5 % 2], reason=f"commit {i}"))
    old = Dataset.open(pets.path)
    _ = old.at(3).view, old.history("p1")
    before = [pets.at(v).digest() for v in range(71)], pets.history("p1"), pets.diff(3, 60)
    pets.compact(older_than=timedelta(0))
    again = Dataset.open(pets.path)
    for ds in (pets, again, old):
        assert ([ds.at(v).digest() for v in range(71)], ds.history("p1")) == before[:2]
        assert ds.diff(3, 60).equals(before[2])
    assert len(list((pets.path / "events.lance" / "data").iterdir())) == 1


def test_a_dataset_goes_to_another_process_as_its_place(pets: Dataset) -> None:
    pets.commit(label(pets, ["p1"], "cat"))
    assert pickle.loads(pickle.dumps(pets)).version == 1
    assert pickle.loads(pickle.dumps(pets.at(0))).version == 0


def test_batches_hold_the_labelled_training_records_once(pets: Dataset) -> None:
    pets.commit(Changes(events(Op.SET, pets.ids(["p0"]), field=Field.SPLIT, num=1)))
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p1"]))))
    pets.commit(Changes(events(Op.SET, pets.ids(["p2"]), field=Field.WEIGHT, num=0.5)))
    got = pa.concat_tables(pets.batches(size=2, columns=["note"]))
    assert got.to_pydict() == {"note": ["note 2", "note 3", "note 4"], "label": [0, 1, 0], "weight": [0.5, 1.0, 1.0]}
    assert [t.num_rows for t in pets.batches(size=2)] == [2, 1]


def test_batches_are_shuffled_by_key_and_seed(tmp_path: Path) -> None:
    n = 3000
    source = {"name": [f"r{i}" for i in range(n)], "x": np.arange(float(n)), "y": ["a", "b"] * (n // 2)}
    ds = Dataset.create(tmp_path / "d", source, key="name", label="y", splits={"train": 1}, durability="process")
    turned = {name: values[::-1] for name, values in source.items()}
    other = Dataset.create(tmp_path / "e", turned, key="name", label="y", splits={"train": 1}, durability="process")

    def order(ds: Dataset, seed: int | None, size: int = 256) -> list[float]:
        return pa.concat_tables(ds.batches(size=size, seed=seed))["x"].to_pylist()

    assert order(ds, None) == list(range(n))
    assert order(ds, 1) == order(ds, 1, size=2000) == order(other, 1)
    assert sorted(order(ds, 1)) == list(range(n))
    assert order(ds, 1) != order(ds, 2)


def test_the_stream_has_every_living_record_with_its_content_of_today(pets: Dataset) -> None:
    ids = pets.ids(["p1", "p4"])
    vectors = pa.array([[9.0] * 3, [8.0] * 3], pa.list_(pa.float32(), 3))
    reader = Dataset.open(pets.path)
    _ = list(reader.stream())
    pets.commit(Changes(NOTHING, None, pa.table({"record_id": ids, "x": vectors, "note": ["n1", "n4"]})))
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p0"]))))
    for ds in (pets, reader):
        for size in (1, 2, 100):
            rows = pa.concat_tables(ds.stream(size=size)).sort_by("record_id")
            assert rows["record_id"].to_pylist() == ds.ids(["p1", "p2", "p3", "p4", "p5"]).tolist()
            assert rows["note"].to_pylist() == ["n1", "note 2", "note 3", "n4", "note 5"]
            assert rows["label"].to_pylist() == [1, 0, 1, 0, -1]


def test_many_commits_of_new_records_stay_readable(pets: Dataset) -> None:
    for i in range(40):
        pets.commit(child(pets, "p0", f"q{i}", "dog"))
    assert len(pets) == 46
    assert pets.features(pets.ids([f"q{i}" for i in range(40)]))["note"].to_pylist() == ["made"] * 40
    again = Dataset.open(pets.path)
    assert [len(again.at(v)) for v in (0, 20, 40)] == [6, 26, 46]


def test_compaction_moves_no_row_whatever_the_sizes_of_the_commits(tmp_path: Path) -> None:
    n = 280_000  # more than what is left alone by compactions
    source = {"x": np.arange(float(n)), "y": np.zeros(n)}
    ds = Dataset.create(tmp_path / "d", source, label="y", label_kind="number", durability="process")
    rng = np.random.default_rng(0)

    def commit(k: int) -> None:
        ids = rng.choice(n, k, replace=False)
        ds.commit(Changes(events(Op.SET, ids, field=Field.LABEL, num=rng.random(k))))

    for k in (5, 5, n - 10, 5, 5, n - 10, *[5] * 33, 5):  # the last but one stops to compact
        commit(k)
    before = [ds.at(v).view.label.sum() for v in range(ds.version + 1)]
    past = ds.history(7)
    for _ in range(2):
        shutil.rmtree(ds.path / "checkpoints", ignore_errors=True)
        again = Dataset.open(ds.path)
        assert [again.at(v).view.label.sum() for v in range(ds.version + 1)] == before
        assert again.history(7) == past
        ds.compact(older_than=timedelta(0))


def test_threads_share_a_dataset(pets: Dataset) -> None:
    pets.compact()
    digests = [pets.digest()]

    def read(_: int) -> bool:
        version = pets.version
        at = pets.at(version)
        return all(at.digest() == digests[version] for _ in range(20)) and len(pets.at(0)) == 6

    with ThreadPoolExecutor(4) as threads:
        for i in range(40):
            reading = [threads.submit(read, i) for _ in range(3)]
            assert all(future.result() for future in reading)
            reading = [threads.submit(len, pets.at(v).log()) for v in range(pets.version + 1)]
            pets.commit(label(pets, ["p1"], ["cat", "dog"][i % 2]))
            assert [future.result() for future in reading] == list(range(1, pets.version + 1))
            digests.append(pets.digest())
        writing = [threads.submit(pets.commit, label(pets, [f"p{i % 5}"], "cat"), key=f"k{i}") for i in range(20)]
        assert sorted(future.result().version for future in writing) == list(range(41, 61))
    assert [c.version for c in Dataset.open(pets.path).log()] == list(range(61))


def test_a_forked_process_forces_too(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from tilth.dataset.disk import force
force(*sys.argv[1:])
forked = os.fork()
signal.alarm(30)
force(*sys.argv[1:])
os.write(1, b"forced\\n")  # in one piece: two processes write to the same pipe
if forked:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
os._exit(0)
"""
    (tmp_path / "file").touch()
    paths = [str(tmp_path), str(tmp_path / "file"), str(tmp_path / "gone")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *paths], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "forced\nforced\n"), done.stderr
