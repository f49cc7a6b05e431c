"""Active learning on Fashion-MNIST: how many labels to 80 % test accuracy, chosen by margin or at random?

python examples/fashion.py --data DATA    (60,000 images)
"""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from common import arguments, compare, keyed, parquet
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth import Dataset, Oracle, Rule, Run, Workflow, accuracy, annotate, labels_spent, margin, run, unlabeled
from tilth.integrations.sklearn import SklearnModel
from tilth.selectors import Selector

GOAL = 0.80
START, BATCH, MOST = 100, 100, 10_000
NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def images(data: Path) -> pa.Table:
    """Return the records with 64 principal components of the pixels, computed over all images, without labels."""
    parts = [parquet(data, "fashion_mnist", split) for split in ("train", "test")]
    pixels = np.stack([np.frombuffer(image, np.uint8) for part in parts for image in part["image"]])
    pixels = pixels.astype(np.float32) / 255
    n = len(parts[0]["label"])
    x = PCA(64, svd_solver="randomized", random_state=0).fit(pixels[:n]).transform(pixels).astype(np.float32)
    columns = {
        "x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 64),
        "truth": pa.array([NAMES[k] for part in parts for k in part["label"]]),
    }
    return keyed(columns, n, valid=0.05)


def arm(select: Selector, dataset: Dataset, seed: int) -> Run:
    """Ask for what a selector chooses, round by round, until the goal is passed on valid."""
    return run(
        Workflow(
            dataset=dataset,
            model=SklearnModel(make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))),
            rules={"ask": Rule(select=select, do=annotate(by=Oracle("truth")))},
            until=(accuracy() >= GOAL + 0.01) | (labels_spent() >= MOST),
            seed=seed,
        ),
        inline=True,
    )


if __name__ == "__main__":
    options = arguments(__doc__, "fashion_mnist")
    print(
        f"Fashion-MNIST, 60,000 images in train and valid, 10,000 in test; {START} labels to start with, {BATCH} more "
        "a round"
    )
    arms = {
        "margin": partial(arm, unlabeled.top(BATCH, by=margin())),
        "random": partial(arm, unlabeled.sample(BATCH)),
    }
    compare(arms, images(options.data), NAMES, start=START, seeds=options.seeds, accuracy=GOAL)
