"""Choose 1,000 of a million unlabelled records by the model's uncertainty: Tilth against modAL, on one core.

`python -m bench.select` (about ten seconds); `--quick` stops at 100,000 records. A small pool is measured too: there a
choice costs what it costs to look things up, and Tilth looks up more than modAL, which is handed an array.
"""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.machine import bandwidth, describe, one_core, peak_memory, resident, timed
from tilth.algebra import Signal
from tilth.dataset import Dataset
from tilth.outputs import Outputs
from tilth.selectors import unlabeled
from tilth.signals import entropy, margin
from tilth.state import State

CLASSES, WANTED, SEED = 10, 1000, 0
PEERS = {"margin": "margin_sampling", "entropy": "entropy_sampling"}


def main() -> None:
    """Measure, check that both choose the same records, and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="100,000 records at most")
    arguments.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.memory:
        _memory_of_one_choice(given.memory)
        return
    sizes = (10_000, 100_000) if given.quick else (10_000, 1_000_000)
    packages = ["tilth", "numpy", "pylance", "modAL-python"]
    describe(packages, classes=CLASSES, choose=f"{WANTED:,}", seed=SEED, threads="one core for both")
    for n in sizes:
        with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder, one_core():
            path = Path(folder) / "pool"
            by_record = _make(path, n)
            print(f"\n{n:,} records, {by_record.nbytes / 1e6:.1f} MB of float32 probabilities")
            compare(path, by_record)
            command = [sys.executable, "-m", "bench.select", "--memory", str(path)]
            used = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            print(f"memory of one choice by margin(), in a process of its own: {used}")


def compare(path: Path, by_record: np.ndarray) -> None:
    """Time both on the same numbers; each gets them in the layout it works on."""
    dataset = Dataset.open(path).at(-1)
    _ = dataset.view  # a run has the view in memory before a rule asks: the commit before it made it
    stored = Outputs(path / "outputs" / "m").get("probabilities")
    speed = bandwidth(np.array(stored))
    floor = stored.nbytes / speed
    print(f"floor: {floor * 1e3:.2f} ms: the probabilities read once, at the {speed / 1e9:.1f} GB/s of this core")
    for signal in (margin(), entropy()):
        mine = unlabeled.top(WANTED, by=signal)
        ours = timed(lambda s=mine: s.choose(_state(dataset)))
        theirs = timed(lambda s=signal: _modal(s, by_record), repeats=7)
        _check(signal, mine.choose(_state(dataset)).ids, _modal(signal, by_record), dataset)
        print(f"{mine!r}, the whole choice: outputs opened, pool, signal, ties, reason")
        print(f"  Tilth    {ours!r}, {ours.median / floor:.1f} x the floor")
        print(f"  modAL    {theirs!r}, {theirs.median / floor:.1f} x the floor")
        ratio = theirs.median / ours.median
        faster = "Tilth" if ratio >= 1 else "modAL"
        print(f"  {faster} is {max(ratio, 1 / ratio):.1f} x faster; both chose the same records")


class _Told:
    """What modAL takes for a classifier: its predictions are given, so that only the choice is measured."""

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return rows


def _modal(signal: Signal, by_record: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # modAL 0.4.2 on today's scikit-learn
        import modAL.uncertainty as modal
    strategy: Any = getattr(modal, PEERS[signal.name])
    return strategy(_Told(), by_record, n_instances=WANTED)[0]


def _check(signal: Signal, ours: np.ndarray, theirs: np.ndarray, dataset: Dataset) -> None:
    """Stop where they differ in more than records that are equal to the last digit of float32."""
    value = np.asarray(signal.value(_state(dataset)))
    mine, other = np.sort(value[ours]), np.sort(value[theirs])
    assert len(set(ours.tolist())) == WANTED
    assert np.allclose(mine, other, rtol=0, atol=1e-6), f"{signal!r}: modAL chose other records"


def _state(dataset: Dataset) -> State:
    return State(dataset, Outputs(dataset.path / "outputs" / "m"))


def _make(path: Path, n: int) -> np.ndarray:
    """Write a dataset of n unlabelled records with probabilities; return these by record, as modAL takes them."""
    chance = np.random.default_rng(SEED)
    logits = chance.standard_normal((n, CLASSES), dtype=np.float32) * 2
    by_record = np.exp(logits - logits.max(axis=1, keepdims=True))
    by_record /= by_record.sum(axis=1, keepdims=True)
    labels = [f"class{i}" for i in range(CLASSES)]
    table = pa.table({"x": chance.random(n), "label": pa.nulls(n, pa.string()), "split": pa.repeat("train", n)})
    Dataset.create(path, table, label="label", split="split", classes=labels, durability="process")
    outputs = Outputs.create(path / "outputs" / "m", np.arange(n), {})
    outputs.add("probabilities", by_record.T)
    return by_record


def _memory_of_one_choice(path: Path) -> None:
    dataset = Dataset.open(path).at(-1)
    idle = resident()
    unlabeled.top(WANTED, by=margin()).choose(_state(dataset))
    print(f"peak {(peak_memory() - idle) / 1e6:.0f} MB above idle ({idle / 1e6:.0f} MB with everything imported)")


if __name__ == "__main__":
    main()
