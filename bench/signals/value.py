"""KNN-Shapley beside pyDVL."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from bench.machine import Times, timed
from bench.signals.table import Row
from tilth.signals.valuing import shapley_values

__all__ = ["rows"]

WIDTH, K = 64, 5
PATIENCE = 240.0
"""Seconds that a peer may take; beyond, it is given fewer reference rows and its time is scaled."""


def rows(*, quick: bool) -> Iterator[Row]:
    """KNN-Shapley of 50,000 rows for 2,000 reference rows, 64 numbers each."""
    n, m = (5_000, 200) if quick else (50_000, 2_000)
    chance = np.random.default_rng(0)
    centre = chance.normal(size=(10, WIDTH))
    label, asked = chance.integers(0, 10, n), chance.integers(0, 10, m)
    table = (centre[label] + 2 * chance.normal(size=(n, WIDTH))).astype(np.float32)
    reference = (centre[asked] + 2 * chance.normal(size=(m, WIDTH))).astype(np.float32)

    ours = timed(lambda: shapley_values(table, label, reference, asked, K), repeats=3)
    found = shapley_values(table, label, reference[:5], asked[:5], K)
    apart = float(np.abs(found - _theorem(table, label, reference[:5], asked[:5])).max())
    judged = f"{apart:.0e} from the theorem in a loop"
    work = f"KNN-Shapley, {n:,} rows, {m:,} reference rows"
    if find_spec("pydvl") is None:
        yield Row(work, ours, "pyDVL: not installed", reach=0, same=apart < 1e-6, judged=judged)
        return
    few = min(m, 20)
    first = timed(lambda: _pydvl(table, label, reference[:few], asked[:few]), repeats=1, warm=1)
    expected = first.median * m / few
    if expected > PATIENCE:
        theirs, told = Times((expected,)), f"; its time scaled from {few} reference rows"
    else:
        theirs, told = timed(lambda: _pydvl(table, label, reference, asked), repeats=1, warm=0), ""
    off = float(
        np.abs(
            _pydvl(table, label, reference[:few], asked[:few])
            - shapley_values(table, label, reference[:few], asked[:few], K)
        ).max()
    )
    peer = f"pyDVL {version('pydvl')}"
    # 0.9 takes the wrong rank for a row's share and the mean so far for the value at this reference row
    wrong = version("pydvl").startswith("0.9.")
    judged += f", {off:.0e} from pyDVL{' (whose recursion is wrong before 0.10)' if wrong else ''}{told}"
    yield Row(work, ours, peer, theirs, reach=100, same=apart < 1e-6 and (wrong or off < 1e-6), judged=judged)


def _theorem(table: np.ndarray, label: np.ndarray, reference: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return the recursion of Jia et al. 2019, Theorem 1, one row after the other."""
    n, total = len(table), np.zeros(len(table))
    for one, right in zip(reference.astype(np.float64), asked, strict=True):
        order = np.argsort(((table - one) ** 2).sum(axis=1), kind="stable").tolist()
        match = (label[order] == right).tolist()
        value = match[-1] * min(K, n) / (K * n)
        total[order[-1]] += value
        for i in range(n - 1, 0, -1):
            value += (match[i - 1] - match[i]) / K * min(K, i) / i
            total[order[i - 1]] += value
    return total / len(reference)


def _pydvl(table: np.ndarray, label: np.ndarray, reference: np.ndarray, asked: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(K)
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        if version("pydvl").startswith("0.9."):
            vars(np)["float_"] = np.float64  # it was written for numpy 1
            from pydvl.utils import Dataset, Utility
            from pydvl.value.shapley.knn import knn_shapley

            whole = Utility(model, Dataset(table, label, reference, asked))
            return np.asarray(knn_shapley(whole, progress=False).values)
        from pydvl.valuation import Dataset, KNNShapleyValuation

        valued = KNNShapleyValuation(model, Dataset(reference, asked), progress=False).fit(Dataset(table, label))
        return np.asarray(valued.result.values)
