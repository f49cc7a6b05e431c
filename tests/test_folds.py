from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth.compute.folds import folds, out_of_fold
from tilth.dataset.splits import draw
from tilth.errors import Damaged, UsageError
from tilth.integrations.probe import Probe
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Task
from tilth.testing.models import toy_features

AB = Task("class", ("a", "b"))
DIGITS = Task("class", tuple("0123456789"))


def keys(n: int) -> npt.NDArray[np.uint64]:
    return draw(np.arange(n, dtype=np.uint64), "keys")


def vectors(x: Any) -> pa.Table:
    rows = np.ascontiguousarray(x, np.float32)
    return pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])})


def digits(rate: float, to: Any) -> tuple[pa.Table, Any, Any]:
    """Return 700 digits as vectors, labels of which a share became the digit that `to` names, and the true ones."""
    x, true = load_digits(return_X_y=True)
    chance = np.random.default_rng(1)
    some = chance.permutation(len(x))[:700]
    x, true = x[some], true[some]
    return vectors(x / 16), np.where(chance.random(700) < rate, np.asarray(to)[true], true), true


# Folds


@given(
    groups=st.lists(st.integers(0, 30), min_size=1, max_size=80),
    k=st.integers(2, 7),
    seed=st.integers(0, 5),
    chance=st.randoms(use_true_random=False),
)
def test_relatives_share_a_fold_and_the_order_of_rows_has_no_effect(
    groups: list[int], k: int, seed: int, chance: Any
) -> None:
    group = keys(31)[groups]
    strata = np.array([chance.randint(0, 3) for _ in groups])
    found = folds(group, strata, k=k, seed=seed)
    assert found.dtype == np.int8
    assert len({(g, f) for g, f in zip(groups, found.tolist(), strict=True)}) == len(set(groups))
    sizes = np.bincount([found[groups.index(g)] for g in set(groups)], minlength=k)
    assert sizes.max() - sizes.min() <= 1
    moved = np.array(chance.sample(range(len(groups)), len(groups)))
    np.testing.assert_array_equal(folds(group[moved], strata[moved], k=k, seed=seed), found[moved])


def test_every_fold_has_its_share_of_every_class() -> None:
    strata = np.repeat([0, 1, 2], [500, 97, 5])
    found = folds(keys(602), strata, k=5)
    for code, least in ((0, 100), (1, 19), (2, 1)):
        counts = np.bincount(found[strata == code], minlength=5)
        assert counts.min() >= least
        assert counts.max() <= least + 1
    assert not np.array_equal(found, folds(keys(602), strata, k=5, seed=1))


@pytest.mark.parametrize(
    ("k", "strata", "message"), [(1, None, "2 to 127"), (128, None, "2 to 127"), (2, np.zeros(3), "strata of shape")]
)
def test_folds_that_cannot_be_are_refused(k: int, strata: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        folds(keys(4), strata, k=k)


# Out of fold


def test_no_record_is_predicted_by_a_model_that_saw_it_or_a_relative() -> None:
    # Labels are noise, so that only who has seen a record, or its copy, can tell its label.
    chance = np.random.default_rng(0)
    x, y = chance.normal(size=(200, 4)), chance.integers(0, 2, 200)
    table, both = vectors(np.vstack([x, x])), np.tile(y, 2)
    model = SklearnModel(KNeighborsClassifier(1))
    leaking = out_of_fold(model, table, both, np.ones(400), task=AB, group_hash=keys(400), seed=0)
    assert (leaking.argmax(1) == both).mean() > 0.75
    kept = out_of_fold(model, table, both, np.ones(400), task=AB, group_hash=np.tile(keys(200), 2), seed=0)
    assert (kept.argmax(1) == both).mean() < 0.6


@pytest.mark.parametrize("model", [SklearnModel(SGDClassifier(loss="log_loss")), Probe(trees=5)])
def test_permuted_rows_give_permuted_results_exactly(model: Any) -> None:
    table, y = toy_features(), np.arange(60) * 3 // 60
    task, weight, group = Task("class", ("a", "b", "c")), np.linspace(0.5, 2, 60), np.repeat(keys(20), 3)
    found = out_of_fold(model, table, y, weight, task=task, group_hash=group, key_hash=keys(60), seed=4)
    moved = np.random.default_rng(0).permutation(60)
    again = out_of_fold(
        model,
        table.take(pa.array(moved)),
        y[moved],
        weight[moved],
        task=task,
        group_hash=group[moved],
        key_hash=keys(60)[moved],
        seed=4,
    )
    assert found.dtype == np.float32
    np.testing.assert_array_equal(again, found[moved])


def test_folds_may_be_run_by_whatever_maps() -> None:
    table, y, model = toy_features(), np.arange(60) // 30, SklearnModel(LogisticRegression())
    plain = out_of_fold(model, table, y, np.ones(60), task=AB, group_hash=keys(60), seed=0)
    with ThreadPoolExecutor(2) as pool:
        mapped = out_of_fold(model, table, y, np.ones(60), task=AB, group_hash=keys(60), seed=0, warm=pool.map)
    np.testing.assert_array_equal(mapped, plain)


def test_where_nothing_else_teaches_what_is_known_without_data_is_told() -> None:
    table, one = toy_features(40), np.full(40, 7, np.uint64)
    whole = np.ones(40)
    model, line = SklearnModel(LogisticRegression()), SklearnModel(Ridge())
    told = out_of_fold(model, table, np.arange(40) % 2, whole, task=AB, group_hash=one, seed=0)
    assert told.tolist() == [[0.5, 0.5]] * 40
    several = SklearnModel(OneVsRestClassifier(LogisticRegression()))
    task = Task("classes", ("a", "b", "c"))
    told = out_of_fold(several, table, np.zeros((40, 3)), whole, task=task, group_hash=one, seed=0)
    assert told.tolist() == [[0.5] * 3] * 40
    told = out_of_fold(line, table, np.arange(40.0), whole, task=Task("number"), group_hash=one, seed=0)
    assert np.isnan(told).all()
    none = out_of_fold(model, table.slice(0, 0), np.zeros(0, int), whole[:0], task=AB, group_hash=one[:0], seed=0)
    assert none.shape == (0, 2)


def test_records_without_weight_are_predicted_and_teach_nothing() -> None:
    weight = np.zeros(60)
    weight[[3, 50]] = 1
    y = np.arange(60) // 30
    model = SklearnModel(LogisticRegression())
    told = out_of_fold(model, toy_features(), y, weight, task=AB, group_hash=keys(60), seed=0)
    # Of two teachers in different folds each is judged by the other; everybody else by one of them or both.
    assert told[3].tolist() == [0, 1]
    assert told[50].tolist() == [1, 0]
    assert np.isfinite(told).all()


def test_rare_labels_are_in_every_fold() -> None:
    y = np.zeros((100, 3), np.float32)
    y[:, 0] = 1
    y[::20, 2] = 1  # five records
    x = np.hstack([y * 5, np.random.default_rng(0).normal(size=(100, 2))])
    model = SklearnModel(OneVsRestClassifier(LogisticRegression()))
    task = Task("classes", ("often", "never", "rare"))
    told = out_of_fold(model, vectors(x), y, np.ones(100), task=task, group_hash=keys(100), seed=0)
    assert (told[:, 0] == 1).all()
    assert (told[:, 1] == 0).all()
    assert told[::20, 2].min() > 0.5 > told[1::20, 2].max()


def test_lengths_and_shapes_that_do_not_agree_are_told() -> None:
    model = SklearnModel(LogisticRegression())
    with pytest.raises(UsageError, match="60 records came with 59 labels, 60 weights, 60 groups and 60 keys"):
        out_of_fold(model, toy_features(), np.zeros(59), np.ones(60), task=AB, group_hash=keys(60), seed=0)


# The probe


@pytest.mark.parametrize("to", [[1, 2, 3, 4, 5, 6, 7, 8, 9, 0], [6, 7, 7, 8, 9, 9, 0, 1, 3, 4]])
def test_the_probe_finds_systematic_errors_that_a_linear_model_learns(to: list[int]) -> None:
    table, given_labels, true = digits(0.3, to)
    wrong = given_labels != true
    precision, recall = {}, {}
    linear = SklearnModel(make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)))
    for name, model in {"linear": linear, "probe": Probe(trees=20)}.items():
        told = out_of_fold(model, table, given_labels, np.ones(700), task=DIGITS, group_hash=keys(700), seed=0)
        flagged = told.argmax(1) != given_labels
        precision[name] = (flagged & wrong).sum() / flagged.sum()
        recall[name] = (flagged & wrong).sum() / wrong.sum()
    assert precision["linear"] < 0.65
    assert precision["probe"] > 0.8
    assert recall["probe"] > 0.9


def test_the_probe_leaves_a_rare_class_alone() -> None:
    chance = np.random.default_rng(0)
    rare = np.arange(300) % 25 == 0
    x = chance.normal(size=(300, 3)) + np.where(rare, 4, 0)[:, None]
    told = out_of_fold(Probe(), vectors(x), rare.astype(np.int64), np.ones(300), task=AB, group_hash=keys(300), seed=0)
    assert (told.argmax(1) == rare).mean() > 0.98


def test_the_probe_learns_from_every_kind_of_column() -> None:
    n = 120
    code = np.arange(n) % 2
    table = pa.table(
        {
            "number": pa.array([None if i % 7 == 0 else float(c) for i, c in enumerate(code)]),
            "kind": ["red" if c else "blue" for c in code],
            "text": [f"{'good' if c else 'bad'} text{i} more" for i, c in enumerate(code)],
            "wordless": ["" for _ in code],
            "nothing": pa.nulls(n, pa.float64()),
            "x": vectors(np.c_[code, code * 0])["x"],
        }
    )
    for name in ("number", "kind", "text", "x"):
        fitted = Probe(features=name, trees=5).fit(table, code, np.ones(n), task=AB, seed=0)
        assert (fitted.predict(table).argmax(1) == code).mean() > 0.9
    fitted = Probe(trees=5).fit(table, code, np.ones(n), task=AB, seed=0)
    assert (fitted.predict(table).argmax(1) == code).all()
    assert fitted.predict(table.slice(0, 0)).shape == (0, 2)
    nothing = Probe(features=["wordless", "nothing"], trees=5).fit(table, code, np.ones(n), task=AB, seed=0)
    np.testing.assert_allclose(nothing.predict(table), 0.5, atol=0.2)


def test_a_probe_describes_itself_and_its_model() -> None:
    inner = SklearnModel(make_pipeline(StandardScaler(), LogisticRegression()), embed="standardscaler")
    probe = Probe(model=inner, trees=20, n_jobs=2)
    assert Probe.from_spec(probe.spec) == Probe(model=inner, trees=20)
    assert repr(Probe(trees=20, features="x")) == "Probe(features=('x',), trees=20)"
    assert Probe.from_spec({"model": "tilth.integrations.probe:Probe"}) == Probe()
    with pytest.raises(UsageError, match=r"Probe\(trees=0\): a whole number of 1 or more"):
        Probe(trees=0)


def test_of_very_many_records_as_many_as_the_limit_are_drawn() -> None:
    y = np.arange(60) // 30
    fitted = Probe(limit=20, trees=5).fit(toy_features(), y, np.ones(60), task=AB, seed=0)
    assert 15 <= len(fitted.parts["x"]) <= 20  # less those that their neighbours contradict
    assert (fitted.predict(toy_features()).argmax(1) == y).mean() > 0.8


def test_a_probe_of_another_task_is_not_loaded(tmp_path: Any) -> None:
    Probe(trees=5).fit(toy_features(), np.arange(60) // 30, np.ones(60), task=AB, seed=0).save(tmp_path)
    with pytest.raises(UsageError, match="another probe, or a probe for other classes"):
        Probe(trees=5).load(tmp_path, task=Task("class", ("b", "a")))
    (tmp_path / "probe.skops").write_bytes(b"nothing")
    with pytest.raises(Damaged, match="no model that Tilth wrote"):
        Probe(trees=5).load(tmp_path, task=AB)
