"""Active learning on Fashion-MNIST: how many labels to 80 % test accuracy, chosen by margin or at random?

python examples/fashion.py --data DATA    (60,000 images)
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from common import arguments, compare, parquet
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth import Dataset, Oracle, Rule, Run, Workflow, accuracy, annotate, labels_spent, margin, run, unlabeled
from tilth.dataset.splits import key_hashes, uniform
from tilth.integrations.sklearn import SklearnModel

GOAL = 0.80
START, BATCH, MOST = 100, 100, 10_000
NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]

options = None
_features: tuple[pa.Table, np.ndarray] | None = None


def table(data: object) -> tuple[pa.Table, np.ndarray]:
    """Return the records with 64 principal components of the pixels, computed once over all images, without labels."""
    global _features
    if _features is None:
        parts = [parquet(data, "fashion_mnist", split) for split in ("train", "test")]
        pixels = np.stack([np.frombuffer(image, np.uint8) for part in parts for image in part["image"]]).astype(np.float32) / 255
        labels = np.array([label for part in parts for label in part["label"]])
        n_train = len(parts[0]["label"])
        x = PCA(64, svd_solver="randomized", random_state=0).fit(pixels[:n_train]).transform(pixels).astype(np.float32)
        keys = [f"train-{i:05d}" for i in range(n_train)] + [f"test-{i:05d}" for i in range(len(x) - n_train)]
        hashes = key_hashes(pa.array(keys))
        split = np.where(np.arange(len(x)) >= n_train, "test", np.where(uniform(hashes, "valid") < 0.05, "valid", "train"))
        columns = {
            "key": pa.array(keys),
            "x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 64),
            "truth": pa.array([NAMES[k] for k in labels]),
            "split": pa.array(split),
        }
        _features = pa.table(columns), hashes
    return _features


def make(path: Path, seed: int) -> Dataset:
    """Make the dataset: the same random records labelled at the start for every arm, all others in the pool."""
    rows, hashes = table(options)
    split, truth = np.array(rows["split"].to_pylist()), np.array(rows["truth"].to_pylist(), object)
    order = np.argsort(uniform(hashes, "start", seed))
    label = truth.copy()
    label[split == "train"] = None
    first = order[split[order] == "train"][:START]
    label[first] = truth[first]
    rows = rows.append_column("label", pa.array(label.tolist(), pa.string()))
    return Dataset.create(path, rows, key="key", label="label", classes=NAMES, split="split", hidden=["truth"], durability="process")


def arm(select: object) -> object:
    """Return the arm that asks for what a selector chooses."""

    def go(dataset: Dataset, seed: int) -> Run:
        model = SklearnModel(make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)))
        rules = {"ask": Rule(select=select, do=annotate(by=Oracle("truth")))}
        until = (accuracy() >= GOAL + 0.01) | (labels_spent() >= MOST)
        return run(Workflow(dataset=dataset, model=model, rules=rules, until=until, seed=seed), inline=True)

    return go


if __name__ == "__main__":
    options = arguments(__doc__, "fashion_mnist")
    print(f"Fashion-MNIST, 60,000 images in train and valid, 10,000 in test; {START} labels to start with, {BATCH} more a round")
    arms = {"margin": arm(unlabeled.top(BATCH, by=margin())), "random": arm(unlabeled.sample(BATCH))}
    compare(arms, make, seeds=options.seeds, accuracy=GOAL)
