"""Neighbours, outliers and duplicates: against brute force and scikit-learn, and a graph that is never stale."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.neighbors import LocalOutlierFactor

from tests.states import make_state, observed
from tilth.algebra import Quantity
from tilth.changes import Changes, Op, events
from tilth.errors import UsageError
from tilth.signals import density, duplicate_group, duplicate_groups, lof, novelty, outlier, typicality
from tilth.signals.bounds import SAMPLE, Pruned, joined
from tilth.signals.graph import LEAST, graph
from tilth.signals.nearest import BLOCK, SPARE, TILE, local_outlier_factor, nearest
from tilth.signals.neighbours import groups, leaders, unit
from tilth.state import State
from tilth.testing.signals import check_signal

SIGNALS = [
    outlier(),
    outlier(k=3, by="kth"),
    outlier(k=3, metric="euclidean"),
    lof(),
    lof(k=4, metric="euclidean"),
    typicality(),
    typicality(k=2),
    density(),
    novelty(k=3),
    duplicate_group(),
    duplicate_group(threshold=0.8),
    duplicate_group(by="content"),
]


def content(n: int = 70) -> dict[str, Any]:
    """Return what `make_state` takes: some copies, some near copies, rows without a direction and without a number."""
    chance = np.random.default_rng(n)
    rows = chance.normal(size=(n, 4)).astype(np.float32)
    rows[40:45] = rows[0]
    rows[45:50] = rows[1] * 1.001 + 0.01
    rows[50] = 0
    rows[51, 2] = np.nan
    rows[52, 3] = np.inf
    return {
        "labels": [None if i % 3 == 0 else ["a", "b", "c"][i % 7 % 3] for i in range(n)],
        "keys": [f"k{i:03d}" for i in range(n)],
        "split": ["valid" if i % 6 == 5 else "test" if i % 11 == 10 else "train" for i in range(n)],
        "columns": {"x": np.arange(n, dtype=float) % 50},
        "embeddings": rows,
    }


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return make_state(tmp_path_factory.mktemp("geometry"), **content())


def by_hand(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest others of each row, equally far ones in their order, and how far they are."""
    rows = rows.astype(np.float64)
    n = len(rows)
    square = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    np.fill_diagonal(square, np.inf)
    order = np.lexsort((np.broadcast_to(np.arange(n), (n, n)), square))[:, : min(k, n - 1)]
    return order, np.sqrt(np.take_along_axis(square, order, 1))


def members(state: State) -> tuple[np.ndarray, np.ndarray]:
    """Return the training records that have a direction, by key hash, and their rows of length 1."""
    rows = unit(np.where(np.isinf(state.output("embeddings")), np.nan, state.output("embeddings")))
    ids = np.flatnonzero(state.view.train & ~np.isnan(rows).any(axis=1))
    ids = ids[np.argsort(state.dataset.key_hash[ids])]
    return ids, rows[ids]


@pytest.mark.parametrize("one", SIGNALS, ids=repr)
def test_each_signal_passes_the_exam(one: Quantity, state: State) -> None:
    check_signal(one, state)


# -- the k nearest -----------------------------------------------------------------------------------------------------

lattices = st.integers(1, 4).flatmap(
    lambda d: arrays(np.float32, st.tuples(st.integers(1, 60), st.just(d)), elements=st.integers(-2, 2))
)


@given(lattices, st.integers(1, 12))
def test_the_nearest_are_exact_and_the_first_of_those_equally_far(rows: np.ndarray, k: int) -> None:
    row, distance = nearest(rows, k)
    order, far = by_hand(rows, k)
    assert np.array_equal(row, order)
    assert np.array_equal(distance, far)


@pytest.mark.parametrize(
    "rows",
    [
        np.random.default_rng(0).normal(size=(TILE + BLOCK + 3, 6)),
        np.random.default_rng(1).integers(0, 2, (TILE + 300, 9)),
        np.repeat(np.random.default_rng(2).normal(size=(20, 3)), 60, axis=0),
        1000 + np.random.default_rng(3).normal(size=(700, 5)),
        1e5 + np.random.default_rng(4).integers(0, 3, (700, 5)),
        1e25 * np.random.default_rng(5).normal(size=(300, 3)),
        1e-30 * np.random.default_rng(6).normal(size=(300, 3)),
        np.ones((90, 3)),
        np.eye(150),
    ],
    ids=["across tiles", "ties", "copies", "far from 0", "ties far from 0", "huge", "tiny", "all equal", "equidistant"],
)
def test_the_nearest_are_exact_whatever_the_rows_are_like(rows: np.ndarray) -> None:
    rows = rows.astype(np.float32)
    for k in (1, 20, 20 + SPARE):
        row, distance = nearest(rows, k)
        order, far = by_hand(rows, k)
        assert distance == pytest.approx(far, rel=1e-12)
        assert np.array_equal(row, order)


def test_fewer_neighbours_are_the_beginning_of_more() -> None:
    rows = np.random.default_rng(0).integers(0, 3, (800, 4)).astype(np.float32)
    few, more = nearest(rows, 5)[0], nearest(rows, 60)[0]
    assert np.array_equal(few, more[:, :5])


@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 3), (2, 1), (2, 5), (9, 8), (9, 9)])
def test_more_neighbours_than_there_are_others_are_all_others(n: int, k: int) -> None:
    rows = np.arange(n, dtype=np.float32)[:, None]
    row, distance = nearest(rows, k)
    assert row.shape == distance.shape == (n, min(k, max(n - 1, 0)))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 5, 20, 500])
def test_local_outlier_factors_are_those_of_scikit_learn(k: int, metric: str) -> None:
    rows = np.random.default_rng(k).normal(size=(300, 5)).astype(np.float32)
    given = unit(rows) if metric == "cosine" else rows
    row, far = nearest(given, k)
    found = local_outlier_factor(row, far**2 / 2 if metric == "cosine" else far)
    theirs = LocalOutlierFactor(min(k, 299), metric=metric).fit(rows.astype(np.float64))
    assert found == pytest.approx(-theirs.negative_outlier_factor_, rel=1e-5)


# -- the signals -------------------------------------------------------------------------------------------------------


def test_signals_of_the_graph_are_what_they_say(state: State) -> None:
    ids, rows = members(state)
    near, far = by_hand(rows, 6)
    cosine = far**2 / 2
    dense = 1 / (np.maximum(cosine, cosine[:, -1][near]).mean(axis=1) + 1e-10)
    expected = {
        outlier(k=6): cosine.mean(axis=1),
        outlier(k=6, by="kth"): cosine[:, -1],
        density(k=6): 1 - cosine.mean(axis=1),
        typicality(k=6): 1 / far.mean(axis=1),
        lof(k=6): dense[near].mean(axis=1) / dense,
    }
    others = np.setdiff1d(np.arange(len(state)), ids)
    for one, values in expected.items():
        found = one.value(state)
        assert found[ids] == pytest.approx(values, rel=1e-4, abs=1e-6), one
        assert np.isnan(found[others]).all(), one


def test_euclidean_neighbours_are_those_of_the_embeddings_as_they_are(tmp_path: Path) -> None:
    rows = [[1, 1], [2, 2], [4, 4], [100, 100], [0, 0]]
    s = make_state(tmp_path, ["a"] * 5, embeddings=rows)
    found = outlier(k=1, metric="euclidean").value(s)
    assert found == pytest.approx(np.sqrt(2) * np.array([1, 1, 2, 96, 1]), rel=1e-6)
    assert outlier(k=1).value(s)[:4] == pytest.approx([0, 0, 0, 0], abs=1e-6), "to a cosine they are one direction"
    assert np.isnan(outlier(k=1).value(s)[4]), "0 has none"


def test_copies_have_finite_values(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a"] * 40, embeddings=np.concatenate([np.ones((39, 3)), [[-1, 0, 0]]]))
    assert typicality(k=5).value(s)[:39] == pytest.approx(1e5)
    assert lof(k=5).value(s)[:39] == pytest.approx(1)
    assert 1e8 < lof(k=5).value(s)[39] < 1e11
    assert outlier(k=5).value(s)[:39].max() == 0


@pytest.mark.parametrize("labels", [[], ["a"], [None], ["a", None]], ids=["none", "one", "unlabelled", "two"])
def test_pools_of_nobody_and_of_a_few(tmp_path: Path, labels: list[str | None]) -> None:
    n = len(labels)
    s = make_state(
        tmp_path, [*labels, "a"], split=["train"] * n + ["test"], classes=["a"], embeddings=np.ones((n + 1, 2))
    )
    for one in SIGNALS:
        found = one.value(s)
        assert found.shape == (n + 1,)
        assert np.isnan(found[n]), f"{one!r} of a held-out record"
        if n < 2:
            assert np.isnan(found).all(), one
    assert len(duplicate_groups(s)) == (n == 2)


def test_one_class_no_label_and_held_out_records_change_nothing(tmp_path: Path) -> None:
    data = content()
    s = make_state(tmp_path / "a", **data)
    bare = data | {"labels": [None] * 70}
    other = make_state(tmp_path / "b", classes=["a"], **bare)
    for one in [outlier(k=4), lof(k=4), typicality(k=4), density(k=4), duplicate_group()]:
        assert np.array_equal(one.value(s), one.value(other), equal_nan=True)


def test_mistakes_are_told_where_they_are_written(state: State) -> None:
    with pytest.raises(UsageError, match=r"outlier\(by=...\): no 'mean'. There is: knn, kth"):
        outlier(by="mean")
    with pytest.raises(UsageError, match=r"lof\(metric=...\): no 'euclid'. There is: cosine, euclidean"):
        lof(metric="euclid")
    with pytest.raises(UsageError, match=r"typicality\(k=...\) is a whole number of 1 or more, got 0"):
        typicality(k=0)
    with pytest.raises(
        UsageError, match=r"duplicate_group\(threshold=...\) is a cosine similarity above 0 and up to 1"
    ):
        duplicate_group(threshold=1.5)
    with pytest.raises(UsageError, match=r"duplicate_group\(by=...\): no 'pixels'"):
        duplicate_groups(state, by="pixels")


# -- duplicates --------------------------------------------------------------------------------------------------------


def components(near: np.ndarray) -> np.ndarray:
    """Return the lowest member of each row's connected component, by walking from row to row."""
    lowest = np.full(len(near), -1)
    for start in range(len(near)):
        todo = [start] if lowest[start] < 0 else []
        while todo:
            at = todo.pop()
            if lowest[at] < 0:
                lowest[at] = start
                todo += np.flatnonzero(near[at] & (lowest < 0)).tolist()
    return lowest


def pool(kind: str, n: int, d: int) -> np.ndarray:
    """Return unit rows in which there are pairs just above, at and just below the threshold."""
    chance = np.random.default_rng(n + d)
    free = chance.normal(size=(n, d))
    rows = {
        "free": free,
        "pairs": np.concatenate([free[: n // 2], free[: n - n // 2] + 0.25 * chance.normal(size=(n - n // 2, d))]),
        "clumps": free[chance.integers(0, 20, n)] + 0.22 * free,
        "chain": np.column_stack([np.cos(np.arange(n) / 9), np.sin(np.arange(n) / 9), np.arange(n) // 57, free / 50]),
        "alike": 5 + 0.5 * free,
        "copies": free[chance.integers(0, n // 3, n)],
        "few directions": free[:, :3] @ chance.normal(size=(3, d)) + 0.05 * free,
    }[kind]
    return unit(rows.astype(np.float32))


@pytest.mark.parametrize("kind", ["free", "pairs", "clumps", "chain", "alike", "copies", "few directions"])
@pytest.mark.parametrize(("n", "d"), [(60, 3), (BLOCK + 90, 40), (SAMPLE + BLOCK + 40, 96)])
@pytest.mark.parametrize("threshold", [0.95, 0.5, 1.0])
def test_groups_and_leaders_agree_with_all_pairs(kind: str, n: int, d: int, threshold: float) -> None:
    rows = pool(kind, n, d)
    product = rows.astype(np.float64) @ rows.T.astype(np.float64)
    near = product >= threshold - 1e-6
    assert np.array_equal(groups(rows, threshold), components(near))
    stays = leaders(np.arange(n), lambda ids: rows[ids], threshold)
    expected = np.zeros(n, bool)
    for i in range(n):
        expected[i] = not (near[i] & expected).any()
    assert np.array_equal(stays, expected)


@given(st.integers(0, 2**32), st.sampled_from([0.3, 0.7, 0.9, 0.99]))
@settings(max_examples=15, deadline=None)
def test_no_bound_is_below_the_product(seed: int, threshold: float) -> None:
    chance = np.random.default_rng(seed)
    d = int(chance.integers(20, 200))
    rows = chance.normal(size=(SAMPLE + 10, d)) * chance.gamma(0.5, size=d) + chance.normal(size=d) * chance.random()
    rows = unit(rows.astype(np.float32))
    ready = Pruned(rows, threshold)
    some = np.arange(0, len(rows), 7)
    i, j = ready.between(some, some)
    found = np.zeros((len(some), len(some)), bool)
    found[i, j] = True
    product = rows[some].astype(np.float64) @ rows[some].T.astype(np.float64)
    assert found[product >= threshold].all()
    assert not found[product < threshold - 2e-6].any()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_pairs_join_groups(pairs: list[tuple[int, int]]) -> None:
    near = np.eye(31, dtype=bool)
    for a, b in pairs:
        near[a, b] = near[b, a] = True
    i, j = np.array(pairs, np.int64).reshape(-1, 2).T
    assert np.array_equal(joined(np.arange(31), i, j), components(near))
    half = len(i) // 2
    assert np.array_equal(joined(joined(np.arange(31), i[:half], j[:half]), i[half:], j[half:]), components(near))


def test_groups_have_one_number_and_singles_none(state: State) -> None:
    ids, rows = members(state)
    expected = components(rows.astype(np.float64) @ rows.T >= 0.95)
    found = duplicate_group().value(state)
    for at, one in enumerate(ids):
        together = ids[expected == expected[at]]
        if len(together) == 1:
            assert np.isnan(found[one])
        else:
            assert set(np.flatnonzero(found == found[one])) == set(together)
    numbers = np.unique(found[~np.isnan(found)])
    assert numbers.tolist() == list(range(len(numbers)))
    first = [state.dataset.key_hash[found == number].min() for number in numbers]
    assert first == sorted(first)


def test_groups_for_reports_come_largest_first(state: State) -> None:
    found = duplicate_groups(state)
    assert sorted(map(len, found), reverse=True) == list(map(len, found))
    by_number = duplicate_group().value(state)
    for ids in found:
        assert len(ids) > 1
        assert len(set(by_number[ids])) == 1
        assert (np.diff(state.dataset.key_hash[ids].astype(object)) > 0).all()
    assert sum(map(len, found)) == (~np.isnan(by_number)).sum()


def test_equal_content_is_a_group_without_a_model(tmp_path: Path) -> None:
    bare = make_state(tmp_path, ["a"] * 5, columns={"x": [1.0, 2, 1, 3, 2]})
    assert sorted(sorted(ids.tolist()) for ids in duplicate_groups(bare, by="content")) == [[0, 2], [1, 4]]
    assert duplicate_group(by="content").needs == frozenset()


# -- the graph is kept, and never stale --------------------------------------------------------------------------------


def kept(s: State) -> list[Path]:
    assert s.outputs is not None
    return sorted((s.outputs.folder / "neighbours").glob("*"))


def fresh(s: State) -> State:
    return State(s.dataset, s.outputs, s.rounds, s.seed)


def true_density(s: State, k: int = 3) -> np.ndarray:
    ids, rows = members(s)
    out = np.full(len(s), np.nan)
    out[ids] = 1 - (by_hand(rows, k)[1] ** 2 / 2).mean(axis=1)
    return out


def test_one_graph_serves_all_signals_and_the_next_process(tmp_path: Path) -> None:
    s = make_state(tmp_path, **content())
    first = [one.value(s) for one in SIGNALS if one.needs]
    files = kept(s)
    assert len(files) == 2, "one for cosines, one for Euclidean distances"
    times = [path.stat().st_mtime_ns for path in files]
    again = [one.value(fresh(s)) for one in SIGNALS if one.needs]
    assert [path.stat().st_mtime_ns for path in kept(s)] == times
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, again, strict=True))
    assert s.outputs is not None
    assert s.outputs.kinds == {"embeddings"}, "it is no output of the model"


def test_more_neighbours_replace_fewer(tmp_path: Path) -> None:
    s = make_state(tmp_path, **content())
    small = outlier(k=3).value(s)
    (before,) = kept(s)
    assert graph(fresh(s), s.view.train, LEAST).row.shape[1] == LEAST
    outlier(k=LEAST + 5).value(fresh(s))
    (after,) = kept(s)
    assert before == after
    assert np.load(after).shape[1] == LEAST + 5
    assert np.array_equal(outlier(k=3).value(fresh(s)), small, equal_nan=True)


def test_a_changed_pool_never_meets_an_old_graph(tmp_path: Path) -> None:
    s = make_state(tmp_path, **content())
    density(k=3).value(s)
    dataset = type(s.dataset).open(s.dataset.path)
    dataset.commit(Changes(events(Op.REMOVE, members(s)[0][:9])))
    dataset.append({"key": ["new"], "label": ["a"], "x": [1.0]}, key="key", label="label", split="train")
    later = State(dataset.at(-1), s.outputs)
    assert density(k=3).value(later) == pytest.approx(true_density(later), abs=1e-6, nan_ok=True)
    assert len(kept(later)) == 2
    dataset.commit(Changes(events(Op.ADD, members(s)[0][:9])))
    back = State(dataset.at(-1), s.outputs)
    assert density(k=3).value(back)[:70] == pytest.approx(true_density(s), abs=1e-6, nan_ok=True)
    assert len(kept(back)) == 2, "the same records again find the first graph"


def test_a_retrained_model_never_meets_an_old_graph(tmp_path: Path) -> None:
    s = make_state(tmp_path, **content())
    density(k=3).value(s)
    rows = np.random.default_rng(9).normal(size=(70, 4))
    for ref in ("m", "other"):  # even under the same name
        later = observed(type(s.dataset).open(s.dataset.path), ref=ref, embeddings=rows)
        assert density(k=3).value(later) == pytest.approx(true_density(later), abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "other", "gone"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    s = make_state(tmp_path, **content())
    expected = density(k=3).value(s)
    (path,) = kept(s)
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "other":
        np.save(path, np.zeros((3, 3)))
    else:
        path.write_bytes({"cut": whole[:-7], "empty": b"", "zeros": bytes(len(whole))}[damage])
    assert np.array_equal(density(k=3).value(fresh(s)), expected, equal_nan=True)
    assert path.read_bytes() == whole


def test_where_nothing_can_be_written_the_answer_is_the_same(tmp_path: Path) -> None:
    s = make_state(tmp_path, **content())
    assert s.outputs is not None
    (s.outputs.folder / "neighbours").write_text("a file stands where the folder would")
    assert density(k=3).value(s) == pytest.approx(true_density(s), abs=1e-6, nan_ok=True)


@pytest.mark.crash
def test_a_killed_process_leaves_a_whole_graph_or_none(tmp_path: Path) -> None:
    s = make_state(tmp_path, **content())
    assert s.outputs is not None
    folder = s.outputs.folder
    program = f"""
        import os, resource, signal
        import numpy as np
        from pathlib import Path
        from tilth.signals.graph import CELL, _write
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the kernel kills it in the middle of the write
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        _write(Path({str(folder / "neighbours" / "half.npy")!r}), np.zeros((2000, 20), CELL))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=os.environ, capture_output=True)
    assert done.returncode < 0, done.stderr
    left = kept(s)
    assert len(left) == 1
    assert left[0].name.endswith(".part")
    assert left[0].stat().st_size == 4096
    assert density(k=3).value(s) == pytest.approx(true_density(s), abs=1e-6, nan_ok=True)
