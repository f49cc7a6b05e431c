"""Slices: parts of the data written as text, and those in which the model is often wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.states import make_state
from tilth.algebra import from_json, to_json
from tilth.errors import NotFound, UsageError
from tilth.selectors import records
from tilth.signals import find_slices, in_slice, worst_slice
from tilth.state import State

JOBS = ("clerk", "nurse", "student")


def world(folder: Path, *, n: int = 3000, planted: bool, seed: int = 0, held_out: bool = False) -> State:
    """Return a state with an error rate of 10 %, and of 60 % where age < 25 and job is student, if `planted`."""
    chance = np.random.default_rng(seed)
    age = chance.integers(18, 80, n).astype(float)
    job = chance.choice(JOBS, n)
    rate = np.where(planted & (age < 25) & (job == "student"), 0.6, 0.1)
    truth = chance.integers(0, 2, n)
    split = np.where(held_out & (chance.random(n) < 0.3), "valid", "train")
    wrong = (chance.random(n) < rate) & (split == "train")
    if held_out:  # all of the held-out records are wrong in one place, which must not be looked at
        wrong |= (split == "valid") & (job == "nurse")
    p = np.where(np.eye(2, dtype=bool)[truth ^ wrong], 0.8, 0.2)
    missing = chance.random(n) < 0.05
    return make_state(
        folder,
        [("no", "yes")[t] for t in truth],
        split=split.tolist(),
        columns={
            "age": [None if m else float(a) for a, m in zip(age, missing, strict=True)],
            "job": job.tolist(),
            "hours a week": chance.normal(40, 5, n),
        },
        out_of_fold_probabilities=p,
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> State:
    return world(tmp_path_factory.mktemp("planted"), planted=True)


def members(state: State, text: str) -> set[int]:
    return set(records.where(in_slice(text)).choose(state).ids.tolist())


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("age < 25", lambda t: t["age"] < 25),
        ("age >= 25 & age <= 30", lambda t: (t["age"] >= 25) & (t["age"] <= 30)),
        ("job == 'student' | job == 'nurse'", lambda t: np.isin(t["job"], ["student", "nurse"])),
        ("job in ('student', 'nurse') & ~(age < 25)", lambda t: np.isin(t["job"], ["student", "nurse"])
         & (t["age"] >= 25)),
        ("age is missing", lambda t: np.isnan(t["age"])),
        ("`hours a week` > 45 & job != 'clerk'", lambda t: (t["hours"] > 45) & (t["job"] != "clerk")),
        ("job == 'astronaut'", lambda t: np.zeros(len(t["age"]), bool)),
    ],
)  # fmt: skip
def test_a_slice_is_what_its_text_says(
    planted: State, text: str, holds: Callable[[dict[str, np.ndarray]], np.ndarray]
) -> None:
    table = planted.dataset.features(np.arange(len(planted)))
    age = table["age"].to_numpy()
    job, hours = np.array(table["job"].to_pylist()), table["hours a week"].to_numpy()
    with np.errstate(invalid="ignore"):
        expected = holds({"age": age, "job": job, "hours": hours})
    assert members(planted, text) == set(np.flatnonzero(expected).tolist())


@pytest.mark.parametrize("one", [in_slice("age < 25 & job == 'student'"), worst_slice(), worst_slice(k=3, depth=1)])
def test_slices_are_values(one: object) -> None:
    again = from_json(to_json(one))
    assert (again, repr(again)) == (one, repr(one))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "in_slice"),
        ("age <", "in_slice"),
        ("age < 25 &", "in_slice"),
        ("(age < 25", "in_slice"),
        ("age = 25", "write =="),
        ("__import__('os')", "in_slice"),
        ("age < 'old", "in_slice"),
    ],
)
def test_what_cannot_be_read_is_refused_when_it_is_written(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        in_slice(text)


@pytest.mark.parametrize(("text", "said"), [("agee < 25", "Did you mean 'age'"), ("age < 'young'", "age"),
                                            ("job > 3", "job")])  # fmt: skip
def test_what_the_columns_do_not_allow_is_refused(planted: State, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        members(planted, text)


def test_a_planted_slice_is_found_and_its_text_selects_it(planted: State) -> None:
    first = find_slices(planted)[0]
    inside = members(planted, first.text)
    table = planted.dataset.features(np.arange(len(planted)))
    truth = set(np.flatnonzero((table["age"].to_numpy() < 25) & (np.array(table["job"].to_pylist()) == "student")))
    assert len(inside & truth) > 0.8 * len(inside | truth)
    assert first.size == len(inside)
    assert first.error_rate > 0.4 > 0.2 > first.rest_rate
    assert members(planted, first.text) == set(records.where(worst_slice()).choose(planted).ids.tolist())


def test_nothing_is_found_where_errors_are_everywhere_alike(tmp_path: Path) -> None:
    found = [find_slices(world(tmp_path / str(seed), planted=False, seed=seed)) for seed in range(10)]
    assert sum(bool(one) for one in found) <= 2  # at a false-discovery rate of .05, one in twenty


def test_held_out_records_are_not_looked_at(tmp_path: Path) -> None:
    state = world(tmp_path, planted=False, held_out=True, seed=3)
    assert not any("nurse" in one.text for one in find_slices(state))
    train = set(np.flatnonzero(state.view.train).tolist())
    assert members(state, "job == 'nurse'") <= train


def test_bad_input_is_named(planted: State, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'agee'"):
        find_slices(planted, columns=["agee"])
    with pytest.raises(UsageError, match="depth"):
        find_slices(planted, depth=0)
    with pytest.raises(UsageError, match="level"):
        find_slices(planted, level=1.5)
    with pytest.raises(UsageError, match="no single class"):
        find_slices(
            make_state(tmp_path / "numbers", [1.0, 2.0], label_kind="number", out_of_fold_probabilities=[[1], [2]])
        )
    with pytest.raises(NotFound, match="out_of_fold_probabilities"):
        find_slices(make_state(tmp_path / "none", ["a", "b"], probabilities=[[1, 0], [0, 1]]))
    with pytest.raises(UsageError, match="text"):
        in_slice(3)  # type: ignore[arg-type]
