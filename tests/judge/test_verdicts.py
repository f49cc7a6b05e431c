"""Every case gets the verdict that was written down for it, with a path and reasons."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.judge.cases import CASES, CROWD, FIGURES, GOING_ON, MODEL, RANDOM, Case, swap
from tests.states import make_state, past
from tilth import (
    Dataset,
    Gate,
    Oracle,
    Panel,
    Record,
    Rule,
    State,
    Workflow,
    accuracy,
    annotate,
    augment,
    disagrees_with_model,
    label_quality,
    labeled,
    margin,
    recall,
    records,
    relabel,
    rounds,
    unlabeled,
)
from tilth.algebra import Condition
from tilth.demo.data import digits
from tilth.integrations.optuna import OptunaSearch, example
from tilth.patterns import (
    active_learning,
    cleaning,
    data_centric,
    dataprepops,
    model_centric,
    validated_active_learning,
)
from tilth.qualify import VERDICTS, Verdict
from tilth.qualify.counting import certain
from tilth.testing import toy


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return digits(tmp_path_factory.mktemp("judge") / "digits", seed=0)


def made(case: Case, dataset: Dataset) -> Workflow:
    parts: dict[str, Any] = {"model": MODEL, "until": GOING_ON, **case.parts}
    return Workflow(dataset=dataset, **parts)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_case_gets_the_verdict_that_was_written_down(case: Case, dataset: Dataset) -> None:
    found = made(case, dataset).qualifies()
    assert found.verdict == case.verdict, f"{found}\n{case.because}"
    assert found.path
    assert found.reasons
    assert bool(found.would) == (case.verdict != "data-centric")
    assert json.loads(json.dumps(found.to_json()))["verdict"] == case.verdict


def test_there_are_enough_of_them_and_every_verdict_is_among_them() -> None:
    assert len(CASES) >= 40
    assert sorted(case.figure for case in FIGURES) == [1, 2, 3, 4, 5, 6, 7]
    assert {case.verdict for case in CASES} == set(VERDICTS)
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_workflow_that_went_through_json_is_judged_alike(case: Case, dataset: Dataset) -> None:
    workflow = made(case, dataset)
    again = Workflow.from_json(json.loads(json.dumps(workflow.to_json())))
    assert again.qualifies().verdict == workflow.qualifies().verdict


def judged(dataset: Dataset, **parts: Any) -> Verdict:
    return Workflow(**{"dataset": dataset, "model": MODEL, "until": GOING_ON, "rules": {}} | parts).qualifies()


def test_the_path_goes_from_what_is_read_to_the_training(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.where(predicted="3").top(9, by=margin()), do=annotate(by=CROWD))
    assert judged(dataset, rules={"ask": ask}).path == (
        "probabilities",
        'where(predicted="3")',
        "rule 'ask'",
        "annotate",
        "train",
    )
    found = judged(dataset, rules={"ask": Rule(when=accuracy() < 0.9, select=unlabeled.sample(5), do=ask.do)})
    assert str(found).startswith("data-centric\nprobabilities -> accuracy() -> rule 'ask' -> annotate -> train\n")
    found = judged(dataset, rules={"ask": RANDOM})
    assert found.path == ("data", "unlabeled.sample(20)", "rule 'ask'", "annotate", "train")


def test_each_part_says_what_it_reads_and_whether_that_triggers(dataset: Dataset) -> None:
    fix = Rule(select=labeled.bottom(9, by=label_quality()), do=relabel(by="model"), gate=Gate(), when=rounds() < 9)
    parts = {(p.where, p.part): p for p in judged(dataset, rules={"fix": fix}, trigger=accuracy() < 0.5).parts}
    assert [key[1] for key in parts] == ["when", "select", "do", "gate", "trigger", "until"]
    assert parts["rule 'fix'", "when"].reads == "nothing of a model"
    assert parts["rule 'fix'", "select"].reads.endswith("another model than the one that is trained")
    assert parts["rule 'fix'", "do"].reads.startswith("out_of_fold_probabilities of the trained model")
    assert parts["rule 'fix'", "gate"].reads.endswith("it judges, and triggers nothing")
    assert parts["workflow", "until"].reads.endswith("it ends the loop, and triggers nothing")
    assert [key[1] for key, part in parts.items() if part.triggers] == ["do", "trigger"]


def test_what_would_make_it_qualify_does_make_it_qualify(dataset: Dataset) -> None:
    """Advice that names a part of this workflow is taken at its word."""
    found = judged(dataset, rules={"ask": RANDOM})
    assert ".top(20, by=margin())" in found.would[0]
    better = Rule(select=unlabeled.top(20, by=margin()), do=RANDOM.do)
    assert judged(dataset, rules={"ask": better}).verdict == "data-centric"
    fix = Rule(select=labeled.bottom(9, by=label_quality()), do=relabel(by=CROWD))
    found = judged(dataset, rules={"fix": fix})
    assert 'label_quality(by="ensemble")' in found.would[0]
    better = Rule(select=labeled.bottom(9, by=label_quality(by="ensemble")), do=fix.do)
    assert judged(dataset, rules={"fix": better}).verdict == "data-centric"
    assert "when=accuracy() < 0.9" in found.would[-1]
    better = Rule(when=accuracy() < 0.9, select=fix.select, do=fix.do)
    assert judged(dataset, rules={"fix": better}).verdict == "data-centric"
    once = judged(dataset, rules={"ask": Rule(select=unlabeled.top(9, by=margin()), do=RANDOM.do)}, until=rounds() >= 1)
    assert "until=(accuracy() >= 0.95) | (rounds() >= 20)" in once.would[0]


@pytest.mark.parametrize("case", [c for c in CASES if c.verdict.startswith("not: data")], ids=lambda case: case.name)
def test_no_gate_panel_or_end_that_reads_the_model_turns_data_only_into_more(case: Case, dataset: Dataset) -> None:
    checked = annotate(by=Panel(CROWD, check=disagrees_with_model()))
    rules = {
        name: Rule(when=rule.when, select=rule.select, do=rule.do, gate=Gate(rejected="hold"))
        for name, rule in case.parts["rules"].items()
    }
    rules["more"] = Rule(select=unlabeled.sample(5), do=checked, gate=Gate(rejected="hold"))
    until = (accuracy() >= 0.9) | (rounds() >= 30)
    found = judged(dataset, **{**case.parts, "rules": rules, "until": until})
    assert found.verdict == case.verdict
    assert any("the gate of rule 'more' reads the model" in reason for reason in found.reasons)
    assert any("until=" in reason for reason in found.reasons)


def brighter(record: Record) -> Record:
    return record.change(pixels=record["pixels"] * 1.1)


def test_the_patterns_are_what_they_are_called() -> None:
    dataset, model = toy()
    panel = Panel(Oracle("truth"), check=disagrees_with_model(), disputed_by=Oracle("truth", name="expert"))
    told = {
        "model_centric": model_centric(dataset, model, tune=OptunaSearch(example)),
        "data_centric": data_centric(
            dataset, model, rules={"fix": Rule(select=labeled.bottom(9, by=label_quality(by="model")), do=relabel())}
        ),
        "dataprepops": dataprepops(
            dataset, model, when=recall("8") < 0.9, which=records.where(label="8"), what=augment(brighter)
        ),
        "active_learning": active_learning(dataset, model, by=Oracle("truth"), budget=200),
        "validated_active_learning": validated_active_learning(dataset, model, by=panel, budget=200),
        "cleaning": cleaning(dataset, model, batch=50),
    }
    assert {name: workflow.qualifies().verdict for name, workflow in told.items()} == {
        "model_centric": "model-centric",
        "data_centric": "data-centric",
        "dataprepops": "data-centric",
        "active_learning": "data-centric",
        "validated_active_learning": "data-centric",
        "cleaning": "not: data only",  # by the probe, beside a gate: see cases
    }


def test_what_an_action_of_ones_own_looks_at_is_said_to_be_unknown(dataset: Dataset) -> None:
    found = judged(dataset, rules={"swap": Rule(select=labeled.sample(5), do=swap())})
    assert any("what swap() itself looks at is not known" in reason for reason in found.reasons)


counts = st.integers(-1, 6)
conditions = st.recursive(
    st.one_of(
        st.builds(lambda k: rounds() >= k, counts),
        st.builds(lambda k: rounds() < k, counts),
        st.builds(lambda k: k > rounds() * 2 - 1, counts),
        st.builds(lambda k: k <= rounds() / 2, counts),
    ),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return make_state(tmp_path_factory.mktemp("rounds"), ["a", "b"])


@given(condition=conditions, r=st.integers(0, 8))
def test_conditions_on_rounds_are_known_and_are_what_a_run_finds(state: State, condition: Condition, r: int) -> None:
    run = State(state.dataset, None, (past(),) * r, 0)
    assert certain(condition, r) is condition.holds(run)


@given(condition=conditions, r=st.integers(0, 8))
def test_what_depends_on_the_model_is_known_only_where_rounds_decide(condition: Condition, r: int) -> None:
    alone = certain(condition, r)
    assert certain(condition | (accuracy() > 0.5), r) is (True if alone else None)
    assert certain(condition & (accuracy() > 0.5), r) is (None if alone else False)
    assert certain(~(accuracy() > 0.5), r) is None
