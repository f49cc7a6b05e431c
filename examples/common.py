"""What the examples share: where the data is, learning curves over seeds, and labels saved at equal accuracy."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import t as student

from tilth import Dataset
from tilth.runs import Run

Curve = list[tuple[int, float]]
"""(labels paid for, test accuracy) after each round."""


def arguments(description: str, dataset: str, *, seeds: int = 5) -> argparse.Namespace:
    """Read --data and --seeds; leave with exit code 0, saying so, where the data is absent."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {dataset}/train.parquet and test.parquet")
    parser.add_argument("--seeds", type=int, default=seeds)
    options = parser.parse_args()
    if not (options.data / dataset / "train.parquet").exists():
        print(f"skipped: no {dataset}/train.parquet in {options.data}; give the folder with the datasets by --data")
        sys.exit(0)
    return options


def parquet(options: argparse.Namespace, dataset: str, split: str) -> dict[str, list[object]]:
    """Return a Parquet file's columns as lists."""
    return pq.read_table(options.data / dataset / f"{split}.parquet").to_pydict()


def curve(run: Run) -> Curve:
    """Return the learning curve of a run."""
    return [(r.labels_spent, next(iter(r.test.values()))) for r in run.rounds]


def labels_to(points: Curve, accuracy: float) -> float:
    """Return how many labels it took to reach an accuracy, interpolated between rounds; nan where it did not."""
    for (n0, a0), (n1, a1) in zip(points, points[1:], strict=False):
        if a1 >= accuracy > a0:
            return n0 + (n1 - n0) * (accuracy - a0) / (a1 - a0)
    return float(points[0][0]) if points[0][1] >= accuracy else float("nan")


def compare(arms: dict[str, Callable[[Dataset, int], Run]], make: Callable[[Path, int], Dataset], *, seeds: int, accuracy: float) -> None:
    """Run each arm on the same start for each seed and print the labels that each needed, with the paired saving."""
    needed: dict[str, list[float]] = {name: [] for name in arms}
    folder = Path(tempfile.mkdtemp(prefix="tilth-example-"))
    try:
        for seed in range(seeds):
            for name, arm in arms.items():
                path = folder / f"{name}-{seed}"
                run = arm(make(path, seed), seed)
                needed[name].append(labels_to(curve(run), accuracy))
                last = curve(run)[-1]
                print(f"  seed {seed}  {name:8} {needed[name][-1]:7.0f} labels to {accuracy:.0%} test accuracy (ended at {last[0]} labels, {last[1]:.3f})", flush=True)
                shutil.rmtree(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    first, *others = needed
    for name, counts in needed.items():
        print(f"{name:10} {_mean(counts)} labels")
    for other in others:
        saved = [b - a for a, b in zip(needed[first], needed[other], strict=True)]
        print(f"{first} saves {_mean(saved)} labels against {other}: {100 * np.mean(saved) / np.mean(needed[other]):.0f} %")


def _mean(values: Sequence[float]) -> str:
    if np.isnan(values).any():
        return f"not reached in {int(np.isnan(values).sum())} of {len(values)} seeds:"
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.0f} ± {half:.0f}"
