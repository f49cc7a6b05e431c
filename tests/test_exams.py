"""The exams for annotators and actions pass what is good and name what is broken."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilth import Oracle, Record, State, action, annotate, augment, labeled, modify, records, relabel, remove, reweight
from tilth.changes import Changes, Op, events
from tilth.demo.data import digits
from tilth.errors import NotFound, UsageError
from tilth.labeling.consensus import majority
from tilth.protocols import Answers
from tilth.selectors import Chosen
from tilth.testing import check_action, check_annotator


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    dataset = digits(tmp_path_factory.mktemp("exam") / "digits", seed=0)
    return State(dataset.at(-1))


@dataclass
class Teller:
    """An annotator that says what it is told to say."""

    label: Any
    cost: float = 1.0
    name: str = "teller"
    at_once: bool = True

    @property
    def spec(self) -> Mapping[str, Any]:
        return {"annotator": f"{__name__}:Teller", "label": self.label, "cost": self.cost}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Teller":
        return cls(spec["label"], spec["cost"])

    def answer(self, dataset: Any, records: Any, *, question: str, votes: int, earlier: int = 0) -> Answers:
        n = len(records)
        return Answers(records, [self.label] * n, [self.name] * n, np.full(n, self.cost))


class Fickle(Teller):
    """Answers by the order in which it is asked."""

    @property
    def spec(self) -> Mapping[str, Any]:
        return {**super().spec, "annotator": f"{__name__}:Fickle"}

    def answer(self, dataset: Any, records: Any, *, question: str, votes: int, earlier: int = 0) -> Answers:
        n = len(records)
        return Answers(records, [str(i % 10) for i in range(n)], [self.name] * n, np.ones(n))


def test_an_oracle_passes_at_any_error_rate(state: State) -> None:
    for error in (0.0, 0.3, 1.0):
        check_annotator(Oracle("truth", error=error), state, votes=3)


def test_an_oracle_errs_at_its_rate_and_never_says_the_truth_when_it_errs(state: State) -> None:
    ids = np.flatnonzero(state.view.alive)
    truth = state.dataset.features(ids, ["truth"])["truth"].to_pylist()
    said = Oracle("truth", error=0.3).answer(state.dataset, ids, question="q", votes=1)
    wrong = np.mean([a != b for a, b in zip(said.labels, truth, strict=True)])
    assert 0.25 < wrong < 0.35
    never = Oracle("truth", error=1.0).answer(state.dataset, ids, question="q", votes=1)
    assert not any(a == b for a, b in zip(never.labels, truth, strict=True))


@pytest.mark.parametrize(("rate", "cost"), [(-0.1, 1.0), (1.1, 1.0), (0.0, -1.0)])
def test_an_oracle_refuses_impossible_rates_and_prices(rate: float, cost: float) -> None:
    with pytest.raises(UsageError, match="Oracle"):
        Oracle("truth", error=rate, cost=cost)


def test_an_oracle_without_its_column_names_those_there_are(state: State) -> None:
    with pytest.raises(NotFound, match="Did you mean 'truth'"):
        check_annotator(Oracle("trut"), state)


def test_an_annotator_that_answers_by_order_fails(state: State) -> None:
    with pytest.raises(AssertionError, match="differently"):
        check_annotator(Fickle("1"), state)


def test_an_annotator_that_invents_classes_fails_with_the_classes(state: State) -> None:
    with pytest.raises(NotFound, match="no class 'eleven'"):
        check_annotator(Teller("eleven"), state)


def test_an_annotator_that_pays_fails(state: State) -> None:
    with pytest.raises(AssertionError, match="cost"):
        check_annotator(Teller("1", cost=-2.0), state)


def test_an_annotator_that_cannot_tell_passes(state: State) -> None:
    check_annotator(Teller(None), state)


def turn(record: Record) -> Record:
    """Turn the picture upside down."""
    return record.change(pixels=record["pixels"][::-1])


@pytest.mark.parametrize(
    "do",
    [remove(), reweight(0.5), augment(turn), modify(turn), annotate(by=Oracle("truth")), relabel(by=Oracle("truth"))],
    ids=repr,
)
def test_the_actions_that_ship_pass(do: Any, state: State) -> None:
    check_action(do, state, labeled.sample(7))


moods = iter(range(1000))


@action
def moody(chosen: Chosen, state: State) -> Changes:
    """Remove another record each time."""
    return Changes(events(Op.REMOVE, chosen.ids[next(moods) % len(chosen.ids) :][:1]))


@action
def meddling(chosen: Chosen, state: State) -> Changes:
    """Write by itself."""
    type(state.dataset).open(state.dataset.path).commit(Changes(events(Op.REMOVE, chosen.ids[:1])))
    return Changes.none()


@action
def overreaching(chosen: Chosen, state: State) -> Changes:
    """Speak of records that were not chosen."""
    return Changes(events(Op.REMOVE, np.setdiff1d(np.arange(len(state)), chosen.ids)[:2]))


def test_broken_actions_fail_with_the_broken_promise(state: State, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="pure"):
        check_action(moody(), state, labeled.sample(7))
    with pytest.raises(AssertionError, match="not given"):
        check_action(overreaching(), state, records.sample(3))
    own = State(digits(tmp_path / "own", seed=0))
    with pytest.raises(AssertionError, match="only proposes"):
        check_action(meddling(), own, labeled.sample(2))


def test_majority_needs_more_votes_than_any_other() -> None:
    assert majority(["a", "b", "a"]) == "a"
    assert majority(["a", "b"]) is None
    assert majority([None, "b"]) == "b"
    assert majority([None]) is None
