"""From answers to labels: majority, Dawid-Skene against a slow independent one, medians, bad records."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pets import make_pets
from tilth.actions import restore
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.errors import DataError, NotFound, UsageError
from tilth.labeling.consensus import Method, answered, consensus
from tilth.labeling.dawid_skene import dawid_skene
from tilth.labeling.judging import quality, wilson
from tilth.protocols import Answers
from tilth.selectors import quarantined, removed
from tilth.state import State

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


def test_dawid_skene_finds_planted_confusions_of_annotators_who_answer_a_part() -> None:
    rng = np.random.default_rng(1)
    n, prior = 6000, np.array([0.5, 0.3, 0.2])
    truth = rng.choice(3, n, p=prior)
    planted = np.array(
        [
            [[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]],
            [[0.7, 0.0, 0.3], [0.0, 0.9, 0.1], [0.1, 0.1, 0.8]],
            [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.0, 0.0, 1.0]],
            [[0.6, 0.2, 0.2], [0.1, 0.9, 0.0], [0.2, 0.1, 0.7]],
        ]
    )
    record, who = np.nonzero(rng.random((n, 4)) < 0.8)
    codes = np.array([rng.choice(3, p=planted[a, truth[r]]) for r, a in zip(record, who, strict=True)], np.int32)
    found = dawid_skene(record, [f"a{a}" for a in who], codes, n_classes=3)
    np.testing.assert_allclose(found.confusion, planted, atol=0.06)
    np.testing.assert_allclose(found.prior, prior, atol=0.04)
    again = dawid_skene(record, [f"a{a}" for a in who], codes, n_classes=3)
    assert (found.posterior == again.posterior).all()
    assert found.steps < 100


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


def several(folder: Path, labels: list[list[str]]) -> Dataset:
    return Dataset.create(
        folder / "m",
        {"x": np.arange(float(len(labels))), "y": labels},
        label="y",
        splits={"train": 1},
        durability="process",
    )


def test_several_classes_are_settled_each_for_itself(tmp_path: Path) -> None:
    ds = several(tmp_path, [["a"], ["b"], ["a", "c"], ["c"]])
    rows = [(0, ["a", "b"]), (0, ["b", "c"]), (0, ["c", "a"])]  # nobody said all three, each has two of three
    rows += [(1, ["a"]), (1, ["b"])]  # a tie
    rows += [(2, ["c", "a"]), (2, ["a", "c"])]  # as it is already
    rows += [(3, []), (3, []), (3, None)]
    said_by = list("xyzxyxyxyz")
    changes = answered(
        ds, Answers(np.array([r for r, _ in rows]), [x for _, x in rows], said_by, np.ones(10)), reason=""
    )
    assert changes.events.filter(pa.array(changes.events["op"].to_numpy() == Op.SET))["record_id"].to_pylist() == [0, 3]
    ds.commit(changes)
    assert ds.labels() == [["a", "b", "c"], ["b"], ["a", "c"], []]


SETS = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.sets(st.sampled_from("abc"), max_size=3))), max_size=16
)


@given(rows=SETS)
@settings(max_examples=30)
def test_several_classes_are_what_counting_by_hand_gives(tmp_path_factory: Any, rows: list[Any]) -> None:
    old = [["a"], ["b", "c"], ["c"], ["a", "b", "c"]]
    ds = several(tmp_path_factory.mktemp("m"), old)
    answers = Answers(
        np.array([r for r, _ in rows], np.int64),
        [None if x is None else sorted(x) for _, x in rows],
        [f"a{i}" for i in range(len(rows))],
        np.ones(len(rows)),
    )
    if rows:
        ds.commit(answered(ds, answers, reason="asked"))
    else:
        assert answered(ds, answers, reason="asked").count == 0
    for record, label in enumerate(ds.labels()):
        votes = [x for r, x in rows if r == record and x is not None]
        count = {c: sum(c in x for x in votes) for c in "abc"}
        decided = votes and all(2 * n != len(votes) for n in count.values())
        assert label == ([c for c in "abc" if 2 * count[c] > len(votes)] if decided else old[record])


def test_each_label_says_who_gave_it_or_how_many(pets: Dataset) -> None:
    rows = [
        ("p0", "dog", "ann"),
        ("p1", "cat", "bob"),
        ("p2", "dog", "ann"),
        ("p2", "dog", "bob"),
        ("p2", "cat", "cyd"),
    ]
    pets.commit(answered(pets, said(pets, rows), reason="asked"))
    last = [pets.history(key)[-1] for key in ("p0", "p1", "p2")]
    assert [(e.what, e.actor, e.reason) for e in last] == [
        ("label", "ann", "asked"),
        ("label", "bob", "asked"),
        ("label", "majority of 3", "asked; majority of 3 answers"),
    ]


def test_whoever_is_right_more_often_decides_by_dawid_skene(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 400)
    names = np.array(["cat", "dog"])
    ds = Dataset.create(
        tmp_path / "d",
        {"x": np.arange(400.0), "kind": pa.array([None] * 400, pa.string())},
        label="kind",
        classes=("cat", "dog"),
        label_kind="class",
        splits={"train": 1},
        durability="process",
    )
    rates = [0.97, 0.85, 0.85, 0.5, 0.5, 0.5, 0.5]
    said_codes = np.concatenate([np.where(rng.random(400) < rate, truth, 1 - truth) for rate in rates])
    who = [f"ann {i}" for i in range(len(rates)) for _ in range(400)]
    answers = Answers(np.tile(np.arange(400), len(rates)), names[said_codes].tolist(), who, np.ones(len(who)))
    right: dict[str, float] = {}
    for method in get_args(Method):
        ds.branch(method).commit(answered(ds, answers, reason="asked", method=method))
        branch = Dataset.open(ds.path, branch=method)
        right[method] = float((branch.view.label == truth).mean())
        assert branch.history(0)[-1].actor == f"{method.replace('_', '-')} of 7"
    assert right["dawid_skene"] > 0.9 > right["majority"]


def test_who_cannot_tell_gives_no_label_whatever_else_is_said(pets: Dataset) -> None:
    answers = said(pets, [("p0", "dog", "ann"), ("p1", "cat", "ann")], verdicts=["cannot_tell", "answer"])
    pets.commit(answered(pets, answers, reason="asked"))
    assert pets.labels(pets.ids(["p0", "p1"])) == ["cat", "cat"]
    assert pets.answers()["label"].to_pylist() == ["null", '"cat"']


def test_wrong_answers_are_refused_by_name(pets: Dataset, tmp_path: Path) -> None:
    rows = [("p0", "dog", "ann")]
    with pytest.raises(UsageError, match="no 'scraped'"):
        answered(pets, said(pets, rows, verdicts=["scraped"]), reason="asked")
    with pytest.raises(UsageError, match="no 'plurality'"):
        answered(pets, said(pets, rows), reason="asked", method="plurality")  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="dgo"):
        answered(pets, said(pets, [("p0", "dgo", "ann")]), reason="asked")
    ds = Dataset.create(tmp_path / "n", {"x": [1.0, 2.0], "y": [1.0, 2.0]}, label="y", label_kind="number")
    with pytest.raises(DataError, match="bob answered 'two'"):
        answered(ds, Answers(np.array([0, 1]), [1.0, "two"], ["ann", "bob"], np.ones(2)), reason="asked")
    with pytest.raises(UsageError, match="1 annotators for 2 records"):
        answered(pets, Answers(pets.ids(["p0", "p1"]), ["cat", "cat"], ["ann"], np.ones(2)), reason="asked")
    with pytest.raises(UsageError, match="1 gold for 2 records"):
        answered(pets, said(pets, rows + rows, gold=np.array([True])), reason="asked")
    for record in (99, -1):
        with pytest.raises(NotFound, match=f"no record {record} "):
            answered(pets, Answers(np.array([record]), ["cat"], ["ann"], np.ones(1)), reason="asked")
    with pytest.raises(UsageError, match="the field of an answer"):
        pets.commit(Changes(events(Op.ANSWER, pets.ids(["p0"]), field=Field.WEIGHT, txt=['"cat"'])))


def test_quarantined_records_are_chosen_apart_from_removed_ones_and_come_back(pets: Dataset) -> None:
    gone, bad = pets.ids(["p0"]), pets.ids(["p1"])
    pets.commit(Changes.join([Changes(events(Op.REMOVE, gone)), Changes(events(Op.QUARANTINE, bad, reason="blurred"))]))
    state = State(pets.at(1))
    assert removed.choose(state).ids.tolist() == gone.tolist()
    assert quarantined.choose(state).ids.tolist() == bad.tolist()
    with pytest.raises(UsageError, match="quarantined records have no complement"):
        _ = ~quarantined
    for selector in (removed, quarantined):
        pets.commit(restore().propose(selector.choose(state), state))
    assert len(pets) == 6
    assert not pets.view.quarantined.any()
    assert pets.history("p1")[-2].reason == "blurred"
    pets.rollback(1)
    assert quarantined.choose(State(pets.at(pets.version))).ids.tolist() == bad.tolist()
    pets.revert(1)  # touched again since: nothing to undo
    assert pets.view.quarantined[bad].all()


def test_a_checkpoint_of_before_there_was_quarantine_is_made_anew(pets: Dataset) -> None:
    pets.commit(Changes(events(Op.QUARANTINE, pets.ids(["p1"]))))
    for folder in (pets.path / "checkpoints").iterdir():
        (folder / "quarantined.npy").unlink()
    again = Dataset.open(pets.path)
    assert again.view.quarantined.tolist() == pets.view.quarantined.tolist()
    assert again.digest() == pets.digest()


def test_annotators_are_judged_by_each_other_where_there_is_no_gold(pets: Dataset) -> None:
    rows = [(f"p{i}", "cat", a) for i in range(5) for a in ("ann", "bob", "cyd")]
    rows += [(f"p{i}", "dog", "dan") for i in range(5)]
    pets.commit(answered(pets, said(pets, rows), reason="asked"))
    found = {r["annotator"]: r for r in quality(pets).to_pylist()}
    assert found["ann"]["accuracy"] > 0.9 > 0.2 > found["dan"]["accuracy"]
    assert {r["by"] for r in found.values()} == {"consensus"}


def test_an_annotator_is_not_judged_by_an_answer_of_the_same_one(pets: Dataset) -> None:
    rows = [("p0", "cat", "ann"), ("p0", "cat", "ann"), ("p1", "cat", "ann"), ("p1", "cat", "bob")]
    pets.commit(answered(pets, said(pets, rows), reason="asked"))
    assert [(r["annotator"], r["answers"], r["judged"]) for r in quality(pets).to_pylist()] == [
        ("ann", 3, 1),
        ("bob", 1, 1),
    ]


def test_an_answer_that_names_nobody_is_of_whoever_committed_it(pets: Dataset) -> None:
    pets.commit(Changes(events(Op.ANSWER, pets.ids(["p0"]), txt=['"cat"'])), actor="lab")
    pets.commit(Changes(events(Op.ANSWER, pets.ids(["p1"]))))
    assert pets.answers().select(["annotator", "label"]).to_pylist() == [
        {"annotator": "lab", "label": '"cat"'},
        {"annotator": "", "label": "null"},
    ]
    assert quality(pets)["annotator"].to_pylist() == ["", "lab"]


def test_gold_without_a_truth_judges_nobody(pets: Dataset) -> None:
    pets.commit(answered(pets, said(pets, [("p5", "cat", "ann")], gold=np.array([True])), reason="asked"))
    assert quality(pets)["judged"].to_pylist() == [0]


def test_wilson_interval_of_the_textbook() -> None:
    low, high = wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(0, 0) == (0.0, 1.0)
    for n in range(1, 50):  # never outside, not by rounding either
        assert 0.0 <= wilson(0, n)[0] < wilson(0, n)[1] < 1.0
        assert 0.0 < wilson(n, n)[0] < wilson(n, n)[1] <= 1.0


def test_answers_of_other_versions_and_unfinished_writers_are_not_seen(pets: Dataset) -> None:
    pets.commit(answered(pets, said(pets, [("p0", "dog", "ann")]), reason="asked"))
    store = pets._core.store
    store.events.append(store.marked(events(Op.ANSWER, pets.ids(["p1"]), txt=['"cat"'], actor="nobody"), 2))
    assert pets.at(0).answers().num_rows == 0
    assert pets.answers()["annotator"].to_pylist() == ["ann"]


def test_programs_may_answer_in_numpys_own_types(pets: Dataset, tmp_path: Path) -> None:
    pets.commit(answered(pets, said(pets, [("p0", np.str_("dog"), "ann")]), reason="asked"))
    assert pets.labels(pets.ids(["p0"])) == ["dog"]
    ds = Dataset.create(tmp_path / "n", {"x": [1.0, 2.0], "y": [1.0, 2.0]}, label="y", label_kind="number")
    labels = [np.float32(2.5), np.int64(4)]
    ds.commit(answered(ds, Answers(np.array([0, 1]), labels, ["ann", "bob"], np.ones(2)), reason="asked"))
    assert ds.labels() == [2.5, 4.0]
    assert ds.answers()["label"].to_pylist() == ["2.5", "4"]


@pytest.mark.parametrize("later", [Field.GOLD, Field.REVIEW])
def test_diff_says_who_answered_not_who_was_tested_or_reviewed_later(pets: Dataset, later: Field) -> None:
    record = pets.ids(["p0"])
    pets.commit(answered(pets, said(pets, [("p0", "cat", "ann")]), reason="asked"))
    pets.commit(Changes(events(Op.ANSWER, record, field=later, txt=['"dog"'], actor="rev", reason="later")))
    rows = [(r["what"], r["version"], r["actor"], r["reason"]) for r in pets.diff(0, 2).to_pylist()]
    assert rows == [("answered", 1, "ann", "asked")]
    assert pets.diff(1, 2).num_rows == 0
