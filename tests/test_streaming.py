"""The best of more records than one part holds: the same ones as by looking at all at once, in little memory."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.states import make_state, observed
from tilth.algebra import Quantity, from_json, metric, signal, to_json
from tilth.dataset import Dataset
from tilth.dataset.schema import Column, LabelType, Schema
from tilth.dataset.splits import draw
from tilth.metrics import labels_spent
from tilth.outputs import Outputs
from tilth.selectors import Selector, records, unlabeled
from tilth.signals import confidence, density, entropy, label_quality, least_confident, margin, random, weight
from tilth.signals.kernels import entropy_above, mean_entropy
from tilth.state import State
from tilth.testing.signals import check_signal

N, K = 150_000, 3
"""More than two parts."""
CLASSES = ["bird", "cat", "dog"]
POINTWISE = [margin(), entropy(), least_confident(), confidence(), weight(), label_quality(), margin() * 2 - entropy()]


def said(n: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return probabilities of which many are equal, and some unknown."""
    p = np.random.default_rng(seed).dirichlet(np.ones(K), n).round(2).astype(np.float32)
    p[::97] = np.nan
    return p


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    labels = [None if i % 3 else CLASSES[i % 7 % 3] for i in range(N)]
    split = [("train", "train", "train", "train", "valid")[i % 5] for i in range(N)]
    p = said(N)
    folder = tmp_path_factory.mktemp("many")
    return make_state(folder, labels, split=split, classes=CLASSES, probabilities=p, probe_probabilities=p[::-1])


def by_sorting(selector: Selector, state: State, k: int, score: npt.NDArray[Any]) -> list[int]:
    """Return the best k of what a selector chooses, by sorting all of it: score, then the draw from the key."""
    ids = np.flatnonzero(selector.pick(state).flags(state) & ~np.isnan(score))
    ties = draw(state.dataset.key_hash[ids], "ties")
    return ids[np.lexsort((ties, -score[ids]))][:k].tolist()


@pytest.mark.parametrize("quantity", POINTWISE, ids=repr)
def test_parts_say_what_the_whole_says(quantity: Quantity, state: State) -> None:
    assert quantity.pointwise
    whole = np.asarray(quantity.compute(state))
    parts = [np.asarray(quantity.compute(part)) for _, part in state.parts()]
    assert len(parts) > 2
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("bar", [-np.inf, 0.0, 0.5, 0.9, 1.0, np.inf])
@pytest.mark.parametrize("quantity", [margin(), entropy(), confidence(), margin() * entropy()], ids=repr)
def test_what_is_above_a_bar_is_what_the_whole_says(quantity: Quantity, bar: float, state: State) -> None:
    whole = np.asarray(quantity.compute(state))
    at, found = quantity.above(state, bar)
    np.testing.assert_array_equal(at, np.flatnonzero(~(whole < bar)))
    np.testing.assert_array_equal(found, whole[at])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("classes", [1, 2, 4, 10, 300])
def test_no_bound_rules_out_an_entropy_that_reaches_the_bar(classes: int, several: bool, dtype: type) -> None:
    chance = np.random.default_rng(classes)
    p = chance.dirichlet(np.full(classes, 0.3), 2000).astype(dtype).T
    # halves, where the bound is the entropy itself; certain; not quite summing to 1; unknown
    p[:, 0], p[:2, 0], p[:, 1], p[0, 1] = 0, 0.5, 0, 1
    p[:, 2], p[:, 3], p[:, 4], p[-1, 5] = 1 / classes, 1e-30, 0.7, np.nan
    whole = mean_entropy(p, several=several)
    for bar in np.unique(whole[~np.isnan(whole)])[:: 97 if classes > 1 else 1].astype(float):
        at, found = entropy_above(p, bar, several=several)
        np.testing.assert_array_equal(at, np.flatnonzero(~(whole < bar)))
        np.testing.assert_array_equal(found, whole[at])


@pytest.mark.parametrize("k", [1, 50, 5000, 2 * N])
@pytest.mark.parametrize("by", [margin(), entropy(), confidence(), label_quality()], ids=repr)
def test_the_top_is_that_of_sorting_everything(by: Quantity, k: int, state: State) -> None:
    score = np.asarray(by.compute(state))
    for base in (unlabeled, records.where(entropy() > 0.2)):
        assert base.top(k, by=by).choose(state).ids.tolist() == by_sorting(base, state, k, score)
        assert base.bottom(k, by=by).choose(state).ids.tolist() == by_sorting(base, state, k, -score)


def test_the_top_of_ordered_records_is_that_of_sorting_these(state: State) -> None:
    some = records.sample(20_000)
    chosen = some.top(100, by=margin()).choose(state)
    assert chosen.ids.tolist() == by_sorting(some, state, 100, np.asarray(margin().compute(state)))


def test_what_is_unknown_is_counted_and_never_chosen(state: State) -> None:
    chosen = records.top(2 * N, by=margin()).choose(state)
    unknown = state.view.train & np.isnan(np.asarray(state.probabilities[0]))
    assert chosen.passed_over == unknown.sum() > 0
    assert len(chosen) == state.view.train.sum() - unknown.sum()
    assert not unknown[chosen.ids].any()


@pytest.mark.parametrize("shape", ["rising", "falling", "equal", "one", "nothing"])
def test_no_order_of_scores_changes_the_answer(shape: str, tmp_path: Path) -> None:
    p = {
        "rising": np.linspace(0, 0.5, N),
        "falling": np.linspace(0.5, 0, N),
        "equal": np.full(N, 0.25),
        "one": np.where(np.arange(N) == N - 1, 0.5, 0.0),
        "nothing": np.full(N, np.nan),
    }[shape].astype(np.float32)
    state = make_state(tmp_path, [None] * N, classes=["a", "b"], probabilities=np.stack([p, 1 - p], axis=1))
    score = np.asarray(margin().compute(state))
    assert unlabeled.top(300, by=margin()).choose(state).ids.tolist() == by_sorting(unlabeled, state, 300, score)


def test_the_same_records_in_another_order_give_the_same_keys(tmp_path: Path) -> None:
    p, keys = said(N, seed=1), [f"r{i}" for i in range(N)]
    order = np.random.default_rng(2).permutation(N)
    found: list[list[str]] = []
    for name, rows in (("one", np.arange(N)), ("two", order)):
        given = {"keys": [keys[i] for i in rows], "classes": CLASSES, "probabilities": p[rows]}
        state = make_state(tmp_path / name, [None] * N, **given)
        found.append(state.dataset.keys(unlabeled.top(400, by=margin()).choose(state).ids))
    assert found[0] == found[1]


def test_records_that_the_model_has_not_seen_are_not_chosen(tmp_path: Path) -> None:
    n = 70_000
    state = make_state(tmp_path, [None] * n, classes=CLASSES)
    seen = np.sort(np.random.default_rng(0).permutation(n)[: n // 2])
    p = said(len(seen), seed=3)
    outputs = Outputs.create(state.dataset.path / "outputs" / "some", seen, {})
    outputs.add("probabilities", p.T)
    outputs.add("embeddings", p)
    state = State(state.dataset, outputs)
    score = np.asarray(margin().compute(state))
    assert np.isnan(score).sum() == n - len(seen) + np.isnan(p[:, 0]).sum()
    assert unlabeled.top(99, by=margin()).choose(state).ids.tolist() == by_sorting(unlabeled, state, 99, score)
    rows = np.concatenate([part.output("embeddings") for _, part in state.parts()])
    np.testing.assert_array_equal(rows, state.output("embeddings"))


def test_an_empty_dataset_has_no_parts(tmp_path: Path) -> None:
    schema = Schema((Column("x", "number"),), LabelType("class", ("a", "b")))
    dataset = Dataset.create(tmp_path / "none", schema=schema, durability="process")
    state = observed(dataset, probabilities=np.empty((0, 2)))
    assert list(state.parts()) == []
    assert len(unlabeled.top(5, by=margin()).choose(state)) == 0


@signal(needs={"probabilities"}, pointwise=True)
def above_the_mean(state: State) -> npt.NDArray[Any]:
    """Break the promise: a record's number rests on the others."""
    top = np.asarray(state.probabilities).max(axis=0)
    return top - np.nanmean(top)


@metric()
def number_of_records(state: State) -> float:
    """Say something that no part can say."""
    return float(len(state))


def test_the_exam_finds_a_signal_that_only_says_it_is_pointwise(tmp_path: Path) -> None:
    state = make_state(tmp_path, ["a", None, "b"] * 10, probabilities=np.random.default_rng(0).dirichlet([1, 1], 30))
    with pytest.raises(AssertionError, match=r"above_the_mean.* says that it is pointwise, and is another"):
        check_signal(above_the_mean(), state)
    for quantity in (margin(), entropy(), weight()):
        check_signal(quantity, state)


def test_what_rests_on_other_records_is_not_pointwise(state: State) -> None:
    assert not density().pointwise
    assert not random().pointwise
    assert not labels_spent().pointwise
    by = margin() / number_of_records()
    assert not by.pointwise
    chosen = unlabeled.top(3, by=by).choose(state)
    assert chosen.score == pytest.approx(np.asarray(margin().compute(state))[chosen.ids] / N)


def test_pointwise_survives_json() -> None:
    assert from_json(to_json(margin())).pointwise
    assert not from_json(to_json(density())).pointwise


MEMORY = """
import sys
from bench.machine import peak_memory, resident
from tilth.dataset import Dataset
from tilth.outputs import Outputs
from tilth.selectors import unlabeled
from tilth.signals import margin
from tilth.state import State
dataset = Dataset.open(sys.argv[1]).at(-1)
dataset.view.pool, dataset.key_hash
idle = resident()
unlabeled.top(100, by=margin()).choose(State(dataset, Outputs(dataset.path / "outputs" / "m")))
print(peak_memory() - idle)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell how much memory is used")
def test_probabilities_are_never_in_memory_at_once(tmp_path: Path) -> None:
    n, k = 1_500_000, 16
    state = make_state(tmp_path, [None] * n, classes=[f"c{i}" for i in range(k)])
    p = np.random.default_rng(0).random((k, n), dtype=np.float32)
    Outputs.create(state.dataset.path / "outputs" / "m", np.arange(n), {}).add("probabilities", p)
    command = [sys.executable, "-c", MEMORY, str(state.dataset.path)]
    used = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]).stdout
    # the system may map 2 MB of each class at a time: a third
    assert float(used) < 0.8 * p.nbytes
