"""What the examples share: where the data is, learning curves over seeds, and labels saved at equal accuracy."""

import argparse
import itertools
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import t as student
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from tilth import Dataset
from tilth.dataset.splits import key_hashes, uniform
from tilth.integrations.media import ImageFeatures
from tilth.runs import Run

Curve = list[tuple[int, float]]
"""(labels paid for, test accuracy) after each round."""


def arguments(description: str, dataset: str, *, seeds: int = 5) -> argparse.Namespace:
    """Read --data and --seeds; leave with exit code 0, saying so, where the data is absent."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {dataset}/train.parquet")
    parser.add_argument("--seeds", type=int, default=seeds)
    options = parser.parse_args()
    if not (options.data / dataset / "train.parquet").exists():
        print(f"skipped: no {dataset}/train.parquet in {options.data}; give the folder with the datasets by --data")
        sys.exit(0)
    return options


def parquet(data: Path, dataset: str, split: str) -> dict[str, list[Any]]:
    """Return a Parquet file's columns as lists."""
    return pq.read_table(data / dataset / f"{split}.parquet").to_pydict()


def keyed(columns: dict[str, pa.Array], n_train: int, *, valid: float) -> pa.Table:
    """Return records with keys and splits: test behind the first `n_train`, of which a share is for validation."""
    n = len(columns["truth"])
    keys = [f"train-{i:05d}" if i < n_train else f"test-{i - n_train:05d}" for i in range(n)]
    kept = uniform(key_hashes(pa.array(keys)), "valid") < valid
    split = np.where(np.arange(n) >= n_train, "test", np.where(kept, "valid", "train"))
    return pa.table({"key": keys, **columns, "split": split})


PEOPLE = ("random_label1", "random_label2", "random_label3")
"""The columns of CIFAR-10N in which three people each gave a label for every image."""
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar(data: Path, rows: int, *, valid: int = 1_000, test: int = 5_000, width: int = 128, seed: int = 0) -> pa.Table:
    """Return CIFAR-10N as principal components of edges and colours, with the truth and what people said.

    So many images, drawn by seed, of which the first `valid` are for validation. Columns: key, x, truth, split, and
    `worse_label`, `random_label1` to `3` (on test the truth).
    """
    parts = [pq.read_table(data / "cifar10n" / f"{s}.parquet") for s in ("train", "test")]
    drawn = np.random.default_rng(seed).permutation(parts[0].num_rows)[:rows]
    parts = [parts[0].take(pa.array(drawn)), parts[1].slice(0, test)]
    x = ImageFeatures().transform(np.array([*parts[0]["jpg"].to_pylist(), *parts[1]["jpg"].to_pylist()], object))
    scaled = StandardScaler().fit(x[:rows]).transform(x)
    found = PCA(width, svd_solver="randomized", random_state=0).fit(scaled[:rows]).transform(scaled)
    after = parts[1]["label"].to_pylist()
    said = {
        name: [CIFAR[k] for k in [*parts[0][column].to_pylist(), *after]]
        for name, column in (("truth", "clean_label"), *((c, c) for c in ("worse_label", *PEOPLE)))
    }
    n = len(said["truth"])
    columns = {
        "key": [*(f"image-{i:05d}" for i in drawn), *(f"test-{i:05d}" for i in range(n - rows))],
        "x": pa.FixedSizeListArray.from_arrays(pa.array(found.astype(np.float32).ravel()), width),
        "split": ["valid" if i < valid else "train" if i < rows else "test" for i in range(n)],
    }
    return pa.table({**columns, **said})


def created(rows: pa.Table, path: Path, classes: Sequence[str], *, hidden: Sequence[str] = ("truth",)) -> Dataset:
    """Make a dataset of records with the columns key, label and split, and others that no model may see."""
    roles = {"key": "key", "label": "label", "split": "split", "hidden": list(hidden)}
    return Dataset.create(path, rows, classes=classes, durability="process", **roles)


def started(rows: pa.Table, path: Path, classes: Sequence[str], *, start: int, seed: int) -> Dataset:
    """Make the dataset: the same random records labelled at the start for every arm, all others in the pool."""
    split, truth = np.array(rows["split"].to_pylist()), np.array(rows["truth"].to_pylist(), object)
    order = np.argsort(uniform(key_hashes(rows["key"]), "start", seed))
    label = np.where(split == "train", None, truth)
    first = order[split[order] == "train"][:start]
    label[first] = truth[first]
    rows = rows.append_column("label", pa.array(label.tolist(), pa.string()))
    return created(rows, path, classes)


def curve(run: Run) -> Curve:
    """Return the learning curve of a run."""
    return [(r.labels_spent, next(iter(r.test.values()))) for r in run.rounds]


def labels_to(points: Curve, accuracy: float) -> float:
    """Return how many labels it took to reach an accuracy, interpolated between rounds; nan where it did not."""
    for (n0, a0), (n1, a1) in itertools.pairwise(points):
        if a1 >= accuracy > a0:
            return n0 + (n1 - n0) * (accuracy - a0) / (a1 - a0)
    return float(points[0][0]) if points[0][1] >= accuracy else float("nan")


def compare(
    arms: dict[str, Callable[[Dataset, int], Run]],
    rows: pa.Table,
    classes: Sequence[str],
    *,
    start: int,
    seeds: int,
    accuracy: float,
) -> None:
    """Run each arm from the same start for each seed; print the labels that each paid for, and the paired saving."""
    needed: dict[str, list[float]] = {name: [] for name in arms}
    folder = Path(tempfile.mkdtemp(prefix="tilth-example-"))
    try:
        for seed in range(seeds):
            for name, arm in arms.items():
                path = folder / f"{name}-{seed}"
                points = curve(arm(started(rows, path, classes, start=start, seed=seed), seed))
                needed[name].append(labels_to(points, accuracy))
                last = f"ended at {points[-1][0]} labels, {points[-1][1]:.3f}"
                count = f"{needed[name][-1]:6.0f} labels to {accuracy:.0%} test accuracy"
                print(f"  seed {seed}  {name:8} {count} ({last})", flush=True)
                shutil.rmtree(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    first, *others = needed
    print(f"labels paid for beyond the first {start}, mean and 95 % interval over {seeds} seeds:")
    for name, counts in needed.items():
        print(f"  {name:8} {_mean(counts)}")
    for other in others:
        saved = [b - a for a, b in zip(needed[first], needed[other], strict=True)]
        share = 100 * np.mean(saved) / np.mean(needed[other])
        print(f"{first} saves {_mean(saved)} labels against {other}, {share:.0f} %")


def _mean(values: Sequence[float]) -> str:
    missing = int(np.isnan(values).sum())
    if missing:
        return f"(not reached in {missing} of {len(values)} seeds)"
    if len(values) == 1:
        return f"{values[0]:.0f}"
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.0f} ± {half:.0f}"
