"""Drift: p-values that hold what they promise, on data of which it is known whether anything changed."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.states import make_state, set_label
from tilth import (
    Workflow,
    class_share,
    confidence_shift,
    drift,
    label_shift,
    labeled,
    moved,
    outdated,
    records,
    rounds,
    unlabeled,
)
from tilth.algebra import Condition, Quantity, from_json, to_json
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.integrations.sklearn import SklearnModel
from tilth.metrics import labeled_count
from tilth.metrics.exchangeability import jumper, ranks
from tilth.metrics.two_sample import classifier_test, column_test, mmd_test, permuted
from tilth.outputs import LEARNED, THERE, Outputs
from tilth.state import State
from tilth.testing import check_metric, check_signal, toy
from tilth.training import extend, train

Rows = npt.NDArray[np.float64]

METRICS = [
    drift(),
    drift("x"),
    drift("kind"),
    drift("v"),
    drift(test="mmd"),
    drift(test="classifier"),
    drift("embeddings"),
    drift("embeddings", test="classifier", reference="valid"),
    drift(test="martingale"),
    drift("embeddings", test="martingale"),
    label_shift(),
    label_shift(by="labels"),
    confidence_shift(),
    class_share("yes"),
]


@pytest.mark.parametrize(
    ("never", "holds"),
    [
        (drift() < 0.001, drift() <= 0.001),
        (drift("x", permutations=99) <= 0.005, drift("x", permutations=999) <= 0.005),
        (label_shift() < 1e-6, drift(test="martingale") < 1e-6),
        (confidence_shift(permutations=99) < 0.01, confidence_shift() < 0.01),
        ((labeled_count() > 1) & (drift() < 0.0005), drift() > 0.0005),
    ],
)
def test_a_bar_that_no_permutation_reaches_is_refused(never: Condition, holds: Condition, tmp_path: Path) -> None:
    dataset, model = toy()
    flow = partial(Workflow, dataset=dataset, model=model, rules={}, until=rounds() >= 1)
    with pytest.raises(UsageError, match=r"trigger: .* so that never holds; give permutations=\d+, or a higher bar"):
        flow(trigger=never)
    assert flow(trigger=holds).trigger is holds


def columns(rows: Rows, kind: npt.NDArray[np.int64]) -> dict[str, Any]:
    return {"x": rows[:, 0], "y": rows[:, 1], "kind": [f"k{k}" for k in kind], "v": rows[:, 2:5].astype(np.float32)}


def made(
    folder: Path, shift: float, *, n: int = 200, new: int = 120, back: int = 0, seed: int = 0, mixed: bool = True
) -> State:
    """A state of n records that the model was trained on, 100 of valid, and new ones that moved by `shift`.

    The last `back` of these did not. The model says "yes" where x is high. Half of the new records have a label.
    """
    chance = np.random.default_rng(seed)
    total = n + 100 + new
    came = np.arange(total) >= n + 100
    moves = came & (np.arange(total) < total - back)
    rows = chance.normal(size=(total, 5)) + shift * moves[:, None]
    kind = np.where(chance.random(total) < 0.3 + 0.2 * min(shift, 1) * moves, 1, 0)
    yes = rows[:, 0] + 0.3 * chance.normal(size=total) > 0
    told = ~came | (np.arange(total) % 2 == 0 if mixed else came)
    p = 1 / (1 + np.exp(-3 * rows[:, 0]))
    state = make_state(
        folder,
        [("yes" if y else "no") if t else None for y, t in zip(yes, told, strict=True)],
        split=["train"] * n + ["valid"] * 100 + ["train"] * new,
        columns=columns(rows, kind),
        classes=["no", "yes"],
        seed=seed,
        probabilities=np.column_stack([1 - p, p]).astype(np.float32),
        embeddings=rows.astype(np.float32),
    )
    return with_lesson(state, n, n + 100)


def with_lesson(state: State, learned: int, there: int, ref: str = "trained") -> State:
    """Return a state whose model learned from the first records, and of which others came later."""
    lesson = np.zeros(len(state), np.int8)
    lesson[:there], lesson[:learned] = THERE, LEARNED
    old = state.outputs
    assert old is not None
    outputs = Outputs.create(state.dataset.path / "outputs" / ref, np.asarray(old.ids), {}, lesson)
    for kind in old.kinds:
        outputs.add(kind, np.asarray(old.get(kind)))
    return State(state.dataset, outputs, (), state.seed)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> State:
    return made(tmp_path_factory.mktemp("calm"), 0.0)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> State:
    return made(tmp_path_factory.mktemp("shifted"), 2.0)


# -- what the metrics say
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_every_metric_sits_the_exam(metric: Any, shifted: State) -> None:
    if "martingale" in repr(metric):  # what it returns rests on the order in which records came in
        assert repr(from_json(to_json(metric))) == repr(metric)
        return
    check_metric(metric, shifted)


@pytest.mark.parametrize("metric", METRICS[:-1], ids=repr)
def test_a_shift_is_seen_and_none_is_not(metric: Any, calm: State, shifted: State) -> None:
    assert metric.value(shifted) < 0.01
    assert (metric < 0.01).holds(shifted)
    assert metric.value(calm) > 0.02
    assert not (metric < 0.01).holds(calm)


def test_needs_are_honest() -> None:
    assert drift().needs == frozenset()
    assert drift("x", test="mmd").needs == frozenset()
    assert drift("embeddings").needs == {"embeddings"}
    assert label_shift(by="labels").needs == frozenset()
    assert label_shift().needs == confidence_shift().needs == class_share("a").needs == {"probabilities"}
    assert moved().needs == outdated().needs == frozenset()
    assert moved("embeddings").needs == {"embeddings"}


@pytest.mark.parametrize("metric", [drift("x"), drift("v", test="mmd"), label_shift(by="labels"), confidence_shift()])
def test_a_window_is_the_last_that_came(metric: Any, tmp_path: Path) -> None:
    state = made(tmp_path, 2.0, new=160, back=80, mixed=False)
    assert metric.value(state) < 0.01
    assert replace(metric, args={**metric.args, "window": 80}).value(state) > 0.02  # by then it was as it had been


def test_a_shift_of_labels_alone_is_estimated(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    n, new = 400, 400
    yes = np.concatenate([chance.random(n + 300) < 0.2, chance.random(new) < 0.6])
    x = np.where(yes, 1.0, -1.0) + chance.normal(size=len(yes))
    p = 1 / (1 + np.exp(-2 * x - np.log(0.25)))
    state = make_state(
        tmp_path,
        ["yes" if y else "no" for y in yes[: n + 300]] + [None] * new,
        split=["train"] * n + ["valid"] * 300 + ["train"] * new,
        columns={"x": x},
        classes=["no", "yes"],
        probabilities=np.column_stack([1 - p, p]).astype(np.float32),
    )
    state = with_lesson(state, n, n + 300)
    assert label_shift().value(state) < 0.01
    assert np.isnan(label_shift(by="labels").value(state))  # nobody has labelled them yet
    assert class_share("yes").value(state) == pytest.approx(0.6, abs=0.08)
    assert np.bincount(state.predicted[n + 300 :])[1] / new < 0.55  # what was predicted falls short of it
    with pytest.raises(UsageError, match="Did you mean 'yes'"):
        class_share("yess").value(state)


@pytest.mark.parametrize("metric", METRICS, ids=repr)
def test_windows_that_are_too_small_tell_nothing(metric: Any, tmp_path: Path) -> None:
    state = made(tmp_path, 1.0, n=30, new=0 if "martingale" in repr(metric) else 10)
    assert np.isnan(metric.value(state))
    assert not (metric < 0.5).holds(state)
    assert not (~(metric < 0.5)).holds(state)


def test_before_a_model_is_trained_there_is_no_reference(tmp_path: Path) -> None:
    state = make_state(tmp_path, ["a", "b"] * 40)
    assert not (drift() < 1.0).holds(state)
    assert np.isnan(moved().value(state)).all()
    with pytest.raises(UsageError, match="no model has been trained yet"):
        confidence_shift().value(state)


@pytest.mark.parametrize(
    ("write", "match"),
    [
        (lambda: drift(test="ks"), "no 'ks'. There is: columns, mmd, classifier, martingale"),
        (lambda: drift(reference="test"), "drift.reference=...."),
        (lambda: drift(window=0), "whole number of 1 or more"),
        (lambda: drift(permutations=0), "whole number of 1 or more"),
        (lambda: drift("embeddings", test="columns"), "embeddings are compared as rows"),
        (lambda: drift(test="martingale", window=9), "it follows all records since the model was trained"),
        (lambda: label_shift(by="votes"), "no 'votes'. There is: predictions, labels"),
        (lambda: moved(by="entropy"), "no 'entropy'. There is: classifier, distance"),
    ],
)
def test_what_cannot_mean_anything_is_refused_when_it_is_written(write: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        write()


def test_columns_that_cannot_be_compared_are_named(tmp_path: Path, shifted: State) -> None:
    with pytest.raises(LookupError, match="no column 'z'"):
        drift("z").value(shifted)
    texts = make_state(
        tmp_path,
        ["a"] * 150,
        columns={"text": [f"text {i}" for i in range(150)]},
        probabilities=np.ones((150, 1), np.float32),
    )
    free = with_lesson(texts, 100, 110)
    with pytest.raises(
        UsageError, match='holds more than 50 different texts, which is no category; write "embeddings"'
    ):
        drift().value(free)


# -- calibration
# -----------------------------------------------------------------------------------------------------------


def most(n: int, p: float, sure: float = 1e-4) -> int:
    """Return how many successes of n are too many for a rate of at most p."""
    chance = np.cumsum([np.exp(_log_choose(n, k) + k * np.log(p) + (n - k) * np.log1p(-p)) for k in range(n + 1)])
    return int(np.searchsorted(chance, 1 - sure))


def _log_choose(n: int, k: int) -> float:
    return float(np.log(np.arange(n - k + 1, n + 1)).sum() - np.log(np.arange(1, k + 1)).sum())


def null(chance: np.random.Generator) -> Rows:
    """Rows of columns that hang together closely: a test a column would not be independent of the next."""
    base = chance.normal(size=(110, 1))
    return np.column_stack([base + 0.1 * chance.normal(size=(110, 4)), base.round(), np.exp(base)])


TESTS = {
    "columns": lambda r, s: column_test(
        {f"c{i}": r[:, i] for i in range(4)} | {"k": np.digitize(r[:, 4], [-1, 0, 1]).astype(np.int64)},
        70,
        times=99,
        seed=s,
    )[0],
    "mmd": lambda r, s: mmd_test(r[:70], r[70:], times=99, seed=s),
    "classifier": lambda r, s: classifier_test(r[:70], r[70:], times=99, seed=s),
}


@pytest.mark.parametrize("name", TESTS)
def test_p_values_are_calibrated_whatever_depends_on_what(name: str) -> None:
    chance = np.random.default_rng(20)
    p = np.array([TESTS[name](null(chance), s) for s in range(300)])
    for level in (0.05, 0.1, 0.3):
        assert (p <= level).sum() <= most(300, level)
    assert (p <= 0.3).sum() >= 300 - most(300, 0.7)  # nor is it never small


def test_the_martingale_stays_calibrated_however_often_it_is_looked_at() -> None:
    chance = np.random.default_rng(3)
    ever = 0
    for _ in range(400):
        wealth = jumper(ranks(chance.normal(size=250), chance.random(250))[50:])
        ever += bool(wealth.max() >= 20)  # 1 in 20 at most, over 200 looks
    assert ever <= most(400, 0.05)


@pytest.fixture(scope="module")
def nulls(tmp_path_factory: pytest.TempPathFactory) -> list[State]:
    """States in which nothing changed, with columns that hardly ever say anything, and then a lot."""
    out: list[State] = []
    for seed in range(80):
        chance = np.random.default_rng([9, seed])
        rows = chance.normal(size=(130, 5))
        rows[:, 1] = np.where(chance.random(130) < 0.015, 1000.0, 0.0)
        state = make_state(
            tmp_path_factory.mktemp("null"),
            ["a", "b"] * 65,
            columns=columns(rows, (chance.random(130) < 0.02).astype(np.int64)),
            seed=seed,
            probabilities=np.full((130, 2), 0.5, np.float32),
        )
        out.append(with_lesson(state, 80, 80))
    return out


@pytest.mark.parametrize(
    "metric", [drift(permutations=99), *(drift(test=t) for t in ("mmd", "classifier", "martingale"))]
)
def test_metrics_are_calibrated_where_a_column_is_nearly_constant(metric: Any, nulls: list[State]) -> None:
    p = np.array([metric.value(state) for state in nulls])
    for level in (0.05, 0.1, 0.3):
        assert (p <= level).sum() <= most(len(nulls), level, sure=1e-3)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_ranks_are_shares_of_what_came_before(scores: list[int]) -> None:
    found = ranks(np.array(scores, float), np.full(len(scores), 0.5))
    for i, score in enumerate(scores):
        before = np.array(scores[: i + 1])
        expected = ((before > score).sum() + 0.5 * (before == score).sum()) / (i + 1)
        assert found[i] == pytest.approx(expected)


def test_statistics_are_those_of_the_books() -> None:
    scipy = pytest.importorskip("scipy.stats")
    chance = np.random.default_rng(8)
    x, y = chance.normal(size=80), chance.normal(0.35, 1, size=60)
    whole = column_test({"x": np.concatenate([x, y])}, 80, times=1999, seed=0)[0]
    assert whole == pytest.approx(scipy.ks_2samp(x, y).pvalue, abs=0.02)
    a, b = chance.integers(0, 4, 80), chance.choice(4, 60, p=[0.4, 0.2, 0.2, 0.2])
    table = np.array([np.bincount(a, minlength=4), np.bincount(b, minlength=4)])
    found = column_test({"k": np.concatenate([a, b]).astype(np.int64)}, 80, times=1999, seed=0)[0]
    assert found == pytest.approx(scipy.chi2_contingency(table).pvalue, abs=0.03)


def test_permutations_begin_with_the_truth_and_keep_the_sizes() -> None:
    labels = permuted(5, 3, 50, 0)
    assert labels[0].tolist() == [False] * 5 + [True] * 3
    assert (labels.sum(axis=1) == 3).all()
    assert len(np.unique(labels, axis=0)) > 20


# -- records
# -----------------------------------------------------------------------------------------------------------


SIGNALS = [moved(), moved(by="distance"), outdated(), outdated("embeddings"), moved("v", by="distance")]


@pytest.mark.parametrize("signal", SIGNALS, ids=repr)
def test_every_signal_sits_the_exam(signal: Any, shifted: State) -> None:
    check_signal(signal, shifted)


def test_one_record_in_a_hundred_is_far_where_nothing_moved(calm: State, shifted: State) -> None:
    score = moved(by="distance").value(calm)
    told = ~np.isnan(score)
    assert told.sum() == 120  # those it did not learn from, of train only
    assert (score[told] > 0.9).sum() <= most(120, 0.1 + 0.05)
    assert np.nanmedian(moved(by="distance").value(shifted)) > 0.75
    assert np.nanmedian(moved(by="classifier").value(shifted)) > 0.75


@pytest.mark.parametrize("by", ["distance", "classifier"])
def test_the_records_that_moved_come_first(by: str, tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    rows = chance.normal(size=(300, 5))
    rows[260:] += 4  # of the 100 new ones, 40
    state = make_state(
        tmp_path,
        ["a", "b"] * 100 + [None] * 100,
        columns=columns(rows, np.zeros(300, np.int64)),
        probabilities=np.full((300, 2), 0.5, np.float32),
    )
    state = with_lesson(state, 200, 200)
    best = unlabeled.top(40, by=moved(by=by)).choose(state).ids
    assert len(np.intersect1d(best, np.arange(260, 300))) >= 38
    gone = labeled.top(20, by=outdated(by=by)).choose(state).ids
    assert (gone < 200).all()


def test_selectors_choose_by_them_and_never_what_is_held_out(shifted: State) -> None:
    chosen = records.where(moved() > 0.95).choose(shifted)
    assert len(chosen) > 10
    assert shifted.view.train[chosen.ids].all()


# -- what the model learned from, and what it says of what came later
# -----------------------------------------------------------------------------------------------------------


def pool(folder: Path) -> Dataset:
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(120, 5))
    label: list[str | None] = ["yes" if x > 0 else "no" for x in rows[:, 0]]
    label[50:] = [None] * 70
    split = ["train"] * 100 + ["valid"] * 20
    return make_state(folder, label, split=split, columns={"v": rows.astype(np.float32)}, classes=["no", "yes"]).dataset


def gaussian() -> SklearnModel:
    from sklearn.naive_bayes import GaussianNB

    return SklearnModel(GaussianNB())


def test_a_state_knows_what_its_model_learned_from(tmp_path: Path) -> None:
    dataset = Dataset.open(pool(tmp_path).path, durability="process")
    made = train(dataset.at(-1), gaussian(), gaussian(), needs={"embeddings"}, seed=0, keep=True)
    outputs = Outputs(dataset.path / "outputs" / made["ref"])
    assert np.flatnonzero(State(dataset.at(-1), outputs).learned).tolist() == list(range(50))
    more = {"v": np.full((30, 5), 3, np.float32), "key": [f"new{i}" for i in range(30)]}
    dataset.append(more, key="key", splits={"train": 1.0})
    set_label(dataset, [60], 1)
    later = State(dataset.at(-1), outputs)
    assert np.flatnonzero(later.learned).tolist() == list(range(50))  # the label came later
    assert np.flatnonzero(later.lesson == 0).tolist() == list(range(120, 150))
    assert np.isnan(later.probabilities[0, 120:]).all()

    scored = State(dataset.at(-1), extend(dataset.at(-1), outputs, needs={"probabilities", "embeddings"}))
    assert not np.isnan(scored.probabilities).any()
    np.testing.assert_array_equal(scored.probabilities[:, :120], later.probabilities[:, :120])
    assert scored.probabilities[1, 120:].min() > 0.9
    np.testing.assert_array_equal(scored.output("embeddings")[120:], np.full((30, 5), 3, np.float32))
    np.testing.assert_array_equal(scored.lesson, later.lesson)
    assert drift("embeddings").value(scored) < 0.01
    assert extend(dataset.at(-1), outputs, needs=set()) is outputs
    assert extend(dataset.at(2), outputs, needs={"probabilities"}).ref == scored.outputs.ref  # type: ignore[union-attr]

    dataset.append({"v": np.zeros((1, 5), np.float32), "key": ["last"]}, key="key", splits={"train": 1.0})
    newer = extend(dataset.at(-1), outputs, needs={"probabilities"})
    kept = [p.name for p in outputs.folder.parent.glob(f"{outputs.ref}+*")]
    assert kept == [newer.ref]  # looks do not pile up


def test_all_of_it_is_a_value(shifted: State) -> None:
    quantities: list[Quantity] = [*METRICS, *SIGNALS]
    for quantity in quantities:
        assert repr(from_json(to_json(quantity))) == repr(quantity)
    assert repr(drift("x", test="mmd", window=9) < 0.01) == 'drift("x", test="mmd", window=9) < 0.01'
    assert (drift() < 0.01).explain(shifted) == "drift() = 0.001 < 0.01"
