"""Batches: what each step chooses beside a plain implementation, and what all of them promise."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from tests.states import make_state, observed, set_label
from tests.test_selectors import CLASSES, content, rearranged
from tilth.algebra import from_json, to_json
from tilth.changes import Changes, Op, events
from tilth.dataset import Dataset
from tilth.errors import NotData, UsageError
from tilth.rules import Rule
from tilth.selectors import Selector, kept, labeled, records, unlabeled
from tilth.selectors.clusters import average_linkage, in_turns
from tilth.selectors.cover import apart, greedy_cover, nearest_other
from tilth.selectors.gradients import gradient_seeds
from tilth.selectors.spread import WATCHED, Cloud, farthest, lower
from tilth.selectors.typical import typicality
from tilth.signals import density, margin
from tilth.signals.clusters import kmeans
from tilth.state import State

N = 120
rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return make_state(tmp_path_factory.mktemp("batches"), classes=CLASSES, **content())


@pytest.fixture(scope="module")
def other_order(tmp_path_factory: pytest.TempPathFactory) -> State:
    order = np.random.default_rng(5).permutation(N)
    return make_state(tmp_path_factory.mktemp("permuted"), classes=CLASSES, **rearranged(content(), order))


BATCHES = [
    unlabeled.diverse(8),
    unlabeled.diverse(8, by="v"),
    unlabeled.badge(6),
    records.badge(1),
    unlabeled.cluster_margin(5),
    records.cluster_margin(6, within=20, clusters=3, by="v"),
    unlabeled.typical(6),
    records.typical(4, by="v"),
    unlabeled.covering(5),
    unlabeled.covering(5, 1.5, by="v"),
    unlabeled.centers(7),
    unlabeled.centers(7, by="v"),
    unlabeled.top(20, by=margin()).distinct(),
    records.distinct(0.5, by="v"),
    unlabeled.distinct(0.8).first(3),
    records.first(9),
    unlabeled.top(20, by=margin()).quota("predicted", {"cat": 3, "dog": 2}),
    records.quota("label", {"cat": 10, "bird": 1000}),
    records.quota("n", {0: 3, 1: 2}),
    records.quota("label", {None: 4}),
    unlabeled.top(10, by=margin() * density()),
    (0.5 * unlabeled.top(9, by=margin()) | 0.5 * unlabeled.sample(9)).first(8),
    (3 * (labeled | unlabeled.sample(3)) | 1 * records.centers(4) | 0.5 * unlabeled).first(11),
    (0.5 * unlabeled.badge(5)).first(3).where(predicted="cat"),
    ~(0.2 * unlabeled.badge(5) | 0.8 * labeled).first(5),
]


def keys(selector: Selector, state: State) -> list[str]:
    return state.dataset.keys(selector.choose(state).ids)


# -- what all promise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", BATCHES, ids=repr)
def test_a_batch_is_a_value(one: Selector) -> None:
    again = from_json(json.loads(json.dumps(to_json(one))))
    assert again == one
    assert hash(again) == hash(one)
    assert again.needs == one.needs
    names: dict[str, Any] = {"margin": margin, "density": density}
    names |= {"records": records, "unlabeled": unlabeled, "labeled": labeled}
    assert eval(repr(one), {"__builtins__": {}, **names}) == one, "it prints as it was written"


@pytest.mark.parametrize("one", BATCHES, ids=repr)
def test_a_batch_is_of_training_records_once_each_whatever_their_ids(
    one: Selector, state: State, other_order: State
) -> None:
    chosen = one.choose(state)
    assert chosen.ids.dtype == np.int64
    assert len(chosen) > 0
    assert len(set(chosen.ids.tolist())) == len(chosen)
    assert (state.view.split[chosen.ids] == 0).all()
    assert (chosen.score is None) == (chosen.signal is None)
    assert chosen.reason
    if chosen.score is not None:
        assert chosen.score.shape == chosen.ids.shape
        assert chosen.score.dtype == np.float64
    assert keys(one, State(state.dataset, state.outputs)) == state.dataset.keys(chosen.ids)
    assert keys(one, other_order) == state.dataset.keys(chosen.ids)


steps = st.one_of(
    st.integers(1, 50).map(lambda k: lambda s: s.badge(k)),
    st.integers(1, 50).map(lambda k: lambda s: s.typical(k)),
    st.integers(1, 50).map(lambda k: lambda s: s.centers(k, by="v")),
    st.tuples(st.integers(1, 50), st.floats(0.1, 4)).map(lambda kr: lambda s: s.covering(kr[0], kr[1])),
    st.integers(1, 50).map(lambda k: lambda s: s.cluster_margin(k, within=30, clusters=4)),
    st.integers(1, 50).map(lambda k: lambda s: s.first(k)),
    st.floats(0.1, 1).map(lambda t: lambda s: s.distinct(t, by="v")),
    st.integers(1, 5).map(lambda k: lambda s: s.quota("predicted", {"cat": k, "dog": 1})),
    st.integers(1, 30).map(lambda k: lambda s: (0.3 * s | 0.7 * labeled).first(k)),
)
chains = st.tuples(st.sampled_from([records, unlabeled, labeled]), st.lists(steps, min_size=1, max_size=3)).map(
    lambda made: functools.reduce(lambda s, step: step(s), made[1], made[0])
)


@settings(max_examples=120)
@given(chains)
def test_any_chain_of_batches_keeps_the_promises(state: State, other_order: State, one: Selector) -> None:
    chosen = one.choose(state)
    assert (state.view.split[chosen.ids] == 0).all()
    assert len(set(chosen.ids.tolist())) == len(chosen)
    assert state.dataset.keys(chosen.ids) == keys(one, other_order)
    assert from_json(to_json(one)) == one


NAMED = {
    "diverse": lambda s, k: s.diverse(k),
    "badge": lambda s, k: s.badge(k),
    "cluster_margin": lambda s, k: s.cluster_margin(k),
    "typical": lambda s, k: s.typical(k),
    "covering": lambda s, k: s.covering(k),
    "centers": lambda s, k: s.centers(k),
    "first": lambda s, k: s.first(k),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_batch_of_more_than_there_is_is_all_there_is(name: str, state: State) -> None:
    n = len(unlabeled.choose(state))
    for k in (n, n + 1000):
        assert sorted(NAMED[name](unlabeled, k).choose(state).ids.tolist()) == sorted(
            unlabeled.choose(state).ids.tolist()
        )
    assert NAMED[name](unlabeled, 5000).choose(state).reason.endswith(f", of which there are {n}")
    for k in (1, 7, n - 1):
        assert len(NAMED[name](unlabeled, k).choose(state)) == k


@pytest.mark.parametrize("name", [*NAMED, "distinct", "quota", "mixture"])
def test_an_empty_pool_gives_an_empty_batch_that_says_why(name: str, tmp_path: Path) -> None:
    full = make_state(tmp_path, ["a", "b"], probabilities=[[1, 0], [0, 1]], embeddings=[[1, 0], [0, 1]])
    more = {
        "distinct": lambda s, _: s.distinct(),
        "quota": lambda s, k: s.quota("label", {"a": k}),
        "mixture": lambda s, k: (1 * s).first(k),
    }
    chosen = (NAMED | more)[name](unlabeled, 3).choose(full)
    assert chosen.ids.tolist() == []
    assert chosen.reason.startswith("nothing to choose from")


@pytest.mark.parametrize("name", ["diverse", "badge", "cluster_margin", "typical", "covering", "centers"])
def test_records_without_a_vector_are_passed_over_and_counted(name: str, tmp_path: Path) -> None:
    e = np.arange(12, dtype=float).reshape(6, 2)
    e[1], e[3, 0] = np.nan, np.inf
    p = np.full((6, 2), 0.5)
    p[1] = np.nan
    s = make_state(tmp_path, [None] * 6, classes=["a", "b"], embeddings=e, probabilities=p)
    chosen = NAMED[name](unlabeled, 6).choose(s)
    assert sorted(chosen.ids.tolist()) == [0, 2, 4, 5]
    assert chosen.passed_over == 2
    blind = make_state(tmp_path / "blind", [None], classes=["a"], embeddings=[[np.nan] * 2], probabilities=[[np.nan]])
    chosen = NAMED[name](unlabeled, 1).choose(blind)
    assert len(chosen) == 0
    assert chosen.passed_over == 1
    assert chosen.reason.startswith("nothing to choose from")


@pytest.mark.parametrize("name", ["diverse", "badge", "cluster_margin", "typical", "covering", "centers"])
def test_equal_records_and_a_single_class_break_nothing(name: str, tmp_path: Path) -> None:
    s = make_state(
        tmp_path, [None] * 9 + ["a"], classes=["a"], embeddings=np.full((10, 3), 1e6), probabilities=np.ones((10, 1))
    )
    chosen = NAMED[name](unlabeled, 4).choose(s)
    assert len(set(chosen.ids.tolist())) == 4
    assert len(unlabeled.distinct().choose(s)) == 1


def test_scores_that_were_given_stay(state: State) -> None:
    value = np.asarray(margin().value(state))
    best = unlabeled.top(15, by=margin())
    for one in (best.badge(4), best.typical(4), best.covering(4), best.centers(4), best.distinct(), best.first(3)):
        chosen = one.choose(state)
        assert chosen.signal == "margin()"
        assert chosen.score == pytest.approx(value[chosen.ids])


def test_draws_are_new_in_each_round_and_the_same_when_it_is_run_again(state: State) -> None:
    def drawn(one: Selector, seed: int) -> list[int]:
        return one.choose(State(state.dataset, state.outputs, seed=seed)).ids.tolist()

    assert drawn(unlabeled.badge(8), 0) == drawn(unlabeled.badge(8), 0)
    assert drawn(unlabeled.badge(8), 0) != drawn(unlabeled.badge(8), 1)


# -- k-center ----------------------------------------------------------------------------------------------------------


def plain_farthest(rows: np.ndarray, known: np.ndarray, k: int) -> list[int]:
    rows, known = rows.astype(float), known.astype(float)
    near = ((rows[:, None] - known) ** 2).sum(axis=2).min(axis=1, initial=np.inf)
    out = []
    for _ in range(k):
        out.append(int(near.argmax()))
        near = np.minimum(near, ((rows - rows[out[-1]]) ** 2).sum(axis=1))
        near[out[-1]] = -1
    return out


@pytest.mark.parametrize("n", [1, 2, 50, WATCHED, WATCHED + 1, 4 * WATCHED])
@pytest.mark.parametrize("kind", ["normal", "grid", "offset", "clusters"])
def test_farthest_first_is_exact_beside_a_plain_one(n: int, kind: str) -> None:
    chance = np.random.default_rng(n)
    rows, known = chance.normal(size=(n, 5)), chance.normal(size=(37, 5))
    if kind == "grid":  # many equal distances, which must go to the lower position
        rows, known = np.round(rows), np.round(known)
    if kind == "offset":
        rows, known = rows + 1000, known + 1000
    if kind == "clusters":
        rows += 10 * chance.integers(0, 3, (n, 1))
    rows, known = rows.astype(np.float32), known.astype(np.float32)
    k = min(n, 300)
    assert farthest(rows, known, k, first=0)[0].tolist() == plain_farthest(rows, known, k)
    assert farthest(rows.astype(np.float64), known, k, first=0)[0].tolist() == plain_farthest(rows, known, k)


@given(
    rngs,
    st.integers(1, 60),
    st.integers(1, 40),
    st.integers(1, 9),
    st.sampled_from([1e-30, 1e-20, 1.0, 1e15, 1e19, 1e30]),
)
def test_a_distance_has_the_same_bits_whatever_it_is_computed_with(
    chance: np.random.Generator, n: int, m: int, d: int, scale: float
) -> None:
    x = (chance.normal(size=(n + m, d)) * scale).astype(np.float32)
    of, others = Cloud.around(x[:n], x[n:])
    whole = np.full(n, np.inf)
    lower(whole, of, others)
    off = x[:n, None].astype(float) - x[n:]
    assert whole == pytest.approx((off**2).sum(axis=2).min(axis=1), rel=1e-13)
    parts, order = np.full(n, np.inf), chance.permutation(m)
    some, cut = chance.permutation(n), chance.integers(0, m + 1)
    for which in (order[cut:], order[:cut]):
        mixed = parts[some]
        lower(mixed, of.part(some), others.part(which))
        parts[some] = mixed
    assert parts.tolist() == whole.tolist()
    alone = np.full(n, np.inf)
    for i in range(m):  # about another centre, one by one
        lower(alone, Cloud(x[:n], np.ones(d) * scale), Cloud(x[n + i :][:1], np.ones(d) * scale))
    assert alone.tolist() == whole.tolist()


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_an_outlier_does_not_blur_the_others(far: float) -> None:
    chance = np.random.default_rng(0)
    rows, known = (chance.normal(size=(n, 6)).astype(np.float32) for n in (900, 40))
    rows[5] = known[7] = far
    assert farthest(rows, known, 300, first=0)[0].tolist() == plain_farthest(rows, known, 300)


@pytest.fixture
def big(tmp_path: Path) -> Dataset:
    """A dataset on which distances are worth keeping."""
    chance = np.random.default_rng(0)
    n, d = 4000, 256
    assert (n // 2) ** 2 * d > kept.WORTH
    labels = [CLASSES[i % 3] if i % 2 else None for i in range(n)]
    v = chance.normal(size=(n, d))
    return Dataset.open(make_state(tmp_path, labels, classes=CLASSES, columns={"v": v}).dataset.path)


def files(dataset: Dataset) -> list[Path]:
    return sorted((dataset.path / kept.FOLDER).glob("*"))


def choice(dataset: Dataset) -> tuple[list[str], list[float]]:
    chosen = unlabeled.diverse(20, by="v").choose(State(dataset.at(-1)))
    assert chosen.score is not None
    return dataset.keys(chosen.ids), chosen.score.tolist()


def test_kept_distances_change_nothing_but_time(big: Dataset) -> None:
    def anew() -> tuple[list[str], list[float]]:
        shutil.rmtree(big.path / kept.FOLDER, ignore_errors=True)
        return choice(big)

    first = choice(big)
    assert len(files(big)) == 1
    before = files(big)[0].read_bytes()
    assert choice(big) == first
    assert files(big)[0].read_bytes() == before, "nothing was labelled, so nothing was written"
    assert anew() == first
    set_label(big, big.ids(first[0]).tolist(), 1)  # what was chosen is labelled: only added to
    after = choice(big)
    assert not set(after[0]) & set(first[0])
    assert files(big)[0].read_bytes() != before
    assert anew() == after
    big.commit(Changes(events(Op.REMOVE, np.array([1, 3, 5]))))  # labelled records go
    without = choice(big)
    assert anew() == without


def test_kept_distances_are_really_used(big: Dataset) -> None:
    choice(big)
    (path,) = files(big)
    stored = np.load(path)
    stored["nearest"][~stored["known"]] = 0  # a lie that only a reader of the file can believe
    np.save(path, stored)
    assert set(choice(big)[1]) == {0.0}


@pytest.mark.parametrize("harm", ["empty", "half", "noise", "other"])
def test_a_broken_file_of_distances_is_made_anew(big: Dataset, harm: str) -> None:
    first = choice(big)
    (path,) = files(big)
    whole = path.read_bytes()
    if harm == "other":
        np.save(path, np.arange(5))
    else:
        path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "noise": b"\x00" * 1000}[harm])
    assert choice(big) == first
    assert path.read_bytes() == whole


def test_new_embeddings_are_never_taken_for_old_ones(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    labels = [None if i % 2 else "a" for i in range(3000)]
    old, new = chance.normal(size=(2, 3000, 512)).astype(np.float32)
    s = make_state(tmp_path, labels, classes=["a"], embeddings=old)
    one = unlabeled.diverse(10)
    first = one.choose(s).ids.tolist()
    assert files(s.dataset)
    changed = observed(s.dataset, ref="m2", embeddings=new)
    second = one.choose(changed).ids.tolist()
    shutil.rmtree(s.dataset.path / kept.FOLDER)
    assert one.choose(changed).ids.tolist() == second != first
    assert one.choose(observed(s.dataset, ref="m3", embeddings=old)).ids.tolist() == first


def test_small_work_keeps_nothing(state: State) -> None:
    unlabeled.diverse(5).choose(state)
    assert files(state.dataset) == []


# -- gradients ---------------------------------------------------------------------------------------------------------


def plain_seeds(p: np.ndarray, h: np.ndarray, draws: np.ndarray, *, several: bool, origin: bool) -> list[int]:
    p, h = p.T.astype(float), h.astype(float)
    a = p - (p >= 0.5) if several else p - np.eye(p.shape[1])[p.argmax(axis=1)]
    g = (a[:, :, None] * h[:, None, :]).reshape(len(p), -1)
    near = (g**2).sum(axis=1)
    out = [int(near.argmax())]
    if not origin:
        near[:] = np.inf
    for u in draws:
        near = np.minimum(near, ((g - g[out[-1]]) ** 2).sum(axis=1))
        near[out] = 0
        total = np.cumsum(near)
        out.append(int(np.searchsorted(total, u * total[-1], side="right")))
    return out


@settings(max_examples=60)
@given(rngs, st.integers(2, 700), st.integers(2, 6), st.integers(1, 8), st.booleans(), st.booleans())
def test_badge_is_k_means_plus_plus_on_gradients(
    chance: np.random.Generator, n: int, classes: int, d: int, several: bool, origin: bool
) -> None:
    p = chance.dirichlet(np.ones(classes), n).T.astype(np.float32)
    h = chance.normal(size=(n, d)).astype(np.float32)
    draws = chance.random(min(n, 25) - 1)
    found, length = gradient_seeds(p, h, draws, several=several, origin=origin)
    assert found.tolist() == plain_seeds(p, h, draws, several=several, origin=origin)
    assert length[0] == length.max()


def test_badge_never_draws_a_record_twice_where_all_are_equal() -> None:
    p, h = np.full((2, 9), 0.5, np.float32), np.ones((9, 3), np.float32)
    for u in (0.0, 0.5, 1 - 2**-53):
        assert sorted(gradient_seeds(p, h, np.full(8, u))[0].tolist()) == list(range(9))
    sure = np.array([[1.0] * 9, [0.0] * 9], np.float32)  # no gradient at all
    assert sorted(gradient_seeds(sure, h, np.full(8, 0.3))[0].tolist()) == list(range(9))


def test_badge_is_for_classes(tmp_path: Path) -> None:
    s = make_state(tmp_path, [1.0, None], label_kind="number", probabilities=[[1], [2]], embeddings=[[1, 0], [0, 1]])
    with pytest.raises(UsageError, match=r"badge\(1\) needs classes"):
        unlabeled.badge(1).choose(s)
    several = make_state(
        tmp_path / "several",
        [["a"], None, None],
        classes=["a", "b"],
        label_kind="classes",
        probabilities=[[0.5, 0.5], [0.9, 0.6], [0.1, 0.2]],
        embeddings=[[1, 0], [0, 1], [1, 1]],
    )
    assert len(unlabeled.badge(2).choose(several)) == 2


# -- clusters ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(rngs, st.integers(2, 60), st.integers(1, 60))
def test_average_linkage_is_that_of_scipy(chance: np.random.Generator, n: int, clusters: int) -> None:
    x = chance.normal(size=(n, 3)).astype(np.float32)
    found = average_linkage(x, clusters)
    theirs = fcluster(linkage(x.astype(float), "average"), min(clusters, n), "maxclust")
    pairs = set(zip(found.tolist(), theirs.tolist(), strict=True))
    assert len(pairs) == min(clusters, n) == len(set(found.tolist()))


def test_equal_rows_are_joined_without_end() -> None:
    x = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    assert len(set(average_linkage(x, 3).tolist())) == 3
    assert average_linkage(x[:1], 5).tolist() == [0]
    assert average_linkage(np.zeros((7, 2), np.float32), 1).tolist() == [0] * 7


@given(rngs, st.integers(1, 80), st.integers(1, 12))
def test_k_means_gives_each_row_its_nearest_centre(chance: np.random.Generator, n: int, k: int) -> None:
    x = chance.integers(0, 4, (n, 2)).astype(np.float32)
    k = min(k, n)
    cluster, distance = kmeans(x, chance.random((k, 3)))
    center = np.stack([x[cluster == c].mean(axis=0) if (cluster == c).any() else [np.inf] * 2 for c in range(k)])
    far = np.linalg.norm(x[:, None].astype(float) - center, axis=2)
    assert distance == pytest.approx(far[np.arange(n), cluster], abs=1e-4)
    assert distance == pytest.approx(far.min(axis=1), abs=1e-3)


def test_k_means_finds_clusters_that_lie_apart() -> None:
    chance = np.random.default_rng(0)
    truth = np.arange(600) % 6
    x = (20 * np.eye(6)[truth] + chance.normal(size=(600, 6))).astype(np.float32)
    cluster, _ = kmeans(x, chance.random((6, 3)))
    assert len(set(zip(truth.tolist(), cluster.tolist(), strict=True))) == 6


def test_turns_are_taken() -> None:
    group = np.array([0, 0, 0, 1, 1, 2])
    assert in_turns(group, np.array([2, 1, 0]), np.arange(6)).tolist() == [5, 3, 0, 4, 1, 2]


def test_cluster_margin_takes_the_least_sure_of_each_cluster_in_turn(tmp_path: Path) -> None:
    group = np.array([0] * 6 + [1] * 3 + [2] * 2 + [3])
    e = 100 * np.eye(4)[group] + np.random.default_rng(0).normal(size=(12, 4))
    gap = np.linspace(0.02, 0.9, 12)  # the first is the least sure
    gap[11] = 0.99  # and the fourth cluster is too sure to be a candidate
    s = make_state(tmp_path, [None] * 12, classes=["a", "b"], embeddings=e, probabilities=np.c_[1 + gap, 1 - gap] / 2)
    chosen = unlabeled.cluster_margin(6, within=11, clusters=3).choose(s)
    assert chosen.ids.tolist() == [9, 6, 0, 10, 7, 1]
    assert chosen.signal == "margin()"
    assert chosen.score == pytest.approx(1 - gap[chosen.ids], abs=1e-6)


def test_typicality_beside_a_plain_one() -> None:
    x = np.random.default_rng(1).normal(size=(700, 4)).astype(np.float32)
    far = np.sort(np.linalg.norm(x[:, None].astype(float) - x, axis=2), axis=1)[:, 1:]
    assert typicality(x, 20) == pytest.approx(1 / far[:, :20].mean(axis=1), rel=1e-3)
    assert typicality(x[:5], 20).shape == (5,)
    assert typicality(x[:1], 20).tolist() == [1.0]
    assert np.isfinite(typicality(np.ones((4, 2), np.float32), 20)).all()


def test_typical_goes_where_nothing_is_labelled_and_the_most_is(tmp_path: Path) -> None:
    group = np.array([0] * 30 + [1] * 20 + [2] * 10)
    e = 50 * np.eye(3)[group] + np.random.default_rng(2).normal(size=(60, 3))
    labels = [None] * 60
    labels[0] = labels[1] = "a"  # two in the largest; there are 2 + 1 clusters
    s = make_state(tmp_path, labels, classes=["a"], embeddings=e)
    chosen = unlabeled.typical(1).choose(s)
    assert group[chosen.ids].tolist() == [1]
    mine = e[group == 1]
    far = np.sort(np.linalg.norm(mine[:, None] - mine, axis=2), axis=1)[:, 1:].mean(axis=1)
    assert chosen.ids.tolist() == [30 + int(far.argmin())]
    assert chosen.signal == "typicality by embeddings"


def test_centers_are_the_records_nearest_to_the_centres(tmp_path: Path) -> None:
    group = np.array([0] * 7 + [1] * 5 + [2] * 3)
    e = 50 * np.eye(3)[group] + np.random.default_rng(2).normal(size=(15, 3))
    s = make_state(tmp_path, [None] * 15, classes=["a"], embeddings=e)
    chosen = unlabeled.centers(3).choose(s)
    expected = []
    for c in range(3):
        mine = np.flatnonzero(group == c)
        expected.append(int(mine[np.linalg.norm(e[mine] - e[mine].mean(axis=0), axis=1).argmin()]))
    assert chosen.ids.tolist() == expected
    assert chosen.score == pytest.approx([7, 5, 3])


# -- covering, near duplicates -----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(rngs, st.integers(1, 60), st.integers(0, 5), st.integers(1, 60), st.sampled_from([0.5, 1.5, 2.5, 20.5]))
def test_covering_takes_the_best_that_is_left(
    chance: np.random.Generator, n: int, m: int, k: int, radius: float
) -> None:
    rows, known = chance.integers(0, 6, (n, 2)).astype(np.float32), chance.integers(0, 6, (m, 2)).astype(np.float32)
    found, covered = greedy_cover(rows, known, min(k, n), radius)
    edges = np.linalg.norm(rows[:, None].astype(float) - rows, axis=2) <= radius
    free = ~(np.linalg.norm(rows[:, None].astype(float) - known, axis=2) <= radius).any(axis=1)
    left = np.ones(n, bool)
    for one, number in zip(found.tolist(), covered.tolist(), strict=True):
        gain = np.where(left, (edges & free).sum(axis=1), -1)
        assert (one, number) == (int(gain.argmax()), int(gain.max()))
        free &= ~edges[one]
        left[one] = False


def test_a_ball_of_no_size_holds_its_own_record() -> None:
    x = (np.random.default_rng(0).normal(size=(900, 40)) * 100).astype(np.float32)
    found, covered = greedy_cover(x, x[:0], 900, 1e-12)
    assert found.tolist() == list(range(900))
    assert covered.tolist() == [1] * 900


def test_the_radius_is_the_largest_at_which_balls_are_pure(tmp_path: Path) -> None:
    chance = np.random.default_rng(4)
    group = np.arange(400) % 2
    e = np.c_[10.0 * group, chance.normal(size=400)] + 0.1 * chance.normal(size=(400, 2))
    s = make_state(tmp_path, [None] * 400, classes=["a", "b"], embeddings=e)
    chosen = unlabeled.covering(10).choose(s)
    radius = float(chosen.reason.split("within ")[1].split()[0])
    far = np.linalg.norm(e[:, None] - e, axis=2)
    assert ((far <= radius * 0.999) & (group[:, None] != group)).any(axis=1).mean() <= 0.05
    assert ((far <= radius * 1.001) & (group[:, None] != group)).any(axis=1).mean() >= 0.05
    other = np.where(group[:, None] != group, far, np.inf).min(axis=1)
    assert nearest_other(e.astype(np.float32), group, np.arange(400)) == pytest.approx(other, rel=1e-4)


@settings(max_examples=60)
@given(rngs, st.integers(1, 80), st.sampled_from([0.2, 0.7, 0.95, 1.0]))
def test_what_stays_is_apart_and_what_goes_is_near_one_before_it(
    chance: np.random.Generator, n: int, threshold: float
) -> None:
    x = (chance.integers(1, 4, (n, 3)) * chance.integers(1, 9, (n, 1))).astype(np.float32)
    stays = apart(x, threshold)
    unit = x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    near = unit @ unit.T >= threshold - 1e-6
    for i in range(n):
        assert stays[i] == (not (near[i, :i] & stays[:i]).any())


def test_distinct_walks_in_order(tmp_path: Path) -> None:
    e = [[1, 0], [2, 0.01], [0, 1], [0, 0], [0.01, 3]]
    gap = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    s = make_state(tmp_path, [None] * 5, classes=["a", "b"], embeddings=e, probabilities=np.c_[1 + gap, 1 - gap] / 2)
    chosen = unlabeled.top(5, by=margin()).distinct().choose(s)
    assert chosen.ids.tolist() == [0, 2]
    assert chosen.passed_over == 1, "the one of length 0 has no direction"
    assert chosen.signal == "margin()"


# -- quotas and mixtures -----------------------------------------------------------------------------------------------


def test_a_quota_takes_the_first_of_each_in_turns(state: State) -> None:
    order = records.top(1000, by=margin()).choose(state).ids
    label = state.view.label
    chosen = records.top(1000, by=margin()).quota("label", {"dog": 3, "cat": 2}).choose(state)
    dogs, cats = (order[label[order] == CLASSES.index(name)].tolist() for name in ("dog", "cat"))
    assert chosen.ids.tolist() == [dogs[0], cats[0], dogs[1], cats[1], dogs[2]]
    assert chosen.signal == "margin()"
    short = records.quota("label", {"dog": 1000, "cat": 2}).choose(state)
    assert short.reason.endswith(f'of which there are only {len(dogs)} of "dog"')
    with pytest.raises(UsageError, match=r"no class 'dgo' in version 0. .* Did you mean 'dog'"):
        records.quota("label", {"dgo": 1}).choose(state)


def test_a_record_with_several_labels_fills_one_quota(tmp_path: Path) -> None:
    s = make_state(tmp_path, [["a", "b"], ["a", "b"], ["b"], []], classes=["a", "b"], label_kind="classes")
    chosen = records.quota("label", {"a": 2, "b": 2}).choose(s)
    assert sorted(chosen.ids.tolist()) == [0, 1, 2]


def test_a_mixture_has_its_shares_at_any_point_and_no_record_twice(state: State) -> None:
    best, chance = unlabeled.top(100, by=margin()), unlabeled.sample(100)
    order, drawn = best.choose(state).ids.tolist(), chance.choose(state).ids.tolist()
    chosen = (0.75 * best | 0.25 * chance).first(12).choose(state)
    assert len(set(chosen.ids.tolist())) == 12
    for k in range(1, 13):
        assert chosen.ids[:k].tolist() == (0.75 * best | 0.25 * chance).first(k).choose(state).ids.tolist()
    expected: list[int] = []
    for turn in ("best", "best", "chance", "best") * 3:
        expected.append(next(i for i in (order if turn == "best" else drawn) if i not in expected))
    assert chosen.ids.tolist() == expected
    assert "9 of top 100 unlabeled by margin(), 3 of sample of 100 unlabeled" in chosen.reason
    assert chosen.score is None
    assert (3 * best | 1 * chance).first(12).choose(state).ids.tolist() == expected, "only the ratio counts"


@given(st.lists(st.floats(0.01, 10), min_size=2, max_size=2), st.integers(1, 20))
def test_two_shares_are_met_to_less_than_a_record(state: State, shares: list[float], k: int) -> None:
    a, b = (records.where(n=[0, 1]), records.where(n=[2, 3]))
    chosen = (shares[0] * a | shares[1] * b).first(k).choose(state)
    taken = len(set(chosen.ids.tolist()) & set(a.choose(state).ids.tolist()))
    assert len(chosen) == k
    assert abs(taken - k * shares[0] / sum(shares)) <= 0.5 + 1e-9


def test_what_one_part_lacks_the_others_fill_up(state: State) -> None:
    few, many = unlabeled.first(2), unlabeled.sample(1000)
    chosen = (0.9 * few | 0.1 * many).first(10).choose(state)
    assert len(chosen) == 10
    assert set(few.choose(state).ids.tolist()) <= set(chosen.ids.tolist())
    assert len((0.9 * few | 0.1 * few).first(10).choose(state)) == 2


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: unlabeled.badge(0), r"badge\(k\) is a whole number of 1 or more, got 0"),
        (lambda: unlabeled.typical(1.5), r"typical\(k\) is a whole number"),
        (lambda: unlabeled.centers(-1), r"centers\(k\) is a whole number"),
        (lambda: unlabeled.first(0), r"first\(k\) is a whole number"),
        (lambda: unlabeled.cluster_margin(5, within=0), r"cluster_margin\(within=...\) is a whole number"),
        (lambda: unlabeled.cluster_margin(5, clusters=0), r"cluster_margin\(clusters=...\) is a whole number"),
        (lambda: unlabeled.covering(5, -1), r"covering\(radius=...\) is a number above 0, got -1"),
        (lambda: unlabeled.covering(5, float("nan")), r"is a number above 0, got nan"),
        (lambda: unlabeled.distinct(1.5), r"distinct\(threshold=...\) is a number above 0 and up to 1, got 1.5"),
        (lambda: unlabeled.diverse(5, by=3), r'diverse\(by=3\): "embeddings" or the name of a vector column'),
        (lambda: unlabeled.quota("split", {"train": 1}), r"quota\('split', ...\): count by"),
        (lambda: unlabeled.quota("label", {}), r"give how many of each value, such as"),
        (lambda: unlabeled.quota("label", ["cat"]), r"give how many of each value"),
        (lambda: unlabeled.quota("label", {"cat": 0}), r"quota\('label', ...\) of 'cat' is a whole number"),
        (lambda: unlabeled.quota("predicted", {1: 3}), r"a class name is text"),
        (lambda: 0 * unlabeled, r"the share of unlabeled is a number above 0, got 0"),
        (lambda: -0.5 * unlabeled, "is a number above 0, got -0.5"),
        (lambda: float("inf") * unlabeled, "is a number above 0, got inf"),
        (lambda: True * unlabeled, "is a number above 0, got True"),
        (lambda: (0.5 * unlabeled).first(0), r"first\(k\) is a whole number"),
        (lambda: Rule(select=0.5 * unlabeled, do=None), "a selector such as"),
    ],
)  # fmt: skip
def test_mistakes_are_told_where_they_are_written(write: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        write()


def test_every_part_of_a_mixture_has_a_share() -> None:
    with pytest.raises(NotData, match=r"needs a share for every part"):
        _ = 0.5 * unlabeled | labeled
    with pytest.raises(NotData, match=r"has a share and the selector beside it has none"):
        _ = labeled | 0.5 * unlabeled
    assert repr(unlabeled * 0.5 | 0.5 * labeled) == "0.5 * unlabeled | 0.5 * labeled"


@pytest.mark.parametrize("verb", ["diverse", "typical", "centers", "covering", "cluster_margin"])
def test_a_vector_that_is_not_there_is_told_with_the_likely_one(verb: str, state: State) -> None:
    with pytest.raises(UsageError, match=rf'{verb}\(by="w"\): no such vector. There is: embeddings, v'):
        getattr(unlabeled, verb)(3, by="w").choose(state)
