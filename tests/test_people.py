"""Runs with people in them: asked by way of a real inbox, answered by whoever leases tasks, waited for, taken."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tilth import (
    Dataset,
    Oracle,
    Panel,
    Record,
    Rule,
    Team,
    Workflow,
    annotate,
    augment,
    collect,
    disagrees_with_model,
    edit,
    labeled,
    labels_spent,
    margin,
    records,
    relabel,
    remove,
    rounds,
    run,
    unlabeled,
)
from tilth.demo.arms import base_model
from tilth.demo.data import digits
from tilth.errors import Parked, UsageError
from tilth.integrations.sklearn import SklearnModel
from tilth.labeling.inbox import Inbox, Task, Verdict
from tilth.runs import Run
from tilth.runs.home import inbox_of
from tilth.testing.people import Says, answer_open, from_column

CROWD, EXPERT, LEAD = Team("crowd"), Team("expert"), Team("lead")
TRUE = from_column("truth")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return digits(tmp_path / "digits", seed=0)


def flow(dataset: Dataset, *, until: Any = None, **rules: Rule) -> Workflow:
    until = rounds() >= 1 if until is None else until
    return Workflow(dataset=dataset, model=SklearnModel(base_model()), rules=rules, until=until)


def waits(workflow: Workflow) -> str:
    """Run until somebody has to answer, and return for what it waits."""
    with pytest.raises(Parked, match="waits for") as parked:
        run(workflow, inline=True, wait=False)
    assert parked.value.state == "waiting"
    return str(parked.value)


def answers(dataset: Dataset, who: str, says: Says = TRUE, *, team: str = "crowd", most: int | None = None) -> int:
    return answer_open(inbox_of(dataset.path), who, says, team=team, most=most)


def always(verdict: Verdict, value: Any = None) -> Says:
    def says(task: Task) -> tuple[Verdict, Any]:
        return verdict, value

    return says


def by_key(said: Mapping[str, tuple[Verdict, Any]], other: Says = TRUE) -> Says:
    def says(task: Task) -> tuple[Verdict, Any]:
        return said.get(task.key) or other(task)

    return says


def asked_keys(dataset: Dataset) -> list[str]:
    with Inbox(inbox_of(dataset.path)) as inbox:
        return [task.key for task in inbox.lease("who looks", 200, team="crowd") if not inbox.release("who looks", [0])]


ASK = Rule(select=unlabeled.top(10, by=margin()), do=annotate(by=CROWD))


def test_a_run_waits_for_people_and_goes_on_with_their_answers(dataset: Dataset) -> None:
    workflow = flow(dataset, ask=ASK)
    assert waits(workflow) == "waits for crowd: 10 questions (label) of rule 'ask'"
    assert Run(dataset).state == "waiting"
    assert int((dataset.view.asked == 1).sum()) == 10
    assert answers(dataset, "ann", most=9) == 9
    waits(workflow)
    assert dataset.view.labels_spent == 0  # nothing is used before all that was asked for is there
    assert answers(dataset, "bob") == 1
    done = run(workflow, inline=True, wait=False)
    assert done.state == "done"
    assert done.rounds[0].rules["ask"]["answers"] == 10
    asked = np.flatnonzero(dataset.view.asked == 2)
    assert dataset.labels(asked) == dataset.features(asked, ["truth"])["truth"].to_pylist()
    who = {e.actor for k in dataset.keys(asked) for e in dataset.history(k) if e.what == "answered"}
    assert who == {"ann", "bob"}


def test_partial_answers_flow_on_and_late_ones_join_the_next_round(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.top(10, by=margin()), do=annotate(by=CROWD, enough=0.8))
    workflow = flow(dataset, until=rounds() >= 2, ask=ask)
    waits(workflow)
    answers(dataset, "ann", most=8)
    waits(workflow)  # the second round asks for ten others
    first = Run(dataset).rounds[0].rules["ask"]
    assert (first["n"], dataset.view.labels_spent) == (10, 8)
    late = answers(dataset, "bob", most=2)  # older questions first: these are the two that were left
    assert late == 2
    answers(dataset, "ann", most=8)
    done = run(workflow, inline=True, wait=False)
    assert done.state == "done"
    assert dataset.view.labels_spent == 18
    told = [c.message for c in dataset.log() if c.message.startswith("late answers of crowd")]
    assert len(told) == 1
    assert int((dataset.view.asked == 1).sum()) == 0  # what nobody answered is free again
    assert any("ended before they were answered" in c.message for c in dataset.log())


def test_patience_that_runs_out_says_what_it_decided(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.top(6, by=margin()), do=annotate(by=CROWD, votes=2, patience="0.01s"))
    workflow = flow(dataset, ask=ask)
    done = run(workflow, inline=True)  # it waits a hundredth of a second
    assert (
        done.rounds[0].rules["ask"]["waited"]
        == "patience of 0.01 seconds ran out with 0 of 6 answered: goes on with these"
    )
    assert dataset.view.labels_spent == 0
    assert int((dataset.view.asked > 0).sum()) == 0


def test_answers_after_the_end_are_kept_and_join_the_next_run(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.top(6, by=margin()), do=annotate(by=CROWD, patience="0.01s"))
    with Inbox(inbox_of(dataset.path)) as inbox:
        run(flow(dataset, ask=ask), inline=True)
        [question] = inbox.questions()
        waits(flow(dataset, ask=ASK))
        task = inbox.lease("ann", 1, team="crowd")[0]
        inbox.release("ann")
        assert task.question.id != question.id  # nothing more is given out of a closed question
        from tilth.labeling.inbox import Given

        [receipt] = inbox.answer("ann", [Given(_first_task(inbox, question.id), "answer", "3")])
        assert receipt.state == "late"
    answers(dataset, "bob")
    done = run(flow(dataset, ask=ASK), inline=True, wait=False)
    assert dataset.view.labels_spent == 11
    assert done.state == "done"


def _first_task(inbox: Inbox, question: str) -> int:
    inbox.reopen(question)
    task = inbox.lease("somebody", 1, team="crowd", question=question)[0].id
    inbox.release("somebody")
    inbox.close_question(question, "over")
    return task


def test_what_was_refused_is_not_done_and_not_asked_again(dataset: Dataset) -> None:
    rule = Rule(select=records.where(key=_some_keys(dataset, 4)), do=remove(approve=LEAD))
    workflow = flow(dataset, until=rounds() >= 3, weed=rule)
    keys = _some_keys(dataset, 4)
    size = len(dataset)
    waits(workflow)
    answers(dataset, "lea", by_key({keys[0]: ("answer", "no")}, always("answer", "yes")), team="lead")
    done = run(workflow, inline=True, wait=False)
    assert len(dataset) == size - 3
    assert done.why == "no rule has anything left to change"
    assert [e.what for e in dataset.history(keys[0])] == ["added", "reviewed"]
    gone = dataset.history(keys[1])
    assert [e.what for e in gone] == ["added", "removed", "reviewed"]
    assert "approved by lea" in gone[1].reason


def _some_keys(dataset: Dataset, n: int) -> list[str]:
    return dataset.keys(np.flatnonzero(dataset.at(0).view.train)[:n])


def shift(record: Record) -> Record:
    return record.change(pixels=np.roll(record["pixels"].reshape(8, 8), 1, axis=1).ravel())


def test_made_records_enter_when_they_are_approved(dataset: Dataset) -> None:
    keys = _some_keys(dataset, 3)
    workflow = flow(dataset, grow=Rule(select=records.where(key=keys), do=augment(shift, approve=LEAD)))
    waits(workflow)
    n = 0

    def second_only(task: Task) -> tuple[Verdict, Any]:
        nonlocal n
        n += 1
        return "answer", "yes" if n == 2 else "no"

    answers(dataset, "lea", second_only, team="lead")
    run(workflow, inline=True, wait=False)
    new = np.flatnonzero(dataset.parent >= 0)
    assert len(new) == 1
    source = dataset.parent[new]
    old = dataset.features(source, ["pixels"])["pixels"].to_pylist()[0]
    made = dataset.features(new, ["pixels"])["pixels"].to_pylist()[0]
    assert np.array_equal(np.roll(np.reshape(old, (8, 8)), 1, axis=1).ravel(), np.array(made, np.float32))


@pytest.fixture
def notes(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    n = 60
    kind = np.array(["a", "b"])[np.arange(n) % 2]
    table = {
        "name": [f"n{i}" for i in range(n)],
        "x": (rng.normal(size=(n, 3)) + (kind == "b")[:, None] * 3).astype(np.float32),
        "note": [f"note {i}" for i in range(n)],
        "kind": kind,
    }
    return Dataset.create(tmp_path / "notes", table, key="name", label="kind", durability="process")


def small(dataset: Dataset, **rules: Rule) -> Workflow:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = SklearnModel(make_pipeline(LogisticRegression()), features=["x"])
    return Workflow(dataset=dataset, model=model, rules=rules, until=rounds() >= 1)


def test_people_put_contents_right(notes: Dataset) -> None:
    keys = notes.keys(np.flatnonzero(notes.view.train)[:3])
    workflow = small(notes, mend=Rule(select=records.where(key=keys), do=edit(by=CROWD, columns=["note"])))
    waits(workflow)

    def says(task: Task) -> tuple[Verdict, Any]:
        return "answer", {"note": f"mended {task.key}"}

    answers(notes, "ann", says)
    run(workflow, inline=True, wait=False)
    ids = notes.ids(keys)
    assert notes.features(ids, ["note"])["note"].to_pylist() == [f"mended {k}" for k in keys]
    story = notes.history(keys[0])
    assert story[-1].what == "content"
    assert "edited by ann" in story[-1].reason


def test_people_bring_records_and_what_cannot_enter_is_named(notes: Dataset) -> None:
    workflow = small(
        notes, more=Rule(select=labeled.where(label="a").sample(2), do=collect(3, by=CROWD, wanted="more a"))
    )
    waits(workflow)
    rows = iter(
        [
            {"key": "new/1", "x": [0.0, 1.0, 2.0], "note": "fresh", "label": "a"},
            {"key": "new/2", "x": [0.0, 1.0], "note": "too short", "label": "a"},
            {"key": "new/3", "x": [5.0, 1.0, 2.0], "note": "fresh too", "label": None},
        ]
    )
    answers(notes, "ann", lambda _: ("answer", next(rows)))
    done = run(workflow, inline=True, wait=False)
    assert notes.labels(notes.ids(["new/1", "new/3"])) == ["a", None]
    assert notes.find(["new/2"]).tolist() == [-1]
    [refused] = done.rounds[0].rules["more"]["refused"]
    assert refused.startswith("ann: ")
    assert notes.history("new/1")[0].actor == "ann"


# -- panels
# ----------------------------------------------------------------------------------------------------------------


def test_a_panel_sends_what_the_model_doubts_to_another_and_disputes_to_an_expert(dataset: Dataset) -> None:
    panel = Panel(CROWD, check=disagrees_with_model(), disputed_by=EXPERT)
    workflow = flow(dataset, ask=Rule(select=unlabeled.top(12, by=margin()), do=annotate(by=panel)))
    assert "waits for crowd: 12 questions" in waits(workflow)
    answers(dataset, "ann", always("answer", "5"))
    second = waits(workflow)
    assert "waits for crowd" in second
    doubted = int(second.split("crowd: ")[1].split(" ")[0])
    assert 0 < doubted < 12
    assert answers(dataset, "ann") == 0  # who answered is not asked the same again
    answers(dataset, "bob", TRUE)
    assert "waits for expert" in waits(workflow)
    answers(dataset, "eve", TRUE, team="expert")
    done = run(workflow, inline=True, wait=False)
    stages = done.rounds[0].rules["ask"]["stages"]
    assert [stages[s]["answers"] for s in ("first", "second")] == [12, doubted]
    ids = np.flatnonzero(dataset.view.asked == 2)
    truth = dataset.features(ids, ["truth"])["truth"].to_pylist()
    answered = {k: [e.after for e in dataset.history(k) if e.what == "answered"] for k in dataset.keys(ids)}
    for key, label, true in zip(dataset.keys(ids), dataset.labels(ids), truth, strict=True):
        said = answered[key]
        if len(said) == 1:
            assert label == "5"  # the model was of the same opinion
        else:
            assert label == true


def test_a_panel_without_expert_leaves_a_tie_without_label(dataset: Dataset) -> None:
    panel = Panel(CROWD, votes=2)
    workflow = flow(dataset, ask=Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=panel)))
    waits(workflow)
    answers(dataset, "ann", always("answer", "5"))
    answers(dataset, "bob", always("answer", "7"))
    run(workflow, inline=True, wait=False)
    asked = np.flatnonzero(dataset.view.asked == 2)
    assert dataset.labels(asked) == [None] * 5
    assert dataset.view.labels_spent == 10


def test_two_rules_share_a_panel_and_its_budget(dataset: Dataset) -> None:
    panel = Panel(Oracle("truth"), budget=25)
    rules = {
        "ask": Rule(select=unlabeled.top(10, by=margin()), do=annotate(by=panel)),
        "fix": Rule(select=labeled.sample(10), do=relabel(by=panel)),
    }
    done = run(flow(dataset, until=rounds() >= 3, **rules), inline=True)
    assert dataset.view.labels_spent == 25
    assert "the budget of 'panel' is spent" in done.rounds[1].rules["fix"]["why"]


def test_a_run_ends_when_the_budget_of_its_panel_is_spent_though_its_goal_is_not_reached(dataset: Dataset) -> None:
    panel = Panel(Oracle("truth"), votes=3, budget=25)  # 24 answers are paid for, a 25th would be a third of a record
    ask = Rule(select=unlabeled.top(10, by=margin()), do=annotate(by=panel))
    done = run(flow(dataset, until=labels_spent() >= 25, ask=ask), inline=True)
    assert done.why == "no rule has anything left to change"
    assert dataset.view.labels_spent == 24


def test_annotators_who_answer_at_once_take_turns(dataset: Dataset) -> None:
    members = (Oracle("truth", name="a"), Oracle("truth", name="b"), Oracle("truth", error=1.0, name="c"))
    panel = Panel(members, votes=2, check=disagrees_with_model())
    run(flow(dataset, ask=Rule(select=unlabeled.top(30, by=margin()), do=annotate(by=panel))), inline=True)
    said = dataset.answers().to_pylist()
    by_record: dict[int, list[str]] = {}
    for row in said:
        by_record.setdefault(row["record_id"], []).append(row["annotator"])
    assert all(len(set(names)) == len(names) for names in by_record.values())
    assert {name for names in by_record.values() for name in names} == {"a", "b", "c"}


def test_gold_questions_find_out_who_guesses_and_give_them_no_more(dataset: Dataset) -> None:
    check = annotate(by=Panel(CROWD, gold=0.5, least=0.8))
    first = Rule(select=unlabeled.top(24, by=margin()), do=check)
    run(flow(dataset, start=Rule(select=unlabeled.sample(40), do=annotate(by=Oracle("truth")))), inline=True)
    workflow = flow(dataset, ask=first)
    assert "36 questions" in waits(workflow)
    answers(dataset, "mallory", lambda task: ("answer", str((int(str(TRUE(task)[1])) + 1) % 10)), most=30)
    waits(workflow)  # looks at the answers, and takes mallory out
    with Inbox(inbox_of(dataset.path)) as inbox:
        [mallory] = [m for m in inbox.annotators() if m.name == "mallory"]
    assert mallory.gold >= 10
    assert mallory.gold_right == 0
    assert "gold questions" in mallory.suspended
    assert answers(dataset, "mallory") == 0
    answers(dataset, "ann")
    spent = dataset.view.labels_spent
    run(workflow, inline=True, wait=False)
    assert dataset.view.labels_spent == spent + 36  # gold answers are paid for as well
    verified = np.flatnonzero(dataset.view.asked == 2)
    assert len(verified) == 40 + 24  # and set no label, nor make a record count as asked again


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda: Panel(()), "a Team, an annotator"),
        (lambda: Panel((CROWD, Oracle("truth"))), "one Team"),
        (lambda: Panel((Oracle("t"), Oracle("u"))), "different names"),
        (lambda: Panel((Oracle("t", name="a"), Oracle("u", name="b")), votes=3), "3 different annotators"),
        (lambda: Panel(CROWD, check=rounds() > 2), "a condition on each record"),
        (lambda: Panel(CROWD, budget=0), "budget"),
        (lambda: Panel(CROWD, gold=2), "gold"),
        (lambda: Panel(CROWD, consensus="vote"), "majority, dawid_skene"),  # type: ignore[arg-type]
        (lambda: Panel(CROWD, patience="soon"), "no length of time"),
        (lambda: annotate(by=CROWD, enough=0), "enough"),
        (lambda: annotate(by=CROWD, votes=0), "votes"),
        (lambda: annotate(by=Panel(CROWD), votes=2), "the panel's own"),
        (lambda: annotate(by="ann"), "by is an annotator"),  # type: ignore[arg-type]
        (lambda: remove(approve=Oracle("truth")), "who says yes or no is a Team"),
        (lambda: relabel(by=CROWD, approve=LEAD), "needs no approval"),
        (lambda: relabel(by="probe", votes=2), "asks nobody"),
        (lambda: collect(3, by=Oracle("truth")), "only people"),  # type: ignore[arg-type]
        (lambda: edit(by=CROWD, columns="note"), "a list of names"),
        (lambda: Team("a/b"), "printable name"),
        (lambda: Team("a", cost=-1), "cost"),
    ],
)
def test_what_cannot_be_asked_is_refused_when_it_is_written(wrong: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        wrong()


def test_parts_with_people_print_as_written_and_go_to_json_and_back(dataset: Dataset) -> None:
    panel = Panel(CROWD, votes=2, check=disagrees_with_model(), disputed_by=EXPERT, gold=0.1, budget=500, name="p")
    rules = {
        "ask": Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=panel)),
        "team": Rule(select=unlabeled.sample(5), do=annotate(by=CROWD, votes=2, enough=0.8, patience="3d")),
        "weed": Rule(select=labeled.sample(5), do=remove(approve=LEAD)),
        "more": Rule(select=labeled.sample(5), do=collect(5, by=CROWD, wanted="cats")),
        "mend": Rule(select=labeled.sample(5), do=edit(by=CROWD, columns=["truth"])),
    }
    workflow = flow(dataset, **rules)
    again = Workflow.from_json(workflow.to_json())
    assert repr(again) == repr(workflow)
    assert again.spec_hash() == workflow.spec_hash()
    assert repr(rules["ask"].do) == (
        'annotate(by=Panel(Team("crowd"), votes=2, check=disagrees_with_model(), disputed_by=Team("expert"), '
        'gold=0.1, budget=500, name="p"))'
    )
    assert repr(rules["weed"].do) == 'remove(approve=Team("lead"))'
    assert workflow.needs >= {"probabilities"}
    assert panel.needs == {"probabilities"}
