"""The inbox: nothing is asked twice, nothing is lost, nothing is doubled; in a file and in a database."""

import dataclasses
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from tilth.errors import Damaged, NotFound, UsageError
from tilth.labeling.inbox import Given, Inbox, Posted, Receipt, Task, Tasks
from tilth.labeling.inbox.answering import Checked
from tilth.labeling.inbox.sharing import Shared

ASKED = Posted(
    id="run-1/r0/ask", kind="label", team="friends", dataset="/data/pets", branch="main", version=3, run="run-1",
    rule="ask", panel="vets", guide="look closely", reason="least sure", signal="entropy", votes=2,
    form={"label": "class", "classes": ["cat", "dog"], "wanted": ""},
)  # fmt: skip


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return str(tmp_path / "inbox.sqlite")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(where: str, clock: Clock) -> Generator[Inbox]:
    with Inbox(where, clock=clock) as inbox:
        yield inbox


def asked(name: str = "run-1/r0/ask", **other: object) -> Posted:
    return dataclasses.replace(ASKED, id=name, **other)


def tasks(n: int, **other: object) -> Tasks:
    return Tasks(np.arange(100, 100 + n), [f"p{i}" for i in range(n)], **other)


def keys(found: list[Task]) -> list[str]:
    return [t.key for t in found]


def states(receipts: list[Receipt]) -> list[str]:
    return [r.state for r in receipts]


def said(found: list[Task], label: str = "cat") -> list[Given]:
    return [Given(t.id, "answer", label, seconds=2.0) for t in found]


# -- publishing
# --------------------------------------------------------------------------------------------------------------


def test_a_question_is_published_once_and_comes_back_as_it_was(inbox: Inbox) -> None:
    assert inbox.publish(ASKED, tasks(3))
    assert not inbox.publish(asked(reason="another"), tasks(5))
    assert inbox.questions() == [ASKED]
    now = inbox.progress(ASKED.id)
    assert (now.tasks, now.votes, now.complete, now.answers, now.state) == (3, 6, 0, 0, "open")


def test_more_tasks_than_a_chunk_keep_their_order(inbox: Inbox) -> None:
    n = 25_003
    inbox.publish(asked(votes=1), tasks(n, scores=np.linspace(1, 0, n)))
    assert inbox.progress(ASKED.id).tasks == n
    found = inbox.lease("ann", 1000, team="friends")
    assert [t.record for t in found] == list(range(100, 1100))
    last = inbox.claim(ASKED.id, "nothing")
    assert len(last.records) == 0


def test_what_cannot_be_a_question_is_refused() -> None:
    with pytest.raises(UsageError, match="no such kind"):
        asked(kind="labels")
    with pytest.raises(UsageError, match="1 or more"):
        asked(votes=0)
    with pytest.raises(UsageError, match="printable"):
        asked("a\nb")
    with pytest.raises(UsageError, match="2 keys for 3 records"):
        Tasks(np.arange(3), ["a", "b"])
    with pytest.raises(UsageError, match="not a JSON text"):
        Tasks(np.arange(1), ["a"], gold=["cat"])


def test_an_unknown_question_is_not_found_and_the_likely_one_is_named(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(1))
    for call in (
        inbox.progress,
        lambda q: inbox.claim(q, "p"),
        inbox.reopen,
        lambda q: inbox.complete(q, np.arange(1)),
    ):
        with pytest.raises(NotFound, match="Did you mean 'run-1/r0/ask'"):
            call("run-1/r0/asq")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "inbox.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(Damaged, match="is no inbox"):
        Inbox(path)


# -- leases
# ------------------------------------------------------------------------------------------------------------------


def test_tasks_go_out_by_age_of_question_then_rank_and_no_more_often_than_votes(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(2))
    inbox.publish(asked("run-1/r0/more", votes=1, team=""), tasks(2))
    assert keys(inbox.lease("ann", 3, team="friends")) == ["p0", "p1", "p0"]
    assert keys(inbox.lease("bob", 3, team="friends")) == ["p0", "p1", "p1"]
    assert inbox.lease("cat", 3, team="friends") == []
    assert inbox.lease("dan", 3, team="strangers") == []
    assert inbox.progress(ASKED.id).leased == 4


def test_a_task_shows_all_that_is_needed_to_answer_and_nothing_of_its_truth_or_score(inbox: Inbox) -> None:
    inbox.publish(
        ASKED, tasks(1, scores=np.array([0.5]), suggestions=['"dog"'], details=['{"near": "p9"}'], gold=['"cat"'])
    )
    (task,) = inbox.lease("ann", team="friends")
    assert (task.question, task.record, task.key, task.suggestion) == (ASKED, 100, "p0", '"dog"')
    assert json.loads(task.detail or "") == {"near": "p9"}
    assert not hasattr(task, "gold")
    assert not hasattr(task, "score")  # gold tasks have none, which would tell them from the others


def test_a_restarted_client_gets_its_own_tasks_back_first(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(40))
    first = inbox.lease("ann", 3, team="friends")
    inbox.answer("ann", said(first[:1]))
    assert keys(inbox.lease("ann", 4, team="friends")) == ["p1", "p2", "p3", "p4"]
    assert keys(inbox.lease("ann", 2, team="friends")) == ["p1", "p2"]


def test_one_question_can_be_asked_for(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(2))
    inbox.publish(asked("run-1/r0/more"), tasks(2))
    found = inbox.lease("ann", 16, team="friends", question="run-1/r0/more")
    assert {t.question.id for t in found} == {"run-1/r0/more"}
    assert len(found) == 2


def test_leases_that_run_out_go_to_others_also_before_their_cursor(inbox: Inbox, clock: Clock) -> None:
    inbox.publish(asked(votes=1), tasks(6))
    inbox.lease("ann", 2, team="friends", ttl=10)
    assert keys(inbox.lease("bob", 2, team="friends", ttl=100)) == ["p2", "p3"]
    inbox.answer("bob", said(inbox.lease("bob", 2, team="friends", ttl=100)))
    clock.now += 10
    assert inbox.progress(ASKED.id).leased == 0
    assert keys(inbox.lease("bob", 3, team="friends")) == ["p0", "p1", "p4"]
    assert keys(inbox.lease("ann", 3, team="friends")) == ["p5"]


def test_a_renewed_lease_lasts_longer(inbox: Inbox, clock: Clock) -> None:
    inbox.publish(asked(votes=1), tasks(2))
    first, second = inbox.lease("ann", 2, team="friends", ttl=10)
    clock.now += 9
    assert inbox.renew("ann", [first.id, 77], ttl=10) == [first.id]
    clock.now += 5
    assert keys(inbox.lease("bob", 2, team="friends")) == [second.key]
    assert inbox.renew("ann") == [first.id]


def test_a_clock_set_back_does_not_make_a_lease_eternal(inbox: Inbox, clock: Clock) -> None:
    inbox.publish(asked(votes=1), tasks(1))
    inbox.lease("ann", 1, team="friends", ttl=60)
    clock.now -= 86_400
    assert inbox.lease("bob", 1, team="friends") == []
    clock.now += 60
    assert keys(inbox.lease("bob", 1, team="friends")) == ["p0"]


def test_released_tasks_come_back_in_rank_order(inbox: Inbox) -> None:
    inbox.publish(asked(votes=1), tasks(6))
    found = inbox.lease("ann", 4, team="friends")
    inbox.lease("bob", 1, team="friends")
    assert inbox.release("ann", [found[3].id, found[1].id]) == 2
    assert keys(inbox.lease("bob", 16, team="friends")) == ["p4", "p1", "p3", "p5"]
    assert inbox.release("ann") == 2
    assert inbox.release("ann") == 0
    assert keys(inbox.lease("cat", 16, team="friends")) == ["p0", "p2"]


def test_closed_paused_and_suspended_get_nothing(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(2))
    inbox.close_question(ASKED.id, "enough")
    assert inbox.lease("ann", team="friends") == []
    assert (inbox.progress(ASKED.id).state, inbox.progress(ASKED.id).why) == ("closed", "enough")
    inbox.reopen(ASKED.id)
    inbox.pause_panel("vets")
    inbox.pause_panel("vets")
    assert inbox.lease("ann", team="friends") == []
    assert inbox.questions(state="paused") == [ASKED]
    assert inbox.questions(state="open") == []
    inbox.resume_panel("vets")
    assert len(inbox.lease("ann", team="friends")) == 2
    inbox.suspend("ann", "wrong too often")
    assert inbox.lease("ann", team="friends") == []
    assert inbox.progress(ASKED.id).leased == 0
    assert inbox.annotators()[0].suspended == "wrong too often"
    inbox.reinstate("ann")
    assert len(inbox.lease("ann", team="friends")) == 2


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101, 7, "a\x00b"])
def test_names_that_nobody_has_are_refused(inbox: Inbox, name: str) -> None:
    with pytest.raises(UsageError, match="1 to 100 characters"):
        inbox.lease(name)
    with pytest.raises(UsageError, match="1 to 100 characters"):
        inbox.answer(name, [Given(1, "skip")])


@pytest.mark.parametrize(("n", "ttl"), [(0, 1), (1001, 1), (True, 1), (1, 0), (1, float("nan")), (1, 1e9)])
def test_a_lease_has_bounds(inbox: Inbox, n: int, ttl: float) -> None:
    with pytest.raises(UsageError, match=r"(n|ttl)=.*: the "):
        inbox.lease("ann", n, ttl=ttl)


# -- answers
# -----------------------------------------------------------------------------------------------------------------


def test_counts_follow_the_answers(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(4))
    a, b = inbox.lease("ann", team="friends"), inbox.lease("bob", team="friends")
    inbox.answer("ann", [*said(a[:1]), Given(a[1].id, "bad"), Given(a[2].id, "cannot_tell"), Given(a[3].id, "skip")])
    inbox.answer("bob", said(b[:2]))
    now = inbox.progress(ASKED.id)
    assert (now.answers, now.complete, now.bad, now.cannot_tell, now.skipped, now.leased) == (5, 2, 1, 1, 1, 2)
    assert inbox.complete(ASKED.id, np.array([100, 102, 103])) == 1


def test_a_skipped_task_goes_to_others_and_never_back(inbox: Inbox) -> None:
    inbox.publish(asked(votes=1), tasks(1))
    (task,) = inbox.lease("ann", team="friends")
    assert states(inbox.answer("ann", [Given(task.id, "skip")])) == ["kept"]
    assert inbox.lease("ann", team="friends") == []
    assert keys(inbox.lease("bob", team="friends")) == ["p0"]


def test_a_retry_changes_nothing_and_another_answer_is_refused_until_the_first_is_retracted(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(2))
    first, second = inbox.lease("ann", team="friends")
    cat, dog = Given(first.id, "answer", "cat", key="k1"), Given(first.id, "answer", "dog", key="k2")
    assert states(inbox.answer("ann", [cat])) == ["kept"]
    assert states(inbox.answer("ann", [cat, cat])) == ["duplicate", "duplicate"]
    (refused,) = inbox.answer("ann", [dog])
    assert (refused.state, refused.kept) == ("refused", False)
    assert "retract" in refused.why
    (refused,) = inbox.answer("ann", [Given(second.id, "answer", "cat", key="k1")])
    assert "one key an answer" in refused.why
    assert inbox.progress(ASKED.id).answers == 1
    assert inbox.retract("ann", first.id)
    assert not inbox.retract("ann", first.id)
    assert states(inbox.answer("ann", [dog])) == ["kept"]
    assert inbox.claim(ASKED.id, "p").values == ['"dog"']


def test_without_a_key_the_same_again_is_a_retry_and_a_change_is_said_to_be_refused(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(1))
    (task,) = inbox.lease("ann", team="friends")
    assert states(inbox.answer("ann", [*said([task]), *said([task]), *said([task], "dog")])) == [
        "kept", "duplicate", "refused",
    ]  # fmt: skip


def test_work_is_never_thrown_away(inbox: Inbox, clock: Clock) -> None:
    inbox.publish(asked(votes=1), tasks(1))
    (task,) = inbox.lease("ann", team="friends", ttl=10)
    clock.now += 60
    assert len(inbox.lease("bob", team="friends")) == 1
    assert states(inbox.answer("ann", said([task]))) == ["kept"]  # its lease had run out
    assert states(inbox.answer("bob", said([task]))) == ["surplus"]
    assert states(inbox.answer("cat", said([task]))) == ["surplus"]  # never had one
    inbox.close_question(ASKED.id, "done")
    assert states(inbox.answer("dan", said([task]))) == ["late"]
    assert inbox.claim(ASKED.id, "p").annotators == ["ann", "bob", "cat", "dan"]
    now = inbox.progress(ASKED.id)
    assert (now.complete, now.answers, now.leased) == (1, 4, 0)


@pytest.mark.parametrize(
    ("form", "kind", "value", "match"),
    [
        ({"label": "class", "classes": ["cat", "dog"]}, "label", "cta", "Did you mean 'cat'"),
        ({"label": "class", "classes": ["cat", "dog"]}, "label", ["cat"], "is no class"),
        ({"label": "classes", "classes": ["cat", "dog"]}, "label", "cat", "a list of classes"),
        ({"label": "classes", "classes": ["cat", "dog"]}, "label", ["cat", "cat"], "may be named once"),
        ({"label": "classes", "classes": ["cat", "dog"]}, "label", ["cat", "cow"], "'cow' is no class"),
        ({"label": "number"}, "label", float("nan"), "finite number"),
        ({"label": "number"}, "label", True, "finite number"),
        ({"label": "number"}, "label", "3", "finite number"),
        ({"label": "class", "classes": []}, "approve", "maybe", "'yes' or 'no'"),
        ({"label": "class", "classes": []}, "edit", "text", "a record's columns"),
        ({"label": "class", "classes": []}, "collect", {"x": float("inf")}, "is JSON"),
    ],
)
def test_a_value_that_the_question_does_not_allow_is_refused_and_nothing_of_the_batch_is_written(
    inbox: Inbox, form: dict[str, object], kind: str, value: object, match: str
) -> None:
    inbox.publish(asked(kind=kind, form=form), tasks(2))
    first, second = inbox.lease("ann", team="friends")
    with pytest.raises(UsageError, match=match):
        inbox.answer("ann", [Given(first.id, "bad"), Given(second.id, "answer", value)])
    assert inbox.progress(ASKED.id).answers == 0
    assert inbox.progress(ASKED.id).leased == 2


@pytest.mark.parametrize(
    ("form", "kind", "value"),
    [
        ({"label": "classes", "classes": ["cat", "dog"]}, "label", []),
        ({"label": "classes", "classes": ["cat", "dog"]}, "label", ["dog", "cat"]),
        ({"label": "number"}, "label", -1.5),
        ({}, "approve", "yes"),
        ({}, "edit", {"text": "naïve \x00"}),
        ({}, "collect", {"key": "new", "x": 1}),
    ],
)
def test_values_come_back_as_they_were_given(inbox: Inbox, form: dict[str, object], kind: str, value: object) -> None:
    inbox.publish(asked(kind=kind, form=form), tasks(1))
    (task,) = inbox.lease("ann", team="friends")
    inbox.answer("ann", [Given(task.id, "answer", value, seconds=1.5)])
    taken = inbox.claim(ASKED.id, "p")
    assert json.loads(taken.values[0] or "") == value
    assert taken.seconds.tolist() == [1.5]


def test_answers_that_mean_nothing_are_refused(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(1))
    for verdict, value, seconds in [
        ("yes", None, None),
        ("answer", None, None),
        ("skip", "cat", None),
        ("bad", None, -1),
    ]:
        with pytest.raises(UsageError, match=r"Given\("):
            Given(1, verdict, value, seconds)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="zero characters"):
        Given(1, "bad", note="a\x00b")
    with pytest.raises(NotFound, match="no task 12345"):
        inbox.answer("ann", [Given(12345, "bad")])
    assert inbox.answer("ann", []) == []


def test_retracting_gives_the_vote_back_to_the_pool(inbox: Inbox) -> None:
    inbox.publish(asked(votes=1), tasks(2, gold=['"cat"', None]))
    first, second = inbox.lease("ann", team="friends")
    inbox.answer("ann", [*said([first]), Given(second.id, "bad")])
    assert inbox.progress(ASKED.id).complete == 2
    assert inbox.retract("ann", first.id)
    now = inbox.progress(ASKED.id)
    assert (now.complete, now.answers, now.bad) == (1, 1, 1)
    assert (inbox.annotators()[0].answers, inbox.annotators()[0].gold) == (1, 0)
    assert keys(inbox.lease("bob", team="friends")) == ["p0"]
    assert not inbox.retract("ann", 999)
    inbox.claim(ASKED.id, "p")
    assert not inbox.retract("ann", second.id)  # a run has it


# -- what a run takes
# --------------------------------------------------------------------------------------------------------


def test_a_part_takes_once_and_gets_the_same_again(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(3, gold=[None, '"dog"', None]))
    mine = inbox.lease("bob", team="friends")
    inbox.answer("bob", [*said(mine[:2]), Given(mine[2].id, "skip")])
    first = inbox.claim(ASKED.id, "p1")
    inbox.answer("ann", [*said(mine[:1]), Given(mine[2].id, "cannot_tell")])
    again = inbox.claim(ASKED.id, "p1")
    assert first.records.tolist() == again.records.tolist() == [100, 101]
    assert (again.keys, again.gold) == (["p0", "p1"], [None, '"dog"'])
    assert again.verdicts == ["answer", "answer"]
    later = inbox.claim([ASKED.id], "p2")
    assert (later.records.tolist(), later.values) == ([100, 102], ['"cat"', None])
    assert np.isnan(later.seconds[1])
    assert len(inbox.claim(ASKED.id, "p3").records) == 0
    inbox.answer("cat", said(mine[1:2]))
    assert len(inbox.claim(ASKED.id, "p3").records) == 0  # it took nothing, so it has nothing


def test_a_claim_of_complete_tasks_leaves_the_others(inbox: Inbox) -> None:
    inbox.publish(ASKED, tasks(2))
    a = inbox.lease("ann", team="friends")
    inbox.answer("ann", said(a))
    inbox.answer("bob", said(a[1:], "dog"))
    taken = inbox.claim(ASKED.id, "p1", complete=True)
    assert list(zip(taken.records.tolist(), taken.annotators, strict=True)) == [(101, "ann"), (101, "bob")]
    assert [q.id for q in inbox.undrained("run-1/", branch="main")] == [ASKED.id]
    assert inbox.claim(ASKED.id, "p2").records.tolist() == [100]
    assert inbox.undrained("run-1/", branch="main") == []


def test_undrained_looks_at_scope_branch_and_answers_only(inbox: Inbox) -> None:
    for name, branch in [("A/run-1/x", "main"), ("a/run-1/x", "main"), ("A/run-1/y", "dev"), ("A/run-1/%", "main")]:
        inbox.publish(asked(name, branch=branch, votes=1), tasks(1))
    found = {t.question.id: t for t in inbox.lease("ann", team="friends")}
    inbox.answer("ann", [Given(found["A/run-1/%"].id, "skip"), *said([t for q, t in found.items() if "%" not in q])])
    assert [q.id for q in inbox.undrained("A/", branch="main")] == ["A/run-1/x"]
    assert [q.id for q in inbox.undrained("A/", branch="dev")] == ["A/run-1/y"]
    inbox.claim("A/run-1/x", "late")
    assert inbox.undrained("A/", branch="main") == []
    assert [q.id for q in inbox.undrained("A/", branch="main", part="late")] == ["A/run-1/x"]


def test_several_questions_are_taken_in_their_order(inbox: Inbox) -> None:
    for name in ("q2", "q1"):
        inbox.publish(asked(name, votes=1), tasks(2))
    inbox.answer("zoe", said(inbox.lease("zoe", 3, team="friends")))
    inbox.answer("Ann", said(inbox.lease("Ann", 3, team="friends")))
    taken = inbox.claim(["q1", "q2"], "p")
    assert taken.questions == ["q2", "q2", "q1", "q1"]
    assert taken.annotators == ["zoe", "zoe", "zoe", "Ann"]


def test_more_votes_are_wanted_of_some_and_of_others_than_answered_before(inbox: Inbox) -> None:
    inbox.publish(asked(votes=1), tasks(5))
    inbox.answer("ann", said(inbox.lease("ann", team="friends")))
    inbox.close_question(ASKED.id, "done")
    inbox.lease("bob", team="friends")
    for _ in range(2):
        inbox.set_votes(ASKED.id, np.array([101, 103]), 2)
    now = inbox.progress(ASKED.id)
    assert (now.votes, now.complete, now.state) == (7, 3, "open")
    assert inbox.complete(ASKED.id, np.array([101, 103])) == 0
    assert inbox.lease("ann", team="friends") == []
    found = inbox.lease("bob", team="friends")
    assert keys(found) == ["p1", "p3"]
    inbox.answer("bob", said(found))
    assert inbox.complete(ASKED.id, np.array([101, 103])) == 2
    inbox.set_votes(ASKED.id, [101], 3)
    inbox.set_votes(ASKED.id, [101], 1)
    assert inbox.progress(ASKED.id).complete == 5
    with pytest.raises(NotFound, match="asks about 1 of these 2"):
        inbox.set_votes(ASKED.id, [101, 7], 3)
    assert inbox.progress(ASKED.id).votes == 6


def test_a_run_is_deleted_with_all_below_and_its_task_ids_mean_nothing_else_later(inbox: Inbox) -> None:
    inbox.publish(asked("other", run="run-2"), tasks(1))
    inbox.publish(ASKED, tasks(1))
    old = inbox.lease("ann", team="friends", question=ASKED.id)
    inbox.answer("ann", said(old))
    inbox.delete("run-1")
    assert [q.id for q in inbox.questions()] == ["other"]
    assert [q.id for q in inbox.questions(run="run-2")] == ["other"]
    assert inbox.publish(ASKED, tasks(1))
    with pytest.raises(NotFound, match="no task"):
        inbox.answer("ann", said(old))
    assert len(inbox.claim(ASKED.id, "p").records) == 0


def test_what_is_known_of_annotators(inbox: Inbox) -> None:
    inbox.publish(asked(votes=3), tasks(4, gold=['"cat"', '"dog"', '"cat"', None]))
    found = inbox.lease("ann", team="friends")
    inbox.answer("ann", [Given(t.id, "answer", "cat", seconds=s) for t, s in zip(found[:2], (1.0, 9.0), strict=True)])
    inbox.answer("ann", [Given(found[2].id, "cannot_tell"), Given(found[3].id, "answer", "cat", seconds=2.0)])
    inbox.lease("Bob", team="friends")
    bob, ann = inbox.annotators()
    assert (ann.name, ann.answers, ann.gold, ann.gold_right, ann.seconds) == ("ann", 4, 2, 1, 2.0)
    assert (bob.name, bob.answers, bob.suspended) == ("Bob", 0, "")
    assert np.isnan(bob.seconds)


# -- several at once, and in the middle of it the end
# ------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [True, False], ids=["one inbox", "an inbox each"])
def test_eight_annotators_at_once_neither_lose_nor_double_nor_exceed(where: str, shared: bool) -> None:
    n, votes = 200, 3
    served = Inbox(where)
    served.publish(asked(votes=votes), tasks(n))
    start = threading.Barrier(8)
    kept: list[tuple[str, int]] = []

    def work(name: str) -> None:
        with nullcontext(served) if shared else Inbox(where) as mine:
            start.wait()
            while found := mine.lease(name, 7, team="friends"):
                receipts = mine.answer(name, said(found))
                assert states(receipts) == ["kept"] * len(found)
                kept.extend((name, t.record) for t in found)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [f"annotator-{i}" for i in range(8)]))
    with served as inbox:
        now = inbox.progress(ASKED.id)
        taken = inbox.claim(ASKED.id, "p")
    assert (now.answers, now.complete, now.leased) == (n * votes, n, 0)
    assert sorted(zip(taken.annotators, taken.records.tolist(), strict=True)) == sorted(kept)
    assert np.bincount(taken.records - 100).tolist() == [votes] * n


def test_answers_that_share_a_commit_share_no_error() -> None:
    together = threading.Barrier(2)
    written: list[list[int]] = []

    def write(given: Sequence[Checked]) -> list[Receipt]:
        tasks = [g.task for _, g, _ in given]
        if tasks == [0]:
            together.wait()  # the first writes until the others have come
            together.wait()
        if 3 in tasks:
            raise NotFound(f"no task 3 among {tasks}")
        written.append(tasks)
        return [Receipt(task, "kept") for task in tasks]

    shared = Shared(write)

    def give(task: int) -> list[Receipt]:
        return shared([("ann", Given(task, "answer", "cat"), '"cat"')])

    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(give, 0)
        together.wait()
        others = [pool.submit(give, task) for task in range(1, 6)]
        while shared.waiting < 5:
            pass
        together.wait()
        assert [r.task for r in first.result()] == [0]
        for task, other in enumerate(others, 1):
            if task == 3:
                with pytest.raises(NotFound, match=r"no task 3 among \[3\]"):
                    other.result()
            else:
                assert [r.task for r in other.result()] == [task]
    assert sorted(written) == [[0], [1], [2], [4], [5]]


_PROGRAM = """
import os, signal, sys
from tilth.labeling.inbox import Given, Inbox
inbox = Inbox(sys.argv[1])
while found := inbox.lease("ann", 1, team="friends"):
    inbox.answer("ann", [Given(found[0].id, "answer", "cat")])
    sys.stdout.write(f"{found[0].record}\\n")
    sys.stdout.flush()
    if found[0].record == 104:
        inbox.lease("ann", 3, team="friends")
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.crash
def test_a_killed_client_has_lost_nothing_that_was_acknowledged(where: str) -> None:
    with Inbox(where) as inbox:
        inbox.publish(asked(votes=1), tasks(9))
    done = subprocess.run([sys.executable, "-c", _PROGRAM, where], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    with Inbox(where) as inbox:
        taken = inbox.claim(ASKED.id, "p")
        assert taken.records.tolist() == [int(line) for line in done.stdout.split()] == [100, 101, 102, 103, 104]
        assert keys(inbox.lease("ann", 2, team="friends")) == ["p5", "p6"]  # its own again
        assert keys(inbox.lease("bob", team="friends")) == ["p8"]


def test_a_question_is_there_whole_or_not_at_all(where: str) -> None:
    class Broken(list[str]):
        """Keys that end in an error behind the first chunk."""

        def __getitem__(self, at: object) -> object:
            if isinstance(at, slice) and at.start > 0:
                raise OSError("gone")
            return super().__getitem__(at)  # type: ignore[index]

    n = 20_000
    with Inbox(where) as inbox:
        with pytest.raises(OSError, match="gone"):
            inbox.publish(asked(votes=1), Tasks(np.arange(n), Broken(["k"] * n)))
        assert inbox.questions() == []
        assert inbox.publish(asked(votes=1), tasks(1))
        assert len(inbox.lease("ann", team="friends")) == 1


def test_processes_that_open_a_new_inbox_at_once_find_one(where: str) -> None:
    def publish(i: int) -> bool:
        with Inbox(where) as inbox:
            return inbox.publish(ASKED, tasks(3))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(publish, range(8))) == 1


def test_answers_in_a_file_are_forced_to_disk(tmp_path: Path) -> None:
    with Inbox(tmp_path / "inbox.sqlite") as inbox, inbox._engine.connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2
    with sqlite3.connect(tmp_path / "inbox.sqlite") as raw:
        assert raw.execute("pragma journal_mode").fetchone() == ("wal",)
