"""What the record store costs: `python -m bench.store [--quick]`.

Commits of 10,000 relabels on 1,000,000 records of 64 float32 beside DuckDB with a change table, disk space and its
growth from the first to the 1,000th version, the labels of any of 50 versions, one record's history, the difference of
two versions, and batches for training beside what numpy takes to copy the same bytes. Every figure is a median with its
spread.
"""

import argparse
import os
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
    print(f"{what:58} {found!s:34} {wanted:22} {more}", flush=True)


def commits(dataset: Dataset, duck: duckdb.DuckDBPyConnection, n: int, k: int, repeats: int) -> None:
    """Commit relabels to both, in turn, so that both meet the same moods of the machine."""
    rng = np.random.default_rng(SEED)
    ours: list[float] = []
    theirs: list[float] = []
    before = size(dataset.path)
    for i in range(repeats + 1):
        ids, labels = relabels(rng, n, k)
        began = time.perf_counter()
        dataset.commit(Changes(events(Op.SET, ids, field=Field.LABEL, num=labels, reason="bench", actor="bench")))
        middle = time.perf_counter()
        frame = pa.table({"record_id": ids, "new": labels})
        duck.register("frame", frame)
        duck.execute("begin")
        duck.execute(
            "insert into changes select f.record_id, l.label, f.new, ?, 'bench' "
            "from frame f join labels l using (record_id)",
            [i],
        )
        duck.execute("update labels set label = f.new from frame f where labels.record_id = f.record_id")
        duck.execute("commit")
        ours.append(middle - began)
        theirs.append(time.perf_counter() - middle)
    a, b = Times(tuple(ours[1:])), Times(tuple(theirs[1:]))
    row(f"commit of {k:,} relabels", a, "<= DuckDB")
    row("  DuckDB: change table and labels, one transaction", b, "", f"Tilth / DuckDB = {a.median / b.median:.2f}")
    grown = (size(dataset.path) - before) / (repeats + 1)
    row("  disk a commit, all files", f"{grown / 1e6:.3f} MB", "<= 0.1 MB")


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
    row(
        "  at rest (compacted, superseded files removed)",
        f"{(size(dataset.path) - before) / len(seconds) / 1e6:.3f} MB",
        "",
    )


def reading(dataset: Dataset, repeats: int) -> None:
    """Time labels of versions, a history, a difference."""
    rng = np.random.default_rng(SEED + 2)
    path = dataset.path

    def cold() -> None:
        opened = Dataset.open(path)
        began = time.perf_counter()
        _ = opened.at(int(rng.integers(1, 51))).view.label[0]
        cold_seconds.append(time.perf_counter() - began)

    cold_seconds: list[float] = []
    for _ in range(repeats + 1):
        cold()
    row("labels of any of 50 versions, nothing in memory", Times(tuple(cold_seconds[1:])), "<= 40 ms")
    row(
        "labels of any of 50 versions, same handle",
        times(lambda _: dataset.at(int(rng.integers(1, 51))).view, repeats),
        "<= 40 ms",
    )
    record = int(dataset.diff(0, 1)["record_id"][0].as_py())
    row("history of one record", times(lambda _: dataset.history(record), repeats), "<= 10 ms")
    row(
        "difference of two versions with reasons (10,000 rows)",
        times(lambda _: dataset.diff(20, 21), repeats),
        "<= 100 ms",
    )
    row("difference of versions 1 and 50 with reasons", times(lambda _: dataset.diff(1, 50), 3), "")


def batches(dataset: Dataset, n: int, repeats: int) -> None:
    """Time batches for training beside a numpy copy of the same bytes."""
    x = np.random.default_rng(SEED).random((n, 64), np.float32)
    order = np.random.default_rng(SEED).permutation(n)[: 256 * 200]

    def random_batches(i: int) -> float:
        began, got = time.perf_counter(), 0
        for batch in dataset.batches(size=256, seed=i, columns=["x"]):
            got += batch.num_rows
            if got >= len(order):
                break
        return got / (time.perf_counter() - began)

    def stream(_: int) -> float:
        began = time.perf_counter()
        got = sum(table.num_rows for table in dataset.stream(columns=["x"]))
        return got / (time.perf_counter() - began)

    rates = [random_batches(i) for i in range(repeats)]
    began = time.perf_counter()
    for at in range(0, len(order), 256):
        _ = x[order[at : at + 256]]
    floor = len(order) / (time.perf_counter() - began)
    row("random batches of 256", f"{np.median(rates):,.0f} records/s", ">= 50,000", f"numpy in memory {floor:,.0f}")
    rates = [stream(i) for i in range(repeats)]
    began = time.perf_counter()
    _ = x.copy()
    floor = n / (time.perf_counter() - began)
    row(
        "streamed with label and weight",
        f"{np.median(rates):,.0f} records/s",
        ">= 1,000,000",
        f"numpy copy {floor:,.0f}",
    )


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
        duck = duckdb.connect(str(Path(folder) / "peer.duckdb"))
        labels = pa.table({"record_id": np.arange(n), "label": dataset.view.label})
        duck.register("start", labels)
        duck.execute("create table labels as select * from start")
        duck.execute("create table changes (record_id bigint, old int, new int, version bigint, reason varchar)")
        commits(dataset, duck, n, k, 50)
        duck.close()
        reading(dataset, 9)
        batches(dataset, n, 3)
        growth(dataset, n, k, versions)
        fast = Dataset.open(dataset.path, durability="process")
        commit_seconds: list[float] = []
        for _ in range(20):
            ids, new = relabels(rng, n, k)
            began = time.perf_counter()
            fast.commit(Changes(events(Op.SET, ids, field=Field.LABEL, num=new, reason="bench")))
            commit_seconds.append(time.perf_counter() - began)
        row('commit with durability="process"', Times(tuple(commit_seconds)), "")


if __name__ == "__main__":
    main()
