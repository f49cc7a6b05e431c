"""Label quality: the seven filters of confident learning beside cleanlab's, on the same probabilities."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.machine import Times, bandwidth, timed
from bench.signals.table import Row
from tilth.signals.confident import FILTERS, label_issues

__all__ = ["problem", "rows"]

SEED = 0
SIZES = ((1_000_000, 10, 10), (100_000, 100, 3))
"""Records, classes, and how many times faster it is to be."""


def problem(
    n: int, k: int, *, seed: int = SEED, noise: float = 0.2, empty: int = 0, ties: bool = False, dtype: Any = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """Return (probabilities [n, k], labels [n]) of a model that is right more often than not.

    Labels are wrong at the rate `noise`, half of them by a fixed other class; the last `empty` classes have no labels;
    `ties=True` rounds to tenths.
    """
    rng = np.random.default_rng(seed)
    used = k - empty
    true = rng.integers(0, used, n)
    p = rng.standard_normal((n, k))
    p[np.arange(n), true] += rng.uniform(0, 2 + np.log(k), n)
    np.exp(p, out=p)
    p /= p.sum(axis=1, keepdims=True)
    wrong, fixed = rng.random(n) < noise, rng.random(n) < 0.5
    other = np.where(fixed, (true + 1) % used, rng.integers(0, used, n))
    return (np.round(p, 1) if ties else p).astype(dtype), np.where(wrong, other, true)


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure every filter at both sizes, then the rankings and Datalab."""
    for size, k, reach in SIZES:
        p, labels = problem(size // 10 if quick else size, k)
        by_class = np.ascontiguousarray(p.T)
        floor = by_class.nbytes / bandwidth(by_class)
        for name in FILTERS:
            yield _filter(name, p, by_class, labels, floor, reach)


def _filter(name: str, p: np.ndarray, by_class: np.ndarray, labels: np.ndarray, floor: float, reach: float) -> Row:
    work = f"{name}, {_size(len(p))} x {p.shape[1]}"
    ours, found = _once(lambda: label_issues(by_class, labels, filter=name), repeats=5)
    if not find_spec("cleanlab"):
        return Row(work, ours, "cleanlab", floor=floor)
    from cleanlab.filter import find_label_issues

    theirs, expected = _once(lambda: find_label_issues(labels, p, filter_by=name, n_jobs=1), repeats=3)
    return Row(
        work, ours, "cleanlab", theirs, floor, reach, bool((found == expected).all()), f"{found.sum():,} flagged"
    )


def _once(call: Callable[[], Any], *, repeats: int) -> tuple[Times, Any]:
    found: list[Any] = []
    times = timed(lambda: found.append(call()), repeats=repeats, warm=1)
    return times, found[-1]


def _size(n: int) -> str:
    return f"{n // 1_000_000}M" if n >= 1_000_000 else f"{n // 1_000}k"
