"""What a workflow decides when the model's outputs are dealt out to other records, on real digits."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.judge.cases import CASES, CROWD, FIGURES, GOING_ON, MODEL, NETWORK, RANDOM, Case
from tilth import (
    Dataset,
    Rule,
    State,
    Workflow,
    accuracy,
    annotate,
    gain,
    labeled,
    margin,
    metric,
    relabel,
    signal,
    unlabeled,
)
from tilth.demo.data import digits
from tilth.errors import UsageError
from tilth.outputs import KINDS
from tilth.qualify.verdict import DATA_CENTRIC, DATA_ONLY
from tilth.scramble import Compared, Scrambled, jaccard, scramble
from tilth.training import train

# a first round knows of no gain yet, and a rule for the first round only is not what makes its workflow qualify
OPEN = {"at random, whenever accuracy stands still"}

_TURN = itertools.count()


@signal()
def secretly(state: State) -> Any:
    """Reads the model, and does not say so."""
    return state.probabilities.max(axis=0).astype(np.float64)


@signal()
def whim(state: State) -> Any:
    """Says something else whenever it is asked."""
    return np.random.default_rng(next(_TURN)).random(len(state))


@metric(needs={"probabilities"})
def mean_confidence(state: State) -> float:
    """How sure the model is of all records together."""
    return round(float(np.nanmean(state.probabilities.max(axis=0))), 4)


_SEEN: list[dict[str, Any]] = []


@signal(needs={"probabilities", "embeddings", "out_of_fold_probabilities", "probe_probabilities"})
def looks(state: State) -> Any:
    """Writes down all that it is told."""
    _SEEN.append({kind: np.array(state.output(kind)) for kind in sorted(looks().needs)})
    return state.probabilities[0].astype(np.float64)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return digits(tmp_path_factory.mktemp("scramble") / "digits", seed=0).at(0)


def made(dataset: Dataset, parts: Mapping[str, Any]) -> Workflow:
    return Workflow(**{"dataset": dataset, "model": MODEL, "until": GOING_ON} | dict(parts))


def ran(dataset: Dataset, **parts: Any) -> Scrambled:
    workflow = made(dataset, parts)
    return scramble(workflow, trained(workflow))


def trained(workflow: Workflow) -> State:
    found = train(
        workflow.dataset, workflow.model, workflow.judge, needs=workflow.needs & set(KINDS), seed=workflow.seed
    )
    return workflow.state(workflow.dataset.version, found["ref"])


def one(found: Scrambled, rule: str, part: str) -> Compared:
    return next(c for c in found.compared if (c.part.rule, c.part.part) == (rule, part))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_running_confirms_the_verdict_of_every_case(case: Case, dataset: Dataset) -> None:
    found = ran(dataset, **case.parts)
    assert found.verdict.verdict == case.verdict
    told = [(c.part.where, c.part.part, c.control, c.permuted, c.why) for c in found.compared]
    assert found.agrees is (None if case.name in OPEN else True), told
    assert all(c.control == 1 for c in found.compared), told


def test_the_model_chooses_others_when_its_word_is_about_others(dataset: Dataset) -> None:
    found = ran(dataset, rules={"ask": Rule(select=unlabeled.top(50, by=margin()), do=annotate(by=CROWD))})
    select = one(found, "ask", "select")
    assert (select.n, select.control, select.agrees) == (50, 1.0, True)
    assert len(select.permuted) == 5
    # 50 of 540 at random have 5 in common: a Jaccard of about 0.05
    assert max(select.permuted) < 0.25


def test_chance_and_columns_do_not_notice(dataset: Dataset) -> None:
    rules = {"ask": RANDOM, "far": Rule(select=unlabeled.diverse(10, by="pixels"), do=RANDOM.do)}
    found = ran(dataset, rules=rules)
    assert [(c.control, c.permuted) for c in found.compared] == [(1.0, (1.0,) * 5)] * 2
    assert found.agrees is True


def test_a_signal_that_hides_what_it_reads_is_found_out(dataset: Dataset) -> None:
    found = ran(dataset, rules={"ask": Rule(select=unlabeled.top(20, by=secretly()), do=annotate(by=CROWD))})
    assert found.verdict.verdict == DATA_ONLY
    assert found.agrees is False
    assert "mend its needs=" in one(found, "ask", "select").why


def test_a_signal_that_is_no_function_of_the_state_is_found_out(dataset: Dataset) -> None:
    found = ran(dataset, rules={"ask": Rule(select=unlabeled.top(20, by=whim()), do=annotate(by=CROWD))})
    select = one(found, "ask", "select")
    assert select.control < 1
    assert (select.agrees, found.agrees) == (False, False)
    assert select.why.startswith("the same model twice gives another decision")


def test_where_all_that_there_is_gets_chosen_it_cannot_be_told(dataset: Dataset) -> None:
    found = ran(dataset, rules={"ask": Rule(select=unlabeled.top(100_000, by=margin()), do=annotate(by=CROWD))})
    assert found.verdict.verdict == DATA_CENTRIC
    assert found.agrees is None
    assert "all that there is gets chosen" in one(found, "ask", "select").why


def test_of_a_condition_its_numbers_and_its_answer_are_compared(dataset: Dataset) -> None:
    state = trained(made(dataset, {"rules": {}}))
    bar = float(np.asarray(accuracy().value(state))) - 0.01
    rule = Rule(when=accuracy() > bar, select=RANDOM.select, do=RANDOM.do)
    found = ran(dataset, rules={"ask": rule}, trigger=gain(accuracy()) < 0.01)
    assert (one(found, "ask", "when").flips, one(found, "ask", "when").agrees) == (5, True)
    assert one(found, "", "trigger").agrees is None  # in the first round no gain is known


def test_what_an_action_decides_by_the_model_is_compared_on_the_same_records(dataset: Dataset) -> None:
    found = ran(dataset, rules={"fix": Rule(select=labeled.sample(200), do=relabel(by="model"))})
    assert one(found, "fix", "select").permuted == (1.0,) * 5
    assert max(one(found, "fix", "do").permuted) < 0.5


def test_outputs_stay_in_their_split_and_what_belongs_together_stays_together(dataset: Dataset) -> None:
    rules = {"ask": Rule(select=unlabeled.top(5, by=looks()), do=RANDOM.do)}
    workflow = made(dataset, {"model": NETWORK, "rules": rules})
    state = trained(workflow)
    _SEEN.clear()
    scramble(workflow, state, times=2)
    first, control, *others = _SEEN
    kinds = sorted(looks().needs)
    assert all(np.array_equal(first[kind], control[kind], equal_nan=True) for kind in kinds)
    assert len(others) == 2
    for other in others:
        assert np.array_equal(first["probe_probabilities"], other["probe_probabilities"], equal_nan=True)
        assert not np.array_equal(first["probabilities"], other["probabilities"])
        # whose word it is tells the embedding: of the same split, with the probabilities of the same record
        whose = {row.tobytes(): i for i, row in enumerate(first["embeddings"])}
        moved = [whose[row.tobytes()] for row in other["embeddings"]]
        assert sorted(moved) == list(range(len(state)))
        assert np.array_equal(state.view.split[moved], state.view.split)
        assert np.array_equal(first["probabilities"][:, moved], other["probabilities"])
        before, after = first["out_of_fold_probabilities"], other["out_of_fold_probabilities"]
        assert np.array_equal(np.isnan(before), np.isnan(after))
        known = ~np.isnan(before[0])
        assert sorted(map(tuple, before[:, known].T)) == sorted(map(tuple, after[:, known].T))
        assert not np.array_equal(before, after, equal_nan=True)


def test_the_files_of_the_model_stay_as_they_are_and_a_seed_says_what_comes_out(dataset: Dataset) -> None:
    workflow = made(dataset, {"rules": {"ask": Rule(select=unlabeled.top(20, by=margin()), do=annotate(by=CROWD))}})
    state = trained(workflow)
    files = {p: p.read_bytes() for p in Path(state.outputs.folder if state.outputs else "").rglob("*") if p.is_file()}
    first, again = scramble(workflow, state, seed=1), scramble(workflow, state, seed=1)
    assert first == again
    assert scramble(workflow, state, seed=2) != first
    assert len(scramble(workflow, state, times=2).compared[0].permuted) == 2
    assert {p: p.read_bytes() for p in files} == files


def test_a_rule_that_cannot_be_computed_is_named(dataset: Dataset) -> None:
    workflow = made(dataset, {"rules": {"ask": Rule(select=unlabeled.where(predicted="zebra"), do=RANDOM.do)}})
    with pytest.raises(UsageError, match=r"rule 'ask', select: .*zebra"):
        scramble(workflow, trained(workflow))


def test_jaccard_of_nothing_and_of_everything() -> None:
    assert jaccard(frozenset(), frozenset()) == 1
    assert jaccard(frozenset({1}), frozenset()) == 0
    assert len(FIGURES) == 7


def test_a_number_of_all_records_together_does_not_tell(dataset: Dataset) -> None:
    """The mean over all stays when its parts change places; that is no proof that nobody listens."""
    found = ran(dataset, rules={"ask": Rule(when=mean_confidence() > 0, select=RANDOM.select, do=RANDOM.do)})
    assert found.verdict.verdict == DATA_CENTRIC
    assert found.agrees is None
