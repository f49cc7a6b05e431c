"""What records are worth: against the definitions, over all subsets and all bags, and on data with known mistakes."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.states import make_state, observed
from tilth.algebra import Quantity
from tilth.changes import EVENT, Changes, Field, Op, events
from tilth.errors import UsageError
from tilth.signals import data_oob, leave_one_out, shapley
from tilth.signals.nearest import nearest
from tilth.signals.valuing import bagged_votes, leave_one_out_values, shapley_values, unrelated
from tilth.state import State
from tilth.testing.signals import check_signal

SIGNALS = [
    shapley(),
    shapley(k=2, reference=9),
    shapley(k=2, metric="euclidean"),
    leave_one_out(),
    leave_one_out(k=1, metric="euclidean"),
    data_oob(),
    data_oob(k=4),
]


def content(n: int = 60) -> dict[str, Any]:
    """Return what `make_state` takes: three classes in three directions, every tenth label wrong."""
    chance = np.random.default_rng(n)
    code = chance.integers(0, 3, n)
    rows = (3 * np.eye(3)[code] + chance.normal(size=(n, 3))).astype(np.float32)
    rows[7], rows[8, 1] = 0, np.nan
    wrong = np.arange(n) % 10 == 0
    return {
        "labels": [None if i % 7 == 6 else "abc"[(code[i] + wrong[i]) % 3] for i in range(n)],
        "keys": [f"k{i:03d}" for i in range(n)],
        "split": ["valid" if i % 6 == 5 else "train" for i in range(n)],
        "embeddings": rows,
    }


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return make_state(tmp_path_factory.mktemp("value"), **content())


@pytest.mark.parametrize("one", SIGNALS, ids=repr)
def test_each_signal_passes_the_exam(one: Quantity, state: State) -> None:
    check_signal(one, state)


# -- the definitions ---------------------------------------------------------------------------------------------------


def ranked(rows: np.ndarray, one: np.ndarray, among: list[int]) -> list[int]:
    """Return rows from near to far, equally far ones in their order."""
    square = ((rows.astype(np.float64) - one) ** 2).sum(axis=1)
    return sorted(among, key=lambda i: (square[i], i))


def worth(order: list[int], label: np.ndarray, asked: int, k: int) -> float:
    """Return the share of right votes of the first k of an order, which may be fewer."""
    return sum(label[i] == asked for i in order[:k]) / k


def shapley_by_hand(
    rows: np.ndarray, label: np.ndarray, reference: np.ndarray, asked: np.ndarray, k: int, kin: np.ndarray
) -> np.ndarray:
    """Return the Shapley values by their definition, over all subsets; `kin` [n, m]: who is left out where."""
    n = len(rows)
    total = np.zeros(n)
    for t, (one, right) in enumerate(zip(reference, asked, strict=True)):
        players = [i for i in range(n) if not kin[i, t]]
        for i in players:
            others = [j for j in players if j != i]
            for size in range(len(others) + 1):
                weight = 1 / (len(players) * math.comb(len(others), size))
                for some in itertools.combinations(others, size):
                    gain = worth(ranked(rows, one, [*some, i]), label, right, k)
                    total[i] += weight * (gain - worth(ranked(rows, one, list(some)), label, right, k))
    counted = (~kin).sum(axis=1)
    return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)


def theorem(rows: np.ndarray, label: np.ndarray, reference: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """Return the recursion of Jia et al. 2019, Theorem 1, one by one."""
    n = len(rows)
    total = np.zeros(n)
    for one, right in zip(reference, asked, strict=True):
        order = ranked(rows, one, list(range(n)))
        value = float(label[order[-1]] == right) * min(k, n) / (k * n)
        total[order[-1]] += value
        for i in range(n - 1, 0, -1):
            step = float(label[order[i - 1]] == right) - float(label[order[i]] == right)
            value += step / k * min(k, i) / i
            total[order[i - 1]] += value
    return total / len(reference)


small = st.tuples(st.integers(1, 7), st.integers(1, 3)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float32, (shape[0], 2), elements=st.integers(-2, 2)),
        arrays(np.int64, shape[0], elements=st.integers(0, 2)),
        arrays(np.float32, (shape[1], 2), elements=st.integers(-2, 2)),
        arrays(np.int64, shape[1], elements=st.integers(0, 2)),
        arrays(np.int64, shape[0], elements=st.integers(0, 4)),
        arrays(np.int64, shape[1], elements=st.integers(0, 6)),
    )
)


@given(small, st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_shapley_values_are_those_of_the_definition(data: tuple[np.ndarray, ...], k: int) -> None:
    rows, label, reference, asked, family, reference_family = data
    nobody = np.zeros((len(rows), len(reference)), bool)
    found = shapley_values(rows, label, reference, asked, k)
    assert found == pytest.approx(shapley_by_hand(rows, label, reference, asked, k, nobody), abs=1e-12)
    whole = [worth(ranked(rows, r, list(range(len(rows)))), label, a, k) for r, a in zip(reference, asked, strict=True)]
    assert found.sum() == pytest.approx(np.mean(whole)), "they share out what all are worth"
    apart = shapley_values(rows, label, reference, asked, k, family=family, reference_family=reference_family)
    kin = family[:, None] == reference_family
    assert apart == pytest.approx(shapley_by_hand(rows, label, reference, asked, k, kin), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 5, 900])
def test_shapley_values_follow_the_theorem_on_many_rows(dtype: type, k: int) -> None:
    chance = np.random.default_rng(k)
    rows = chance.normal(size=(700, 9)).astype(dtype)
    rows[300:340] = rows[0]  # copies
    label = chance.integers(0, 4, 700)
    reference, asked = chance.normal(size=(11, 9)).astype(dtype), chance.integers(0, 4, 11)
    found = shapley_values(rows, label, reference, asked, k)
    assert found == pytest.approx(theorem(rows, label, reference, asked, k), abs=1e-12)


def test_distances_are_told_apart_up_to_rounding() -> None:
    chance = np.random.default_rng(0)
    rows = np.concatenate([1 + 1e-10 * chance.permutation(400)[:, None], [[1e5]]])
    label = chance.integers(0, 2, 401)
    reference, asked = np.array([[0.0]]), np.array([1])
    # 1e-10 of a range of 1e10 (squared) is beyond what float64 holds: then rows go by their order
    found = shapley_values(rows, label, reference, asked, 3)
    flat = np.concatenate([np.ones((400, 1)), [[1e5]]])
    assert found == pytest.approx(theorem(flat, label, reference, asked, 3), abs=1e-12)
    near = 1 + 1e-6 * chance.permutation(400)[:, None]  # within 44 bits of a range of 1e4
    rows = np.concatenate([near, [[100.0]]])
    found = shapley_values(rows, label, reference, asked, 3)
    assert found == pytest.approx(theorem(rows, label, reference, asked, 3), abs=1e-12)


@given(small, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_leave_one_out_is_what_the_vote_loses(data: tuple[np.ndarray, ...], k: int) -> None:
    rows, label, _, _, family, _ = data
    n = len(rows)
    expected = np.full(n, np.nan)
    for i in range(n):
        asked = [t for t in range(n) if family[t] != family[i]]
        losses = []
        for t in asked:
            voters = [j for j in range(n) if family[j] != family[t]]
            fewer = [j for j in voters if j != i]
            with_it = worth(ranked(rows, rows[t], voters), label, label[t], k)
            losses.append(with_it - worth(ranked(rows, rows[t], fewer), label, label[t], k))
        if losses:
            expected[i] = np.mean(losses)
    near = unrelated(nearest(rows, n)[0], family)
    assert leave_one_out_values(near, label, k, family=family) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(("voters", "draws"), [(1, 1), (1, 4), (2, 3), (3, 3), (3, 4), (4, 5), (5, 6)])
@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_bagged_votes_are_the_mean_over_all_bags(voters: int, draws: int, k: int) -> None:
    share = np.zeros(voters)
    for bag in itertools.product(range(voters), repeat=draws):
        for rank in sorted(bag)[:k]:
            share[rank] += 1 / min(k, draws)
    assert bagged_votes(k, voters, draws) == pytest.approx(share / voters**draws, abs=1e-8)


@pytest.mark.parametrize(("voters", "draws", "k"), [(10, 11, 5), (500, 501, 1), (10**6, 10**6 + 1, 30), (40, 41, 400)])
def test_bagged_votes_are_shares_of_one_and_end_where_nothing_is_left(voters: int, draws: int, k: int) -> None:
    found = bagged_votes(k, voters, draws)
    assert found.sum() == pytest.approx(1, abs=2e-8)
    assert (found >= -1e-12).all()
    assert (np.diff(found) < 1e-9).all(), "the nearer, the more"
    assert len(found) <= min(voters, 2 * k + 8 * np.sqrt(k) + 42)


# -- the signals -------------------------------------------------------------------------------------------------------


def members(state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, unit rows and codes of the labelled training records with a direction, by key hash."""
    rows = np.asarray(state.output("embeddings"), np.float64)
    fine = np.isfinite(rows).all(axis=1) & (np.nan_to_num(rows) != 0).any(axis=1)
    ids = np.flatnonzero(state.view.train & state.view.labeled & fine & (state.view.weight > 0))
    ids = ids[np.argsort(state.dataset.key_hash[ids])]
    return ids, rows[ids] / np.linalg.norm(rows[ids], axis=1, keepdims=True), state.view.label[ids]


def test_shapley_asks_each_record_about_all_others(state: State) -> None:
    ids, rows, code = members(state)
    found = shapley(k=3).value(state)
    expected = np.zeros(len(ids))
    for t in range(len(ids)):
        others = np.delete(np.arange(len(ids)), t)
        expected[others] += theorem(rows[others], code[others], rows[t : t + 1], code[t : t + 1], 3)
    assert found[ids] == pytest.approx(expected / (len(ids) - 1), abs=1e-9)
    assert np.isnan(np.delete(found, ids)).all()


def test_data_oob_is_the_limit_of_many_bags(state: State) -> None:
    ids, rows, code = members(state)
    n, chance = len(ids), np.random.default_rng(0)
    right, seen = np.zeros(n), np.zeros(n)
    product = rows @ rows.T
    for _ in range(4000):
        bag = np.unique(chance.integers(0, n, n))
        out = np.setdiff1d(np.arange(n), bag)
        right[out] += code[bag[product[out][:, bag].argmax(axis=1)]] == code[out]
        seen[out] += 1
    found = data_oob().value(state)[ids]
    assert found == pytest.approx(right / seen, abs=0.06)
    assert ((found >= 0) & (found <= 1)).all()


def test_wrong_labels_come_last(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    code = chance.integers(0, 3, 300)
    wrong = chance.random(300) < 0.1
    rows = 4 * np.eye(3)[code] + chance.normal(size=(300, 3)) / 2
    s = make_state(tmp_path, ["abc"[c] for c in (code + wrong) % 3], embeddings=rows)
    for one in (shapley(), data_oob(), data_oob(k=5)):
        worst = np.argsort(one.value(s))[: wrong.sum()]
        assert wrong[worst].mean() > 0.9, one
    assert leave_one_out().value(s)[wrong].mean() < 0 < leave_one_out().value(s)[~wrong].mean()


def test_what_derives_from_a_record_says_nothing_of_it(tmp_path: Path) -> None:
    rows = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    s = make_state(tmp_path, ["a", "b", "b", "b"], embeddings=rows)
    dataset = type(s.dataset).open(s.dataset.path)
    child = {"key": ["child"], "x": [9.0], "label0": [0], "split0": [0], "parent": [0], "recipe": ["flip"]}
    types = {"label0": pa.int32(), "split0": pa.int8(), "parent": pa.int64()}
    dataset.commit(Changes(EVENT.empty_table(), pa.table({k: pa.array(v, types.get(k)) for k, v in child.items()})))
    beside = observed(dataset, ref="beside", embeddings=[*rows, rows[0]])
    assert len(beside) == 5
    assert data_oob().value(beside)[[0, 4]].tolist() == [0, 0], "its copy, nearest of all, has no vote on it"
    assert leave_one_out(k=1).value(beside)[0] <= 0
    near = data_oob().value(beside)[1]
    assert near == pytest.approx(bagged_votes(1, 4, 5)[2:].sum()), "on others both have"
    away = observed(dataset, ref="away", embeddings=[*rows, [-1, 0]])
    assert data_oob().value(away)[1] == pytest.approx(bagged_votes(1, 4, 5)[1:3].sum())


def test_held_out_labels_are_not_read(state: State, tmp_path: Path) -> None:
    data = content()
    hidden = ["c" if i % 6 == 5 else label for i, label in enumerate(data["labels"])]
    other = make_state(tmp_path, **(data | {"labels": hidden}))
    for one in SIGNALS:
        assert np.array_equal(one.value(state), one.value(other), equal_nan=True), one


def test_the_seed_draws_who_is_asked_about(state: State) -> None:
    first, all_of_them = shapley(reference=9), shapley(reference=1000)
    other = State(state.dataset, state.outputs, (), 1)
    assert not np.array_equal(first.value(state), first.value(other), equal_nan=True)
    assert np.array_equal(all_of_them.value(state), all_of_them.value(other), equal_nan=True)


def test_records_of_weight_0_teach_nothing(state: State) -> None:
    dataset = type(state.dataset).open(state.dataset.path)
    before = State(dataset.at(-1), state.outputs)
    ids = members(before)[0]
    dataset.commit(Changes(events(Op.SET, ids[:3], field=Field.WEIGHT, num=0)))
    later = State(dataset.at(-1), state.outputs)
    for one in SIGNALS:
        known = ~np.isnan(one.value(before))
        assert known[ids[:3]].all()
        known[ids[:3]] = False
        assert np.array_equal(~np.isnan(one.value(later)), known)
    dataset.commit(Changes(events(Op.SET, ids[:3], field=Field.WEIGHT, num=1)))


@pytest.mark.parametrize(
    ("labels", "known"),
    [([], 0), ([None, None], 0), (["a"], 0), (["a", None], 0), (["a", "a"], 2), (["a", "b"], 2)],
    ids=["nobody", "no label", "one", "one label", "one class", "two"],
)
def test_pools_of_nobody_and_of_a_few(tmp_path: Path, labels: list[str | None], known: int) -> None:
    n = len(labels)
    s = make_state(
        tmp_path,
        [*labels, "a"],
        split=["train"] * n + ["test"],
        classes=["a", "b"],
        embeddings=np.arange(1, 2 * n + 3).reshape(-1, 2),
    )
    for one in SIGNALS:
        assert (~np.isnan(one.value(s))).sum() == known, one
    if labels == ["a", "a"]:
        assert data_oob(k=9).value(s)[:2].tolist() == [1, 1]
        assert leave_one_out(k=1).value(s)[:2].tolist() == [1, 1]


def test_mistakes_are_told_where_they_are_written() -> None:
    with pytest.raises(UsageError, match=r"shapley\(reference=...\) is a whole number of 1 or more, got 0"):
        shapley(reference=0)
    with pytest.raises(UsageError, match=r"data_oob\(k=...\) is a whole number of 1 or more, got 1.5"):
        data_oob(k=1.5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"leave_one_out\(metric=...\): no 'dot'. There is: cosine, euclidean"):
        leave_one_out(metric="dot")
