"""Data with wrong labels, and edits whose true worth is known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

__all__ = ["KINDS", "LARGEST", "Edit", "Floats", "World", "adult", "digits", "model", "planted"]

KINDS = ("harmful", "null", "helpful")
LARGEST = 8000
"""Records of the valid split at its largest."""
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """Training records with wrong labels, and large valid and test splits with right ones."""

    name: str
    x: Floats
    truth: Codes
    given: Codes
    valid: tuple[Floats, Codes]
    test: tuple[Floats, Codes]

    def score(self, x: Floats, y: Codes, weight: Floats) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which valid and which test records the model trained on these is right about."""
        fitted = model().fit(x, y, weight)
        return fitted.predict(self.valid[0]) == self.valid[1], fitted.predict(self.test[0]) == self.test[1]


@dataclass(frozen=True)
class Edit:
    """An edit, what it changes in being right on each valid record (-1, 0, 1), and what it is worth on test."""

    kind: str
    change: npt.NDArray[np.int8]
    worth: float


def model() -> Any:
    """Return the model that all train: cheap, and the same for the same data."""
    return LogisticRegression(C=0.1, max_iter=300)


def _redrawn(n: int, chance: np.random.Generator) -> tuple[Floats, Codes]:
    """Return n digits: one of the 1,797 at random, moved by up to 0.6 pixels, with noise."""
    x, y = load_digits(return_X_y=True)
    pick = chance.integers(0, len(x), n)
    images = np.pad(x[pick].reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    for axis in (1, 2):
        by = chance.uniform(-0.6, 0.6, n)[:, None, None]
        images = (1 - abs(by)) * images + abs(by) * np.where(
            by > 0, np.roll(images, 1, axis), np.roll(images, -1, axis)
        )
    images = images[:, 1:9, 1:9] + chance.normal(0, 1.5, (n, 8, 8))
    return (images.reshape(n, 64) / 16).astype(np.float32).astype(float), y[pick].astype(np.int64)


def digits(seed: int, *, train: int = 800, valid: int = LARGEST, test: int = 30_000) -> World:
    """Return digits of which 30 % of the training labels are the next class."""
    chance = np.random.default_rng([seed, 1])
    (x, y), held, tested = (_redrawn(n, chance) for n in (train, valid, test))
    return World("digits, redrawn", x, y, _wrong(y, 0.3, 10, chance), held, tested)


def adult(folder: Path, seed: int, *, train: int = 1500, valid: int = LARGEST) -> World:
    """Return adult, of whose training labels 30 % of those above 50K and 10 % of the others are wrong."""
    frame = pq.read_table(folder / "adult" / "adult.parquet").to_pandas().drop(columns=["income", "split", "fnlwgt"])
    y = frame.pop("label").to_numpy().astype(np.int64)
    texts = [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
    coded = make_column_transformer(
        (OneHotEncoder(min_frequency=50, handle_unknown="infrequent_if_exist", sparse_output=False), texts),
        remainder=StandardScaler(),
    )
    x = np.asarray(coded.fit_transform(frame.fillna(dict.fromkeys(texts, "missing"))))
    order = np.random.default_rng([seed, 2]).permutation(len(y))
    a, b, c = np.split(order, [train, train + valid])
    chance = np.random.default_rng([seed, 3])
    flip = chance.random(train) < np.where(y[a] == 1, 0.3, 0.1)
    return World("adult", x[a], y[a], np.where(flip, 1 - y[a], y[a]), (x[b], y[b]), (x[c], y[c]))


def _wrong(y: Codes, share: float, classes: int, chance: np.random.Generator) -> Codes:
    """Return labels of which a share is the next class."""
    return np.where(chance.random(len(y)) < share, (y + 1) % classes, y)


def planted(world: World, each: int, seed: int) -> list[Edit]:
    """Make the edits and train with each of them."""
    chance = np.random.default_rng([seed, 4])
    n, classes, largest = len(world.given), int(world.truth.max()) + 1, len(world.given) // 12
    off = world.given != world.truth
    ones = np.ones(n)
    base = world.score(world.x, world.given, ones)
    out: list[Edit] = []
    for kind in KINDS:
        for i in range(each):
            y, weight = world.given.copy(), ones.copy()
            if kind == "null":
                weight[chance.choice(n, int(chance.integers(n // 200, n // 50 + 1)), replace=False)] = 2 * (i % 2)
            else:
                some = np.flatnonzero(off if kind == "helpful" else ~off)
                some = chance.choice(some, int(chance.integers(3, largest)), replace=False)
                y[some] = world.truth[some] if kind == "helpful" else (y[some] + 1) % classes
            kept = weight > 0
            valid, test = world.score(world.x[kept], y[kept], weight[kept])
            change = valid.astype(np.int8) - base[0].astype(np.int8)
            out.append(Edit(kind, change, float(test.mean() - base[1].mean())))
    return out
