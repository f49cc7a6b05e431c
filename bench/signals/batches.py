"""Batches: k-center greedy at first and with kept distances, BADGE, TypiClust, ProbCover, and what they rest on."""

import importlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.machine import timed
from bench.signals.table import Row, flops
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.selectors import unlabeled
from tilth.selectors.clusters import average_linkage
from tilth.selectors.cover import greedy_cover
from tilth.selectors.gradients import gradient_seeds
from tilth.selectors.kept import FOLDER
from tilth.selectors.typical import typical_first
from tilth.signals.clusters import kmeans
from tilth.state import State

__all__ = ["rows"]

PEER = "scikit-activeml"


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield the rows of this part; `quick`: a tenth of the sizes, at which nothing is to be reached."""
    size = 10 if quick else 1
    first, kept, badge = (0, 0, 0) if quick else (9, 20, 40)
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        yield from _k_center(Path(folder) / "data", 50_000 // size, 5_000 // size, 1_000 // size, (first, kept))
    yield _badge(50_000 // size, 200 // size, badge)
    yield _typical(20_000 // size, 500 // size, 100 // size)
    yield _covering(5_000 // size, 100 // size)
    yield _linkage(3_000 // size, 100 // size)
    yield _kmeans(20_000 // size, 100 // size)


def _peer(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        return None


def _once(call: Any) -> tuple[Any, Any]:
    """Time a peer that takes long, once; return what it said and the time."""
    said: list[Any] = []
    times = timed(lambda: said.append(call()), repeats=1, warm=0)
    return said[0], times


def _k_center(path: Path, pool: int, known: int, k: int, reach: tuple[float, float]) -> Iterator[Row]:
    """Time the whole choice on a dataset: vectors read, distances, choice, reason."""
    d, last, speed = 128, known // 10, flops()
    x = np.random.default_rng(0).standard_normal((pool + known, d), dtype=np.float32)
    label = pa.array(["a"] * (known - last) + [None] * (pool + last))
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), d)
    table = pa.table({"v": vectors, "label": label, "split": pa.repeat("train", len(x))})
    dataset = Dataset.create(path, table, label="label", split="split", classes=["a"], durability="process")
    wanted = unlabeled.diverse(k, by="v")
    wanted.choose(State(dataset.at(-1)))  # the round before, when a tenth of what is labelled was not
    stored, before = path / FOLDER, path.with_name("before")
    if stored.exists():
        stored.rename(before)
    labelled = np.arange(known - last, known)
    dataset.commit(Changes(events(Op.SET, labelled, field=Field.LABEL, num=0)))
    state = State(dataset.at(-1))

    def choose(*, kept: bool) -> np.ndarray:
        shutil.rmtree(stored, ignore_errors=True)
        if kept and before.exists():
            shutil.copytree(before, stored)
        return wanted.choose(state).ids

    at_first, with_kept = (timed(lambda kept=kept: choose(kept=kept), repeats=3) for kept in (False, True))
    ids = choose(kept=False)
    same, theirs = np.array_equal(ids, choose(kept=True)), None
    strategy = _peer("skactiveml.pool", "CoreSet")
    if strategy is not None:
        y = np.where(np.arange(len(x)) < known, 0.0, np.nan)
        found, theirs = _once(lambda: strategy(random_state=0).query(x.astype(np.float64), y, batch_size=k))
        same = same and np.array_equal(ids, found)
    peer = PEER if theirs else ""
    for name, ours, compared, least in (
        ("first", at_first, known + k, reach[0]),
        ("kept", with_kept, last + k, reach[1]),
    ):
        title = f"k-center, {name}: {pool:,} x {d}, {known:,}, {k:,}"
        yield Row(title, ours, peer, theirs, pool * compared * d / speed, least, same, "same ids")


def _badge(n: int, k: int, reach: float) -> Row:
    classes, d, seed = 10, 64, 0
    chance = np.random.default_rng(1)
    h = chance.standard_normal((n, d), dtype=np.float32)
    p = np.exp(2 * chance.standard_normal((n, classes)))
    p = (p / p.sum(axis=1, keepdims=True)).astype(np.float32)
    by_class = np.ascontiguousarray(p.T)
    # how the peer makes its stream of a seed and the size of the pool
    stream = np.random.RandomState(int(np.random.RandomState(seed).randint(1, 2**31)) * (n + 1) % 2**31)
    draws = stream.random_sample(k - 1)
    # the peer takes the lengths of gradients for distances from the start, as if the origin were chosen
    times, theirs, same = timed(lambda: gradient_seeds(by_class, h, draws, origin=True), repeats=5), None, True
    badge, base = _peer("skactiveml.pool", "Badge"), _peer("skactiveml.base", "SkactivemlClassifier")
    if badge is not None:

        class Told(base):
            """A classifier that was told its predictions, so that the choice alone is measured."""

            def fit(self, *_: Any, **__: Any) -> Any:
                return self

            def predict_proba(self, *_: Any, **__: Any) -> np.ndarray:
                return p.astype(np.float64)

        y, wide = np.full(n, np.nan), h.astype(np.float64)
        found, theirs = _once(lambda: badge(random_state=seed).query(wide, y, Told(), fit_clf=False, batch_size=k))
        same = np.array_equal(found, gradient_seeds(by_class, h, draws, origin=True)[0])
    title = f"BADGE: {n:,} x ({classes} x {d}), {k}"
    return Row(title, times, PEER if theirs else "", theirs, reach=reach, same=same, judged="same ids, same stream")


def _clustered(n: int, d: int, groups: int) -> np.ndarray:
    chance = np.random.default_rng(2)
    group = chance.integers(0, groups, n)
    center = 4 * chance.standard_normal((groups, d), dtype=np.float32)
    return center[group] + chance.standard_normal((n, d), dtype=np.float32)


def _typical(n: int, groups: int, k: int) -> Row:
    x = _clustered(n, 64, max(groups // 4, 2))
    cluster, _ = kmeans(x, np.random.default_rng(3).random((groups, 8)))
    known = np.zeros(n, bool)  # the first of each of so many clusters as are not wanted
    known[np.unique(cluster, return_index=True)[1][: groups - k]] = True
    order = np.concatenate([np.flatnonzero(~known), np.flatnonzero(known)])

    def ours() -> np.ndarray:
        at, _ = typical_first(x[order], cluster[order], known[order], int((~known).sum()), neighbours=20)
        return order[at[:k]]

    times, theirs, same = timed(ours, repeats=5), None, True
    strategy = _peer("skactiveml.pool", "TypiClust")
    if strategy is not None:

        class Told:
            """Gives the clusters that both are to start from."""

            def __init__(self, n_clusters: int = 8) -> None:
                self.n_clusters = n_clusters

            def fit_predict(self, _: np.ndarray) -> np.ndarray:
                return cluster

        y, asked = np.where(known, 0.0, np.nan), strategy(cluster_algo=Told, k=20, random_state=0)
        found, theirs = _once(lambda: asked.query(x.astype(np.float64), y, batch_size=k))
        same = set(found.tolist()) == set(ours().tolist())
    title = f"TypiClust, clusters given: {n:,} x 64, {k}"
    return Row(title, times, PEER if theirs else "", theirs, same=same, judged="same set")


def _covering(n: int, k: int) -> Row:
    x, radius = _clustered(n, 64, 50), 10.5
    times, theirs = timed(lambda: greedy_cover(x, x[:0], k, radius), repeats=3), None
    at, covered = greedy_cover(x, x[:0], k, radius)
    wide = x.astype(np.float64)
    square = (wide**2).sum(axis=1)
    edges = square[:, None] + square - 2 * wide @ wide.T <= radius**2
    free, same = np.ones(n, bool), True
    for one, number in zip(at, covered, strict=True):  # each chosen one must be the best that there was
        same &= number == (edges & free).sum(axis=1).max()
        free &= ~edges[one]
    strategy, said = _peer("skactiveml.pool", "ProbCover"), "each the best left"
    if strategy is not None:
        asked = strategy(deltas=[radius], random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that a radius that is given was not tested for purity
            found, theirs = _once(lambda: asked.query(wide, np.full(n, np.nan), batch_size=k))
        said += f"; covers {int(covered.sum()):,}, peer {int(edges[found].any(axis=0).sum()):,}: ties by chance"
    title = f"ProbCover, radius given: {n:,} x 64, {k}"
    return Row(title, times, PEER if theirs else "", theirs, same=bool(same), judged=said)


def _linkage(n: int, clusters: int) -> Row:
    x = _clustered(n, 64, 50)
    times, theirs, same = timed(lambda: average_linkage(x, clusters), repeats=3), None, True
    linkage, cut = (_peer("scipy.cluster.hierarchy", name) for name in ("linkage", "fcluster"))
    if linkage is not None:
        theirs = timed(lambda: cut(linkage(x, "average"), clusters, "maxclust"), repeats=3)
        found = cut(linkage(x, "average"), clusters, "maxclust")
        same = len(set(zip(found.tolist(), average_linkage(x, clusters).tolist(), strict=True))) == clusters
    title = f"cluster-margin's linkage: {n:,} x 64 to {clusters}"
    return Row(title, times, "scipy" if theirs else "", theirs, same=same, judged="same clusters")


def _kmeans(n: int, k: int) -> Row:
    x = _clustered(n, 64, k)
    draws = np.random.default_rng(4).random((k, 2 + int(np.log(k))))
    times, theirs, said, same = timed(lambda: kmeans(x, draws), repeats=3), None, "", True
    means = _peer("sklearn.cluster", "KMeans")
    if means is not None:
        theirs = timed(lambda: means(k, n_init=1, random_state=0).fit(x), repeats=3)
        mine = float((kmeans(x, draws)[1].astype(np.float64) ** 2).sum())
        other = float(means(k, n_init=1, random_state=0).fit(x).inertia_)
        said, same = f"inertia {mine / other:.2f} of the peer's", mine < 1.2 * other
    return Row(f"k-means: {n:,} x 64, {k}", times, "scikit-learn" if theirs else "", theirs, same=same, judged=said)
