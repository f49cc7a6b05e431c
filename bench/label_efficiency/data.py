"""The data of a seed: which records can be asked about, on which the model is tested, and what it reads."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

__all__ = ["WORD", "Drawn", "banking77", "digits", "digits_junk", "digits_rare", "fashion", "trec"]

WORD = r"(?u)\b\w+\b"
"""Words of one letter count: "I" and "a" tell questions apart."""
WIDE = 1000
"""Words of the raw features of text: the most frequent ones."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """Records in an order: first the pool, then the test records.

    `features` by name: float32[n, d] vectors or texts; `truth`: n class names; `pool`: how many of the first are asked
    about.
    """

    features: dict[str, Any]
    truth: np.ndarray
    pool: int

    @property
    def classes(self) -> list[str]:
        """The classes, sorted."""
        return sorted(set(self.truth.tolist()))

    def table(self, names: tuple[str, ...]) -> pa.Table:
        """Return the records as a table with some of the features and no label in the pool."""
        n = len(self.truth)
        split = ["train"] * self.pool + ["test"] * (n - self.pool)
        columns: dict[str, Any] = {
            "key": [f"{i:05d}" for i in range(n)],
            "split": split,
            "truth": self.truth.tolist(),
            "label": pa.array([None] * self.pool + self.truth[self.pool :].tolist(), pa.string()),
        }
        for name in names:
            told = self.features[name]
            columns[name] = (
                pa.FixedSizeListArray.from_arrays(pa.array(told.ravel()), told.shape[1]) if told.ndim == 2 else told
            )
        return pa.table(columns)


def digits(_: Path, seed: int) -> Drawn:
    """Return scikit-learn's handwritten digits: 1,197 to ask about, 600 to test on."""
    chance = np.random.default_rng(seed)
    found = load_digits()
    order = chance.permutation(len(found.data))
    x, y = (found.data[order] / 16).astype(np.float32), found.target[order].astype(str).astype(object)
    return Drawn({"x": x}, y, len(x) - 600)


def digits_junk(data: Path, seed: int) -> Drawn:
    """Return digits of which a quarter of the pool is unreadable: pixels shuffled, and a label by chance."""
    chance = np.random.default_rng(seed + 1000)
    clean = digits(data, seed)
    x, y = clean.features["x"].copy(), clean.truth.copy()
    bad = chance.choice(clean.pool, clean.pool // 4, replace=False)
    x[bad] = chance.permuted(x[bad], axis=1)
    y[bad] = chance.choice(10, len(bad)).astype(str)
    return Drawn({"x": x}, y, clean.pool)


def digits_rare(data: Path, seed: int) -> Drawn:
    """Return digits of whose pool two classes, 8 and 9, have 12 records each; the test records are as they were."""
    clean = digits(data, seed)
    y = clean.truth
    stays = np.ones(len(y), bool)
    for rare in ("8", "9"):
        stays[np.flatnonzero(y[: clean.pool] == rare)[12:]] = False
    return Drawn({"x": clean.features["x"][stays]}, y[stays], int(stays[: clean.pool].sum()))


def trec(data: Path, seed: int) -> Drawn:
    """Return TREC's questions of 6 classes, one of them rare: 4,952 to ask about, 1,000 to test on."""
    return _texts(data / "trec", "coarse", 1000, seed)


def banking77(data: Path, seed: int) -> Drawn:
    """Return questions to a bank of 77 classes: 10,000 to ask about, 3,083 to test on."""
    return _texts(data / "banking77", "label_name", 3083, seed)


def fashion(data: Path, seed: int) -> Drawn:
    """Return Fashion-MNIST: 6,000 of its training images to ask about, 5,000 of its test images to test on."""
    chance = np.random.default_rng(seed)
    (train, y), (test, z) = (_images(data / "fashion_mnist" / f"{s}.parquet") for s in ("train", "test"))
    some, others = chance.permutation(len(train))[:6000], chance.permutation(len(test))[:5000]
    x = np.concatenate([train[some], test[others]]).astype(np.float32) / 255
    parts = PCA(64, svd_solver="randomized", random_state=0).fit(x[:6000])
    narrow = np.ascontiguousarray(parts.transform(x), np.float32)
    return Drawn({"x": narrow, "pixels": x}, np.concatenate([y[some], z[others]]), 6000)


@cache
def _images(path: Path) -> tuple[np.ndarray, np.ndarray]:
    table = pq.read_table(path, columns=["image", "label"])
    images = np.stack([np.frombuffer(image, np.uint8) for image in table["image"].to_pylist()])
    return images, np.array([str(label) for label in table["label"].to_pylist()], object)


@cache
def _questions(folder: Path, label: str) -> tuple[np.ndarray, np.ndarray]:
    tables = [pq.read_table(folder / f"{s}.parquet", columns=["text", label]) for s in ("train", "test")]
    whole = pa.concat_tables(tables)
    return np.array(whole["text"].to_pylist(), object), np.array(whole[label].to_pylist(), object)


def _texts(folder: Path, label: str, tested: int, seed: int) -> Drawn:
    texts, y = _questions(folder, label)
    order = np.random.default_rng(seed).permutation(len(texts))
    texts, y = texts[order], y[order]
    pool = len(texts) - tested
    # both encodings know the texts of the pool and no label
    words = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True, min_df=2).fit(texts[:pool])
    reduced = TruncatedSVD(100, random_state=0).fit(words.transform(texts[:pool]))
    lsa = np.ascontiguousarray(normalize(reduced.transform(words.transform(texts))), np.float32)
    few = TfidfVectorizer(token_pattern=WORD, max_features=WIDE).fit(texts[:pool])
    wide = np.ascontiguousarray(few.transform(texts).toarray(), np.float32)
    return Drawn({"text": texts, "lsa": lsa, "words": wide}, y, pool)


Draw = Callable[[Path, int], Drawn]
