"""CIFAR-10N, 40 % wrong labels by real people: clean them by a probe, and compare with training on them as they are.

python examples/cleaning.py --data DATA [--rows 20000] [--seeds 1]
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth import Dataset, Gate, rounds, run
from tilth.integrations.media import ImageFeatures
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import cleaning

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
WIDTH = 128
VALID, TEST = 1_000, 5_000


def features(data: Path, rows: int) -> pa.Table:
    """Return image features (edges and colours, their principal components), the people's labels and the truth.

    The validation images have clean labels: a gate that judges by wrong ones could not see what helps.
    """
    parts = [
        pq.read_table(data / "cifar10n" / f"{s}.parquet").slice(0, n) for s, n in (("train", rows), ("test", TEST))
    ]
    x = ImageFeatures().transform(np.array([*parts[0]["jpg"].to_pylist(), *parts[1]["jpg"].to_pylist()], object))
    scaled = StandardScaler().fit(x[:rows]).transform(x)
    found = PCA(WIDTH, svd_solver="randomized", random_state=0).fit(scaled[:rows]).transform(scaled)
    truth = np.array([*parts[0]["clean_label"].to_pylist(), *parts[1]["label"].to_pylist()])
    given = np.array([*parts[0]["worse_label"].to_pylist(), *parts[1]["label"].to_pylist()])
    split = np.array(["valid" if i < VALID else "train" if i < rows else "test" for i in range(len(truth))])
    label = np.where(split == "train", given, truth)
    return pa.table(
        {
            "key": [f"image-{i:05d}" for i in range(len(truth))],
            "x": pa.FixedSizeListArray.from_arrays(pa.array(found.astype(np.float32).ravel()), WIDTH),
            "truth": [NAMES[k] for k in truth],
            "label": [NAMES[k] for k in label],
            "split": split,
        }
    )


def wrong(dataset: Dataset) -> float:
    """Return the share of training labels that are not the truth."""
    ids = np.flatnonzero(dataset.view.train & dataset.view.labeled)
    truth = np.array([NAMES.index(name) for name in dataset.features(ids, ["truth"])["truth"].to_pylist()])
    return float((dataset.view.label[ids] != truth).mean())


def main() -> None:
    """Clean, and print what became of labels and accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds cifar10n/train.parquet")
    parser.add_argument("--rows", type=int, default=20_000, help="training images to use, of 50,000")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    if not (options.data / "cifar10n" / "train.parquet").exists():
        print(f"skipped: no cifar10n/train.parquet in {options.data}; give the folder with the datasets by --data")
        sys.exit(0)
    rows = features(options.data, options.rows)
    model = SklearnModel(make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)), features="x")
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory(prefix="tilth-example-") as folder:
            dataset = Dataset.create(
                Path(folder) / "cifar",
                rows,
                key="key",
                label="label",
                split="split",
                hidden=["truth"],
                classes=NAMES,
                durability="process",
            )
            print(f"seed {seed}: {dataset!r}, {wrong(dataset):.1%} of the training labels wrong", flush=True)
            flow = cleaning(dataset, model, batch=0.15, gate=Gate(by=0.0), until=rounds() >= 4, seed=seed)
            done = run(flow, inline=True)
            for r in done.rounds:
                did = r.rules.get("fix", {})
                print(f"  round {r.round}: test accuracy {r.test['accuracy()']:.4f}; {did.get('n', 0)} labels changed")
            first, last = done.rounds[0].test["accuracy()"], done.rounds[-1].test["accuracy()"]
            print(
                f"  {first:.4f} -> {last:.4f} ({100 * (last - first):+.1f} points); "
                f"{wrong(dataset):.1%} of the labels wrong at the end"
            )


if __name__ == "__main__":
    main()
