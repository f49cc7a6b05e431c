"""Signals of training dynamics: against loops over records and epochs, and on states that lack what they read."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.states import make_state
from tilth.algebra import Quantity, from_json, to_json
from tilth.errors import NotFound, UsageError
from tilth.selectors import labeled
from tilth.signals import (
    aum,
    cartography_confidence,
    correctness,
    curves,
    el2n,
    forgetting,
    loss,
    variability,
)
from tilth.state import State
from tilth.testing.signals import check_signal

ALL = [
    loss(),
    loss(by="last"),
    forgetting(),
    el2n(),
    el2n(first=2),
    aum(),
    cartography_confidence(),
    variability(),
    correctness(),
]
LEAST = 1e-7


def told(n: int, k: int = 3, e: int = 6, seed: int = 0) -> np.ndarray:
    """Return float32[n, k, e], a row a record, as `make_state` takes it."""
    return np.random.default_rng(seed).dirichlet(np.ones(k), (n, e)).astype(np.float32).transpose(0, 2, 1)


def by_hand(signal: Quantity, record: np.ndarray, y: int) -> float:
    """Return what a signal is of one record, float[k, e], by the words of its paper."""
    losses, norms, margins, own, right = [], [], [], [], []
    for p in record.astype(np.float64).T:
        others = [max(q, LEAST) for j, q in enumerate(p) if j != y]
        losses.append(-np.log(max(p[y], LEAST)))
        norms.append(np.linalg.norm(p - np.eye(len(p))[y]))
        margins.append(np.log(max(p[y], LEAST)) - np.log(max(others)))
        own.append(p[y])
        right.append(all(p[y] > q for j, q in enumerate(p) if j != y))
    events = sum(a and not b for a, b in pairwise(right)) if any(right) else len(right)
    return {
        "loss()": np.mean(losses),
        'loss(by="last")': losses[-1],
        "forgetting()": events,
        "el2n()": np.mean(norms[:10]),
        "el2n(first=2)": np.mean(norms[:2]),
        "aum()": np.mean(margins),
        "cartography_confidence()": np.mean(own),
        "variability()": np.std(own),
        "correctness()": np.mean(right),
    }[repr(signal)]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    n = 60
    epochs = told(n)
    labels = [None if i % 3 == 0 else ["bird", "cat", "dog"][i % 7 % 3] for i in range(n)]
    split = ["valid" if i % 5 == 0 else "train" for i in range(n)]
    for i in range(n):
        if labels[i] is None or split[i] == "valid":
            epochs[i] = np.nan
    return make_state(tmp_path_factory.mktemp("dynamics"), labels, split=split, epoch_probabilities=epochs)


@pytest.mark.parametrize("one", ALL, ids=repr)
def test_every_signal_passes_the_exam(one: Quantity, state: State) -> None:
    check_signal(one, state)
    assert from_json(to_json(one)) == one
    assert one.needs == {"epoch_probabilities"}


@pytest.mark.parametrize("one", ALL, ids=repr)
def test_every_signal_is_what_its_paper_says(one: Quantity, state: State) -> None:
    epochs = np.asarray(state.output("epoch_probabilities"))
    found = np.asarray(one.value(state))
    assert found.dtype == np.float32
    lesson = state.view.train & state.view.labeled
    assert np.array_equal(~np.isnan(found), lesson)
    for i in np.flatnonzero(lesson):
        assert found[i] == pytest.approx(by_hand(one, epochs[:, :, i].T, state.view.label[i]), abs=1e-5)


@given(
    st.tuples(st.integers(1, 5), st.integers(2, 4), st.integers(1, 20)).flatmap(
        lambda shape: arrays(np.float32, shape, elements=st.sampled_from([0, 0.25, 0.5, 1]))
    )
)
def test_ties_and_certainties_are_judged_alike_everywhere(said: np.ndarray) -> None:
    e, k, n = said.shape
    code = np.arange(n) % k
    ids = np.arange(n)
    for signal, tell in (
        ("forgetting()", curves.events_of_forgetting),
        ("aum()", curves.margin_area),
        ("el2n()", curves.squared_error_norm),
    ):
        one = next(s for s in ALL if repr(s) == signal)
        wanted = [by_hand(one, said[:, :, i].T, code[i]) for i in range(n)]
        assert curves.each_given(said, ids, code, tell) == pytest.approx(wanted, abs=1e-5)
    assert e == len(said)


def test_records_are_told_across_blocks_whether_they_lie_together_or_apart() -> None:
    e, k, n = 4, 3, curves.BLOCK // 12 + 700
    said = told(n, k, e).T.copy()
    code = np.arange(n) % k
    whole = curves.each_given(said, np.arange(n), code, curves.margin_area)
    some = np.flatnonzero(np.arange(n) % 3 > 0)
    assert np.array_equal(curves.each_given(said, some, code[some], curves.margin_area), whole[some])
    said[1, 2, 7] = np.nan
    again = curves.each_given(said, np.arange(n), code, curves.margin_area)
    assert np.flatnonzero(np.isnan(again)).tolist() == [7]
    assert curves.each_given(said, some[:0], code[:0], curves.margin_area).shape == (0,)


def test_a_wrong_label_is_learned_late_and_stands_out(tmp_path: Path) -> None:
    clean, wrong, torn = [0.6, 0.9, 0.99, 1.0], [0.1, 0.2, 0.4, 0.6], [0.6, 0.4, 0.6, 0.4]
    epochs = [np.array([row, [1 - q for q in row]]) for row in (clean, wrong, torn)]
    s = make_state(tmp_path, ["a", "a", "a"], classes=["a", "b"], epoch_probabilities=epochs)
    assert forgetting().value(s).tolist() == [0, 0, 2]
    assert correctness().value(s).tolist() == [1, 0.25, 0.5]
    assert (aum().value(s) < 0).tolist() == [False, True, False]
    assert np.argsort(loss().value(s)).tolist() == [0, 2, 1]
    assert loss(by="last").value(s)[0] == 0
    assert variability().value(s)[2] == pytest.approx(0.1)
    assert np.isfinite(aum().value(s)).all()


def test_one_epoch_one_class_and_what_was_never_learned(tmp_path: Path) -> None:
    s = make_state(tmp_path / "epoch", ["a", "b"], epoch_probabilities=[[[0.9], [0.1]], [[0.5], [0.5]]])
    assert variability().value(s).tolist() == [0, 0]
    assert forgetting().value(s).tolist() == [0, 1]  # a tie is not right, so it was never right in one epoch
    t = make_state(tmp_path / "class", ["a", "a"], epoch_probabilities=np.ones((2, 1, 3)))
    for signal in ALL:
        assert np.isfinite(signal.value(t)).all()
    assert correctness().value(t).tolist() == [1, 1]


def test_without_labels_or_epochs_nothing_is_chosen(tmp_path: Path) -> None:
    s = make_state(tmp_path / "none", [None, None], classes=["a", "b"], epoch_probabilities=told(2, k=2))
    for signal in ALL:
        assert np.isnan(signal.value(s)).all()
        assert len(labeled.top(5, by=signal).choose(s).ids) == 0
    bare = make_state(tmp_path / "bare", ["a", "b"], probabilities=[[0.5, 0.5], [1, 0]])
    with pytest.raises(NotFound, match="has no epoch_probabilities"):
        loss().value(bare)


def test_more_are_asked_for_than_there_are_and_ties_go_by_key(tmp_path: Path) -> None:
    epochs = np.repeat(told(1), 4, axis=0)
    keys = ["d", "b", "c", "a"]
    first = make_state(tmp_path / "one", ["a", "b", "c", "a"], keys=keys, epoch_probabilities=epochs)
    second = make_state(tmp_path / "two", ["a", "c", "b", "a"], keys=keys[::-1], epoch_probabilities=epochs)
    chosen = [s.dataset.keys(labeled.top(9, by=variability()).choose(s).ids) for s in (first, second)]
    assert sorted(chosen[0]) == sorted(keys)
    assert chosen[0][:2] == chosen[1][:2] or variability().value(first)[1] != variability().value(second)[2]


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda: loss(by="first"), r"loss\(by=...\): no 'first'. There is: mean, last"),
        (lambda: el2n(first=0), r"el2n\(first=...\) is a whole number of 1 or more, got 0"),
        (lambda: aum(3), r"aum\(\): too many positional arguments"),
    ],
)
def test_mistakes_are_told_where_they_are_written(write: object, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        write()  # type: ignore[operator]
