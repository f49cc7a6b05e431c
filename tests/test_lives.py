"""The life of a run: paused, cancelled, forked, deleted, retried, entered again by schedule."""

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.test_people import CROWD, answers, flow, waits
from tilth import (
    Dataset,
    Gate,
    Oracle,
    Record,
    Rule,
    Workflow,
    annotate,
    augment,
    label_quality,
    labeled,
    margin,
    metric,
    modify,
    relabel,
    rounds,
    run,
    unlabeled,
)
from tilth.demo.data import digits
from tilth.errors import Busy, NotFound, Parked, RunFailed, UsageError
from tilth.labeling.inbox import Inbox
from tilth.metrics import pool_size
from tilth.runs import Run, lives
from tilth.runs.home import home_of, inbox_of, journal_of
from tilth.runs.schedule import repeat, tick

ORACLE = Oracle("truth", error=0.1)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return digits(tmp_path / "digits", seed=0)


def rules() -> dict[str, Rule]:
    return {
        "fix": Rule(
            select=labeled.bottom(15, by=label_quality(by="model")),
            do=relabel(by=ORACLE),
            gate=Gate(by=0.0, rejected="hold"),
        ),
        "ask": Rule(select=unlabeled.top(10, by=margin()), do=annotate(by=ORACLE)),
    }


def decisions(run: Run) -> list[Any]:
    return [
        {k: s["result"][k] for k in ("n", "why", "kept", "metrics", "labels_spent", "ref") if k in s["result"]}
        for s in run.steps
        if s["key"] != "outcome"
    ]


def test_a_fork_is_a_full_run_with_the_same_decisions_before_it_and_its_parent_is_untouched(
    dataset: Dataset, tmp_path: Path
) -> None:
    whole = run(flow(dataset, until=rounds() >= 3, **rules()), inline=True)
    before, steps = dataset.digest(), whole.steps
    made = lives.fork(dataset, from_round=2)
    assert (made.branch, made.state, len(made.rounds)) == ("run-1-fork-1", "paused", 2)
    again = run(flow(dataset, until=rounds() >= 3, **rules()), name=made.name, inline=True)
    assert again.dataset.digest() == before
    assert decisions(again) == decisions(whole)
    assert dataset.digest() == before
    assert Run(dataset, "run-1").steps == steps
    with closing(journal_of(dataset.path)) as journal:
        assert [r["run"] for r in journal.runs()] == ["run-1", "run-2"]


def test_a_fork_with_another_workflow_goes_its_own_way(dataset: Dataset) -> None:
    run(flow(dataset, until=rounds() >= 2, **rules()), inline=True)
    before = dataset.digest()
    other = flow(dataset, until=rounds() >= 2, ask=Rule(select=unlabeled.sample(7), do=annotate(by=ORACLE)))
    made = lives.fork(dataset, from_round=1, workflow=other)
    done = run(other, name=made.name, inline=True)
    assert [list(r.rules) for r in done.rounds] == [["fix", "ask"], ["ask"], []]
    assert done.rounds[1].rules["ask"]["n"] == 7
    assert dataset.digest() == before


def test_a_fork_from_a_round_that_there_is_not_names_those_there_are(dataset: Dataset) -> None:
    run(flow(dataset, until=rounds() >= 1, **rules()), inline=True)
    with pytest.raises(NotFound, match="rounds 0 to 1"):
        lives.fork(dataset, from_round=5)
    with pytest.raises(NotFound, match="no run 'run-9'"):
        lives.fork(dataset, "run-9", from_round=0)


ASK = Rule(select=unlabeled.top(6, by=margin()), do=annotate(by=CROWD))


def test_a_cancelled_run_takes_the_answers_frees_the_rest_and_is_over(dataset: Dataset) -> None:
    workflow = flow(dataset, ask=ASK)
    waits(workflow)
    answers(dataset, "ann", most=4)
    assert lives.cancel(dataset) == "run-1 is cancelled"
    assert dataset.view.labels_spent == 4
    assert int((dataset.view.asked == 1).sum()) == 0
    assert Run(dataset).state == "cancelled"
    assert answers(dataset, "bob") == 0  # its question is closed
    with pytest.raises(UsageError, match="cancelled already"):
        lives.cancel(dataset)
    with pytest.raises(UsageError, match="cannot go on"):
        run(workflow, name="run-1", inline=True)
    waits(workflow)
    assert Run(dataset).name == "run-2"


def test_a_running_run_is_paused_and_cancelled_from_outside(dataset: Dataset) -> None:
    workflow = flow(dataset, ask=ASK)
    for ask_for, state in ((lives.pause, "paused"), (lives.cancel, "cancelled")):
        is_waiting = threading.Event()
        found: list[BaseException] = []

        def go(told: threading.Event = is_waiting, into: list[BaseException] = found) -> None:
            try:
                run(workflow, inline=True, listen=lambda e: told.set() if e["what"] == "waiting" else None)
            except Parked as parked:
                into.append(parked)

        thread = threading.Thread(target=go)
        thread.start()
        assert is_waiting.wait(60)
        with pytest.raises(Busy, match="is running"):
            run(workflow, inline=True)
        assert ask_for(dataset).startswith("run-1 ")
        thread.join(60)
        assert [p.state for p in found if isinstance(p, Parked)] == [state]
        assert Run(dataset).state == state


def test_a_deleted_run_is_gone_with_its_questions_and_its_versions_stay(dataset: Dataset) -> None:
    waits(flow(dataset, ask=ASK))
    answers(dataset, "ann", most=2)
    lives.delete(dataset, "run-1")
    assert dataset.view.labels_spent == 2
    with Inbox(inbox_of(dataset.path)) as inbox:
        assert inbox.questions() == []
    assert not (home_of(dataset.path) / "run-1").exists()
    with pytest.raises(NotFound, match="no run"):
        Run(dataset, "run-1")
    waits(flow(dataset, ask=ASK))
    assert Run(dataset).name == "run-2"  # the old name stands in commits


def picky(record: Record) -> Record:
    if record.key.endswith("7"):
        raise ValueError("a seven at the end")
    return record.change(pixels=np.roll(record["pixels"].reshape(8, 8), 1, axis=1).ravel())


@pytest.mark.parametrize("make", [augment, modify])
def test_a_record_on_which_a_function_fails_is_quarantined_and_the_rest_goes_on(dataset: Dataset, make: Any) -> None:
    rule = Rule(select=labeled.where(label="3"), do=make(picky))
    done = run(flow(dataset, grow=rule), inline=True)
    assert done.state == "done"
    poison = np.flatnonzero(dataset.view.quarantined)
    assert 0 < len(poison) < 40
    assert all(k.endswith("7") for k in dataset.keys(poison))
    last = dataset.history(dataset.keys(poison[:1])[0])[-1]
    assert last.what == "quarantined"
    assert last.reason == f"{make.__name__}(picky) failed: ValueError: a seven at the end"
    assert not dataset.view.alive[poison].any()


def test_a_step_that_fails_for_a_passing_reason_is_tried_again(dataset: Dataset) -> None:
    calls = 0

    def heard(event: Any) -> None:
        nonlocal calls
        calls += event["what"] == "retry"

    FLAKY.clear()
    ask = Rule(when=flaky() > 0, select=unlabeled.sample(2), do=annotate(by=ORACLE))
    done = run(flow(dataset, ask=ask), inline=True, listen=heard)
    assert done.state == "done"
    assert calls == 2


FLAKY: list[int] = []


@metric()
def flaky(state: Any) -> float:
    FLAKY.append(1)
    if len(FLAKY) <= 2:
        raise OSError("the service is away")
    return 1.0


def test_a_failed_run_goes_on_after_it_was_mended(dataset: Dataset) -> None:
    always = Rule(when=never_there() > 0, select=unlabeled.sample(2), do=annotate(by=ORACLE))
    with pytest.raises(RunFailed, match="the disk is gone") as failed:
        run(flow(dataset, ask=always), inline=True)
    assert "step r0/evaluate of run-1" in str(failed.value)
    assert Run(dataset).state == "failed"
    THERE.append(1)
    assert run(flow(dataset, ask=always), inline=True).state == "done"
    THERE.clear()


THERE: list[int] = []


@metric()
def never_there(state: Any) -> float:
    if not THERE:
        raise OSError("the disk is gone")
    return 1.0


def test_a_finished_project_is_entered_again_by_schedule_where_its_trigger_holds(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=ORACLE))
    plain = flow(dataset, ask=ask)
    scheduled = Workflow(
        dataset=dataset,
        model=plain.model,
        rules={"ask": ask},
        until=rounds() >= 1,
        every="0.001s",
        trigger=pool_size() >= 530,
    )
    told: list[Any] = []
    for _ in range(4):
        repeat(scheduled, lambda: run(scheduled, inline=True), told=told.append, wait=False)
    assert [t["holds"] for t in told] == [True, True, False, False]
    assert told[0]["why"] == "there was no run yet"
    assert told[2]["why"] == "pool_size() = 528 >= 530"
    assert dataset.view.labels_spent == 10
    with closing(journal_of(dataset.path)) as journal:
        assert [r["run"] for r in journal.runs()] == ["run-1", "run-2"]
        assert [s["result"]["version"] for s in journal.steps("schedule")] == [1, 2, 2]


def test_a_look_that_is_not_due_is_not_taken(dataset: Dataset) -> None:
    ask = Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=ORACLE))
    plain = flow(dataset, ask=ask)
    hourly = Workflow(dataset=dataset, model=plain.model, rules={"ask": ask}, until=rounds() >= 1, every="1h")
    assert tick(hourly) is not None
    run(hourly, inline=True)
    assert tick(hourly) is None


@pytest.mark.parametrize(
    ("options", "match"),
    [({"every": "soon"}, "no length of time"), ({"trigger": margin() > 0.5}, "a condition on the whole state")],
)
def test_schedules_that_cannot_be_are_refused_when_written(dataset: Dataset, options: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Workflow(dataset=dataset, model=flow(dataset).model, rules={}, until=rounds() >= 1, **options)


def test_an_edited_workflow_is_shown_with_the_difference(dataset: Dataset) -> None:
    waits(flow(dataset, ask=ASK))
    edited = flow(dataset, ask=Rule(select=unlabeled.top(9, by=margin()), do=annotate(by=CROWD)))
    with pytest.raises(UsageError, match="was edited since run-1 began") as refused:
        run(edited, inline=True, wait=False)
    assert "top(6, by=margin())" in str(refused.value)
    assert "-> Rule(select=unlabeled.top(9, by=margin())" in str(refused.value)
    answers(dataset, "ann")
    done = run(edited, inline=True, wait=False, adopt=True)
    assert done.state == "done"
    assert done.rounds[0].rules["ask"]["n"] == 6  # the round that was under way ended as it was begun


def test_a_home_that_is_no_inbox_is_named(dataset: Dataset) -> None:
    from tilth.errors import Damaged

    place = Path(inbox_of(dataset.path))
    place.parent.mkdir(parents=True)
    place.write_text("no database at all, and long enough to be looked at as one " * 20)
    with pytest.raises((Damaged, RunFailed), match=r"inbox\.sqlite"):
        run(flow(dataset, ask=ASK), inline=True, wait=False)
    assert dataset.view.labels_spent == 0
