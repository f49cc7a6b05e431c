"""Agreement against published examples and scikit-learn, and the metrics that rest on it."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from tests.pets import make_pets
from tilth import Dataset, agreement, annotator_quality
from tilth.errors import UsageError
from tilth.labeling.agreement import cohen_kappa, cohen_kappas, fleiss_kappa, krippendorff_alpha
from tilth.labeling.consensus import answered
from tilth.protocols import Answers
from tilth.state import State

FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]
"""Ten subjects, fourteen raters, five categories: the worked example of Fleiss' kappa; it comes to 0.210."""

_ = float("nan")
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
"""Example C of Krippendorff 2011: four observers, twelve units; nominal alpha 0.743, interval alpha 0.849."""


def test_fleiss_worked_example() -> None:
    assert round(fleiss_kappa(np.array(FLEISS)), 3) == 0.210


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("interval", 0.849)])
def test_krippendorff_worked_example(level: str, alpha: float) -> None:
    table = np.array(KRIPPENDORFF)
    records = np.tile(np.arange(12), 4)
    assert round(krippendorff_alpha(records, table.ravel(), level=level), 3) == alpha


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_cohen_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(side, np.int32) for side in zip(*pairs, strict=True))
    mine = cohen_kappa(a, b)
    if len(set(a.tolist()) | set(b.tolist())) == 1:
        assert np.isnan(mine)  # by chance alone they would agree as well; scikit-learn warns
    else:
        np.testing.assert_allclose(mine, cohen_kappa_score(a, b), atol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=25), st.sampled_from(["nominal", "interval"]))
def test_alpha_is_what_counting_all_pairs_gives(rows: list[tuple[int, int]], level: str) -> None:
    records = np.array([r for r, _ in rows], np.int64)
    values = np.array([v for _, v in rows], np.float64)
    mine = krippendorff_alpha(records, values, level=level)
    paired = [i for i in range(len(rows)) if (records == records[i]).sum() >= 2]

    def apart(i: int, j: int) -> float:
        return float(values[i] != values[j]) if level == "nominal" else float((values[i] - values[j]) ** 2)

    n = len(paired)
    observed = sum(
        apart(i, j) / ((records == records[i]).sum() - 1)
        for i in paired
        for j in paired
        if i != j and records[i] == records[j]
    )
    expected = sum(apart(i, j) for i in paired for j in paired if i != j)
    if n == 0 or expected == 0:
        assert np.isnan(mine)
    else:
        np.testing.assert_allclose(mine, 1 - (observed / n) / (expected / (n * (n - 1))), atol=1e-9)


@pytest.mark.parametrize("counts", [np.zeros((0, 3), int), np.array([[1, 0]]), np.array([[3, 0], [3, 0]])])
def test_fleiss_without_anything_to_compare_is_not_known(counts: np.ndarray) -> None:
    assert np.isnan(fleiss_kappa(counts))


def test_metrics_read_the_answers_of_the_version(tmp_path: Path) -> None:
    pets = make_pets(tmp_path)
    state = State(pets.at(0))
    assert np.isnan(agreement().value(state))
    assert np.isnan(annotator_quality().value(state))
    names = ["ann", "bob", "cyd"]
    right = ["cat", "dog", "cat", "dog", "cat"]
    rows = [(i, label if name != "cyd" else "cat", name) for i, label in enumerate(right) for name in names]
    answers = Answers(np.array([r for r, _, _ in rows]), [x for _, x, _ in rows], [n for _, _, n in rows], np.ones(15))
    pets.commit(answered(pets, answers, reason="asked"))
    state = State(pets.at(1))
    assert 0 < agreement().value(state) < 1
    assert 0 < agreement("fleiss").value(state) < 1
    cohen = np.mean(
        [
            1.0,
            cohen_kappa(np.array([0, 1, 0, 1, 0]), np.zeros(5, int)),
            cohen_kappa(np.array([0, 1, 0, 1, 0]), np.zeros(5, int)),
        ]
    )
    assert agreement("cohen").value(state) == pytest.approx(cohen)
    assert annotator_quality("ann").value(state) > annotator_quality("cyd").value(state)
    assert annotator_quality(least=5).value(state) == annotator_quality("cyd").value(state)
    assert np.isnan(annotator_quality("nobody").value(state))
    with pytest.raises(UsageError, match="no 'scott'"):
        agreement("scott")


def test_numbers_agree_by_their_distance(tmp_path: Path) -> None:
    ds = Dataset.create(tmp_path / "n", {"x": np.arange(3.0), "y": [1.0, 5.0, 9.0]}, label="y", label_kind="number")
    records, said = np.array([0, 0, 1, 1, 2, 2]), [1.0, 1.5, 5.0, 5.5, 9.0, None]
    ds.commit(answered(ds, Answers(records, said, ["ann", "bob"] * 3, np.ones(6)), reason="asked"))
    expected = krippendorff_alpha(records[:4], np.array(said[:4]), level="interval")
    assert agreement().value(State(ds.at(1))) == pytest.approx(expected)
    assert expected > 0.9


def test_gold_answers_are_no_agreement(tmp_path: Path) -> None:
    pets = make_pets(tmp_path)
    answers = Answers(np.array([0, 0]), ["cat", "dog"], ["ann", "bob"], np.ones(2), gold=np.array([True, True]))
    pets.commit(answered(pets, answers, reason="asked"))
    assert np.isnan(agreement().value(State(pets.at(1))))


@given(st.dictionaries(st.tuples(st.integers(0, 6), st.integers(0, 4)), st.integers(-1, 2), max_size=30), st.randoms())
def test_kappas_of_all_pairs_are_those_of_each(told: dict[tuple[int, int], int], order: random.Random) -> None:
    rows = list(told.items())
    order.shuffle(rows)
    columns = np.array([(r, a, c) for (r, a), c in rows], np.int64).reshape(-1, 3)
    kappas, shared = cohen_kappas(*columns.T)
    expected: list[tuple[float, int]] = []
    for a in range(5):
        for b in range(a + 1, 5):
            both = [r for r in range(7) if told.get((r, a), -1) >= 0 and told.get((r, b), -1) >= 0]
            if both:
                x, y = [told[r, a] for r in both], [told[r, b] for r in both]
                one = len({*x, *y}) == 1
                expected.append((np.nan if one else cohen_kappa_score(x, y), len(both)))
    np.testing.assert_allclose(kappas, [k for k, _ in expected], atol=1e-12)
    assert shared.tolist() == [n for _, n in expected]


@pytest.mark.parametrize("kind", ["krippendorff", "fleiss", "cohen"])
def test_nobody_agrees_with_himself(tmp_path: Path, kind: str) -> None:
    pets = make_pets(tmp_path)
    twice = Answers(np.array([0, 0, 1, 1]), ["cat", "cat", "dog", "dog"], ["ann"] * 4, np.ones(4))
    pets.commit(answered(pets, twice, reason="asked"))
    assert np.isnan(agreement(kind).value(State(pets.at(1))))
    other = Answers(np.array([0, 1]), ["cat", "dog"], ["bob"] * 2, np.ones(2))
    pets.commit(answered(pets, other, reason="asked"))
    assert agreement(kind).value(State(pets.at(2))) == 1.0
    changed = Answers(np.array([1]), ["cat"], ["bob"], np.ones(1))  # what was said last counts
    pets.commit(answered(pets, changed, reason="asked"))
    assert agreement(kind).value(State(pets.at(3))) < 1.0


def test_pairs_count_by_the_records_that_they_share(tmp_path: Path) -> None:
    pets = make_pets(tmp_path)
    rows = [(i, label, name) for i, label in enumerate(["cat", "dog", "cat", "dog"]) for name in ("ann", "bob")]
    rows += [(0, "dog", "cyd")]  # against both of them, on one record: kappa 0
    answers = Answers(np.array([r for r, _, _ in rows]), [x for _, x, _ in rows], [n for _, _, n in rows], np.ones(9))
    pets.commit(answered(pets, answers, reason="asked"))
    assert agreement("cohen").value(State(pets.at(1))) == pytest.approx((4 * 1 + 1 * 0 + 1 * 0) / 6)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="2 codes and 1"):
        cohen_kappa(np.array([0, 1]), np.array([0]))
    with pytest.raises(UsageError, match="no 'ordinal'"):
        krippendorff_alpha(np.array([0, 0]), np.array([1.0, 2.0]), level="ordinal")  # type: ignore[arg-type]


def test_nothing_to_compare_is_not_known() -> None:
    none = np.empty(0, np.int64)
    assert np.isnan(cohen_kappa(none, none))
    assert np.isnan(cohen_kappa(np.array([-1, 0]), np.array([0, -1])))
    assert np.isnan(krippendorff_alpha(none, np.empty(0)))
    assert np.isnan(krippendorff_alpha(np.array([0, 1]), np.array([1.0, 2.0])))
