"""Find the slices in which a model is wrong: 48,000 records of 14 columns, as many as the adult census has."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.machine import timed
from bench.signals.table import Row
from tilth.dataset import Dataset
from tilth.outputs import Outputs
from tilth.signals import find_slices
from tilth.state import State

__all__ = ["rows"]

NUMBERS, TEXTS, VALUES = 6, 8, 8
PLANTED = "t1 == 'v3' & t5 == 'v7'"


def rows(*, quick: bool) -> Iterable[Row]:
    """Measure; `quick` takes a tenth of the records."""
    n = 4_800 if quick else 48_000
    chance = np.random.default_rng(0)
    numbers = {f"x{i}": chance.normal(size=n).round(3) for i in range(NUMBERS)}
    codes = {f"t{i}": chance.integers(0, VALUES, n) for i in range(TEXTS)}
    truth = chance.integers(0, 2, n)
    wrong = chance.random(n) < np.where((codes["t1"] == 3) & (codes["t5"] == 7), 0.7, 0.15)
    said = np.where(wrong, 1 - truth, truth) == np.arange(2)[:, None]
    texts = {name: np.array([f"v{i}" for i in range(VALUES)])[code] for name, code in codes.items()}
    table = pa.table(numbers | texts | {"label": np.array(["no", "yes"])[truth], "split": pa.repeat("train", n)})
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        path = Path(folder) / "data"
        Dataset.create(path, table, label="label", split="split", durability="process")
        outputs = Outputs.create(path / "outputs" / "m", np.arange(n), {})
        outputs.add("out_of_fold_probabilities", np.where(said, 0.9, 0.1).astype(np.float32))
        dataset = Dataset.open(path).at(-1)
        for depth in (1, 2) if quick else (1, 2, 3):

            def find(depth: int = depth) -> list[str]:
                found = find_slices(State(dataset, outputs), depth=depth)
                return [one.text for one in found]

            same = depth == 1 or all(condition in find()[0] for condition in PLANTED.split(" & "))
            work = f"find_slices(depth={depth}), {n:,} x {NUMBERS + TEXTS} columns"
            judged = "nothing to compare with" if depth == 1 else "the first is the planted slice, or a part of it"
            yield Row(work, timed(find, repeats=1 if depth == 3 else 5), same=same, judged=judged)
