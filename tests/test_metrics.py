"""Metrics: against scikit-learn, where they are not defined, and how sure they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from tests.states import answer, ask, make_state, observed, past
from tilth.algebra import Quantity, from_json, metric, to_json
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.metrics import (
    accuracy,
    cost,
    f1,
    gain,
    labeled_count,
    labels_spent,
    log_loss,
    mae,
    paired,
    pool_size,
    precision,
    r2,
    recall,
    rmse,
    rounds,
    standard_error,
)
from tilth.signals import entropy
from tilth.state import State
from tilth.testing.signals import check_metric

N = 300
CLASSES = ["a", "b", "c", "d"]


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).astype(np.float32)


def classified(folder: Path, *, seed: int = 0, noise: float = 1.0, n: int = N) -> State:
    """Half of the records are valid; class d is predicted now and then, and no label of valid has it."""
    chance = np.random.default_rng(seed)
    y = chance.integers(0, 3, n)
    y[: n // 2 : 50] = 3
    p = softmax(np.eye(4)[y] + noise * chance.normal(size=(n, 4)))
    labels = [CLASSES[c] for c in y]
    return make_state(
        folder, labels, split=["train"] * (n // 2) + ["valid"] * (n - n // 2), classes=CLASSES, probabilities=p
    )


def judged(s: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids = s.judged("valid")
    p = np.asarray(s.probabilities)[:, ids].T
    return s.view.label[ids], p.argmax(axis=1), p


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return classified(tmp_path_factory.mktemp("metrics"))


def test_class_metrics_agree_with_scikit_learn(state: State) -> None:
    y, said, p = judged(state)
    present = sorted(set(y.tolist()))
    assert set(said.tolist()) - set(present), "the example has a predicted class that no label has"
    macro = {"labels": present, "average": "macro", "zero_division": 0}
    assert accuracy().value(state) == pytest.approx(sk.accuracy_score(y, said))
    assert precision().value(state) == pytest.approx(sk.precision_score(y, said, **macro))
    assert recall().value(state) == pytest.approx(sk.recall_score(y, said, **macro))
    assert f1().value(state) == pytest.approx(sk.f1_score(y, said, **macro))
    assert f1(average="micro").value(state) == pytest.approx(sk.f1_score(y, said, average="micro"))
    assert log_loss().value(state) == pytest.approx(sk.log_loss(y, p, labels=range(4)), rel=1e-5)
    for code in present:
        one = {"labels": [code], "average": "macro", "zero_division": 0}
        assert precision(CLASSES[code]).value(state) == pytest.approx(sk.precision_score(y, said, **one))
        assert recall(CLASSES[code]).value(state) == pytest.approx(sk.recall_score(y, said, **one))
        assert f1(CLASSES[code]).value(state) == pytest.approx(sk.f1_score(y, said, **one))


def test_several_classes_agree_with_scikit_learn(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    truth = chance.random((60, 3)) < 0.4
    truth[0] = False
    p = np.clip(truth * 0.5 + chance.random((60, 3)) * 0.6, 0, 1)
    labels = [[c for c, yes in zip("abc", row, strict=True) if yes] for row in truth]
    s = make_state(tmp_path, labels, split="valid", classes=["a", "b", "c"], label_kind="classes", probabilities=p)
    said = p.astype(np.float32) >= 0.5
    assert accuracy().value(s) == pytest.approx(sk.accuracy_score(truth, said))
    assert f1().value(s) == pytest.approx(sk.f1_score(truth, said, average="macro"))
    assert f1(average="micro").value(s) == pytest.approx(sk.f1_score(truth, said, average="micro"))
    assert recall("b").value(s) == pytest.approx(sk.recall_score(truth[:, 1], said[:, 1]))
    assert precision().value(s) == pytest.approx(sk.precision_score(truth, said, average="macro"))
    assert standard_error(accuracy(), s) > 0


def test_number_metrics_agree_with_scikit_learn(tmp_path: Path) -> None:
    chance = np.random.default_rng(4)
    y = chance.normal(size=50) + 1000
    said = (y + chance.normal(size=50) * 0.3).astype(np.float32)
    s = make_state(tmp_path, y.tolist(), split="valid", label_kind="number", probabilities=said[:, None])
    assert mae().value(s) == pytest.approx(sk.mean_absolute_error(y, said.astype(float)))
    assert rmse().value(s) == pytest.approx(sk.root_mean_squared_error(y, said.astype(float)))
    assert r2().value(s) == pytest.approx(sk.r2_score(y, said.astype(float)))
    assert standard_error(-rmse(), s) == pytest.approx(standard_error(rmse(), s))


def test_r2_keeps_its_digits_where_labels_are_far_from_zero(tmp_path: Path) -> None:
    y = 1e7 + np.arange(20.0)
    said = (y + np.tile([1.0, -1.0], 10)).astype(np.float32)
    s = make_state(tmp_path, y.tolist(), split="valid", label_kind="number", probabilities=said[:, None])
    assert r2().value(s) == pytest.approx(sk.r2_score(y, said.astype(float)), rel=1e-9)


def test_equal_numbers_have_no_r2(tmp_path: Path) -> None:
    s = make_state(tmp_path, [0.1, 0.1, 0.1], split="valid", label_kind="number", probabilities=[[0.1], [0.2], [0.3]])
    assert np.isnan(r2().value(s))


def test_what_is_not_defined_is_nan_so_that_no_comparison_holds(state: State, tmp_path: Path) -> None:
    for one in (recall("d"), precision("d"), f1("d")):
        assert np.isnan(one.value(state))
        assert not (one < 0.9).holds(state)
        assert not (one >= 0).holds(state)
    nobody = make_state(tmp_path, ["a", "b"], split="train", probabilities=[[1, 0], [0, 1]])
    for one in (accuracy(), recall(), f1(average="micro"), f1(), log_loss()):
        assert np.isnan(one.value(nobody))
        assert np.isnan(standard_error(one, nobody))
        assert np.isnan(paired(one, nobody, nobody).standard_error)


def test_a_class_that_is_never_predicted_has_precision_zero(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"], split="valid", probabilities=[[1, 0], [1, 0]])
    assert precision("b").value(s) == 0
    assert precision().value(s) == 0.25


def test_the_test_split_is_reported_only_when_asked_for(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b", "a"], split=["valid", "test", "test"], probabilities=[[1, 0], [1, 0], [1, 0]])
    assert accuracy().value(s) == 1
    assert accuracy().on(s, "test") == 0.5
    with pytest.raises(UsageError, match="no split 'vaild'; there is train, valid, test"):
        accuracy().on(s, "vaild")


def test_unlabelled_and_removed_records_are_not_judged(tmp_path: Path) -> None:
    s = make_state(
        tmp_path, ["a", None, "b"], split="valid", classes=["a", "b"], probabilities=[[1, 0], [1, 0], [1, 0]]
    )
    assert accuracy().value(s) == 0.5


def test_an_unknown_class_is_told_with_the_likely_one(state: State) -> None:
    with pytest.raises(UsageError, match=r"no class 'e' in version 0. There is: a, b, c, d"):
        (recall("e") < 0.9).holds(state)
    with pytest.raises(UsageError, match=r"f1\(average=...\): no 'weighted'. There is: macro, micro"):
        f1(average="weighted")


# -- cost and progress -------------------------------------------------------------------------------------------------


def test_what_the_data_cost_and_what_is_left(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", None, None, None, "a"], split=["train"] * 4 + ["valid"], classes=["a", "b"])
    dataset = Dataset.open(s.dataset.path)
    ask(dataset, [1, 2])
    answer(dataset, [1], cost=2.5)
    s = observed(dataset, rounds=[past(), past()])
    found = {repr(q): q.value(s) for q in (labels_spent(), cost(), rounds(), labeled_count(), pool_size())}
    assert found == {"labels_spent()": 1, "cost()": 2.5, "rounds()": 2, "labeled_count()": 1, "pool_size()": 1}


def test_gain_compares_with_the_round_before(state: State) -> None:
    now = accuracy().value(state)
    rounds = (past(**{"accuracy()": now - 0.3}), past(**{"accuracy()": now - 0.1}))
    later = State(state.dataset, state.outputs, rounds, 0)
    assert gain(accuracy()).value(later) == pytest.approx(0.1)
    assert gain(accuracy(), over=2).value(later) == pytest.approx(0.3)
    assert np.isnan(gain(accuracy(), over=3).value(later))
    assert np.isnan(gain(recall("a")).value(later)), "a metric that the round did not keep"
    assert not (gain(accuracy(), over=3) < 1).holds(later)
    assert repr(gain(recall("a"), over=2) < 0.001) == 'gain(recall("a"), over=2) < 0.001'
    assert gain(accuracy()).needs == {"probabilities"}
    assert from_json(to_json(gain(recall("a"), over=2))) == gain(recall("a"), over=2)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda: gain(entropy()),
            r"gain\(entropy\(\)\): the gain of a metric, such as gain\(accuracy\(\)\); got Signal",
        ),
        (lambda: gain(accuracy), "got function"),
        (lambda: gain(accuracy(), over=0), r"gain\(over=...\) is a whole number of 1 or more, got 0"),
        (gain, "missing a required argument: 'metric'"),
    ],
)
def test_gain_takes_a_metric(write: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        write()


# -- how sure ----------------------------------------------------------------------------------------------------------


@metric(needs={"probabilities"})
def own_accuracy(state: State, *, split: str = "valid") -> float:
    ids = state.judged(split)
    return float((state.predicted[ids] == state.view.label[ids]).mean())


def test_the_standard_error_of_a_share_is_the_binomial_one(state: State) -> None:
    share = accuracy().value(state)
    by_hand = np.sqrt(share * (1 - share) / len(state.judged("valid")))
    assert standard_error(accuracy(), state) == pytest.approx(by_hand, rel=0.15)
    assert standard_error(own_accuracy(), state) == pytest.approx(by_hand, rel=0.5)
    assert standard_error(labels_spent(), state) == 0


def both(state: State, *, noise: float) -> State:
    """Return the state after a training that changed the predictions."""
    p = np.asarray(state.probabilities).T
    changed = softmax(np.log(p) + noise * np.random.default_rng(9).normal(size=p.shape))
    return observed(state.dataset, ref=f"after{noise}", probabilities=changed)


def test_the_paired_error_of_accuracy_is_that_of_the_records_difference(state: State) -> None:
    after = both(state, noise=1.0)
    ids = state.judged("valid")
    y = state.view.label[ids]
    change = (after.predicted[ids] == y).astype(float) - (state.predicted[ids] == y)
    found = paired(accuracy(), state, after)
    gained, error = found.gain, found.standard_error
    assert gained == pytest.approx(accuracy().value(after) - accuracy().value(state))
    assert error == pytest.approx(change.std(ddof=1) / np.sqrt(len(ids)))
    for same in (-1 * (-1 * accuracy()), f1(average="micro")):  # by bootstrap
        other = paired(same, state, after)
        assert (other.gain, other.standard_error) == (pytest.approx(gained), pytest.approx(error, rel=0.2))
    own = paired(own_accuracy(), state, after)
    assert (own.gain, own.standard_error) == (pytest.approx(gained), pytest.approx(error, rel=0.6))


def test_comparing_a_model_with_itself_is_surely_nothing(state: State) -> None:
    for one in (accuracy(), recall("a"), f1(), log_loss(), own_accuracy(), accuracy() - 0.5 * log_loss()):
        same = paired(one, state, state)
        assert (same.gain, same.standard_error) == (0, 0)
        assert same.bound(0.05) <= 0


def test_a_bootstrap_repeats_itself(state: State) -> None:
    after = both(state, noise=0.5)
    assert paired(f1(), state, after) == paired(f1(), state, after)
    assert (
        paired(f1(), State(state.dataset, state.outputs, (), 5), after).standard_error
        != paired(f1(), state, after).standard_error
    )
    assert standard_error(recall("a"), state) == standard_error(recall("a"), state)


def test_a_pair_is_judged_on_the_records_that_both_judge(state: State) -> None:
    p = np.asarray(state.probabilities).T.copy()
    valid = state.judged("valid")
    p[valid[:100]] = np.nan
    p[valid[100:]] = np.eye(4)[state.view.label[valid[100:]]]
    after = observed(state.dataset, ref="half", probabilities=p)
    rest = valid[100:]
    right = state.predicted[rest] == state.view.label[rest]
    for one in (accuracy(), accuracy() * 1, own_accuracy()):
        assert paired(one, state, after).gain == pytest.approx(1 - right.mean())


def test_metrics_of_the_whole_state_differ_without_error(tmp_path: Path) -> None:
    s = make_state(
        tmp_path, ["a", None, "b"], split=["train", "train", "valid"], probabilities=[[1, 0], [1, 0], [0, 1]]
    )
    dataset = Dataset.open(s.dataset.path)
    answer(dataset, [1])
    later = observed(dataset, probabilities=[[1, 0], [1, 0], [0, 1]])
    spent = paired(labels_spent(), s, later)
    assert (spent.gain, spent.standard_error) == (1, 0)


def test_a_signal_cannot_be_compared_as_one_number(state: State) -> None:
    with pytest.raises(UsageError, match=r"paired\(entropy\(\)\): a metric, such as accuracy\(\)"):
        paired(entropy(), state, state)


# -- the exam ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "one",
    [
        accuracy(),
        precision(),
        recall("a"),
        f1(),
        f1("b", average="micro"),
        log_loss(),
        labels_spent(),
        cost(),
        rounds(),
        labeled_count(),
        pool_size(),
        gain(accuracy()),
        accuracy() / log_loss(),
        own_accuracy(),
    ],
    ids=repr,
)
def test_every_metric_passes_the_exam(one: Quantity, state: State) -> None:
    check_metric(one, state)
    assert repr(from_json(to_json(one))) == repr(one)


@metric()
def dicing(state: State) -> float:
    return float(np.random.default_rng().random())


@metric()
def peeping(state: State) -> float:
    return float(np.nanmean(state.probabilities[0]))


@metric(needs={"probabilities"})
def boundless(state: State) -> float:
    return float(np.inf * state.probabilities[0, 0])


@metric()
def wordy(state: State) -> float:
    return "much"  # type: ignore[return-value]


@metric()
def first_label(state: State) -> float:
    return float(state.view.label[np.flatnonzero(state.view.alive)[0]] + state.view.label[1] * 10)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (dicing(), "is not the same when it is computed again"),
        (peeping(), r"peeping\(\) reads more than it declares: with \[\] alone, without probabilities"),
        (boundless(), r"boundless\(\) is infinite; where there is no number, return NaN"),
        (wordy(), r"wordy\(\) failed: UsageError: metric wordy\(\) returned str; a metric returns one number"),
        (first_label(), r"first_label\(\) depends on the order in which records are stored"),
        (entropy(), r"entropy\(\) is a number per record; let it sit check_signal"),
        (accuracy, "check_metric takes a metric, such as accuracy"),
    ],
    ids=lambda given: getattr(given, "__name__", repr(given)),
)
def test_the_exam_finds_what_is_wrong_with_a_metric(one: Any, said: str, state: State) -> None:
    with pytest.raises(AssertionError, match=said):
        check_metric(one, state)
