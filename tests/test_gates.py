"""What gates keep and take back, how sure they are, and what many looks at one valid split cost."""

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests import gates_program, launching
from tests.states import make_state, observed
from tilth import (
    Dataset,
    Gate,
    Oracle,
    Panel,
    Rule,
    State,
    Team,
    Workflow,
    accuracy,
    annotate,
    entropy,
    f1,
    label_quality,
    labeled,
    log_loss,
    margin,
    metric,
    recall,
    rejected,
    relabel,
    remove,
    reweight,
    rmse,
    rounds,
    run,
    unlabeled,
)
from tilth.algebra import from_json
from tilth.cli.app import app
from tilth.demo.arms import base_model
from tilth.demo.data import digits
from tilth.errors import Parked, UsageError
from tilth.integrations.sklearn import SklearnModel
from tilth.metrics import paired
from tilth.metrics.proof import allowance, exact_p, score_bound
from tilth.metrics.verdicts import looked, told
from tilth.runs import Run, lives
from tilth.runs.home import inbox_of
from tilth.runs.telling import did
from tilth.state import Round
from tilth.testing.people import answer_open, from_column

ORACLE = Oracle("truth")
HARM = Rule(select=labeled.where(label=("1", "2", "3")), do=remove())


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return digits(tmp_path / "digits", seed=0)


def flow(dataset: Dataset, until: Any = None, gate: Gate | None = None, **rules: Rule) -> Workflow:
    until = rounds() >= 1 if until is None else until
    return Workflow(dataset=dataset, model=SklearnModel(base_model()), rules=rules, until=until, gate=gate)


def fix(n: int = 200, gate: Gate | None = None) -> Rule:
    return Rule(select=labeled.bottom(n, by=label_quality(by="model")), do=relabel(by=ORACLE), gate=gate)


def cut(gate: Gate, when: Any = None) -> Rule:
    return Rule(when=when, select=HARM.select, do=HARM.do, gate=gate)


def softmax(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)


def verdict(done: Run, rule: str, at: int = 0) -> Mapping[str, Any]:
    return done.rounds[at].rules[rule]


# -- proof: the numbers themselves
# ------------------------------------------------------------------------------------------------------------------

changes = st.lists(st.integers(-1, 1), min_size=1, max_size=14).map(lambda found: np.array(found, np.int64))
levels = st.floats(1e-5, 0.5)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
def test_the_exact_test_counts_every_way_of_swapping_with_and_without(found: list[int]) -> None:
    change = np.array(found, np.int64)
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(change))).reshape(len(change), -1)
    every = (signs * np.abs(change)[:, None]).sum(axis=0)
    assert exact_p(change) == pytest.approx((every >= change.sum()).mean())


def test_the_exact_test_of_many_records_is_the_binomial_one() -> None:
    change = np.repeat([1, 0, -1], [3_100, 90_000, 2_900])
    spread = (3_100 - 2_900 - 1) / math.sqrt(6_000)  # with the correction for continuity
    assert exact_p(change) == pytest.approx(0.5 * math.erfc(spread / math.sqrt(2)), rel=1e-3)


@given(changes, levels, levels)
def test_a_bound_lies_below_the_gain_falls_with_the_level_and_is_above_0_only_where_the_test_rejects(
    change: npt.NDArray[np.int64], a: float, b: float
) -> None:
    strict, lax = score_bound(change, 1, min(a, b)), score_bound(change, 1, max(a, b))
    assert -1 <= strict <= lax + 1e-9 <= change.mean() + 2e-9
    assert lax <= 0 or exact_p(change) <= max(a, b)


@given(st.integers(1, 5_000), levels)
def test_records_without_a_change_prove_only_what_so_few_can(n: int, level: float) -> None:
    z = NormalDist().inv_cdf(1 - level)
    assert score_bound(np.zeros(n, np.int64), 1, level) == pytest.approx(-(z**2) / (n + z**2), abs=1e-9)


@given(st.floats(0.5, 0.999), st.integers(0, 10_000))
def test_what_all_looks_may_err_adds_up_to_one_less_the_confidence(confidence: float, looks: int) -> None:
    spent = [allowance(confidence, r) for r in range(looks + 1)]
    assert sum(spent) <= 1 - confidence
    assert all(a > b > 0 for a, b in itertools.pairwise(spent))


def test_fifty_looks_at_changes_that_do_nothing_seldom_keep_one_and_would_if_nobody_counted() -> None:
    chance = np.random.default_rng(7)
    kept, uncounted = 0, 0
    for _ in range(60):
        rejections, any_, naive = 0, False, False
        for _ in range(50):
            change = chance.choice(np.array([-1, 0, 1]), 400, p=[0.06, 0.88, 0.06])
            naive |= exact_p(change) <= 0.05
            yes = score_bound(change, 1, allowance(0.95, rejections)) > 0
            any_ |= yes
            rejections += not yes
        kept, uncounted = kept + any_, uncounted + naive
    assert kept <= 6  # 5 % of 60 are 3
    assert uncounted >= 30


@metric(needs={"probabilities"})
def own_accuracy(state: State, *, split: str = "valid") -> float:
    ids = state.judged(split)
    return float((state.predicted[ids] == state.view.label[ids]).mean())


METRICS = (accuracy(), recall("3"), recall(), f1(), -log_loss(), accuracy() + recall("3"), own_accuracy())


@pytest.mark.parametrize("one", METRICS, ids=repr)
def test_a_model_is_never_surely_better_than_itself(seen: tuple[State, State], one: Any) -> None:
    same = paired(one, seen[0], seen[0])
    assert not any(same.bound(level) > 0 for level in (0.5, 0.05, 1e-5))


@pytest.mark.parametrize("one", METRICS, ids=repr)
def test_what_is_surely_better_one_way_round_is_not_the_other(seen: tuple[State, State], one: Any) -> None:
    there, back = paired(one, *seen), paired(one, seen[1], seen[0])
    assert there.bound(0.05) < there.gain
    assert back.gain == pytest.approx(-there.gain)
    assert not (there.bound(0.05) > 0 and back.bound(0.05) > 0)
    assert there.bound(0.001) < there.bound(0.05)


def test_the_exact_and_the_bootstrap_bound_of_the_same_metric_agree(seen: tuple[State, State]) -> None:
    exact, by_bootstrap = paired(recall("3"), *seen), paired(1 * recall("3"), *seen)
    assert exact.gain == pytest.approx(by_bootstrap.gain)
    assert exact.bound(0.05) == pytest.approx(by_bootstrap.bound(0.05), abs=0.03)
    assert exact.records < by_bootstrap.records  # those of the class alone


def test_an_error_of_numbers_is_proved_to_have_fallen_by_bootstrap(tmp_path: Path) -> None:
    chance = np.random.default_rng(4)
    y = chance.normal(size=200)
    near, far = y + 0.3 * chance.normal(size=200), y + 0.5 * chance.normal(size=200)
    before = make_state(tmp_path, y.tolist(), split="valid", label_kind="number", probabilities=far[:, None])
    after = observed(before.dataset, ref="near", probabilities=near[:, None])
    found = paired(-rmse(), before, after)
    assert 0 < found.bound(0.001) < found.bound(0.05) < found.gain
    assert paired(-rmse(), after, before).bound(0.05) < 0


def test_several_seeds_are_averaged_record_by_record(seen: tuple[State, State]) -> None:
    one, mixed = paired(accuracy(), *seen), paired(accuracy(), [seen[0]] * 2, [seen[1], seen[0]])
    assert mixed.gain == pytest.approx(one.gain / 2)
    # half of the gain, and half of its error by records, with what the seeds differ in on top of it
    assert mixed.standard_error == pytest.approx(math.hypot(one.standard_error / 2, one.gain / 2))
    assert mixed.bound(0.05) < one.bound(0.05) / 2
    same = paired(accuracy(), [seen[0]] * 3, [seen[1]] * 3)
    assert (same.gain, same.standard_error) == (pytest.approx(one.gain), pytest.approx(one.standard_error))
    with pytest.raises(UsageError, match="as many states before as after, got 1 and 2"):
        paired(accuracy(), seen[0], list(seen))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[State, State]:
    """Two models of unequal quality."""
    dataset = digits(tmp_path_factory.mktemp("seen") / "digits", seed=0)
    chance = np.random.default_rng(3)
    truth = dataset.view.label.astype(int).clip(0)
    logits = chance.normal(0, 1, (len(truth), 10))
    logits[np.arange(len(truth)), truth] += 2.5
    after = logits + 0.3 * chance.normal(0, 1, logits.shape)
    after[np.arange(len(truth)), truth] += 0.4
    return (
        observed(dataset, ref="before", probabilities=softmax(logits)),
        observed(dataset, ref="after", probabilities=softmax(after)),
    )


# -- what a gate keeps
# ------------------------------------------------------------------------------------------------------------------


def test_a_large_gain_is_proved_and_the_verdict_says_how_surely(dataset: Dataset) -> None:
    done = run(flow(dataset, fix=fix(gate=Gate(confidence=0.95, rejected="hold"))), inline=True)
    found = verdict(done, "fix")
    assert found["kept"] is True
    assert 0 < found["bound"] < found["gain"] == pytest.approx(found["after"] - found["before"])
    assert (found["looks"], found["confidence"], found["level"]) == (1, 0.95, allowance(0.95, 0))
    assert found["margin"] == pytest.approx(found["gain"] - found["bound"])
    assert found["records"] == int(dataset.view.among("valid").sum())


def test_the_same_change_is_not_proved_where_more_is_asked_of_it(dataset: Dataset) -> None:
    before = dataset.labels()
    gate = Gate(by=0.5, confidence=0.95, rejected="hold")
    found = verdict(run(flow(dataset, fix=fix(gate=gate)), inline=True), "fix")
    assert found["kept"] is False
    assert found["bound"] < 0.5 < found["margin"]
    assert dataset.labels() == before
    assert dataset.view.labels_spent == 200


def test_a_small_gain_that_is_kept_as_measured_is_not_proved(tmp_path: Path) -> None:
    verdicts: list[bool] = []
    for name, gate in (("a", Gate(by=0.0, rejected="hold")), ("b", Gate(confidence=0.99, rejected="hold"))):
        found = verdict(run(flow(digits(tmp_path / name, seed=0), fix=fix(12, gate)), inline=True), "fix")
        assert 0 <= found["gain"] < 0.05
        verdicts.append(found["kept"])
    assert verdicts == [True, False]


def test_a_change_that_changes_nothing_in_the_model_is_never_kept(dataset: Dataset) -> None:
    same = Rule(select=labeled.sample(20), do=reweight(0.999999), gate=Gate(confidence=0.5))
    found = verdict(run(flow(dataset, same=same), inline=True), "same")
    assert (found["gain"], found["kept"]) == (0, False)


def test_a_protected_metric_that_falls_too_far_rejects_what_else_would_be_kept(tmp_path: Path) -> None:
    kept: dict[float, bool] = {}
    for tolerance in (0.02, 1.0):
        dataset = digits(tmp_path / str(tolerance), seed=0)
        lose = Rule(select=labeled.where(label="3"), do=remove(), gate=Gate(by=-1.0, protects={recall("3"): tolerance}))
        found = verdict(run(flow(dataset, lose=lose), inline=True), "lose")
        one = found["protects"][0]
        assert (one["metric"], one["tolerance"], one["held"]) == ('recall("3")', tolerance, tolerance == 1.0)
        assert one["before"] - one["after"] > 0.02
        kept[tolerance] = found["kept"]
        assert found["enough"] is True
    assert kept == {0.02: False, 1.0: True}
    assert 'recall("3")' in told(found | {"kept": False, "protects": [one | {"held": False}]})


def test_with_confidence_a_protected_metric_has_to_be_proved_too(dataset: Dataset) -> None:
    gate = Gate(confidence=0.95, protects={recall("3"): 0.001}, rejected="hold")
    found = verdict(run(flow(dataset, fix=fix(gate=gate)), inline=True), "fix")
    one = found["protects"][0]
    assert found["enough"] is True
    assert found["kept"] is False  # two dozen records of a class cannot prove a thousandth
    assert one["bound"] < -0.001
    assert one["records"] < 40
    said = did("recheck", found).text
    assert f"{one['records']} records" in said
    assert "allowed 0.001" in said


def test_repeated_seeds_train_each_side_as_often_and_once_more_makes_no_difference(tmp_path: Path) -> None:
    verdicts: list[Any] = []
    for name in ("a", "b"):
        done = run(flow(digits(tmp_path / name, seed=0), cut=cut(Gate(seeds=3))), inline=True)
        keys = [s["key"] for s in done.steps if "/gate/with" in s["key"]]
        sides = [f"r0/cut/gate/{side}{seed}" for side in ("without", "with") for seed in ("", "/2", "/3")]
        assert keys == sides
        verdicts.append(verdict(done, "cut"))
    assert verdicts[0] == verdicts[1]
    assert verdicts[0]["seeds"] == 3


# -- many looks
# ------------------------------------------------------------------------------------------------------------------


def test_each_rejected_look_makes_the_next_one_stricter_whichever_rule_takes_it(dataset: Dataset) -> None:
    gate = Gate(confidence=0.9, cooldown=0)
    few = Rule(select=labeled.sample(5), do=remove(), gate=gate)
    done = run(flow(dataset, rounds() >= 3, few=few, fix=fix(100, Gate(confidence=0.9, rejected="hold"))), inline=True)
    looks = [r.rules[name] for r in done.rounds for name in r.rules if "looks" in r.rules[name]]
    assert [one["looks"] for one in looks] == list(range(1, len(looks) + 1))
    assert len(looks) >= 4
    rejections = 0
    for one in looks:
        assert one["level"] == allowance(0.9, rejections)
        rejections += not one["kept"]
    assert looked(done.rounds, {}) == (len(looks), rejections)


def test_the_same_data_judged_again_is_no_further_look() -> None:
    def round_of(n: int, **rules: Mapping[str, Any]) -> Round:
        return Round(n, n, "m", {}, {}, 0, 0.0, rules)

    first = round_of(0, a={"n": 1, "looks": 1, "kept": False}, b={"n": 1, "looks": 2, "kept": True})
    again = round_of(1, a={"n": 1, "looks": 2, "kept": False, "again": True})
    both = round_of(2, a={"n": 1, "looks": 3, "kept": False}, b={"n": 1, "looks": 3, "kept": False, "together": True})
    assert looked([first, again, both], {"a": {"n": 0}}) == (3, 2)
    assert looked([], {}) == (0, 0)


def test_a_fork_goes_on_counting_where_it_left(dataset: Dataset) -> None:
    flows = flow(dataset, rounds() >= 3, few=Rule(select=labeled.sample(5), do=remove(), gate=Gate(confidence=0.9)))
    whole = run(flows, inline=True)
    made = lives.fork(dataset, from_round=2)
    again = run(flows, name=made.name, inline=True)
    assert [r.rules for r in again.rounds][:3] == [r.rules for r in whole.rounds][:3]
    assert looked(again.rounds, {})[0] == looked(whole.rounds, {})[0] >= 2


def judgements(done: Run) -> list[Any]:
    """What the run's gates said, without the names of versions."""
    return [(s["key"], s["result"]) for s in done.steps if s["key"].endswith("/judge")]


@pytest.fixture(scope="module")
def unkilled(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], str]:
    dataset = digits(tmp_path_factory.mktemp("unkilled") / "digits", seed=0)
    done = run(gates_program.workflow(dataset), inline=True)
    return judgements(done), dataset.digest()


def test_a_run_with_every_kind_of_gate_comes_to_what_its_gates_say(unkilled: tuple[list[Any], str]) -> None:
    said = {key: found["kept"] for key, found in unkilled[0]}
    assert [key for key in said if key.endswith("cut/gate/judge")] == ["r0/cut/gate/judge", "r1/cut/gate/judge"]
    assert not any(kept for key, kept in said.items() if "cut" in key)
    assert said["r0/gate/judge"] is False
    looks = [found["looks"] for _, found in unkilled[0] if not found.get("again")]
    assert looks == list(range(1, len(looks) + 1))
    assert len(looks) >= 4


@pytest.mark.crash
@pytest.mark.parametrize(
    "kill",
    [
        "inside r0/cut/gate/with/2",
        "inside r0/cut/gate/judge",
        "after r0/cut/gate/judge",
        "inside r0/cut/gate/revert",
        "before r0/gate/judge",
        "inside r0/gate/revert",
        "after r0/gate/revert",
        "inside r1/gate/judge",
    ],
)
def test_a_killed_run_goes_on_to_the_same_verdicts(tmp_path: Path, kill: str, unkilled: tuple[list[Any], str]) -> None:
    dataset = digits(tmp_path / "digits", seed=0)
    out = tmp_path / "out"
    program = Path(gates_program.__file__)
    code, said = launching.launch(launching.as_program, str(program), str(dataset.path), out=out, kill=kill)
    assert code == -9, said
    done = run(gates_program.workflow(Dataset.open(dataset.path)), inline=True)
    assert (judgements(done), Dataset.open(dataset.path).digest()) == unkilled


# -- the gate of a round
# ------------------------------------------------------------------------------------------------------------------


def test_all_that_a_round_changed_is_judged_together_and_taken_back_newest_first(dataset: Dataset) -> None:
    before = dataset.digest()
    rules = {
        "blur": Rule(select=labeled.where(label=("1", "2")), do=reweight(0.001)),
        "cut": HARM,  # the same records again: what is undone must not stand in the way of the rest
        "more": Rule(select=labeled.where(label="5"), do=reweight(0.5)),
    }
    done = run(flow(dataset, gate=Gate(), **rules), inline=True)
    assert dataset.digest() == before
    found = [verdict(done, name) for name in rules]
    assert [one["kept"] for one in found] == [False] * 3
    assert {one["looks"] for one in found} == {1}
    undone = [c.meta["undoes"] for c in dataset.log() if "undoes" in c.meta]
    assert undone == sorted((one["version"] for one in found), reverse=True)
    assert all("rejected" in c.message for c in dataset.log() if "undoes" in c.meta)
    assert Run(dataset).to_frame()[[f"rule:{name}" for name in rules]].iloc[0].tolist() == [0, 0, 0]


def test_a_round_that_helps_as_a_whole_is_kept_with_what_does_not(dataset: Dataset) -> None:
    few = Rule(select=labeled.sample(3), do=remove())
    work = flow(dataset, gate=Gate(confidence=0.95, rejected="hold"), fix=fix(), few=few)
    done = run(work, inline=True)
    assert [verdict(done, name)["kept"] for name in ("fix", "few")] == [True, True]
    assert verdict(done, "few")["together"] is True
    assert dataset.view.labels_spent == 200


def test_what_a_rules_own_gate_took_back_is_not_judged_with_the_round(dataset: Dataset) -> None:
    work = flow(dataset, gate=Gate(by=0.0, rejected="hold"), cut=cut(Gate()), fix=fix())
    done = run(work, inline=True)
    assert verdict(done, "cut")["kept"] is False
    assert "together" not in verdict(done, "cut")
    assert verdict(done, "fix")["kept"] is True
    assert [verdict(done, name)["looks"] for name in ("cut", "fix")] == [1, 2]


def test_a_rejected_round_rests_all_its_rules_and_keeps_what_was_answered(dataset: Dataset) -> None:
    labels = dataset.labels()
    ask = Rule(select=unlabeled.top(10, by=margin()), do=annotate(by=ORACLE))
    done = run(flow(dataset, rounds() >= 2, gate=Gate(by=0.9, rejected="hold"), ask=ask, cut=HARM), inline=True)
    assert dataset.labels() == labels
    assert dataset.view.labels_spent == 10
    assert all("rests" in did["why"] for did in done.rounds[1].rules.values())


def test_what_people_answered_survives_a_rejection_and_nobody_is_asked_again(dataset: Dataset) -> None:
    labels = dataset.labels()
    crowd = Team("crowd")
    ask = Rule(select=unlabeled.top(8, by=margin()), do=annotate(by=crowd))
    work = flow(dataset, gate=Gate(by=0.9, rejected="hold"), ask=ask, cut=HARM)
    with pytest.raises(Parked, match="waits for crowd"):
        run(work, inline=True, wait=False)
    assert answer_open(inbox_of(dataset.path), "ann", from_column("truth"), team="crowd") == 8
    run(work, inline=True, wait=False)
    assert dataset.labels() == labels
    assert dataset.view.labels_spent == 8
    assert int((dataset.view.asked == 2).sum()) == 8
    assert dataset.answers().num_rows == 8


def test_every_stage_of_a_rejected_panel_is_set_back(dataset: Dataset) -> None:
    labels = dataset.labels()
    panel = Panel(Oracle("truth", error=0.4, name="a", seed=1), votes=1, disputed_by=ORACLE, check=entropy() > 0.0)
    ask = Rule(select=unlabeled.top(12, by=margin()), do=annotate(by=panel), gate=Gate(by=0.9, rejected="hold"))
    done = run(flow(dataset, ask=ask), inline=True)
    made = [c for c in dataset.log() if c.rule == "ask" and "undoes" not in c.meta]
    assert len(made) > 1
    assert verdict(done, "ask")["kept"] is False
    assert dataset.labels() == labels
    assert dataset.view.labels_spent > 12


# -- how often a rule was rejected
# ------------------------------------------------------------------------------------------------------------------


def test_a_rule_gives_up_after_two_rejections(dataset: Dataset) -> None:
    rule = Rule(when=rejected("grow") < 2, select=labeled.sample(60), do=remove(), gate=Gate(by=0.5, cooldown=0))
    done = run(flow(dataset, rounds() >= 4, grow=rule), inline=True)
    assert [r.rules["grow"].get("kept") for r in done.rounds[:3]] == [False, False, None]
    assert done.rounds[2].rules["grow"]["why"] == 'not when rejected("grow") = 2 < 2'
    assert [r.metrics['rejected("grow")'] for r in done.rounds[:3]] == [0, 1, 2]


@given(st.lists(st.sampled_from([True, False, None]), max_size=12))
def test_rejections_are_counted_in_all_or_since_the_last_that_was_kept(verdicts: list[bool | None]) -> None:
    history = tuple(
        Round(i, i, "m", {}, {}, 0, 0.0, {"a": {"n": 1} if kept is None else {"n": 1, "kept": kept}})
        for i, kept in enumerate(verdicts)
    )
    state = State(dataset=None, rounds=history)  # pyright: ignore[reportArgumentType]  (nothing else is looked at)
    assert rejected("a").compute(state) == verdicts.count(False)
    judged = [kept for kept in verdicts if kept is not None]
    expected = judged[::-1].index(True) if True in judged else len(judged)
    assert rejected("a", in_a_row=True).compute(state) == expected
    assert rejected("b").compute(state) == 0


def test_a_rule_that_is_not_there_or_never_judged_is_named_when_the_workflow_is_made(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"until: .*no rule 'gorw'.*Did you mean 'grow'\?"):
        flow(dataset, (rejected("gorw") >= 2) | (rounds() >= 9), grow=cut(Gate()))
    with pytest.raises(UsageError, match="nothing judges rule 'grow'"):
        flow(dataset, rejected("grow") >= 2, grow=HARM)
    flow(dataset, rejected("grow") >= 2, gate=Gate(), grow=HARM)
    with pytest.raises(UsageError, match="the name of a rule"):
        rejected(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="in_a_row is True or False"):
        rejected("grow", in_a_row=2)  # pyright: ignore[reportArgumentType]


# -- what may be written
# ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"confidence": 95}, r"confidence=95\): .*did you mean 0.95\?"),
        ({"confidence": 1.0}, "from 0.5 to less than 1"),
        ({"confidence": 0.4}, "from 0.5 to less than 1"),
        ({"confidence": True}, "from 0.5 to less than 1"),
        ({"confidence": "high"}, "from 0.5 to less than 1"),
        ({"confidence": math.nan}, "from 0.5 to less than 1"),
        ({"by": "much"}, "the least gain"),
        ({"by": math.inf}, "the least gain"),
        ({"seeds": 0}, r"seeds=\.\.\.\) is a whole number of 1 or more"),
        ({"seeds": 1.5}, "whole number"),
        ({"protects": recall("3")}, "a mapping such as"),
        ({"protects": {"recall": 0.02}}, "a metric such as"),
        ({"protects": {entropy(): 0.02}}, "a metric such as"),
        ({"protects": {recall("3"): -0.02}}, "0 or more"),
        ({"protects": {recall("3"): None}}, "0 or more"),
        ({"protects": (recall("3"), 0.02)}, "a mapping such as"),
        ({"improves": entropy()}, "a metric such as"),
        ({"improves": accuracy() > 0.5}, "a metric such as"),
        ({"cooldown": 1.5}, "a number of rounds"),
        ({"cooldown": -1}, "a number of rounds"),
        ({"rejected": "undo"}, '"revert" or "hold"'),
    ],
)
def test_what_a_gate_cannot_mean_is_refused_when_it_is_written(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Gate(**wrong)


def test_a_workflow_refuses_a_gate_of_the_wrong_kind_or_that_would_take_answers_back(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"Workflow\(gate=0.95\): a Gate"):
        flow(dataset, gate=0.95, cut=HARM)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match=r"rule 'fix' asks an annotator.*hold"):
        flow(dataset, gate=Gate(), fix=fix())
    with pytest.raises(UsageError, match=r"gate: .*kind number"):
        flow(dataset, gate=Gate(improves=-rmse()), cut=HARM)


def test_a_protected_class_that_is_not_there_is_an_error_that_says_so(dataset: Dataset) -> None:
    with pytest.raises(Exception, match="no class 'tree'"):
        run(flow(dataset, cut=cut(Gate(protects={recall("tree"): 0.1}))), inline=True)


def test_gates_print_as_they_were_written_and_come_back_from_json(dataset: Dataset) -> None:
    gate = Gate(by=0.01, confidence=0.95, protects={recall("3"): 0.02, f1(): 0.0}, seeds=2, rejected="hold")
    assert repr(gate) == (
        'Gate(by=0.01, confidence=0.95, protects={recall("3"): 0.02, f1(): 0.0}, seeds=2, rejected="hold")'
    )
    assert from_json(gate.to_json()) == gate
    assert gate.needs == {"probabilities"}
    work = flow(dataset, rejected("fix") >= 3, gate=gate, fix=fix())
    again = Workflow.from_json(work.to_json())
    assert repr(again) == repr(work)
    assert "gate=Gate(by=0.01" in repr(work)
    assert again.spec_hash() == work.spec_hash() != flow(dataset, rounds() >= 3, fix=fix()).spec_hash()


def test_a_gate_as_it_was_written_before_has_the_spec_it_had_and_what_is_new_is_told(dataset: Dataset) -> None:
    assert set(Gate(by=0.0).to_json()) == {"$", "improves", "by", "rejected", "cooldown"}
    old, new = (flow(dataset, gate=gate, cut=HARM).to_json() for gate in (Gate(by=0.0), None))
    assert "gate" not in new
    assert lives.differences(old, new) == "  gate: Gate(by=0.0) -> none"
    assert lives.differences(new, old) == "  gate: none -> Gate(by=0.0)"


def test_status_and_the_rounds_tell_how_often_the_gates_looked(dataset: Dataset) -> None:
    done = run(flow(dataset, rounds() >= 2, cut=cut(Gate(confidence=0.95))), inline=True)
    said = CliRunner().invoke(app, ["status", str(dataset.path)]).stdout
    assert "the gates looked at valid 1 time: 0 kept, 1 rejected" in said
    assert f"with {1 - allowance(0.95, 1):.2%} confidence" in said
    text = did("remove", verdict(done, "cut")).text
    assert "rejected: " in text
    assert "(look 1 at valid)" in text
    assert text.split("rejected: ")[1] in dataset.log()[-1].message


def test_explain_tells_what_a_gate_asks_for_and_what_so_few_records_can_prove(dataset: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "gated_flow.py"
    file.write_text(
        "from tilth import *\n"
        "from tilth.demo.arms import base_model\n"
        "from tilth.integrations.sklearn import SklearnModel\n"
        f"data = Dataset.open({str(dataset.path)!r})\n"
        "gate = Gate(confidence=0.95, protects={recall('3'): 0.02}, seeds=2)\n"
        "cut = Rule(select=labeled.where(label='1'), do=remove(), gate=Gate(by=0.01))\n"
        "flow = Workflow(dataset=data, model=SklearnModel(base_model()), rules={'cut': cut}, until=rounds() >= 1, "
        "gate=gate)\n"
    )
    said = CliRunner().invoke(app, ["explain", str(file)]).stdout
    assert "gate    kept only if accuracy() on valid gains 0.01 or more" in said
    assert "gains anything, with 0.95 confidence over all looks of the run" in said
    assert 'and recall("3") falls by 0.02 at most (mean of 2 training seeds)' in said
    valid = int(dataset.view.among("valid").sum())
    assert f"{valid} valid records prove no gain below {8 / valid:.4f}" in said  # 2 ** -8 is less than 0.0045
    gained = np.repeat([1, 0], [8, valid - 8])
    assert score_bound(gained, 1, allowance(0.95, 0)) > 0 >= score_bound(gained[1:], 1, allowance(0.95, 0))
