"""Signals of committees and calibration, and the models that give what they need."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, rel_entr
from scipy.stats import entropy as scipy_entropy
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tests.states import make_state, observed
from tilth.algebra import Quantity, from_json, to_json
from tilth.dataset import Dataset
from tilth.errors import NotFound, UsageError
from tilth.integrations.probe import Probe
from tilth.integrations.sklearn import SklearnModel
from tilth.outputs import Outputs
from tilth.protocols import Task
from tilth.selectors import unlabeled
from tilth.signals import bald, calibrated_confidence, confidence, disagreement, loss, margin, temperature
from tilth.signals import committees as kernels
from tilth.signals.calibration import LEAST, calibrated_top, fitted_temperature
from tilth.signals.committees import mutual_information, vote_entropy
from tilth.state import State
from tilth.testing import check_model
from tilth.testing.models import toy_features
from tilth.testing.signals import check_signal
from tilth.training import train

ABC = Task("class", ("a", "b", "c"))
FOREST = SklearnModel(RandomForestClassifier(7))
VOTING = VotingClassifier([("line", LogisticRegression()), ("tree", DecisionTreeClassifier())], voting="soft")
EPOCHS = SklearnModel(make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss")), epochs=8)


def said(n: int, k: int = 3, d: int = 5, seed: int = 0) -> np.ndarray:
    """Return float32[n, k, d], a row a record, as `make_state` takes it."""
    return np.random.default_rng(seed).dirichlet(np.ones(k), (n, d)).astype(np.float32).transpose(0, 2, 1)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    n = 60
    p = said(n, d=1)[:, :, 0]
    return make_state(
        tmp_path_factory.mktemp("uncertainty"),
        [None if i % 3 == 0 else ["bird", "cat", "dog"][i % 7 % 3] for i in range(n)],
        split=["valid" if i % 5 == 0 else "train" for i in range(n)],
        probabilities=p,
        out_of_fold_probabilities=p[::-1],
        draws=said(n),
    )


@pytest.mark.parametrize("one", [bald(), disagreement(), disagreement(by="kl"), calibrated_confidence()], ids=repr)
def test_every_signal_passes_the_exam(one: Quantity, state: State) -> None:
    check_signal(one, state)
    assert from_json(to_json(one)) == one


# -- committees --------------------------------------------------------------------------------------------------------

committees = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 30)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
)


def normal(raw: np.ndarray) -> np.ndarray:
    total = raw.sum(axis=1, keepdims=True, dtype=np.float64)
    return np.where(total > 0, raw / np.where(total > 0, total, 1), 1 / raw.shape[1]).astype(np.float32)


@given(committees)
def test_kernels_agree_with_scipy(raw: np.ndarray) -> None:
    draws = normal(raw)
    d, k, n = draws.shape
    exact = draws.astype(np.float64)
    mean = exact.mean(axis=0)
    by_entropy = scipy_entropy(mean, axis=0) - scipy_entropy(exact, axis=1).mean(axis=0)
    by_divergence = rel_entr(exact, mean).sum(axis=1).mean(axis=0)
    found = mutual_information(draws)
    assert found.dtype == np.float32
    assert found == pytest.approx(by_entropy / math.log(max(k, 2)), abs=2e-5)
    assert found == pytest.approx(by_divergence / math.log(max(k, 2)), abs=2e-5)
    counts = np.array([np.bincount(votes, minlength=k) for votes in draws.argmax(axis=1).T])
    assert vote_entropy(draws) == pytest.approx(scipy_entropy(counts, axis=1) / math.log(max(2, min(d, k))), abs=1e-5)
    assert len(found) == n


@given(arrays(np.float32, (4, 3, 5), elements=st.floats(0, 1, width=32)))
def test_where_classes_do_not_exclude_each_other_each_is_a_yes_or_no(draws: np.ndarray) -> None:
    exact = draws.astype(np.float64)
    both = np.stack([exact, 1 - exact])
    by_hand = (scipy_entropy(both.mean(axis=1), axis=0) - scipy_entropy(both, axis=0).mean(axis=0)).mean(axis=0)
    assert mutual_information(draws, several=True) == pytest.approx(by_hand / math.log(2), abs=2e-5)


def test_kernels_work_across_blocks_and_pass_nan_on_alone() -> None:
    d, k, n = 3, 4, 2 * kernels.BLOCK // 3 + 7
    draws = normal(np.random.default_rng(1).random((d, k, n), dtype=np.float32))
    whole, votes = mutual_information(draws), vote_entropy(draws)
    draws[1, 2, 5] = draws[2, 0, -1] = np.nan
    for found, before in ((mutual_information(draws), whole), (vote_entropy(draws), votes)):
        assert np.flatnonzero(np.isnan(found)).tolist() == [5, n - 1]
        there = ~np.isnan(found)
        assert np.array_equal(found[there], before[there])
    for part in (slice(0, 1), slice(n - 2, n - 1), slice(1000, 1500)):  # a record's number does not depend on others
        assert np.array_equal(mutual_information(draws[:, :, part]), whole[part], equal_nan=False) or part.start == 5
    assert mutual_information(draws[:, :, :0]).shape == vote_entropy(draws[:, :, :0]).shape == (0,)


def test_a_committee_agrees_is_torn_or_does_not_know(tmp_path: Path) -> None:
    agreed, torn, unknown = [[1, 1], [0, 0]], [[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]
    s = make_state(tmp_path, ["a", "b", "a"], draws=[agreed, torn, unknown])
    assert bald().value(s) == pytest.approx([0, 1, 0], abs=1e-6)
    assert disagreement(by="kl").value(s) == pytest.approx([0, 1, 0], abs=1e-6)
    assert disagreement().value(s) == pytest.approx([0, 1, 0], abs=1e-6)  # equals go to the first class


def test_one_draw_or_one_class_tells_nothing(tmp_path: Path) -> None:
    one = make_state(tmp_path / "draw", ["a", "b", None], draws=said(3, k=2, d=1))
    single = make_state(tmp_path / "class", ["a", "a", None], draws=np.ones((3, 1, 4)))
    for s in (one, single):
        for signal in (bald(), disagreement(), disagreement(by="kl")):
            assert signal.value(s).tolist() == [0, 0, 0]


def test_selections_by_a_committee_are_stable_and_never_ask_for_the_unknown(tmp_path: Path) -> None:
    draws = np.repeat(said(1), 6, axis=0)
    draws[2] = np.nan
    keys = ["e", "c", "x", "a", "b", "d"]
    first = make_state(tmp_path / "one", [None] * 6, classes=["a", "b", "c"], keys=keys, draws=draws)
    turned = make_state(
        tmp_path / "two", [None] * 6, classes=["a", "b", "c"], keys=keys[::-1], draws=np.ascontiguousarray(draws[::-1])
    )
    names = [s.dataset.keys(unlabeled.top(9, by=bald()).choose(s).ids) for s in (first, turned)]
    assert names[0] == names[1]
    assert sorted(names[0]) == ["a", "b", "c", "d", "e"]
    nothing = make_state(tmp_path / "none", ["a", "b"], draws=said(2, k=2))
    assert len(unlabeled.top(9, by=bald()).choose(nothing).ids) == 0


def test_draws_of_a_record_that_the_model_has_not_seen_are_nan(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"], draws=said(2, k=2))
    dataset = Dataset.open(s.dataset.path)
    dataset.append({"key": ["new"], "label": ["a"], "x": [1.0]}, key="key", label="label")
    later = observed(dataset, draws=said(2, k=2))
    assert later.output("draws").shape == (5, 2, 3)
    assert np.isnan(bald().value(later)).tolist() == [False, False, True]


# -- calibration -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hot", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("k", [2, 7])
def test_the_temperature_is_the_one_that_a_search_finds(hot: float, k: int) -> None:
    chance = np.random.default_rng(k)
    true = log_softmax(chance.normal(size=(3000, k)) * 2, axis=1)
    code = (np.exp(true).cumsum(axis=1) > chance.random((3000, 1))).argmax(axis=1)
    p = np.maximum(np.exp(log_softmax(true * hot, axis=1)).T, LEAST).astype(np.float32)

    def likelihood(warmth: float) -> float:
        return -float(log_softmax(np.log(p.astype(np.float64)) / warmth, axis=0)[code, np.arange(len(code))].mean())

    found = fitted_temperature(p, code)
    assert found == pytest.approx(minimize_scalar(likelihood, bounds=(0.05, 20), method="bounded").x, rel=1e-3)
    assert found == pytest.approx(hot, rel=0.1)
    top = np.exp(log_softmax(np.log(p.astype(np.float64)) / found, axis=0)).max(axis=0)
    assert calibrated_top(p, found) == pytest.approx(top, abs=1e-4)
    right = p.argmax(axis=0) == code
    assert top.mean() == pytest.approx(right.mean(), abs=0.03)


def test_temperatures_stay_finite_where_all_is_right_wrong_or_unknown() -> None:
    p = np.array([[0.9, 0.8], [0.1, 0.2]], np.float32)
    assert fitted_temperature(p, np.array([0, 0])) == 0.05
    assert fitted_temperature(p, np.array([1, 1])) == 20
    assert fitted_temperature(np.array([[1.0], [0.0]], np.float32), np.array([1])) == 20
    assert math.isnan(fitted_temperature(p[:, :0], np.array([], np.int64)))
    assert fitted_temperature(np.ones((1, 3), np.float32), np.array([0, 0, 0])) > 0
    assert calibrated_top(np.array([[0, np.nan], [1, 0.5]], np.float32), 0.05).tolist() == pytest.approx(
        [1, np.nan], nan_ok=True
    )


def test_calibration_reads_labels_of_training_records_alone(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    n = 400
    p = np.stack([q := chance.uniform(0.6, 1, n), 1 - q], axis=1)
    labels = ["a" if one < 0.7 else "b" for one in chance.random(n)]
    split = ["train" if i < 200 else "valid" for i in range(n)]
    s = make_state(tmp_path / "one", labels, split=split, probabilities=p, out_of_fold_probabilities=p)
    other = labels[:200] + ["a"] * 200
    t = make_state(tmp_path / "two", other, split=split, probabilities=p, out_of_fold_probabilities=p)
    assert temperature(s) == temperature(t) > 1  # it was too sure
    found = calibrated_confidence().value(s)
    assert np.array_equal(found, calibrated_confidence().value(t))
    assert found.mean() < confidence().value(s).mean()
    assert calibrated_confidence().needs == {"probabilities", "out_of_fold_probabilities"}


def test_without_a_label_no_confidence_is_calibrated(tmp_path: Path) -> None:
    nothing = np.full((2, 2), np.nan)
    s = make_state(
        tmp_path,
        [None, None],
        classes=["a", "b"],
        probabilities=said(2, k=2)[:, :, 0],
        out_of_fold_probabilities=nothing,
    )
    assert np.isnan(calibrated_confidence().value(s)).all()


# -- models that say several things ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        FOREST,
        SklearnModel(make_pipeline(StandardScaler(), ExtraTreesClassifier(5))),
        SklearnModel(BaggingClassifier(LinearSVC(), n_estimators=5, max_features=0.8)),
        SklearnModel(BaggingClassifier(n_estimators=3)),
        SklearnModel(VOTING),
        EPOCHS,
        SklearnModel(MLPClassifier((8,), learning_rate_init=0.05), epochs=30),
        SklearnModel(GradientBoostingClassifier(n_estimators=5)),
        SklearnModel(HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5)),
        SklearnModel(AdaBoostClassifier(n_estimators=4)),
    ],
    ids=repr,
)
def test_committees_and_epochs_pass_the_exam_of_models(model: SklearnModel) -> None:
    assert len(model.gives) == 1
    check_model(model)


@pytest.mark.parametrize(
    "model",
    [SklearnModel(BaggingRegressor(n_estimators=3)), SklearnModel(VotingRegressor([("line", LinearRegression())]))],
    ids=repr,
)
def test_committees_of_numbers_pass_too(model: SklearnModel) -> None:
    check_model(model, task=Task("number"))


def fitted(model: SklearnModel, y: Any = None) -> Any:
    y = np.arange(60) * 3 // 60 if y is None else y
    return model.fit(toy_features(), y, np.ones(60), task=ABC, seed=0)


def test_draws_of_a_forest_are_its_trees_and_average_to_its_prediction() -> None:
    forest = fitted(FOREST, np.where(np.arange(60) < 30, 0, 2))
    draws = forest.draws(toy_features())
    assert draws.shape == (7, 60, 3)
    assert draws.mean(axis=0) == pytest.approx(forest.predict(toy_features()), abs=1e-6)
    assert (draws[:, :, 1] == 0).all()
    assert fitted(FOREST, np.ones(60, np.int64)).draws(toy_features()).tolist() == [[[0, 1, 0]] * 60]


def test_epochs_are_other_for_another_seed_and_end_in_the_prediction() -> None:
    one = fitted(EPOCHS)
    said = one.epochs(toy_features())
    assert said.shape == (8, 60, 3)
    assert np.array_equal(said[-1], one.predict(toy_features()))
    assert not np.array_equal(said[0], said[-1])
    other = EPOCHS.fit(toy_features(), np.arange(60) * 3 // 60, np.ones(60), task=ABC, seed=1)
    assert not np.array_equal(other.epochs(toy_features()), said)


def test_epochs_are_part_of_what_a_model_is() -> None:
    plain = SklearnModel(MLPClassifier())
    assert "epochs" not in plain.spec
    timed = SklearnModel(MLPClassifier(), epochs=3)
    assert timed != plain
    assert repr(timed) == "SklearnModel(MLPClassifier(), epochs=3)"
    assert SklearnModel.from_spec(timed.spec) == timed


@pytest.mark.parametrize(
    ("write", "why"),
    [
        (lambda: SklearnModel(GaussianNB(), epochs=3), "GaussianNB counts, so the same records once more"),
        (lambda: SklearnModel(LogisticRegression(), epochs=3), "LogisticRegression has no partial_fit"),
        (lambda: SklearnModel(MLPClassifier(solver="lbfgs"), epochs=3), "MLPClassifier has no partial_fit"),
        (lambda: SklearnModel(GradientBoostingClassifier(), epochs=3), "tells of each of its stages anyway"),
        (lambda: SklearnModel(SGDClassifier(), epochs=0), "epochs=0: a whole number of 1 or more"),
        (lambda: SklearnModel(SGDClassifier(), epochs=2.5), "epochs=2.5: a whole number"),
        (
            lambda: fitted(SklearnModel(LogisticRegression())).draws(toy_features()),
            "is no ensemble, so it has no draws",
        ),
        (lambda: fitted(SklearnModel(SGDClassifier())).epochs(toy_features()), "keeps no epochs"),
        (lambda: disagreement(by="vote"), r"disagreement\(by=...\): no 'vote'. There is: votes, kl"),
    ],
)
def test_what_cannot_be_is_told_when_it_is_written(write: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        write()


# -- training ----------------------------------------------------------------------------------------------------------


def dataset_of(folder: Path, n: int = 60) -> Dataset:
    table = toy_features(n).append_column("label", pa.array([["a", "b", "c", None][i * 4 // n] for i in range(n)]))
    table = table.append_column("split", pa.array(["valid" if i % 5 == 0 else "train" for i in range(n)]))
    return Dataset.create(folder, table, label="label", split="split", classes=["a", "b", "c"], durability="process")


def test_training_computes_draws_and_epochs_where_they_are_needed(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "pool").at(-1)
    plain = train(dataset, FOREST, Probe(), needs=(), seed=0)
    outputs = Outputs(dataset.path / "outputs" / plain["ref"])
    assert outputs.kinds == {"probabilities"}
    again = train(dataset, FOREST, Probe(), needs=bald().needs, seed=0)
    assert again["ref"] == plain["ref"]
    assert again["trained"] == ["draws"]
    s = State(dataset, outputs)
    draws = s.output("draws")
    assert draws.shape == (7, 3, 60)
    assert draws.dtype == np.float32
    assert np.mean(draws, axis=0) == pytest.approx(np.asarray(s.probabilities), abs=1e-6)
    assert len(unlabeled.top(3, by=bald()).choose(s).ids) == 3

    taught = train(dataset, EPOCHS, Probe(), needs=loss().needs, seed=0)
    t = State(dataset, Outputs(dataset.path / "outputs" / taught["ref"]))
    epochs = np.asarray(t.output("epoch_probabilities"))
    lesson = t.view.train & t.view.labeled
    assert epochs.shape == (8, 3, 60)
    assert np.array_equal(np.isnan(epochs).any(axis=(0, 1)), ~lesson)
    assert np.array_equal(epochs[-1][:, lesson], np.asarray(t.probabilities)[:, lesson])
    assert not [p for p in outputs.folder.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize(
    ("needs", "those"), [("draws", "a forest, of bagging"), ("epoch_probabilities", r"SklearnModel\(..., epochs=20\)")]
)
def test_a_model_that_lacks_them_is_told_which_have_them_before_it_trains(
    needs: str, those: str, tmp_path: Path
) -> None:
    dataset = dataset_of(tmp_path / "pool").at(-1)
    with pytest.raises(
        UsageError, match=rf"needs {needs}, and SklearnModel\(LogisticRegression\(\)\) gives none.*{those}"
    ):
        train(dataset, SklearnModel(LogisticRegression()), Probe(), needs={needs}, seed=0)
    assert not (dataset.path / "outputs").exists() or not list((dataset.path / "outputs").iterdir())


def test_a_state_without_draws_names_what_is_there(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"], probabilities=[[0.5, 0.5], [1, 0]])
    with pytest.raises(NotFound, match=r"has no draws.*probabilities.*Train with needs="):
        bald().value(s)
    assert margin().value(s).tolist() == [1, 0]
