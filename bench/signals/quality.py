"""Label quality: the filters and rankings of confident learning beside cleanlab's, on the same probabilities.

Where `../shared/data/label_errors_dev` holds `20news.parquet` (cleanlab/label-errors), also how many of its errors that
people confirmed are among 93 flags. What people looked at there are the 93 lowest normalised margins of these same
probabilities, so a recall of 1 for that ranking is how the data was made and says nothing of the ranking.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.machine import Times, bandwidth, timed
from bench.signals.table import Row
from tilth.signals.confident import FILTERS, RANKINGS, confident_joint, label_issues, label_scores

__all__ = ["problem", "rows"]

SEED = 0
SIZES = ((1_000_000, 10, 10), (100_000, 100, 3))
"""Records, classes, and how many times faster it is to be."""
NEWS = Path("../shared/data/label_errors_dev/20news.parquet")
FLAGS = 93


def problem(
    n: int, k: int, *, seed: int = SEED, noise: float = 0.2, empty: int = 0, ties: bool = False, dtype: Any = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """Return (probabilities [n, k], labels [n]) of a model that is right more often than not.

    Labels are wrong at the rate `noise`, half of them by a fixed other class; the last `empty` classes have no labels;
    `ties=True` rounds to tenths. Another class than the given one is the most probable for half of the records, which
    is much: what Tilth saves by looking at these only is less than usual.
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
    """Check masks on many problems, then measure every filter at both sizes, the rankings, and Datalab."""
    warnings.simplefilter("ignore")  # the peer's, about classes without labels
    yield _masks(40 if quick else 200)
    for size, k, reach in SIZES:
        for dtype in (np.float64, np.float32):
            p, labels = problem(size // 10 if quick else size, k, dtype=dtype)
            by_class = np.ascontiguousarray(p.T)
            floor = by_class.nbytes / bandwidth(by_class)
            for name in FILTERS:
                yield _filter(name, p, by_class, labels, floor, reach)
        if k == SIZES[0][1]:
            for name in RANKINGS:
                yield _ranking(name, p, by_class, labels, floor)
            yield _datalab(p, by_class, labels)
    if NEWS.exists():
        yield from _news(NEWS)


def _masks(number: int) -> Row:
    """Compare all filters and the joint on small problems: ties, classes without labels, both types, few a class."""
    ours, theirs, same, checked = 0.0, 0.0, True, 0
    rng = np.random.default_rng(SEED)
    for i in range(number):
        k = int(rng.integers(2, 40 if i % 5 == 0 else 8))
        p, labels = problem(
            int(rng.integers(k, 2000)),
            k,
            seed=i,
            noise=rng.uniform(0, 0.8),
            empty=int(k > 2 and i % 3 == 0),
            ties=i % 2 == 0,
            dtype=(np.float32, np.float64)[i % 4 < 2],
        )
        by_class = np.ascontiguousarray(p.T)
        for name in FILTERS:
            took, found = _once(lambda: label_issues(by_class, labels, filter=name), repeats=1, warm=0)  # noqa: B023
            ours += took.median
            if find_spec("cleanlab"):
                from cleanlab.count import compute_confident_joint
                from cleanlab.filter import find_label_issues

                call = lambda: find_label_issues(labels, p, filter_by=name, n_jobs=1)  # noqa: B023, E731
                took, expected = _once(call, repeats=1, warm=0)
                theirs += took.median
                same &= bool((found == expected).all())
                same &= bool((confident_joint(by_class, labels) == compute_confident_joint(labels, p)).all())
                checked += 1
    peer = Times((theirs,)) if checked else None
    return Row(
        f"all filters, {number} small problems, ties",
        Times((ours,)),
        "cleanlab",
        peer,
        same=same,
        judged=f"{checked} masks",
    )


def _filter(name: str, p: np.ndarray, by_class: np.ndarray, labels: np.ndarray, floor: float, reach: float) -> Row:
    work = f"{name}, {_size(p)}"
    ours, found = _once(lambda: label_issues(by_class, labels, filter=name), repeats=5)
    if not find_spec("cleanlab"):
        return Row(work, ours, "cleanlab", floor=floor)
    from cleanlab.filter import find_label_issues

    theirs, expected = _once(lambda: find_label_issues(labels, p, filter_by=name, n_jobs=1), repeats=3)
    same = bool((found == expected).all())
    return Row(work, ours, "cleanlab", theirs, floor, reach, same, f"{found.sum():,} flagged")


def _ranking(name: str, p: np.ndarray, by_class: np.ndarray, labels: np.ndarray, floor: float) -> Row:
    work = f"{name} (ranking), {_size(p)}"
    ours, found = _once(lambda: label_scores(by_class, labels, ranking=name), repeats=5)
    if not find_spec("cleanlab"):
        return Row(work, ours, "cleanlab", floor=floor)
    from cleanlab.rank import get_label_quality_scores

    theirs, expected = _once(lambda: get_label_quality_scores(labels, p, method=name), repeats=3)
    return Row(work, ours, "cleanlab", theirs, floor, 0, bool(np.allclose(found, expected, atol=1e-5)), "within 1e-5")


def _datalab(p: np.ndarray, by_class: np.ndarray, labels: np.ndarray) -> Row:
    work = f"Datalab's label issues, {_size(p)}"

    def tilth() -> np.ndarray:
        label_scores(by_class, labels, ranking="self_confidence")
        return label_issues(by_class, labels)

    ours, found = _once(tilth, repeats=5)
    if not find_spec("cleanlab") or not find_spec("datasets"):
        return Row(work, ours, "Datalab")
    from cleanlab import Datalab

    def datalab() -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):
            lab = Datalab(data={"label": labels}, label_name="label")
            lab.find_issues(pred_probs=p, issue_types={"label": {}})
            return lab.get_issues("label")["is_label_issue"].to_numpy()

    theirs, expected = _once(datalab, repeats=1, warm=0)
    return Row(work, ours, "Datalab", theirs, None, 0, bool((found == expected).all()), f"{found.sum():,} flagged")


def _news(path: Path) -> Iterator[Row]:
    table = pq.read_table(path)
    by_class = np.stack([table[f"p{j}"].to_numpy() for j in range(20)])
    labels, verified = table["given_label"].to_numpy().astype(np.int64), table["verified_error"].to_numpy() == 1
    for name in (*RANKINGS, *FILTERS):
        ranking = name if name in RANKINGS else "normalized_margin"

        def first() -> np.ndarray:
            score = label_scores(by_class, labels, ranking=ranking)  # noqa: B023
            if name in FILTERS:  # noqa: B023
                score = np.where(label_issues(by_class, labels, filter=name), score, 2)  # noqa: B023
            return np.argsort(score, kind="stable")[: min(FLAGS, np.count_nonzero(score <= 1))]

        ours, flags = _once(first, repeats=3)
        judged = f"recall {verified[flags].sum() / verified.sum():.2f} at {len(flags)} flags"
        yield Row(f"20news, {name}", ours, judged=judged)


def _once(call: Callable[[], Any], *, repeats: int, warm: int = 1) -> tuple[Times, Any]:
    found: list[Any] = []
    times = timed(lambda: found.append(call()), repeats=repeats, warm=warm)
    return times, found[-1]


def _size(p: np.ndarray) -> str:
    n = f"{len(p) // 1_000_000}M" if len(p) >= 1_000_000 else f"{len(p) // 1_000}k"
    return f"{n} x {p.shape[1]} {p.dtype}"
