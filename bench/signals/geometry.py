"""Near duplicates beside faiss and hnswlib, the neighbour graph and local outlier factors beside scikit-learn."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.machine import Times, timed
from bench.signals.table import Row, flops
from tilth.signals.nearest import local_outlier_factor, nearest
from tilth.signals.neighbours import groups, unit

__all__ = ["rows"]

THRESHOLD, WIDTH = 0.95, 384
Groups = np.ndarray


def rows(*, quick: bool) -> Iterator[Row]:
    """Near duplicates of 100,000 x 384 on five kinds of data; graph and local outlier factors of 20,000 x 64."""
    n, speed = 10_000 if quick else 100_000, flops()
    for kind in ("pairs", "free", "clumps", "few directions", "cone"):
        yield from _duplicates(kind, pool(kind, n), speed, peers=kind == "pairs")
    yield from _neighbours(2_000 if quick else 20_000, speed)


def pool(kind: str, n: int) -> np.ndarray:
    """Return n unit rows: "pairs" (each tenth nearly repeated), "free", "clumps" of 100, 20 directions, or one cone."""
    chance = np.random.default_rng(0)
    free = chance.standard_normal((n, WIDTH), dtype=np.float32)
    if kind == "pairs":
        free[-n // 10 :] = free[: n // 10] + 0.2 * free[-n // 10 :]
    elif kind == "clumps":
        free = free[chance.integers(0, n // 100, n)] + 0.2 * chance.standard_normal((n, WIDTH), dtype=np.float32)
    elif kind == "few directions":
        some = chance.standard_normal((n, 20), dtype=np.float32)
        free = some @ chance.standard_normal((20, WIDTH), dtype=np.float32) + 0.3 * free
    elif kind == "cone":
        free = free + 3
    return unit(free)


def _duplicates(kind: str, table: np.ndarray, speed: float, *, peers: bool) -> Iterator[Row]:
    n = len(table)
    found: dict[str, Groups] = {}

    def run(name: str, call: Callable[[], Groups], repeats: int = 1) -> Times:
        def kept() -> None:
            found[name] = call()

        return timed(kept, repeats=repeats, warm=0)

    ours = run("tilth", lambda: groups(table, THRESHOLD), 3)
    mine = found["tilth"]
    number = len(mine) - len(np.unique(mine))
    work = f"near duplicates, {n:,} x {WIDTH}, {kind}"
    # what comparing all pairs once takes at the speed of matrix products
    floor = n * n / 2 * WIDTH / speed
    if not peers:
        yield Row(work, ours, floor=floor, same=_sound(table, mine), judged=f"{number:,} joined; a sample by hand")
        return
    for peer, package, call, exact in (
        ("faiss flat", "faiss", _flat, True),
        ("faiss IVF", "faiss", _inverted, False),
        ("hnswlib", "hnswlib", _graph, False),
    ):
        if find_spec(package) is None:
            yield Row(work, ours, f"{peer}: not installed", floor=floor)
            continue
        theirs = run(peer, lambda call=call: call(table))
        same = mine == found[peer]
        if exact:
            yield Row(work, ours, peer, theirs, floor, 1, bool(same.all()), f"equal groups, {number:,} joined")
        else:  # what it finds must be there; what it misses is its own loss
            missed = number - (n - len(np.unique(found[peer])))
            sound = bool((mine[found[peer]] == mine).all())
            yield Row(work, ours, peer, theirs, floor, 1, sound, f"it misses {missed:,} of {number:,}")


def _sound(table: np.ndarray, mine: Groups) -> bool:
    """Whether 300 rows, compared with all, are in the groups of those that they are near."""
    some = np.arange(0, len(table), max(1, len(table) // 300))
    i, j = np.nonzero(table[some] @ table.T >= THRESHOLD)
    alone = np.setdiff1d(some, some[i[some[i] != j]])
    return bool((mine[some[i]] == mine[j]).all() and (np.bincount(mine)[mine[alone]] == 1).all())


def _joined(n: int, i: np.ndarray, j: np.ndarray) -> Groups:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    number, label = connected_components(coo_matrix((np.ones(len(i), bool), (i, j)), shape=(n, n)), directed=False)
    lowest = np.full(number, n)
    np.minimum.at(lowest, label, np.arange(n))
    return lowest[label]


def _ranges(index: Any, table: np.ndarray) -> Groups:
    ends, _, found = index.range_search(table, THRESHOLD - 1e-6)
    return _joined(len(table), np.repeat(np.arange(len(table)), np.diff(ends.astype(np.int64))), found)


def _flat(table: np.ndarray) -> Groups:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(table.shape[1])
    index.add(table)
    return _ranges(index, table)


def _inverted(table: np.ndarray) -> Groups:
    import faiss

    faiss.omp_set_num_threads(1)
    cells = int(4 * np.sqrt(len(table)))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(table.shape[1]), table.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.train(table[: 40 * cells])
    index.add(table)
    index.nprobe = max(1, cells // 20)
    return _ranges(index, table)


def _graph(table: np.ndarray) -> Groups:
    import hnswlib

    index = hnswlib.Index("ip", table.shape[1])
    index.init_index(len(table), ef_construction=100, M=16)
    index.set_num_threads(1)
    index.add_items(table)
    index.set_ef(50)
    found, far = index.knn_query(table, k=10)
    i, column = np.nonzero(1 - far >= THRESHOLD - 1e-6)
    return _joined(len(table), i, found[i, column].astype(np.int64))


def _neighbours(n: int, speed: float) -> Iterator[Row]:
    from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

    table = np.random.default_rng(1).standard_normal((n, 64), dtype=np.float32)
    floor = n * n * 64 / speed
    ours = timed(lambda: nearest(table, 20), repeats=3)
    theirs = timed(lambda: NearestNeighbors(n_neighbors=20).fit(table).kneighbors(), repeats=1, warm=0)
    row, far = nearest(table, 20)
    distance, index = NearestNeighbors(n_neighbors=20).fit(table).kneighbors()
    same = bool((row == index).mean() > 0.9999 and np.allclose(far, distance, rtol=1e-5))
    work = f"neighbour graph, {n:,} x 64, k = 20"
    yield Row(work, ours, "scikit-learn", theirs, floor, same=same, judged="distances to 1e-5")
    ours = timed(lambda: local_outlier_factor(*nearest(table, 20)), repeats=3)
    model = LocalOutlierFactor(20)
    theirs = timed(lambda: model.fit(table), repeats=1, warm=0)
    same = np.allclose(local_outlier_factor(row, far), -model.negative_outlier_factor_, rtol=1e-5)
    yield Row(
        f"local outlier factor, {n:,} x 64, k = 20", ours, "scikit-learn", theirs, floor, same=same, judged="1e-5"
    )
