"""Choose 1,000 of 10 million records by what a model said of them, which is on disk: time, and memory over idle.

The files are in the system's page cache, the dataset's view is in memory (a run has it: the commit before made it). The
memory is that of a process of its own, which also builds the view: the highest that the system saw (VmHWM), pages of
mapped files included.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.machine import bandwidth, peak_memory, resident, timed
from bench.signals.table import Row
from tilth.dataset import Dataset
from tilth.outputs import Outputs
from tilth.selectors import unlabeled
from tilth.signals import entropy, margin
from tilth.state import State

__all__ = ["rows"]

CLASSES, WANTED, STEP = 10, 1000, 500_000


def rows(*, quick: bool) -> Iterable[Row]:
    """Measure; `quick` takes a tenth of the records."""
    n = 1_000_000 if quick else 10_000_000
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        path = Path(folder) / "pool"
        _make(path, n)
        dataset = Dataset.open(path).at(-1)
        _ = dataset.view
        stored = Outputs(path / "outputs" / "m").get("probabilities")
        floor = stored.nbytes / bandwidth(np.array(stored))
        for signal in (margin(), entropy()):
            choice = unlabeled.top(WANTED, by=signal)
            ours = timed(lambda c=choice: c.choose(_state(dataset)), repeats=5)
            whole = np.sort(np.asarray(signal.compute(_state(dataset))))[::-1][:WANTED]
            same = np.array_equal(choice.choose(_state(dataset)).score, whole)
            judged = "the scores of all records at once, sorted"
            yield Row(f"top {WANTED:,} of {n:,} x {CLASSES} by {signal!r}", ours, floor=floor, same=same, judged=judged)
        command = [sys.executable, "-m", "bench.signals.streaming", "--memory", str(path)]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip(), flush=True)


def _state(dataset: Dataset) -> State:
    return State(dataset, Outputs(dataset.path / "outputs" / "m"))


def _make(path: Path, n: int) -> None:
    """Write a dataset of n unlabelled records, and probabilities of each, a piece at a time."""
    table = pa.table({"x": np.arange(n), "label": pa.nulls(n, pa.string()), "split": pa.repeat("train", n)})
    labels = [f"class{i}" for i in range(CLASSES)]
    Dataset.create(path, table, label="label", split="split", classes=labels, durability="process")
    chance = np.random.default_rng(0)
    said = np.empty((CLASSES, n), np.float32)
    for start in range(0, n, STEP):
        some = said[:, start : start + STEP]
        some[:] = np.exp(2 * chance.standard_normal(some.shape, dtype=np.float32))
        some /= some.sum(axis=0)
    Outputs.create(path / "outputs" / "m", np.arange(n), {}).add("probabilities", said)


def _memory(path: Path) -> None:
    idle = resident()
    dataset = Dataset.open(path).at(-1)
    n = len(dataset.view)
    view, peak = resident() - idle, peak_memory() - idle
    said = f"the view of {n:,} records: {view / 1e6:.0f} MB over idle, {peak / 1e6:.0f} MB while it was read"
    unlabeled.top(WANTED, by=margin()).choose(_state(dataset))
    print(f"{said}; the choice by margin(): {(peak_memory() - idle) / 1e6:.0f} MB at most (idle: {idle / 1e6:.0f} MB)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", type=Path, required=True)
    _memory(parser.parse_args().memory)
