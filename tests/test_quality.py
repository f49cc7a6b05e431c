"""Label quality: kernels against the paper written out record by record, signals through the exam, and the chooser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.states import make_state
from tilth.algebra import Quantity, from_json, to_json
from tilth.errors import NotFound, UsageError
from tilth.signals import detector, label_issue, label_quality, suggest
from tilth.signals.confident import (
    FILTERS,
    RANKINGS,
    class_thresholds,
    confident_joint,
    label_issues,
    label_scores,
    noise_concentration,
)
from tilth.signals.judges import BY, METHODS
from tilth.signals.kernels import CHUNK
from tilth.state import State
from tilth.testing.signals import check_signal

Array = np.ndarray[Any, Any]


def problem(
    n: int,
    k: int,
    *,
    seed: int = 0,
    noise: float = 0.3,
    empty: int = 0,
    skew: float = 0,
    tenths: bool = False,
    dtype: Any = np.float64,
) -> tuple[Array, Array]:
    """Return (probabilities [k, n], labels [n]).

    The last `empty` classes have no label; with `skew` the model gives less to each class than to the one before.
    """
    rng = np.random.default_rng(seed)
    true = rng.integers(0, k - empty, n)
    p = np.exp(rng.normal(size=(k, n)) + 2 * (np.arange(k)[:, None] == true) * rng.random(n))
    p *= np.exp(-skew * np.arange(k))[:, None]
    p /= p.sum(axis=0)
    labels = np.where(rng.random(n) < noise, rng.integers(0, k - empty, n), true)
    return (np.round(p, 1) if tenths else p).astype(dtype), labels


# -- the paper, record by record ---------------------------------------------------------------------------------------


def thresholds_by_hand(p: Array, labels: Array) -> list[float]:
    out: list[float] = []
    for j in range(len(p)):
        own = p[j, labels == j]
        out.append(max(float(own.mean()), 2e-6) if len(own) else 2.0)
    return out


def guesses_by_hand(p: Array, labels: Array) -> list[int | None]:
    bars = thresholds_by_hand(p, labels)
    out: list[int | None] = []
    for row in p.T:
        reached = [j for j in range(len(p)) if float(row[j]) >= bars[j] - 1e-6]
        out.append(None if not reached else reached[0] if len(reached) == 1 else int(row.argmax()))
    return out


def joint_by_hand(p: Array, labels: Array) -> Array:
    out = np.zeros((len(p), len(p)), int)
    for label, guess in zip(labels, guesses_by_hand(p, labels), strict=True):
        if guess is not None:
            out[label, guess] += 1
    for j in range(len(p)):
        out[j, j] = max(out[j, j], 1)
    return out


def disputed_by_hand(p: Array, labels: Array) -> Array:
    return np.array([p[y, i] <= p[:, i].max() - p.dtype.type(1e-6) for i, y in enumerate(labels)], bool)


def kept_by_hand(p: Array, labels: Array, least: int) -> Array:
    """Return the calibrated joint with `least` on its diagonal; the calibrated joint itself is tested by what it is."""
    joint = confident_joint(p, labels)
    out = joint.copy()
    for j, row in enumerate(joint):
        missing = max(row[j], least) - row[j]
        share = missing / max(np.count_nonzero(row) - 1, 1)
        out[j] = [int(max(cell - share, 0)) if cell else 0 for cell in row]
        out[j, j] = row[j] + missing
    return out


def issues_by_hand(p: Array, labels: Array, filter: str, least: int = 1) -> Array:
    """Where no two scores are equal: each rule by ordering everything."""
    n, own, disputed = len(labels), p[labels, np.arange(len(labels))], disputed_by_hand(p, labels)
    guess = guesses_by_hand(p, labels)
    confident = disputed & np.array([g is not None and g != y for g, y in zip(guess, labels, strict=True)], bool)
    out = np.zeros(n, bool)
    if filter in ("predicted_neq_given", "confident_learning"):
        return disputed if filter == "predicted_neq_given" else confident
    if filter.startswith("low_"):
        score = own if filter == "low_self_confidence" else scores_by_hand(p, labels, "normalized_margin")
        out[np.argsort(score, kind="stable")[: confident.sum()]] = True
        return out
    if filter == "both":
        return issues_by_hand(p, labels, "prune_by_class", least) & issues_by_hand(
            p, labels, "prune_by_noise_rate", least
        )
    kept = kept_by_hand(p, labels, least)
    for j in range(len(p)):
        rows = np.flatnonzero(labels == j)
        if len(rows) <= least:
            continue
        if filter == "prune_by_class":
            out[rows[np.argsort(own[rows], kind="stable")[: len(rows) - kept[j, j]]]] = True
            continue
        for to in (to for to in range(len(p)) if to != j):
            out[rows[np.argsort(own[rows] - p[to, rows], kind="stable")[: kept[j, to]]]] = True
    return out & disputed


def scores_by_hand(p: Array, labels: Array, ranking: str) -> Array:
    out: list[float] = []
    for row, y in zip(p.T, labels, strict=True):
        own = row[y]
        if ranking == "self_confidence":
            out.append(own)
        elif ranking == "normalized_margin":
            out.append((own - max(np.delete(row, y), default=0) + 1) / 2)
        else:
            x = -sum(q * np.log(q) for q in row.astype(float) if q > 0) / np.log(max(len(row), 2)) / max(own, 1e-300)
            out.append(0 if own == 0 else 1 if x == 0 else np.log(x + 1) / x)
    return np.array(out)


# -- kernels -----------------------------------------------------------------------------------------------------------

SHAPES = [(1, 1), (5, 1), (2, 2), (40, 2), (200, 3), (60, 9), (700, 30), (2 * CHUNK + 7, 4), (400, 300)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_filter_and_ranking_agrees_with_the_paper_written_out(shape: tuple[int, int], dtype: Any) -> None:
    n, k = shape
    p, labels = problem(n, k, seed=n, dtype=dtype)
    bars = thresholds_by_hand(p, labels)
    assert class_thresholds(p, labels) == pytest.approx(np.array(bars), rel=1e-6)
    assert np.array_equal(confident_joint(p, labels, calibrate=False), joint_by_hand(p, labels))
    for filter in FILTERS:
        assert np.array_equal(label_issues(p, labels, filter=filter), issues_by_hand(p, labels, filter)), filter
    for ranking in RANKINGS:
        found = label_scores(p, labels, ranking=ranking)
        assert found.dtype == dtype
        assert found == pytest.approx(scores_by_hand(p, labels, ranking), abs=1e-5)
        assert found.min() >= 0
        assert found.max() <= 1


problems = st.tuples(st.integers(1, 120), st.integers(1, 7), st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 2))


@given(problems, st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([np.float32, np.float64]))
def test_any_problem_without_equal_scores(
    drawn: tuple[int, int, int, float, int], least: int, skew: float, dtype: Any
) -> None:
    n, k, seed, noise, empty = drawn
    p, labels = problem(n, k, seed=seed, noise=noise, empty=min(empty, k - 1), skew=skew, dtype=dtype)
    for filter in FILTERS:
        found = label_issues(p, labels, filter=filter, min_examples=least)
        assert np.array_equal(found, issues_by_hand(p, labels, filter, least)), filter


@given(problems)
def test_a_calibrated_joint_has_the_counts_of_the_labels_and_the_proportions_of_the_rows(
    drawn: tuple[int, int, int, float, int],
) -> None:
    n, k, seed, noise, empty = drawn
    p, labels = problem(n, k, seed=seed, noise=noise, empty=min(empty, k - 1), tenths=seed % 2 == 0)
    raw, found = confident_joint(p, labels, calibrate=False), confident_joint(p, labels)
    counts = np.bincount(labels, minlength=k)
    assert found.dtype == np.int64
    assert np.array_equal(found.sum(axis=1), counts)
    assert np.abs(found - raw / raw.sum(axis=1, keepdims=True) * counts[:, None]).max() <= 1


@settings(max_examples=60)
@given(st.integers(2, 150), st.integers(2, 6), st.integers(0, 10**6), st.sampled_from([np.float32, np.float64]))
def test_with_equal_scores_as_many_are_flagged_and_none_before_a_lower_one(
    n: int, k: int, seed: int, dtype: Any
) -> None:
    p, labels = problem(n, k, seed=seed, tenths=True, dtype=dtype)
    disputed = disputed_by_hand(p, labels)
    assert np.array_equal(label_issues(p, labels, filter="predicted_neq_given"), disputed)
    confident = issues_by_hand(p, labels, "confident_learning")
    assert np.array_equal(label_issues(p, labels, filter="confident_learning"), confident)
    for filter, ranking in (("low_self_confidence", RANKINGS[1]), ("low_normalized_margin", RANKINGS[0])):
        found, score = label_issues(p, labels, filter=filter), label_scores(p, labels, ranking=ranking)
        assert found.sum() == confident.sum()
        assert score[found].max(initial=0) <= score[~found].min(initial=1)
    own, kept = p[labels, np.arange(n)], kept_by_hand(p, labels, 1)
    found = label_issues(p, labels, filter="prune_by_class")
    for j in range(k):
        rows = np.flatnonzero(labels == j)
        if len(rows) > 1:
            ordered, number = np.sort(own[rows]), len(rows) - kept[j, j]
            bar = ordered[number - 1] if number else -1.0
            assert found[rows[(own[rows] < bar) & disputed[rows]]].all()
            assert not found[rows[own[rows] > bar]].any()
            assert found[rows].sum() <= number


@pytest.mark.parametrize(("n", "k", "noise", "skew"), [(60_000, 3, 0.1, 0), (30_000, 12, 0.6, 0), (30_000, 4, 0.3, 1)])
def test_cuts_are_in_the_right_place_where_a_sample_sets_the_bars(n: int, k: int, noise: float, skew: float) -> None:
    p, labels = problem(n, k, seed=n, noise=noise, skew=skew)
    found = label_issues(p, labels)
    assert np.array_equal(found, issues_by_hand(p, labels, "prune_by_noise_rate"))
    # A sample of every 16th that is misled: these are the surest errors, or the least sure ones.
    sure = np.argsort(p[labels, np.arange(n)] - p.max(axis=0))
    sure = sure[disputed_by_hand(p, labels)[sure]]
    for first in (sure, sure[::-1]):
        order = np.concatenate([first, np.setdiff1d(np.arange(n), first)])
        sampled = np.zeros(n, bool)
        sampled[: len(first) : 16] = True
        place = np.empty(n, int)
        place[sampled] = order[: sampled.sum()]
        place[~sampled] = order[sampled.sum() :]
        assert np.array_equal(label_issues(p[:, place], labels[place]), found[place])


def test_classes_without_labels_and_certain_probabilities() -> None:
    p = np.array([[1.0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]])
    labels = np.array([0, 1, 1, 0])
    assert class_thresholds(p, labels).tolist() == [1, 0.5, 2]
    assert confident_joint(p, labels)[2].tolist() == [0, 0, 0]
    assert label_issues(p, labels, filter="predicted_neq_given").tolist() == [False, False, True, False]
    assert label_issues(p, labels, filter="confident_learning").tolist() == [False] * 4
    for ranking in RANKINGS:
        assert label_scores(p, labels, ranking=ranking).tolist() == [1, 1, 0, 1]


def test_a_model_that_never_gives_a_class_has_a_threshold_that_nothing_reaches_by_being_zero() -> None:
    p = np.array([[0, 0, 0], [1.0, 1, 1]])
    assert class_thresholds(p, np.array([0, 1, 1])).tolist() == [2e-6, 1]
    assert confident_joint(p, np.array([0, 1, 1]), calibrate=False).tolist() == [[1, 1], [0, 2]]


def test_a_label_is_not_disputed_where_another_class_is_ahead_by_less_than_a_millionth() -> None:
    for ahead, said in ((0, False), (9e-7, False), (2e-6, True)):
        p = np.array([[0.5], [0.5 - ahead]])
        assert label_issues(p, np.array([1]), filter="predicted_neq_given").tolist() == [said]


def test_no_record_at_all() -> None:
    p, labels = np.zeros((3, 0), np.float32), np.zeros(0, int)
    for filter in FILTERS:
        assert label_issues(p, labels, filter=filter).shape == (0,)
    for ranking in RANKINGS:
        assert label_scores(p, labels, ranking=ranking).shape == (0,)
    assert confident_joint(p, labels).sum() == 0
    assert confident_joint(p, labels, calibrate=False).tolist() == np.eye(3).tolist()
    assert noise_concentration(p, labels) == 1


def test_labels_of_any_integer_type_and_probabilities_in_any_layout() -> None:
    p, labels = problem(300, 4)
    expected = label_issues(p, labels)
    for other in (labels.astype(np.int8), labels.astype(np.uint64), labels.astype(np.int32)):
        assert np.array_equal(label_issues(p, other), expected)
    assert np.array_equal(label_issues(np.asfortranarray(p), labels), expected)
    assert np.array_equal(label_issues(p[:, ::-1], labels[::-1]), expected[::-1])


def test_concentration_is_one_where_errors_have_one_class_and_near_zero_where_they_have_all() -> None:
    rng, k, n = np.random.default_rng(0), 5, 20_000
    true = rng.integers(0, k, n)
    p = np.where(np.arange(k)[:, None] == true, 0.8, 0.05)
    wrong = rng.random(n) < 0.2
    assert noise_concentration(p, np.where(wrong, (true + 1) % k, true)) == 1
    assert noise_concentration(p, np.where(wrong, (true + rng.integers(1, k, n)) % k, true)) < 0.1
    assert noise_concentration(p, true) == 1
    assert noise_concentration(p[:2] / p[:2].sum(axis=0), rng.integers(0, 2, n)) == 1


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: label_issues(np.ones((2, 3)), np.zeros(3, int), filter="bot"), "no 'bot'.*Did you mean 'both'"),
        (lambda: label_issues(np.ones((2, 3)), np.zeros(3, int), min_examples=0), "1 or more, got 0"),
        (lambda: label_scores(np.ones((2, 3)), np.zeros(3, int), ranking="margin"), "no 'margin'. There is: norm"),
        (lambda: confident_joint(np.ones((2, 3), int), np.zeros(3, int)), r"float64 \[k, n\].*got int64\[2, 3\]"),
        (lambda: confident_joint(np.ones(3), np.zeros(3, int)), r"got float64\[3\]"),
        (lambda: confident_joint(np.ones((0, 3)), np.zeros(3, int)), r"got float64\[0, 3\]"),
        (lambda: confident_joint(np.ones((2, 3)), np.zeros(2, int)), r"integers \[3\], one a record; got int64\[2\]"),
        (lambda: confident_joint(np.ones((2, 3)), np.zeros(3)), r"got float64\[3\]"),
        (lambda: label_issues(np.ones((2, 3)), np.array([0, 2, 1])), r"labels are 0 to 1.*got 0\.\.2"),
        (lambda: label_issues(np.ones((2, 3)), np.array([0, -1, 1])), r"got -1\.\.1"),
        (lambda: label_issues(np.array([[0.5, np.nan], [0.5, 1]]), np.array([0, 1])), "some probabilities are NaN"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_came(call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()


def test_scores_pass_nan_on() -> None:
    p = np.array([[0.5, np.nan], [0.5, np.nan]], np.float32)
    for ranking in RANKINGS:
        assert np.isnan(label_scores(p, np.array([0, 1]), ranking=ranking)).tolist() == [False, True]


# -- signals -----------------------------------------------------------------------------------------------------------

NAMES = ["ant", "bee", "cat", "dog"]
ALL = [label_quality(by=by, method=method) for by in BY for method in METHODS]
ALL += [label_issue(by=by, filter=filter) for by in BY for filter in FILTERS]


def judged_state(folder: Path, n: int = 120, *, tenths: bool = False) -> State:
    p, labels = problem(n, 4, seed=1, tenths=tenths)
    other, _ = problem(n, 4, seed=1, noise=0.9)
    return make_state(
        folder,
        [None if i % 5 == 0 else NAMES[y] for i, y in enumerate(labels)],
        split=["valid" if i % 7 == 0 else "train" for i in range(n)],
        classes=NAMES,
        probe_probabilities=p.T,
        out_of_fold_probabilities=(0.5 * p + 0.5 * other[:, ::-1]).T,
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return judged_state(tmp_path_factory.mktemp("quality"))


@pytest.mark.parametrize("one", ALL, ids=repr)
def test_every_variant_passes_the_exam(one: Quantity, state: State) -> None:
    check_signal(one, state)
    again = from_json(to_json(one))
    assert again == one
    assert again.needs == one.needs


@pytest.mark.parametrize("filter", FILTERS)
def test_equal_scores_go_the_same_way_however_records_are_stored(filter: str, tmp_path: Path) -> None:
    check_signal(label_issue(filter=filter), judged_state(tmp_path, tenths=True))


def test_issues_are_those_of_the_labelled_training_records(state: State) -> None:
    p = np.asarray(state.output("probe_probabilities"))
    ids = np.flatnonzero(state.view.train & state.view.labeled)
    for filter in FILTERS:
        found = label_issue(filter=filter).value(state)
        assert found.dtype == np.float32
        assert np.array_equal(np.flatnonzero(~np.isnan(found)), ids)
        assert np.array_equal(found[ids] == 1, issues_by_hand(p[:, ids], state.view.label[ids], filter))


def test_removed_records_are_no_part_of_the_estimate(tmp_path: Path) -> None:
    p, labels = problem(60, 2, seed=3)
    s = make_state(
        tmp_path,
        [["a", "b"][y] for y in labels],
        split=["train"] * 40 + ["test"] * 20,
        classes=["a", "b"],
        probe_probabilities=p.T,
    )
    found = label_issue().value(s)
    assert np.isnan(found[40:]).all()
    assert np.array_equal(found[:40] == 1, issues_by_hand(p[:, :40].astype(np.float32), labels[:40], FILTERS[0]))


def test_the_ensemble_is_the_mean_of_the_judges(state: State) -> None:
    both = [np.asarray(state.output(k)) for k in ("probe_probabilities", "out_of_fold_probabilities")]
    labels = np.where(state.view.labeled, state.view.label, 0)
    for method in RANKINGS:
        found = label_quality(by="ensemble", method=method).value(state)
        by_hand = scores_by_hand((both[0] + both[1]) / 2, labels, method)
        assert np.array_equal(np.isnan(found), ~state.view.labeled)
        assert found[state.view.labeled] == pytest.approx(by_hand[state.view.labeled], abs=1e-5)
    codes, sure = suggest(state, by="ensemble")
    assert np.array_equal(codes, ((both[0] + both[1]) / 2).argmax(axis=0))
    assert sure == pytest.approx(((both[0] + both[1]) / 2).max(axis=0))


def test_needs_are_those_of_the_judge() -> None:
    probe, model = {"probe_probabilities"}, {"out_of_fold_probabilities"}
    for made in (label_quality, label_issue):
        assert made().needs == probe
        assert made(by="model").needs == model
        assert made(by="ensemble").needs == made(by="auto").needs == probe | model
    assert repr(label_issue(by="model", filter="both") > 0) == 'label_issue(by="model", filter="both") > 0'


def test_the_chooser_takes_who_agrees_with_the_labels_and_the_method_that_fits_the_errors(tmp_path: Path) -> None:
    rng, n, k = np.random.default_rng(0), 800, 4
    true = rng.integers(0, k, n)
    good = np.where(np.arange(k)[:, None] == true, 0.7, 0.1)
    poor = np.full((k, n), 0.25)
    wrong = rng.random(n) < 0.2
    systematic = np.where(wrong, (true + 1) % k, true)
    symmetric = np.where(wrong, (true + rng.integers(1, k, n)) % k, true)
    for i, (labels, method) in enumerate([(systematic, "normalized_margin"), (symmetric, "self_confidence")]):
        for j, (probe, model, by) in enumerate([(good, poor, "probe"), (poor, good, "model"), (good, good, "probe")]):
            s = make_state(
                tmp_path / f"{i}{j}",
                [NAMES[y] for y in labels],
                classes=NAMES,
                probe_probabilities=probe.T,
                out_of_fold_probabilities=model.T,
            )
            assert detector(s) == (by, method)
            expected = label_quality(by=by, method=method).value(s)
            assert np.array_equal(label_quality(by="auto", method="auto").value(s), expected)
            assert detector(s, by="model", method="self_confidence") == ("model", "self_confidence")
            assert np.array_equal(label_issue(by="auto").value(s), label_issue(by=by).value(s))


def test_without_labels_or_probabilities_nothing_is_said(tmp_path: Path) -> None:
    p = np.full((3, 2), 0.5)
    none = make_state(
        tmp_path / "none", [None] * 3, classes=["a", "b"], probe_probabilities=p, out_of_fold_probabilities=p
    )
    unseen = make_state(
        tmp_path / "unseen",
        ["a", "b", "a"],
        probe_probabilities=np.full((3, 2), np.nan),
        out_of_fold_probabilities=np.full((3, 2), np.nan),
    )
    for s in (none, unseen):
        for one in (label_issue(), label_issue(by="auto"), label_quality(by="auto", method="auto")):
            assert np.isnan(one.value(s)).all()
        assert detector(s) == ("probe", "normalized_margin")


def test_one_class_and_one_record_a_class(tmp_path: Path) -> None:
    one = make_state(tmp_path / "one", ["a", "a", "a"], probe_probabilities=np.ones((3, 1)))
    assert label_issue().value(one).tolist() == [0, 0, 0]
    assert label_quality().value(one).tolist() == [1, 1, 1]
    few = make_state(tmp_path / "few", ["a", "b"], probe_probabilities=[[0.1, 0.9], [0.9, 0.1]])
    assert label_issue(filter="prune_by_class").value(few).tolist() == [0, 0]
    assert label_issue(filter="predicted_neq_given").value(few).tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["number", "classes"])
def test_labels_of_another_kind_are_refused(kind: str, tmp_path: Path) -> None:
    labels: list[Any] = [1.0, 2.0] if kind == "number" else [["a"], ["a", "b"]]
    s = make_state(tmp_path, labels, label_kind=kind, probe_probabilities=np.ones((2, 1 if kind == "number" else 2)))
    for ask in (label_quality().value, label_issue().value, label_quality(method="auto").value, suggest):
        with pytest.raises(UsageError, match=f"a record has one class; this dataset's labels are of kind '{kind}'"):
            ask(s)


def test_a_judge_that_was_not_asked_for_is_not_there(tmp_path: Path) -> None:
    s = make_state(tmp_path, ["a", "b"], probe_probabilities=[[0.9, 0.1], [0.2, 0.8]])
    for one in (label_quality(by="ensemble"), label_issue(by="auto"), label_quality(by="auto")):
        with pytest.raises(NotFound, match="no out_of_fold_probabilities"):
            one.value(s)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda: label_issue(filter="prune"), r"label_issue\(filter=...\): no 'prune'. There is: prune_by_noise_rate"),
        (lambda: label_issue(by="modle"), r"label_issue\(by=...\): no 'modle'.*Did you mean 'model'"),
        (lambda: label_quality(method="entropy"), r"label_quality\(method=...\): no 'entropy'"),
    ],
)
def test_mistakes_are_told_where_they_are_written(write: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        write()
