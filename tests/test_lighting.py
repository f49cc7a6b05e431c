"""How a drawing is lit as the steps of a run finish: every state that a node can be in, and panels, gates and rests."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tilth.actions import annotate, relabel, remove
from tilth.dataset import Dataset
from tilth.drawing import Drawing, recall
from tilth.integrations.sklearn import SklearnModel
from tilth.labeling import Oracle, Panel, Team, disagrees_with_model
from tilth.metrics import accuracy, rounds
from tilth.rules import Gate, Rule
from tilth.runs import run
from tilth.runs.lighting import light
from tilth.selectors import labeled, unlabeled
from tilth.signals import margin
from tilth.workflow import Workflow

BOSS = Oracle("kind", name="boss")
CROWD = Panel(Team("crew"), votes=2, check=disagrees_with_model(), disputed_by=BOSS)
RULES = {
    "ask": Rule(when=rounds() >= 1, select=unlabeled.top(5, by=margin()), do=annotate(by=CROWD)),
    "fix": Rule(select=labeled.sample(3), do=relabel(by="probe"), gate=Gate(cooldown=2)),
    "weed": Rule(select=labeled.sample(3), do=remove()),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    table = {"x": x, "kind": np.array(["cat", "dog"] * 20)}
    return Dataset.create(tmp_path_factory.mktemp("lighting") / "pets", table, label="kind")


@pytest.fixture(scope="module")
def spec(dataset) -> Any:
    made = Workflow(dataset, SklearnModel(LogisticRegression()), RULES, until=accuracy() >= 2.0 - rounds())
    return json.loads(json.dumps(made.to_json()))


def lit(spec: Any, dataset: Dataset, *steps: tuple[str, Any], standing: str = "running", **more: Any) -> dict[str, str]:
    """Return the nodes that are not idle."""
    states = light(recall(spec, dataset), spec, dict(steps), standing, **more)
    return {name: state for name, state in states.items() if state != "idle"}


def through(r: int, *, done: bool = False) -> list[tuple[str, Any]]:
    return [(f"r{r}/start", {"version": r}), (f"r{r}/train", {"ref": "1f"}), (f"r{r}/evaluate", {"done": done})]


MODEL = {"train": "done", "evaluate": "done", "until": "done"}
NONE = {"n": 0, "why": "nothing to change"}
SOME = {"n": 3, "why": "three"}


def test_before_its_first_step_a_run_trains(spec, dataset):
    assert lit(spec, dataset) == {"train": "running", "model": "running"}


@pytest.mark.parametrize("standing", ["paused", "resting", "cancelled", "queued"])
def test_where_nobody_is_at_work_nothing_is_running(spec, dataset, standing):
    assert lit(spec, dataset, *through(0)[:2], standing=standing) == {"train": "done"}


def test_the_step_at_which_a_run_failed_is_marked(spec, dataset):
    assert lit(spec, dataset, *through(0)[:1], standing="failed") == {"train": "failed", "model": "failed"}


def test_a_rule_that_changes_nothing_is_skipped_and_its_gate_too(spec, dataset):
    found = lit(spec, dataset, *through(0), ("r0/ask/propose", NONE), ("r0/fix/propose", NONE))
    assert found == MODEL | {
        "rule:ask": "skipped",
        "rule:fix": "skipped",
        "gate:fix": "skipped",
        "rule:weed": "running",
        "rules": "running",
    }


def test_what_a_gate_takes_back_is_rolled_back_and_its_rule_rests(spec, dataset):
    back = [
        *through(0),
        *[("r0/ask/propose", NONE), ("r0/fix/propose", SOME), ("r0/fix/commit", {"version": 1})],
        *[("r0/fix/gate/without", {}), ("r0/fix/gate/with", {})],
    ]
    assert lit(spec, dataset, *back)["gate:fix"] == "running"
    back += [("r0/fix/gate/judge", {"kept": False})]
    assert lit(spec, dataset, *back)["gate:fix"] == "running"  # it is being taken back
    back += [("r0/fix/gate/revert", {"version": 2})]
    found = lit(spec, dataset, *back)
    assert (found["rule:fix"], found["gate:fix"], found["rule:weed"]) == ("rolled-back", "rolled-back", "running")
    later = [*back, ("r0/weed/propose", NONE), *through(1), ("r1/ask/propose", NONE)]
    found = lit(spec, dataset, *later)
    assert (found["rule:fix"], found["gate:fix"], found["rule:weed"]) == ("skipped", "skipped", "running")
    assert lit(spec, dataset, *later, round=0)["gate:fix"] == "rolled-back"  # as it was then


def test_the_gate_of_a_round_judges_its_rules_together(spec, dataset):
    both = spec | {"gate": Gate(cooldown=1, rejected="hold").to_json()}
    none = [*through(0), ("r0/ask/propose", NONE), ("r0/fix/propose", NONE)]
    found = lit(both, dataset, *none, ("r0/weed/propose", NONE))
    assert (found["gate"], found["train"]) == ("skipped", "running")
    steps = [*none, ("r0/weed/propose", SOME), ("r0/weed/commit", {"version": 1})]
    found = lit(both, dataset, *steps)
    assert (found["rule:weed"], found["gate"], found["rules"]) == ("done", "running", "running")
    assert lit(both, dataset, *steps, ("r0/gate/judge", {"kept": True}))["gate"] == "done"
    steps += [("r0/gate/judge", {"kept": False})]
    found = lit(both, dataset, *steps)
    assert (found["rule:weed"], found["gate"]) == ("rolled-back", "running")  # it is being taken back
    found = lit(both, dataset, *steps, ("r0/gate/revert", {"version": 2}))
    assert (found["gate"], found["rule:ask"], found["train"]) == ("rolled-back", "skipped", "running")
    early = [("r0/start", {"version": 0}), ("r0/weed/propose", SOME), ("r0/weed/commit", {"version": 1})]
    early += [*through(0)[1:], ("r0/fix/propose", SOME), ("r0/fix/commit", {"version": 2})]
    found = lit(both, dataset, *early, ("r0/gate/judge", {"kept": False}), ("r0/gate/revert", {"version": 3}))
    assert (found["rule:weed"], found["rule:fix"]) == ("done", "rolled-back")


def test_when_a_round_is_over_the_loop_is_back_at_the_training(spec, dataset):
    over = [*through(0), *((f"r0/{rule}/propose", NONE) for rule in RULES)]
    found = lit(spec, dataset, *over)
    assert (found["train"], found["rule:weed"]) == ("running", "skipped")
    assert lit(spec, dataset, *over, ("r1/start", {"version": 1})) == {"train": "running", "model": "running"}


def test_a_panel_is_a_workflow_of_its_own(spec, dataset):
    steps = [*through(0), ("r0/ask/propose", SOME), ("r0/ask/first/plan", SOME), ("r0/ask/first/ask", {"version": 1})]
    found = lit(spec, dataset, *steps, standing="waiting")
    waiting = {name for name, state in found.items() if state == "waiting"}
    assert waiting == {"panel:panel/first", "panel:panel", "rule:ask", "rules"}
    steps += [("r0/ask/first/take", {"version": 2, "n": 6}), ("r0/ask/second/plan", NONE)]
    found = lit(spec, dataset, *steps)
    assert found["panel:panel/second"] == "skipped"
    assert (found["panel:panel/consensus"], found["panel:panel/expert"]) == ("done", "running")
    found = lit(spec, dataset, *steps, ("r0/ask/expert/plan", SOME), ("r0/ask/expert/answers", {"version": 3, "n": 1}))
    assert (found["panel:panel/labels"], found["rule:ask"], found["rule:fix"]) == ("done", "done", "running")


def test_what_a_gate_of_the_round_rejects_rests_and_who_changed_nothing_does_not(spec, dataset):
    judged = spec | {"gate": spec["rules"]["fix"]["gate"]}
    steps = [
        *through(0),
        *[("r0/ask/propose", NONE), ("r0/fix/propose", NONE), ("r0/weed/propose", SOME), ("r0/weed/commit", {})],
        *[("r0/gate/judge", {"kept": False}), ("r0/gate/revert", {}), *through(1), ("r1/ask/propose", NONE)],
    ]
    found = lit(judged, dataset, *steps)
    assert (found["rule:fix"], found["rule:weed"]) == ("running", "skipped")


def test_a_rule_before_the_first_training_has_its_turn_first(spec, dataset):
    early = [("r0/start", {"version": 0}), ("r0/weed/propose", SOME)]
    assert lit(spec, dataset, *early) == {"rule:weed": "running", "rules": "running"}
    found = lit(spec, dataset, *early, ("r0/weed/commit", {"version": 1}))
    assert (found["rule:weed"], found["train"]) == ("done", "running")


@pytest.mark.parametrize(("name", "early"), [("tune-up", False), ("trainees", True)])
def test_a_rule_may_be_called_like_a_step_of_the_loop(spec, dataset, name, early):
    named = spec | {"rules": {name: spec["rules"]["weed"]}}
    steps = [*(through(0)[:1] if early else through(0)), (f"r0/{name}/propose", SOME)]
    found = lit(named, dataset, *steps)
    assert found[f"rule:{name}"] == "running"
    assert lit(named, dataset, *steps, (f"r0/{name}/commit", {"version": 1}))["train"] == "running"


def test_all_that_a_real_run_does_can_be_drawn(dataset):
    workflow = Workflow(dataset, SklearnModel(LogisticRegression()), {"weed": RULES["weed"]}, until=rounds() >= 2)
    done = run(workflow, inline=True)
    graph = recall(done.spec, dataset)
    assert graph == workflow.draw().graph
    seen: dict[str, Any] = {}
    for step in done.steps:
        seen[step["key"]] = step["result"]
        states = light(graph, done.spec, seen, "done" if step["key"] == "outcome" else "running")
        assert "running" in states.values() or step["key"] == "outcome"
        assert Drawing(graph.lit(states)).svg.count(" data-state=") == len(graph.ids)
    assert states["done"] == "done"


def test_a_part_that_is_gone_is_told_by_its_names(spec, dataset):
    lost = {"$": "function", "where": "gone:shine", "source": ""}
    gone = {"$": "custom signal", "function": lost, "args": {"k": 3}}
    rule = spec["rules"]["weed"] | {"do": {"$": "custom action", "function": lost, "args": {}}, "when": gone}
    graph = recall(spec | {"rules": {"weed": rule}, "model": {"$": "brought", "spec": {"model": "gone:Net"}}}, dataset)
    text = Drawing(graph).svg
    assert "Net(...)" in text
    assert "labeled.sample(3)" in text  # the parts that are there look as ever
