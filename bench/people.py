"""What it costs that people answer: eight at once, a hundred thousand answers taken, a million open tasks.

`python -m bench.durable` prints these figures.
"""

import multiprocessing
import sqlite3
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa

from bench.machine import resident, timed
from tilth import Dataset
from tilth.changes import Changes, Op, events
from tilth.labeling.consensus import answered
from tilth.labeling.inbox import Given, Inbox, Posted, Tasks
from tilth.taking import as_answers

FORM = {"label": "class", "classes": [str(k) for k in range(10)]}


def publish(inbox: Inbox, name: str, n: int, *, votes: int = 1) -> None:
    """Put a question about n records into an inbox."""
    posted = Posted(name, "label", "crowd", "", "main", 0, "run-1", "ask", votes=votes, form=FORM)
    inbox.publish(posted, Tasks(np.arange(n), [f"record-{i:07d}" for i in range(n)]))


def one_annotator(where: str, name: str, n: int, gate: Any) -> None:
    """Answer n tasks, one after the other."""
    with Inbox(where) as inbox:
        gate.wait()
        left = n
        while left:
            for task in inbox.lease(name, min(16, left), team="crowd"):
                inbox.answer(name, [Given(task.id, "answer", str(task.record % 10))])
                left -= 1


def served(where: str, n: int, gate: Any) -> None:
    """Let eight annotators answer through one inbox, as a page that serves them does."""

    def work(name: str) -> None:
        left = n
        while left:
            for task in inbox.lease(name, min(16, left), team="crowd"):
                inbox.answer(name, [Given(task.id, "answer", str(task.record % 10))])
                left -= 1

    with Inbox(where) as inbox, ThreadPoolExecutor(8) as pool:
        gate.wait()
        list(pool.map(work, [f"a{i}" for i in range(8)]))


def bare(where: str, n: int, gate: Any) -> None:
    """Insert n rows, each durable, with nothing but the driver; all processes begin at once."""
    db = sqlite3.connect(where, timeout=30.0, isolation_level=None)
    db.execute("pragma synchronous=FULL")
    gate.wait()
    for i in range(n):
        db.execute("insert into answers values (?, 'answer')", (i,))
    gate.wait()
    db.close()


def bare_people(n: int) -> float:
    """Return how many bare inserts a second eight processes bring to one SQLite file: the floor of their answers."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        where = f"{folder}/bare.sqlite"
        with closing(sqlite3.connect(where)) as db:
            db.execute("pragma journal_mode=WAL")
            db.execute("create table answers (task integer, verdict text)")
        gate = context.Barrier(9)
        processes = [context.Process(target=bare, args=(where, n, gate)) for _ in range(8)]
        for process in processes:
            process.start()
        gate.wait()
        began = time.perf_counter()
        gate.wait()
        took = time.perf_counter() - began
        for process in processes:
            process.join()
    return 8 * n / took


def people(n: int, url: str | None) -> None:
    """Let eight annotators answer record after record, each answer durable: served together, or a process each."""
    context = multiprocessing.get_context("spawn")
    floor = bare_people(n)
    print(f"  {'8 processes, bare SQLite inserts (floor)':40} {floor:7,.0f} durable inserts/s")
    with tempfile.TemporaryDirectory() as folder:
        places = (("SQLite", f"{folder}/inbox.sqlite"), *((("Postgres", url),) if url else ()))
        for title, where, together in [(t, w, together) for t, w in places for together in (True, False)]:
            asked = f"people {title} {together}"
            with Inbox(where) as inbox:
                publish(inbox, asked, 8 * n)
            gate = context.Barrier(2 if together else 9)
            if together:
                annotators = [context.Process(target=served, args=(where, n, gate))]
            else:
                annotators = [context.Process(target=one_annotator, args=(where, f"a{i}", n, gate)) for i in range(8)]
            for process in annotators:
                process.start()
            gate.wait()  # they have come in: who is still importing does not answer at once with the others
            began = time.perf_counter()
            for process in annotators:
                process.join()
            took = time.perf_counter() - began
            with Inbox(where) as inbox:
                found = inbox.claim(asked, "once")
            keys = set(zip(found.records.tolist(), found.annotators, strict=True))
            assert len(found.records) == len(keys) == 8 * n, "answers were lost or doubled"
            rate = 8 * n / took
            how = "one server" if together else "a process each"
            print(
                f"  8 annotators, {title:8}, {how:14} {rate:7,.0f} durable answers/s ({rate / floor:.2f} of the "
                f"floor); {8 * n:,}, none lost or doubled"
            )


def drain(n: int) -> None:
    """Take n answers into one version: claim, consensus, commit."""
    with tempfile.TemporaryDirectory() as folder:
        x = np.random.default_rng(0).normal(size=n).astype(np.float64)
        kinds = pa.array([None] * n, pa.string())
        ds = Dataset.create(
            f"{folder}/d", pa.table({"x": x, "y": kinds}), label="y", classes=FORM["classes"], splits={"train": 1.0}
        )
        with Inbox(f"{folder}/inbox.sqlite") as inbox:
            publish(inbox, "drain", n)
            while tasks := inbox.lease("ann", 1000, team="crowd"):
                inbox.answer("ann", [Given(t.id, "answer", str(t.record % 10)) for t in tasks])
            began = time.perf_counter()
            drained = inbox.claim("drain", "once")
            claimed = time.perf_counter() - began
            ds.commit(answered(ds, as_answers(drained, cost=1.0), reason="asked"), key="drain")
            took = time.perf_counter() - began
            assert int(ds.view.labeled.sum()) == n, "answers were lost"
            print(f"  {n:,} answers into one version: {took:.2f} s (claimed after {claimed:.2f} s)")


def next_16(inbox: Inbox) -> None:
    """Give back what an annotator holds, and lease the next tasks."""
    inbox.release("ann")
    assert len(inbox.lease("ann", 16, team="crowd")) == 16


def million(n: int) -> None:
    """Ask about n records: the event of each and its task; then lease, at the start and after half of them."""
    with tempfile.TemporaryDirectory() as folder:
        x = np.zeros(n)
        ds = Dataset.create(
            f"{folder}/d", pa.table({"x": x, "y": pa.array([None] * n, pa.string())}), label="y",
            classes=FORM["classes"], splits={"train": 1.0},
        )  # fmt: skip
        with Inbox(f"{folder}/inbox.sqlite") as inbox:
            before, began = resident(), time.perf_counter()
            ds.commit(Changes(events(Op.ASK, np.arange(n), actor="crowd", reason="all")), key="ask")
            publish(inbox, "all", n)
            asked = time.perf_counter() - began
            fresh = timed(lambda: next_16(inbox), repeats=20)
            inbox.release("ann")
            grown = resident() - before
            half = n // 2
            while half > 0:
                tasks = inbox.lease("ann", 1000, team="crowd")
                inbox.answer("ann", [Given(t.id, "answer", "1") for t in tasks])
                half -= len(tasks)
            late = timed(lambda: next_16(inbox), repeats=20)
        print(f"  {n:,} records asked about: {asked:.1f} s, {grown / 1e6:+.0f} MB; leasing the next 16: {fresh}")
        print(f"  the same after this annotator answered {n // 2:,}: {late}")
