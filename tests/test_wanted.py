"""Specifications of records that do not exist yet: how many of what, and the examples of it."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.states import make_state
from tilth import Rule, Team, action, annotate, collect, entropy, labeled, modify, relabel, remove, reweight, wanted
from tilth.actions import Action, augment, edit, restore, synthesise
from tilth.algebra import from_json, to_json
from tilth.changes import Changes
from tilth.errors import UsageError
from tilth.record import Record
from tilth.selectors import Chosen
from tilth.signals.slices import in_slice
from tilth.state import State
from tilth.synthesis import Interpolation

TEAM = Team("field")


def out_of_fold(labels: list[str], wrong: list[bool], sure: float = 0.8) -> np.ndarray:
    """Return [n, k] probabilities by which the records flagged wrong are taken for another class."""
    names = sorted(set(labels))
    p = np.full((len(labels), len(names)), (1 - sure) / (len(names) - 1))
    for i, (label, bad) in enumerate(zip(labels, wrong, strict=True)):
        code = names.index(label)
        p[i, (code + 1) % len(names) if bad else code] = sure
    return p


def pets(folder: Path, **more: Any) -> State:
    """Forty cats, of which the model gets 10 wrong, 20 dogs (10 wrong), 10 eels (none); 5 of each are held out."""
    labels = ["cat"] * 40 + ["dog"] * 20 + ["eel"] * 10
    wrong = [i < 10 for i in range(40)] + [i < 10 for i in range(20)] + [False] * 10
    split = ["train"] * 70
    for start in (35, 55, 65):
        split[start : start + 5] = ["valid", "test", "valid", "test", "valid"]
    columns = {"age": np.arange(70.0), "x": np.arange(140.0).reshape(70, 2)}
    return make_state(
        folder,
        labels,
        split=split,
        columns=columns,
        out_of_fold_probabilities=out_of_fold(labels, wrong),
        probabilities=out_of_fold(labels, wrong),
        **more,
    )


def counts(chosen: Chosen) -> dict[Any, int]:
    return {want.label if want.label is not None else want.within: want.count for want in chosen.wants}


def test_a_number_of_a_class(tmp_path: Path) -> None:
    state = pets(tmp_path)
    chosen = wanted(100, label="cat").choose(state)
    assert counts(chosen) == {"cat": 100}
    assert set(chosen.ids) == set(range(35))  # no held-out cat is an example
    assert wanted(100, label="cat").needs == frozenset()
    assert "100 records of class cat" in chosen.reason


def test_quotas_in_a_slice(tmp_path: Path) -> None:
    chosen = wanted({"cat": 3, "dog": 2}, within="age >= 30").choose(pets(tmp_path))
    assert counts(chosen) == {"cat": 3, "dog": 2}
    assert sorted(chosen.examples(0)) == [30, 31, 32, 33, 34]
    assert sorted(chosen.examples(1)) == list(range(40, 55))
    assert {want.within for want in chosen.wants} == {"age >= 30"}


def test_shared_over_classes_by_the_errors_out_of_fold(tmp_path: Path) -> None:
    state = pets(tmp_path)
    chosen = wanted(200, per="label").choose(state)
    rates = {"cat": 10 / 35, "dog": 10 / 15}  # of the training records; eels are never wrong, so none is wanted
    assert counts(chosen) == {"cat": 60, "dog": 140}
    assert abs(60 / 140 - rates["cat"] / rates["dog"]) < 0.01
    assert wanted(200, per="label").needs == frozenset({"out_of_fold_probabilities"})
    # those that it gets wrong come first
    assert set(chosen.examples(0)[:10]) == set(range(10))
    assert set(chosen.examples(1)[:10]) == set(range(40, 50))


def test_shared_by_what_is_above_the_rate_of_all_and_evenly(tmp_path: Path) -> None:
    state = pets(tmp_path)
    assert counts(wanted(200, per="label", share="excess").choose(state)) == {"dog": 200}
    even = wanted(7, per="label", share="evenly")
    assert counts(even.choose(state)) == {"cat": 3, "dog": 2, "eel": 2}
    assert even.needs == frozenset()


def test_shared_over_slices(tmp_path: Path) -> None:
    state = pets(tmp_path)
    chosen = wanted(30, per=["age < 10", "age >= 20 & age < 40"]).choose(state)
    assert counts(chosen) == {"age < 10": 30}
    mixed = wanted(30, label="cat", within="age > 4", per=["age < 10", "age < 15"]).choose(state)
    assert [(want.within, want.count) for want in mixed.wants] == [
        ("(age > 4) & (age < 10)", 20),
        ("(age > 4) & (age < 15)", 10),
    ]
    assert set(mixed.examples(0)) == set(range(5, 10))


def test_the_worst_slices_are_found(tmp_path: Path) -> None:
    n = 800
    labels = ["a", "b"] * (n // 2)
    age = np.arange(n, dtype=float)
    wrong = [i >= 700 for i in range(n)]
    state = make_state(tmp_path, labels, columns={"age": age}, out_of_fold_probabilities=out_of_fold(labels, wrong))
    chosen = wanted(50, per="slice").choose(state)
    assert sum(counts(chosen).values()) == 50
    inside = in_slice(chosen.wants[0].within).mask(state)
    assert np.mean(np.array(wrong)[inside]) > 0.8
    nowhere = make_state(
        tmp_path / "b", labels, columns={"age": age}, out_of_fold_probabilities=out_of_fold(labels, [False] * n)
    )
    assert wanted(50, per="slice").choose(nowhere).wants == ()
    assert "wrong nowhere" in wanted(50, per="label").choose(nowhere).reason


def test_fill_up_to_a_count(tmp_path: Path) -> None:
    state = pets(tmp_path)
    assert counts(wanted(label="dog", up_to=20).choose(state)) == {"dog": 5}
    assert counts(wanted(up_to=20).choose(state)) == {"dog": 5, "eel": 15}
    assert counts(wanted(10, up_to=20).choose(state)) == {"dog": 3, "eel": 7} or counts(
        wanted(10, up_to=20).choose(state)
    ) == {"dog": 2, "eel": 8}
    done = wanted(label="cat", up_to=20).choose(state)
    assert done.wants == ()
    assert "nothing" in done.reason


def test_examples_are_what_a_selector_chooses(tmp_path: Path) -> None:
    state = pets(tmp_path)
    best = wanted(5, label="cat", like=labeled.top(10, by=entropy()))
    assert best.needs == frozenset({"probabilities"})
    assert set(best.choose(state).ids) <= set(labeled.top(10, by=entropy()).choose(state).ids)
    errors = wanted(5, label="cat", like="errors")
    assert set(errors.choose(state).ids[:10]) == set(range(10))


def test_a_class_without_records_is_wanted_all_the_same(tmp_path: Path) -> None:
    state = make_state(tmp_path, ["cat", "cat"], classes=["cat", "dog"])
    chosen = wanted({"dog": 4}).choose(state)
    assert counts(chosen) == {"dog": 4}
    assert len(chosen) == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=6, max_size=40), st.integers(1, 50))
def test_what_is_shared_adds_up(rows: list[tuple[str, bool]], n: int) -> None:
    labels = [*"abc", *(label for label, _ in rows)]
    wrong = [True, True, True, *(bad for _, bad in rows)]
    with TemporaryDirectory() as folder:
        state = make_state(Path(folder), labels, out_of_fold_probabilities=out_of_fold(labels, wrong))
        for share in ("errors", "evenly"):
            chosen = wanted(n, per="label", share=share).choose(state)
            assert sum(want.count for want in chosen.wants) == n
            assert all(
                state.view.label[i] == state.classes.index(w.label)
                for k, w in enumerate(chosen.wants)
                for i in chosen.examples(k)
            )
            again = wanted(n, per="label", share=share).choose(state)
            assert again.ids.tolist() == chosen.ids.tolist()


@pytest.mark.parametrize(
    "value",
    [
        wanted(100, label="cat"),
        wanted({"cat": 10, "dog": 5}, within="age < 3"),
        wanted(200, per="label", share="evenly"),
        wanted(30, per=["age < 10", "age > 60"], like="errors"),
        wanted(10, up_to=50, like=labeled.top(3, by=entropy())),
    ],
    ids=repr,
)
def test_it_is_a_value(value: Any) -> None:
    again = from_json(json.loads(json.dumps(to_json(value))))
    assert again == value
    assert repr(again) == repr(value)
    assert repr(eval(repr(value), {"wanted": wanted, "labeled": labeled, "entropy": entropy})) == repr(value)
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(value)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (wanted, "does not say how many"),
        (lambda: wanted(0, label="cat"), "1 or more"),
        (lambda: wanted({"cat": 0}), "1 or more"),
        (lambda: wanted({"cat": 1}, label="cat"), "said already"),
        (lambda: wanted(5, share="evenly"), "how n is shared"),
        (lambda: wanted(5, per="label", share="error"), "Did you mean 'errors'"),
        (lambda: wanted(5, per="labels"), "Did you mean 'label'"),
        (lambda: wanted(5, per="age < 3"), r'per=\["age < 3"\]'),
        (lambda: wanted(5, per=[]), "names no slice"),
        (lambda: wanted(5, per="label", label="cat"), "leave label out"),
        (lambda: wanted(per="label", up_to=5), "fills each class"),
        (lambda: wanted(5, within="age = 3"), "write =="),
        (lambda: wanted(5, like="hard"), '"errors", or a selector'),
    ],
)
def test_what_cannot_mean_anything_is_refused_when_it_is_written(call: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        call()


def test_what_the_dataset_has_not_is_refused(tmp_path: Path) -> None:
    state = pets(tmp_path)
    with pytest.raises(UsageError, match="Did you mean 'cat'"):
        wanted(5, label="cta").choose(state)
    numbers = make_state(tmp_path / "n", [1.0, 2.0], label_kind="number")
    with pytest.raises(UsageError, match="about classes"):
        wanted(5, per="label").choose(numbers)
    assert counts(wanted(5, within="x > 0").choose(numbers)) == {"x > 0": 5}


def shout(record: Record) -> Record:
    return record


@action
def mine(chosen: Chosen, state: State) -> Changes:
    return Changes.none()


@pytest.mark.parametrize(
    "do",
    [
        remove(),
        relabel(),
        restore(),
        reweight(0.5),
        augment(shout),
        modify(shout),
        edit(by=TEAM),
        annotate(by=TEAM),
        remove(approve=TEAM),
        mine(),
    ],
    ids=repr,
)
def test_actions_on_records_that_are_there_refuse_it(do: Action) -> None:
    with pytest.raises(UsageError, match="records that do not exist yet; synthesise"):
        Rule(select=wanted(5, label="cat"), do=do)


def test_who_brings_records_takes_it_and_one_of_both_says_how_many() -> None:
    Rule(select=wanted(5, label="cat"), do=collect(by=TEAM))
    Rule(select=wanted(5, label="cat"), do=synthesise(by=Interpolation(), approve=Team("lead")))
    for do in (collect(5, by=TEAM), synthesise(5, by=Interpolation())):
        Rule(select=labeled, do=do)
        with pytest.raises(UsageError, match="says how many already"):
            Rule(select=wanted(5, label="cat"), do=do)
    for do in (collect(by=TEAM), synthesise(by=Interpolation())):
        with pytest.raises(UsageError, match="does not say how many"):
            Rule(select=labeled, do=do)


def test_people_are_asked_for_each_want(tmp_path: Path) -> None:
    state = pets(tmp_path)
    asked = collect(by=TEAM, wanted="by day").propose(
        wanted({"cat": 2, "eel": 1}, within="age < 70").choose(state), state
    )
    details = [json.loads(text) for text in asked.details or ()]
    assert [d["wanted"] for d in details] == [
        "of class cat where age < 70; by day",
        "of class cat where age < 70; by day",
        "of class eel where age < 70; by day",
    ]
    assert asked.records.tolist() == [-1, -2, -3]
    assert asked.wanted == "2 records of class cat where age < 70; 1 record of class eel where age < 70; by day"
    nobody = make_state(tmp_path / "d", ["cat"], classes=["cat", "dog"])
    only = collect(by=TEAM).propose(wanted({"dog": 2}).choose(nobody), nobody)
    assert len(only.records) == 2
