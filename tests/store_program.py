"""A process that works on a dataset and says what was acknowledged: `store_program.py FOLDER WHAT ...`.

Where several must start together, each line on standard input is a signal to go on.
"""

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from tilth.changes import EVENT, Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.errors import Conflict


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")  # in one piece, which a trace of the system calls shows
    sys.stdout.flush()


def label(ds: Dataset, key: str, code: int, *, large: bool = False) -> Changes:
    """Return changes to one record; `large`: more than the file of a commit carries."""
    reason = f"{key} is {code}{', to be sure' * 10_000 if large else ''}"
    return Changes(events(Op.SET, ds.ids([key]), field=Field.LABEL, num=code, reason=reason))


def distinct(ds: Dataset, name: str, n: int) -> None:
    """Commit n times, each time on a record that nobody else touches."""
    for i in range(n):
        commit = ds.commit(label(ds, f"{name}{i}", 1), key=f"{name}{i}", base=ds.version)
        say(f"{name}{i}", commit.version)


def repeat(ds: Dataset, name: str, n: int) -> None:
    """Commit n times, to few records."""
    for i in range(n):
        say(ds.commit(label(ds, f"{name}{i % 5}", i % 2)).version)


def same_record(ds: Dataset, name: str) -> None:
    """At each signal, commit to one record on the version that the signal names."""
    for line in sys.stdin:
        try:
            say(ds.commit(label(ds, "a0", int(name)), base=int(line)).version)
        except Conflict as why:
            say("Conflict", why.records[0])


def same_key(ds: Dataset, name: str) -> None:
    """At each signal, commit under the key that the signal names."""
    for line in sys.stdin:
        say(ds.commit(label(ds, f"{name}0", 1), key=line.strip()).version)


def read(ds: Dataset, name: str) -> None:
    """Read versions over and over, by an old handle and by new ones, until the end of the signals."""
    known = [ds.at(v).digest() for v in range(ds.version + 1)]
    past = [(event.version, event.what) for event in ds.history("a0")]
    say("reading", len(known))
    for _ in sys.stdin:
        for opened in (ds, Dataset.open(ds.path)):
            assert [opened.at(v).digest() for v in range(len(known))] == known
            assert [(e.version, e.what) for e in opened.at(len(known) - 1).history("a0")] == past
            assert opened.diff(0, len(known) - 1).num_rows >= 0
            assert sum(t.num_rows for t in opened.at(len(known) - 1).stream(size=7)) == len(opened.at(len(known) - 1))
        say("same")


def compact(ds: Dataset, name: str) -> None:
    """At each signal, compact and remove what is superseded at once."""
    for _ in sys.stdin:
        ds.compact(older_than=timedelta(0))
        say("compacted")


def mixed(ds: Dataset, name: str) -> None:
    """Commit for ever: labels, and now and then new records or a compaction; say what is acknowledged."""
    made = 0
    while True:
        key = f"{name}-{ds.version + 1}"
        changes = label(ds, f"a{made % 50}", made % 2, large=made % 4 == 1)
        if made % 3 == 0:
            row = {
                "key": [key],
                "x": [float(made)],
                "label0": pa.array([0], pa.int32()),
                "split0": pa.array([0], pa.int8()),
            }
            changes = Changes.join([changes, Changes(EVENT.empty_table(), pa.table(row))])
        if made % 40 == 39:
            ds.compact(older_than=timedelta(0))
        commit = ds.commit(changes, key=key)
        made += 1
        say(commit.version, key, ds.at(commit.version).digest())


def create(folder: Path) -> None:
    """Make a dataset of many records, again and again in new places, and say where."""
    source = {"x": np.arange(20_000.0), "y": ["cat", "dog"] * 10_000}
    n = 0
    while True:
        say(n)
        Dataset.create(folder / f"d{n}", source, label="y")
        n += 1


def main() -> None:
    folder, what, *more = sys.argv[1:]
    if what == "create":
        create(Path(folder))
        return
    durability = more[0] if what == "once" else "power" if what == "mixed" else "process"
    ds = Dataset.open(folder, durability=durability)
    if what == "once":
        say("ready")
        x = {"key": ["n"], "x": [1.0], "label0": pa.array([0], pa.int32()), "split0": pa.array([0], pa.int8())}
        added = Changes(EVENT.empty_table(), pa.table(x))
        say("a0", ds.commit(Changes.join([label(ds, "a0", 1, large=more[1] == "large"), added])).version)
        return
    if what in ("distinct", "repeat"):
        (distinct if what == "distinct" else repeat)(ds, more[0], int(more[1]))
        return
    work = {"same_record": same_record, "same_key": same_key, "read": read, "compact": compact, "mixed": mixed}[what]
    say("ready")
    work(ds, more[0] if more else "")


if __name__ == "__main__":
    main()
