"""The demo's data: real handwritten digits, most without a label, and of those with one a good part wrong."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_digits

from tilth.dataset import Dataset
from tilth.dataset.splits import assign_splits, key_hashes, uniform

__all__ = ["NOISE", "SHARE", "digits"]

NOISE = 0.3
"""Share of the training labels that are wrong."""
SHARE = 0.5
"""Share of the training records that have a label at all."""
SPLITS = {"train": 0.6, "valid": 0.15, "test": 0.25}


def digits(path: Path, *, seed: int, noise: float = NOISE, share: float = SHARE, systematic: bool = True) -> Dataset:
    """Make a dataset of scikit-learn's 1,797 digits (8x8 pixels; UCI, Alpaydin and Kaynak 1998) at `path`.

    Training labels are wrong at rate `noise`, systematically: a wrong label is always the next class (3 is called 4),
    as when a guideline was misread; with `systematic=False` any other class, each as likely. Of the training records
    only a share has a label; valid and test are labelled and clean. The truth stands in the hidden column `truth`, for
    the oracle only.
    """
    bunch = load_digits(return_X_y=True)
    x, truth = np.asarray(bunch[0], np.float32), np.asarray(bunch[1], np.int64)
    keys = np.array([f"digit-{i:04d}" for i in range(len(x))])
    hashes = key_hashes(pa.array(keys))
    split = assign_splits(hashes, fractions=SPLITS, seed=seed, strata=truth)
    wrong = (uniform(hashes, "demo noise", seed) < noise) & (split == 0)
    step = 1 if systematic else 1 + (9 * uniform(hashes, "demo classes", seed)).astype(np.int64)
    label = np.where(wrong, (truth + step) % 10, truth).astype(str).astype(object)
    label[(uniform(hashes, "demo share", seed) >= share) & (split == 0)] = None
    names = np.array(["train", "valid", "test"])
    table = pa.table(
        {
            "key": keys,
            "pixels": pa.FixedSizeListArray.from_arrays(pa.array((x / 16).ravel()), x.shape[1]),
            "truth": truth.astype(str),
            "label": pa.array(label.tolist(), pa.string()),
            "split": names[split],
        }
    )
    classes = [str(d) for d in range(10)]
    return Dataset.create(
        path, table, key="key", label="label", classes=classes, split="split", hidden=["truth"], durability="power"
    )
