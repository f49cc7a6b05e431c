"""From answers to labels: majority, Dawid-Skene against a slow independent one, medians, bad records."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pets import make_pets
from tilth.changes import Op
from tilth.dataset import Dataset
from tilth.labeling.consensus import answered, consensus
from tilth.labeling.dawid_skene import dawid_skene
from tilth.labeling.judging import quality, wilson
from tilth.protocols import Answers

ROWS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abcd"), st.integers(-1, 2)), max_size=40)


@given(rows=ROWS)
def test_majority_is_what_counting_by_hand_gives(rows: list[tuple[int, str, int]]) -> None:
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    for record, _, code in rows:
        votes[record] += Counter([code] if code >= 0 else [])
    found = consensus(
        np.array([r for r, _, _ in rows], np.int64),
        [a for _, a, _ in rows],
        np.array([c for _, _, c in rows], np.int32),
        n_classes=3,
    )
    assert found.records.tolist() == sorted(votes)
    for record, label, n in zip(found.records.tolist(), found.label.tolist(), found.votes.tolist(), strict=True):
        best = votes[record].most_common(2)
        tie = len(best) == 2 and best[0][1] == best[1][1]
        assert label == (-1 if not best or tie else best[0][0])
        assert n == sum(votes[record].values())


def slow_dawid_skene(rows: list[tuple[int, str, int]], k: int, steps: int, smoothing: float) -> dict[int, list[float]]:
    """The same by loops over dicts, written from the paper."""
    rows = [row for row in rows if row[2] >= 0]
    posterior = {r: [0.0] * k for r, _, _ in rows}
    for r, _, c in rows:
        posterior[r][c] += 1
    posterior = {r: [p / sum(ps) for p in ps] for r, ps in posterior.items()}
    for _ in range(steps):
        confusion = {a: [[smoothing * (1 + (t == c)) for c in range(k)] for t in range(k)] for _, a, _ in rows}
        for r, a, c in rows:
            for t in range(k):
                confusion[a][t][c] += posterior[r][t]
        rate = {a: [[v / sum(row) for v in row] for row in m] for a, m in confusion.items()}
        total = len(posterior) + k * smoothing
        prior = [(sum(ps[t] for ps in posterior.values()) + smoothing) / total for t in range(k)]
        weight = {r: list(prior) for r in posterior}
        for r, a, c in rows:
            for t in range(k):
                weight[r][t] *= rate[a][t][c]
        posterior = {r: [w / sum(ws) for w in ws] for r, ws in weight.items()}
    return posterior


@given(rows=ROWS, steps=st.integers(1, 6))
def test_dawid_skene_is_what_a_slow_one_gives(rows: list[tuple[int, str, int]], steps: int) -> None:
    found = dawid_skene(
        np.array([r for r, _, _ in rows], np.int64),
        [a for _, a, _ in rows],
        np.array([c for _, _, c in rows], np.int32),
        n_classes=3,
        steps=steps,
        tolerance=-1.0,
    )
    slow = slow_dawid_skene(rows, 3, steps, 0.1)
    assert found.records.tolist() == sorted(slow)
    for record, posterior in zip(found.records.tolist(), found.posterior, strict=True):
        np.testing.assert_allclose(posterior, slow[record], atol=1e-9)


def test_dawid_skene_finds_planted_annotators_and_beats_the_majority() -> None:
    rng = np.random.default_rng(0)
    n, k = 2000, 4
    truth = rng.integers(0, k, n)
    accuracy = {"good": 0.95, "fair": 0.85, "guess 1": 0.3, "guess 2": 0.3, "guess 3": 0.3}
    records, who, codes = [], [], []
    for name, rate in accuracy.items():
        right = rng.random(n) < rate
        said = np.where(right, truth, (truth + rng.integers(1, k, n)) % k)
        records.append(np.arange(n))
        who += [name] * n
        codes.append(said)
    r, c = np.concatenate(records), np.concatenate(codes).astype(np.int32)
    found = dawid_skene(r, who, c, n_classes=k)
    mine = (found.posterior.argmax(axis=1) == truth).mean()
    plain = (consensus(r, who, c, n_classes=k).label == truth).mean()
    assert mine > 0.9
    assert mine > plain + 0.1
    for name, confusion in zip(found.annotators, found.confusion, strict=True):
        assert abs(np.diag(confusion).mean() - accuracy[name]) < 0.05


@pytest.mark.parametrize("method", ["majority", "dawid_skene"])
@pytest.mark.parametrize("codes", [[], [-1, -1], [0, 0]])
def test_nothing_one_class_and_nobody_who_can_tell(method: str, codes: list[int]) -> None:
    n = len(codes)
    found = consensus(np.arange(n), ["a"] * n, np.array(codes, np.int32), n_classes=1, method=method)
    assert found.label.tolist() == codes


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    return make_pets(tmp_path)


def said(ds: Dataset, rows: list[tuple[str, Any, str]], **more: Any) -> Answers:
    return Answers(
        ds.ids([k for k, _, _ in rows]), [v for _, v, _ in rows], [a for _, _, a in rows], np.ones(len(rows)), **more
    )


def test_answers_become_events_and_the_labels_that_they_set(pets: Dataset) -> None:
    rows = [("p0", "dog", "ann"), ("p0", "dog", "bob"), ("p1", "cat", "ann"), ("p1", "dog", "bob"), ("p5", None, "ann")]
    pets.commit(answered(pets, said(pets, rows), reason="asked"))
    assert pets.labels(pets.ids(["p0", "p1", "p5"])) == ["dog", "dog", None]
    assert pets.view.labels_spent == 5
    assert [e.what for e in pets.history("p0")] == ["added", "answered", "answered", "label"]
    assert pets.answers()["annotator"].to_pylist() == ["ann", "bob", "ann", "bob", "ann"]


def test_a_record_that_its_annotators_call_bad_is_quarantined_with_their_names(pets: Dataset) -> None:
    rows = [("p0", None, "ann"), ("p0", None, "bob"), ("p1", None, "ann"), ("p1", "dog", "bob"), ("p1", "dog", "cyd")]
    verdicts = ["bad", "bad", "bad", "answer", "answer"]
    pets.commit(answered(pets, said(pets, rows, verdicts=verdicts), reason="asked"))
    bad, kept = pets.ids(["p0", "p1"])
    assert pets.view.quarantined[[bad, kept]].tolist() == [True, False]
    assert not pets.view.alive[bad]
    last = pets.history("p0")[-1]
    assert (last.what, last.reason) == ("quarantined", "a bad record, said ann, bob; asked")
    assert pets.diff(0, 1).to_pylist()[0]["what"] in ("answered", "quarantined")


def test_gold_answers_are_paid_for_and_set_nothing(pets: Dataset) -> None:
    answers = said(pets, [("p0", "dog", "ann"), ("p1", "dog", "ann")], gold=np.array([True, False]))
    pets.commit(answered(pets, answers, reason="asked"))
    assert pets.labels(pets.ids(["p0"])) == ["cat"]
    assert pets.view.asked[pets.ids(["p0", "p1"])].tolist() == [0, 2]
    assert pets.view.labels_spent == 2
    assert pets.history("p0")[-1].what == "gold answer"
    found = quality(pets).to_pylist()
    assert [(r["annotator"], r["judged"], r["right"], r["by"]) for r in found] == [("ann", 1, 0.0, "gold")]


def test_numbers_are_settled_by_their_median(tmp_path: Path) -> None:
    ds = Dataset.create(tmp_path / "n", {"x": np.arange(3.0), "y": [1.0, 2.0, 3.0]}, label="y", label_kind="number")
    answers = Answers(np.array([0, 0, 0, 1, 1, 2]), [5.0, 7.0, 100.0, 4.0, 6.0, None], list("abcabc"), np.ones(6))
    ds.commit(answered(ds, answers, reason="asked"))
    assert ds.labels() == [7.0, 5.0, 3.0]


def test_several_classes_are_settled_as_whole_lists(tmp_path: Path) -> None:
    ds = Dataset.create(tmp_path / "m", {"x": np.arange(2.0), "y": [["a"], ["b"]]}, label="y", splits={"train": 1})
    answers = Answers(
        np.array([0, 0, 0, 1, 1]), [["a", "b"], ["b", "a"], ["a"], ["a"], ["b"]], list("xyzxy"), np.ones(5)
    )
    ds.commit(answered(ds, answers, reason="asked"))
    assert ds.labels() == [["a", "b"], ["b"]]


def test_annotators_are_judged_by_each_other_where_there_is_no_gold(pets: Dataset) -> None:
    rows = [(f"p{i}", "cat", a) for i in range(5) for a in ("ann", "bob", "cyd")]
    rows += [(f"p{i}", "dog", "dan") for i in range(5)]
    pets.commit(answered(pets, said(pets, rows), reason="asked"))
    found = {r["annotator"]: r for r in quality(pets).to_pylist()}
    assert found["ann"]["accuracy"] > 0.9 > 0.2 > found["dan"]["accuracy"]
    assert {r["by"] for r in found.values()} == {"consensus"}


def test_wilson_interval_of_the_textbook() -> None:
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(0, 0) == (0.0, 1.0)


def test_answers_of_other_versions_and_unfinished_writers_are_not_seen(pets: Dataset) -> None:
    pets.commit(answered(pets, said(pets, [("p0", "dog", "ann")]), reason="asked"))
    from tilth.changes import events

    pets._core.store.append_events(events(Op.ANSWER, pets.ids(["p1"]), txt=['"cat"'], actor="nobody"), 2)
    assert pets.at(0).answers().num_rows == 0
    assert pets.answers()["annotator"].to_pylist() == ["ann"]
