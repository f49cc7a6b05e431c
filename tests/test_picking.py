"""People who pick: what a rule does, it does with the records that they picked, and with no others."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.picking_people import Likes
from tests.test_cli import document, ok, tilth
from tests.test_people import LEAD, always, answers, flow, waits
from tilth import (
    Dataset,
    Gate,
    Oracle,
    Panel,
    Record,
    Rule,
    Team,
    Workflow,
    annotate,
    augment,
    collect,
    label_quality,
    labeled,
    labels_spent,
    margin,
    modify,
    records,
    relabel,
    remove,
    reweight,
    rounds,
    run,
    unlabeled,
)
from tilth.algebra import from_json, to_json
from tilth.cli.app import app
from tilth.demo.data import digits
from tilth.errors import RunFailed, UsageError
from tilth.labeling.inbox import Given, Inbox, Task, Verdict
from tilth.runs import Run
from tilth.runs.home import inbox_of
from tilth.testing.people import Says

ORACLE = Oracle("truth")


def darker(record: Record) -> Record:
    return record.change(pixels=record["pixels"] * 0.5)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return digits(tmp_path / "digits", seed=0)


def even(task: Task) -> tuple[Verdict, Any]:
    return "answer", "yes" if int(task.key[-1]) % 2 == 0 else "no"


def shown(dataset: Dataset, says: Says = even) -> tuple[list[str], Says]:
    """Return a list of the keys that somebody is shown, and that somebody."""
    seen: list[str] = []

    def look(task: Task) -> tuple[Verdict, Any]:
        assert task.question.kind == "pick"
        seen.append(task.key)
        return says(task)

    return seen, look


def touched(dataset: Dataset, rule: str) -> set[str]:
    """Return the keys of the records that a rule did something with, beside what was said of them."""
    mine = [commit.version for commit in dataset.log() if commit.rule == rule]
    return {key for version in mine for key in _changed(dataset.at(version - 1), dataset.at(version))}


def _changed(before: Dataset, after: Dataset) -> list[str]:
    n = len(before.view)
    a, b = before.view, after.view
    same = (a.alive == b.alive[:n]) & (a.label == b.label[:n]) & (a.weight == b.weight[:n])
    same &= (a.payload == b.payload[:n]) & (a.asked == b.asked[:n])
    born = np.flatnonzero(b.known[n:]) + n
    parents = after.parent[born]
    return after.keys(np.concatenate([np.flatnonzero(~same), parents[parents >= 0]]))


ACTIONS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "remove": (lambda: labeled.sample(8), remove),
    "relabel": (lambda: labeled.sample(8), lambda: relabel(by=ORACLE)),
    "augment": (lambda: labeled.sample(8), lambda: augment(darker)),
    "modify": (lambda: labeled.bottom(8, by=label_quality(by="model")), lambda: modify(darker)),
    "reweight": (lambda: labeled.sample(8), lambda: reweight(0.5)),
    "annotate": (lambda: unlabeled.top(8, by=margin()), lambda: annotate(by=ORACLE)),
    "diverse": (lambda: unlabeled.diverse(8, by="pixels"), lambda: annotate(by=ORACLE)),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_any_action_is_done_with_those_that_were_picked_and_with_no_others(name: str, dataset: Dataset) -> None:
    select, do = ACTIONS[name]
    workflow = flow(dataset, rule=Rule(select=select().picked_by(LEAD), do=do()))
    assert waits(workflow) == "waits for lead: 8 questions (pick) of rule 'rule'"
    seen, look = shown(dataset)
    assert answers(dataset, "lea", look, team="lead") == 8
    assert touched(dataset, "rule") == set()
    done = run(workflow, inline=True, wait=False)
    picked = {key for key in seen if int(key[-1]) % 2 == 0}
    assert 0 < len(picked) < 8
    assert touched(dataset, "rule") == picked
    assert f"lead picked {len(picked)} of 8" in done.rounds[0].rules["rule"]["why"]


def test_what_was_said_stands_in_the_history_of_each_record(dataset: Dataset) -> None:
    workflow = flow(dataset, weed=Rule(select=labeled.sample(8).picked_by(LEAD), do=remove()))
    waits(workflow)
    seen, look = shown(dataset)
    answers(dataset, "lea", look, team="lead")
    run(workflow, inline=True, wait=False)
    for key in seen:
        events = [e for e in dataset.history(key) if e.what == "reviewed"]
        assert [e.actor for e in events] == ["lea"]
        assert events[0].after["say"] == ("yes" if int(key[-1]) % 2 == 0 else "no")
        assert "remove() for some of labeled.sample(8)" in events[0].after["do"]
    assert dataset.view.labels_spent == 8  # they are paid for
    assert "lea said yes to remove()" in tilth("why", dataset.path, next(k for k in seen if k[-1] in "02468")).stdout


def test_nobody_is_shown_the_same_twice_and_what_was_left_out_makes_room(dataset: Dataset) -> None:
    rule = Rule(select=unlabeled.top(6, by=margin()).picked_by(LEAD), do=annotate(by=ORACLE))
    workflow = flow(dataset, until=rounds() >= 3, ask=rule)
    every: list[str] = []
    for _ in range(3):
        waits(workflow)
        seen, look = shown(dataset)
        answers(dataset, "lea", look, team="lead")
        assert len(seen) == 6
        every += seen
    assert run(workflow, inline=True, wait=False).state == "done"
    assert len(set(every)) == 18
    assert set(dataset.keys(np.flatnonzero(dataset.view.asked == 2))) == {k for k in every if k[-1] in "02468"}


def test_a_yes_stands_and_a_run_in_which_nothing_is_left_to_pick_ends(dataset: Dataset) -> None:
    five = tuple(dataset.keys(np.flatnonzero(dataset.view.train & dataset.view.labeled)[:5]))
    rule = Rule(select=labeled.where(key=five).picked_by(Likes("02468")), do=reweight(0.5))
    done = run(flow(dataset, until=rounds() >= 9, light=rule), inline=True)
    assert done.why == "no rule has anything left to change"
    assert touched(dataset, "light") == {key for key in five if key[-1] in "02468"}
    assert dataset.view.labels_spent == 5


def test_a_round_in_which_nothing_is_picked_does_not_end_the_run(dataset: Dataset) -> None:
    rule = Rule(select=unlabeled.top(4, by=margin()).picked_by(Likes("", name="never")), do=annotate(by=ORACLE))
    done = run(flow(dataset, until=rounds() >= 3, ask=rule), inline=True)
    assert len(done.rounds) == 4
    assert [r.rules["ask"]["answers"] for r in done.rounds[:3]] == [4, 4, 4]
    assert touched(dataset, "ask") == set()


def test_who_was_not_shown_in_time_was_not_picked_and_is_shown_again(dataset: Dataset) -> None:
    some = tuple(dataset.keys(np.flatnonzero(dataset.view.train & dataset.view.labeled)[:4]))
    rule = Rule(select=labeled.where(key=some).picked_by(LEAD, patience="0.01s"), do=remove())
    other = Rule(select=unlabeled.sample(1), do=annotate(by=ORACLE))
    done = run(flow(dataset, until=rounds() >= 2, weed=rule, ask=other), inline=True)
    assert done.state == "done"
    assert touched(dataset, "weed") == set()
    with Inbox(inbox_of(dataset.path)) as inbox:
        assert [q.kind for q in inbox.questions()] == ["pick", "pick"]
        assert inbox.lease("late", 9, team="lead") == []  # nothing more is given out of either


def crowd_is_asked(workflow: Workflow) -> None:
    """Run until lead's hundredth of a second is over and somebody else has to answer."""
    while "waits for lead" in waits(workflow):
        pass


def test_a_yes_that_comes_late_stands_in_the_next_round(dataset: Dataset) -> None:
    some = tuple(dataset.keys(np.flatnonzero(dataset.view.train & dataset.view.labeled)[:2]))
    weed = Rule(select=labeled.where(key=some).picked_by(LEAD, patience="0.01s"), do=remove())
    ask = Rule(select=unlabeled.sample(1), do=annotate(by=Team("crowd")))
    workflow = flow(dataset, until=rounds() >= 2, weed=weed, ask=ask)
    crowd_is_asked(workflow)  # nobody was quick enough to pick
    with Inbox(inbox_of(dataset.path)) as inbox:
        [question] = [q for q in inbox.questions() if q.kind == "pick"]
        inbox.reopen(question.id)
        [task] = inbox.lease("lea", 1, team="lead")
        inbox.close_question(question.id, "over")
        assert inbox.answer("lea", [Given(task.id, "answer", "yes")])[0].state == "late"
    answers(dataset, "ann")
    crowd_is_asked(workflow)
    assert touched(dataset, "weed") == {task.key}
    with Inbox(inbox_of(dataset.path)) as inbox:  # the other one is shown again, this one is not
        shown_again = [q.id for q in inbox.questions() if q.kind == "pick" and q.id != question.id]
        assert [inbox.progress(i).tasks for i in shown_again] == [1]


def test_enough_answers_are_enough(dataset: Dataset) -> None:
    workflow = flow(dataset, weed=Rule(select=labeled.sample(8).picked_by(LEAD, enough=0.5), do=remove()))
    waits(workflow)
    assert answers(dataset, "lea", always("answer", "yes"), team="lead", most=4) == 4
    run(workflow, inline=True, wait=False)
    assert len(touched(dataset, "weed")) == 4


def test_of_several_who_look_most_must_say_yes(dataset: Dataset) -> None:
    workflow = flow(dataset, weed=Rule(select=labeled.sample(4).picked_by(LEAD, votes=3), do=remove()))
    waits(workflow)
    said: dict[str, list[str]] = {}
    for who, likes in (("lea", "01234"), ("lou", "56789"), ("lin", "02468")):

        def says(task: Task, likes: str = likes) -> tuple[Verdict, Any]:
            said.setdefault(task.key, []).append("yes" if task.key[-1] in likes else "no")
            return "answer", said[task.key][-1]

        assert answers(dataset, who, says, team="lead") == 4
    run(workflow, inline=True, wait=False)
    assert touched(dataset, "weed") == {key for key, votes in said.items() if votes.count("yes") > 1}
    assert dataset.view.labels_spent == 12


def test_when_enough_have_all_votes_the_others_count_by_those_they_have(dataset: Dataset) -> None:
    some = tuple(dataset.keys(np.flatnonzero(dataset.view.train & dataset.view.labeled)[:4]))
    select = labeled.where(key=some).picked_by(LEAD, votes=2, enough=0.5)
    workflow = flow(dataset, until=rounds() >= 2, weed=Rule(select=select, do=reweight(0.5)))
    waits(workflow)
    seen, look = shown(dataset, always("answer", "yes"))
    answers(dataset, "lea", look, team="lead")
    answers(dataset, "lou", always("answer", "yes"), team="lead", most=2)
    assert run(workflow, inline=True, wait=False).state == "done"  # nobody is asked about the other two again
    assert touched(dataset, "weed") == set(seen)


def test_a_tie_is_no_yes(dataset: Dataset) -> None:
    workflow = flow(dataset, weed=Rule(select=labeled.sample(4).picked_by(LEAD, votes=2), do=remove()))
    waits(workflow)
    answers(dataset, "lea", always("answer", "yes"), team="lead")
    answers(dataset, "lou", always("answer", "no"), team="lead")
    run(workflow, inline=True, wait=False)
    assert touched(dataset, "weed") == set()


def test_cannot_tell_and_bad_are_no_yes(dataset: Dataset) -> None:
    workflow = flow(dataset, weed=Rule(select=labeled.sample(4).picked_by(LEAD), do=remove()))
    waits(workflow)
    answers(dataset, "lea", always("cannot_tell"), team="lead", most=2)
    answers(dataset, "lea", always("bad"), team="lead")
    done = run(workflow, inline=True, wait=False)
    assert done.rounds[0].rules["weed"]["answers"] == 4
    assert touched(dataset, "weed") == set()


def test_people_pick_and_others_carry_it_out(dataset: Dataset) -> None:
    crowd = Team("crowd")
    workflow = flow(dataset, ask=Rule(select=unlabeled.top(6, by=margin()).picked_by(LEAD), do=annotate(by=crowd)))
    assert "waits for lead" in waits(workflow)
    seen, look = shown(dataset)
    answers(dataset, "lea", look, team="lead")
    picked = [k for k in seen if k[-1] in "02468"]
    assert waits(workflow) == f"waits for crowd: {len(picked)} questions (label) of rule 'ask'"
    assert "answers" not in Run(dataset).rounds[0].rules["ask"]  # who picks gives no labels
    assert answers(dataset, "ann") == len(picked)
    done = run(workflow, inline=True, wait=False)
    assert done.state == "done"
    assert touched(dataset, "ask") == set(picked)
    told = done.rounds[0].rules["ask"]
    done.steps = [step for step in done.steps if step["key"] != "outcome"]
    assert {k: told[k] for k in ("n", "answers", "version")} == {
        k: done.rounds[0].rules["ask"][k] for k in ("n", "answers", "version")
    }


def test_picked_records_are_the_examples_of_what_people_collect(dataset: Dataset) -> None:
    rule = Rule(select=labeled.sample(6).picked_by(Likes("02468")), do=collect(2, by=Team("field")))
    assert "2 questions (collect)" in waits(flow(dataset, more=rule))
    with Inbox(inbox_of(dataset.path)) as inbox:
        [question] = inbox.questions()
        assert all(key[-1] in "02468" for key in question.form["wanted"].removeprefix("records like ").split(", "))


def test_when_is_looked_at_before_people_are_asked(dataset: Dataset) -> None:
    """Their answers count as labels spent: looked at again, the condition would fail and their work be for nothing."""
    rule = Rule(when=labels_spent() < 1, select=labeled.sample(6).picked_by(Likes("02468")), do=remove())
    done = run(flow(dataset, until=rounds() >= 3, weed=rule), inline=True)
    assert len(touched(dataset, "weed")) == done.rounds[0].rules["weed"]["n"] > 0
    assert done.rounds[1].rules["weed"]["why"] == "not when labels_spent() = 6 < 1"


def test_what_a_gate_takes_back_stays_said(dataset: Dataset) -> None:
    rule = Rule(select=labeled.sample(6).picked_by(Likes("02468")), do=remove(), gate=Gate(by=0.9))
    done = run(flow(dataset, weed=rule), inline=True)
    assert done.rounds[0].rules["weed"]["kept"] is False
    assert dataset.view.labels_spent == 6
    assert len(dataset) == len(dataset.at(0))


def test_where_nothing_is_labelled_people_pick_before_the_first_training(tmp_path: Path) -> None:
    dataset = digits(tmp_path / "bare", seed=0, share=0.0)
    rule = Rule(select=unlabeled.sample(60).picked_by(Likes("0123456")), do=annotate(by=ORACLE))
    done = run(flow(dataset, start=rule), inline=True)
    assert done.state == "done"
    assert all(k[-1] in "0123456" for k in touched(dataset, "start"))
    assert int((dataset.view.train & dataset.view.labeled).sum()) > 20


def test_an_answer_that_is_neither_yes_nor_no_stops_the_run_and_changes_nothing(dataset: Dataset) -> None:
    rule = Rule(select=labeled.sample(4).picked_by(Likes("", otherwise="perhaps")), do=remove())
    with pytest.raises(RunFailed, match=r"likes answered 'perhaps' where records are picked; the answer is 'yes' or"):
        run(flow(dataset, weed=rule), inline=True)
    assert len(dataset.log()) == 1


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda: records.picked_by("lead"), r'who picks is an annotator, not str; write picked_by\(Team\("lead"\)\)'),
        (lambda: records.picked_by(None), r'not NoneType; write picked_by\(Team\("lead"\)\)'),
        (
            lambda: records.picked_by(Panel(LEAD)),
            r'a Panel settles labels; who picks is a Team, such as Team\("lead"\), with votes=3',
        ),
        (lambda: records.picked_by(LEAD, votes=0), r"picked_by\(votes=0\)"),
        (lambda: records.picked_by(LEAD, enough=0), r"picked_by\(enough=0\)"),
        (lambda: records.picked_by(LEAD, patience="soon"), r"picked_by: patience"),
        (lambda: records.picked_by(LEAD).sample(3), r"nothing can stand; write \.sample\(3\) before it"),
        (lambda: records.picked_by(LEAD).picked_by(LEAD), r"write \.picked_by\(.*\) before it, or a rule of its own"),
        (lambda: records.picked_by(LEAD) & labeled, "write & before it"),
        (lambda: labeled | records.picked_by(LEAD), r"write & and \| before it"),
        (lambda: ~records.picked_by(LEAD), "write ~ before it"),
        (lambda: 0.5 * records.picked_by(LEAD), r"write \* before it"),
    ],
)
def test_who_cannot_be_asked_and_what_cannot_follow_is_told_at_once(write: Callable[[], Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        write()


def test_it_is_written_and_stored_as_it_was_said() -> None:
    select = unlabeled.top(9, by=margin()).picked_by(LEAD, votes=3, enough=0.8, patience="3d")
    assert repr(select) == 'unlabeled.top(9, by=margin()).picked_by(Team("lead"), votes=3, enough=0.8, patience="3d")'
    assert from_json(to_json(select)) == select
    one = unlabeled.picked_by(LEAD)
    assert from_json(to_json(one)) == one
    assert "votes" not in str(to_json(one))  # as it was stored before there could be several


PROJECT = """
from pathlib import Path
from tilth import Dataset, Rule, Team, Workflow, labeled, remove, rounds
from tilth.demo.arms import base_model
from tilth.integrations.sklearn import SklearnModel

workflow = Workflow(
    dataset=Dataset.open(Path(__file__).parent / "digits"),
    model=SklearnModel(base_model()),
    rules={"weed": Rule(select=labeled.sample(4).picked_by(Team("lead", guide="Keep the ugly ones.")), do=remove())},
    until=rounds() >= 1,
)
"""


def test_people_pick_in_the_terminal_or_by_a_file(dataset: Dataset) -> None:
    project = dataset.path.parent
    (project / "picking.py").write_text(PROJECT)
    told = document(tilth("explain", project / "picking.py", "--json"))["rules"]["weed"]
    assert (told["chosen"], told["changes"], told["asks"]) == (4, 4, True)
    assert {row["change"] for row in told["first"]} == {"shown to lead, who picks"}
    assert tilth("run", project / "picking.py", "--inline", "--no-wait").exit_code == 3
    sat = CliRunner().invoke(app, ["label", str(dataset.path), "--as", "lea"], input="maybe\ny\nn\n.\n")
    assert sat.exit_code == 0, sat.stderr
    assert "Keep the ugly ones." in sat.stdout
    assert "remove()" in sat.stdout
    assert "2 answers by lea" in sat.stdout
    file = project / "tasks.csv"
    ok(tilth("label", dataset.path, "--export", file))
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    with file.open("w", newline="") as opened:
        out = csv.DictWriter(opened, rows[0])
        out.writeheader()
        out.writerows(row | {"label": "yes"} for row in rows)
    assert document(tilth("label", dataset.path, "--import", file, "--as", "lou", "--json"))["answers"] == 2
    assert tilth("run", project / "picking.py", "--inline", "--no-wait").exit_code == 0
    assert len(dataset) == len(dataset.at(0)) - 3
    assert Run(dataset).rounds[0].rules["weed"]["n"] == 3
