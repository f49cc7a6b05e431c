"""What the record store costs: `python -m bench.store [--quick]`.

Commits of 10,000 relabels on 1,000,000 records of 64 float32 beside DuckDB with a change table, disk space and its
growth from the first to the 1,000th version, the labels of any of 50 versions, one record's history, the difference of
two versions, and batches for training beside what numpy takes to copy the same bytes. Every figure is a median with its
spread.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from bench.machine import Times, describe
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset

SEED = 0
CLASSES = [f"c{i}" for i in range(10)]


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def relabels(rng: np.random.Generator, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return k distinct records and new labels for them."""
    return np.sort(rng.choice(n, k, replace=False)), rng.integers(0, 10, k)


def times(call: Callable[[int], object], repeats: int) -> Times:
    """Return how long each of several calls took; the first one, which warms up, is left out."""
    seconds: list[float] = []
    for i in range(repeats + 1):
        began = time.perf_counter()
        call(i)
        seconds.append(time.perf_counter() - began)
    return Times(tuple(seconds[1:]))


def row(what: str, found: object, wanted: str, more: str = "") -> None:
    """Print one line of the table."""
    print(f"{what:58} {found!s:52} {wanted:14} {more}", flush=True)


def forget(folder: Path) -> None:
    """Ask the system to drop the files below a folder from its memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def commits(dataset: Dataset, folder: Path, n: int, k: int, repeats: int) -> None:
    """Commit the same relabels to each in turn, so that all meet the same moods of the machine."""
    duck = duckdb.connect(str(folder / "peer.duckdb"))
    duck.register("start", pa.table({"record_id": np.arange(n), "label": dataset.view.label}))
    duck.execute("create table labels as select * from start")
    duck.execute("create table changes (record_id bigint, old int, new int, version bigint, reason varchar)")
    duck.execute("create table changes_only (record_id bigint, old int, new int, version bigint, reason varchar)")
    copy = folder / "process"
    shutil.copytree(dataset.path, copy)
    loose = Dataset.open(copy, durability="process")

    def changes(ids: np.ndarray, new: np.ndarray) -> Changes:
        return Changes(events(Op.SET, ids, field=Field.LABEL, num=new, reason="bench", actor="bench"))

    def whole(version: int) -> None:
        duck.execute("begin")
        duck.execute(
            "insert into changes select f.record_id, l.label, f.new, ?, 'bench' "
            "from frame f join labels l using (record_id)",
            [version],
        )
        duck.execute("update labels set label = f.new from frame f where labels.record_id = f.record_id")
        duck.execute("commit")

    def insert_only(version: int) -> None:
        duck.execute("begin")
        duck.execute("insert into changes_only select record_id, old, new, ?, 'bench' from frame", [version])
        duck.execute("commit")

    rng = np.random.default_rng(SEED)
    seconds: dict[str, list[float]] = {"power": [], "process": [], "whole": [], "insert": []}
    for version in range(1, repeats + 2):
        ids, new = relabels(rng, n, k)
        old = dataset.view.label[ids]
        duck.register("frame", pa.table({"record_id": ids, "old": old, "new": new}))
        turns: dict[str, Callable[[], object]] = {
            "power": lambda: dataset.commit(changes(ids, new)),  # noqa: B023 (called in this turn)
            "whole": lambda: whole(version),  # noqa: B023
            "process": lambda: loose.commit(changes(ids, new)),  # noqa: B023
            "insert": lambda: insert_only(version),  # noqa: B023
        }
        for name, turn in turns.items():
            began = time.perf_counter()
            turn()
            seconds[name].append(time.perf_counter() - began)
    found = {name: Times(tuple(each[1:])) for name, each in seconds.items()}
    same = f"Tilth / DuckDB = {found['power'].median / found['whole'].median:.2f}"
    less = f"Tilth / DuckDB = {found['power'].median / found['insert'].median:.2f}"
    row(f"commit of {k:,} relabels", found["power"], "<= DuckDB")
    row('  the same with durability="process"', found["process"], "")
    row("  DuckDB: change table and labels, one transaction", found["whole"], "", same)
    row("  DuckDB: change table alone, old labels given", found["insert"], "", less)
    duck.close()


def growth(dataset: Dataset, n: int, k: int, versions: int) -> None:
    """Commit until there are many versions; print how time and space move."""
    rng = np.random.default_rng(SEED + 1)
    seconds: list[float] = []
    before = size(dataset.path)
    while dataset.version < versions:
        ids, labels = relabels(rng, n, k)
        began = time.perf_counter()
        dataset.commit(Changes(events(Op.SET, ids, field=Field.LABEL, num=labels, reason="bench", actor="bench")))
        seconds.append(time.perf_counter() - began)
    x = np.arange(len(seconds))
    slope = float(np.polyfit(x, seconds, 1)[0]) * 1000
    first, last = (Times(tuple(part)) for part in (seconds[:50], seconds[-50:]))
    row(f"commit, versions 1 to 50 of {versions}", first, "flat")
    row(f"commit, the last 50 of {versions}", last, "flat", f"slope {slope * 1e3:+.1f} ms over 1,000 versions")
    row("  disk a commit, all files", f"{(size(dataset.path) - before) / len(seconds) / 1e6:.3f} MB", "<= 0.1 MB")
    dataset.compact(older_than=timedelta(0))
    at_rest = (size(dataset.path) - before) / len(seconds) / 1e6
    row("  at rest (compacted, superseded files removed)", f"{at_rest:.3f} MB", "")

    def opened(_: int) -> object:
        return Dataset.open(dataset.path, version=int(rng.integers(1, versions))).view

    many = f"{dataset.version:,} versions, {sum(c.n_events for c in dataset.log()):,} events"
    row(f"labels of any of {many}: open and view", times(opened, 5), "")
    row("  history of one record", times(dataset.history, 5), "")


def reading(dataset: Dataset, repeats: int) -> None:
    """Time labels of versions, a history, a difference."""
    rng = np.random.default_rng(SEED + 2)
    path = dataset.path
    record = int(dataset.diff(0, 1)["record_id"][0].as_py())

    def opened(_: int) -> object:
        return Dataset.open(path, version=int(rng.integers(1, 51))).view.label[0]

    def forgotten(i: int) -> object:
        forget(path)
        began = time.perf_counter()
        opened(i)
        forgotten_seconds.append(time.perf_counter() - began)
        return None

    forgotten_seconds: list[float] = []
    row("labels of any of 50 versions: open and view", times(opened, repeats), "<= 40 ms")
    times(forgotten, repeats)
    row("  the same, files dropped from the system's memory", Times(tuple(forgotten_seconds[1:])), "")
    row("  same handle", times(lambda _: dataset.at(int(rng.integers(1, 51))).view, repeats), "<= 40 ms")
    row("history of one record", times(lambda _: dataset.history(record), repeats), "<= 10 ms")
    row("  opened for it", times(lambda _: Dataset.open(path).history(record), repeats), "")
    what = f"difference of two versions with reasons ({dataset.diff(20, 21).num_rows:,} rows)"
    row(what, times(lambda _: dataset.diff(20, 21), repeats), "<= 100 ms")
    what = f"difference of versions 1 and 50 ({dataset.diff(1, 50).num_rows:,} rows)"
    row(what, times(lambda _: dataset.diff(1, 50), 3), "")


def batches(dataset: Dataset, folder: Path, n: int, repeats: int) -> None:
    """Time batches for training beside what numpy and pyarrow take for the same bytes, from files in memory."""
    x = pa.concat_tables(dataset.stream(columns=["x"]))["x"].combine_chunks().flatten().to_numpy().reshape(n, 64)
    np.save(folder / "x.npy", x)
    mapped = np.load(folder / "x.npy", mmap_mode="r", allow_pickle=False)
    with pa.OSFile(str(folder / "x.arrow"), "wb") as file:
        table = pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 64)})
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=65_536)
    count = 256 * 200

    def rate(got: int, found: Times) -> str:
        low, high = got / max(found.seconds), got / min(found.seconds)
        return f"{got / found.median:,.0f} records/s ({low:,.0f} to {high:,.0f})"

    def shuffled(i: int) -> None:
        got = 0
        for batch in dataset.batches(size=256, seed=i, columns=["x"]):
            got += batch.num_rows
            if got >= count:
                return

    def gathered(i: int) -> None:
        order = np.random.default_rng(i).permutation(n)
        for at in range(0, count, 256):
            _ = mapped[order[at : at + 256]]

    def scanned(_: int) -> None:
        with pa.memory_map(str(folder / "x.arrow")) as file:
            reader = pa.ipc.open_file(file)
            for i in range(reader.num_record_batches):
                _ = reader.get_batch(i)["x"].flatten().to_numpy().copy()

    def streamed(_: int) -> None:
        assert sum(table.num_rows for table in dataset.stream(columns=["x"])) == n

    row("random batches of 256", rate(count, times(shuffled, repeats)), ">= 50,000")
    row("  floor: numpy, memory-mapped file", rate(count, times(gathered, repeats)), "")
    row("streamed with label and weight", rate(n, times(streamed, repeats)), ">= 1,000,000")
    row("  floor: pyarrow, memory-mapped file, copied", rate(n, times(scanned, repeats)), "")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 records, 120 versions")
    quick = parser.parse_args().quick
    n, versions, k = (100_000, 120, 10_000) if quick else (1_000_000, 1_000, 10_000)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    describe(
        ["numpy", "pyarrow", "pylance", "duckdb"],
        sizes=f"{n:,} records x 64 float32, {k:,} relabels a commit",
        seeds=SEED,
    )
    print("durability power (files are forced to disk), DuckDB with its defaults, both on the same disk\n")
    rng = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        table = {"x": rng.random((n, 64), np.float32), "y": np.array(CLASSES)[rng.integers(0, 10, n)]}
        began = time.perf_counter()
        dataset = Dataset.create(Path(folder) / "store", table, label="y", classes=CLASSES)
        row("import", f"{time.perf_counter() - began:.1f} s", "")
        commits(dataset, Path(folder), n, k, 50)
        reading(dataset, 9)
        batches(dataset, Path(folder), n, 5)
        growth(dataset, n, k, versions)


if __name__ == "__main__":
    main()
