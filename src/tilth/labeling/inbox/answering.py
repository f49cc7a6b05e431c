"""Answers: kept whole or refused whole, counted in the same transaction, undone while no run has taken them."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from tilth.errors import NotFound, UsageError
from tilth.labeling.inbox.leasing import member
from tilth.labeling.inbox.publishing import lock
from tilth.labeling.inbox.tables import annotators, answers, chunks, leases, questions, returned, tasks
from tilth.labeling.inbox.words import Given, Receipt, check

__all__ = ["Checked", "answer", "checked", "graded", "retract"]

Checked = tuple[str, Given, str | None]
"""Who answers, what, and the value as a JSON text."""

_GIVE = (
    update(tasks)
    .where(tasks.c.task == bindparam("at"))
    .values(given=tasks.c.given + bindparam("more"), held=tasks.c.held - bindparam("freed"))
)
_COUNTS = ("answers", "complete", "bad", "cannot_tell", "skipped")
_COUNT = (
    update(questions)
    .where(questions.c.number == bindparam("at"))
    .values({name: questions.c[name] + bindparam(f"more_{name}") for name in _COUNTS})
)


def checked(connection: Connection, given: Sequence[tuple[str, Given]]) -> list[Checked | str]:
    """Return for each answer what is to be kept, or why it cannot be."""
    about = _about(connection, [g.task for _, g in given])
    out: list[Checked | str] = []
    for annotator, g in given:
        if g.task not in about:
            out.append(f"the inbox has no task {g.task}; lease tasks, and answer these")
        elif g.verdict != "answer":
            out.append((annotator, g, None))
        else:
            kind, form = about[g.task]
            try:
                out.append((annotator, g, check(kind, form, g.value)))
            except UsageError as why:
                out.append(f"task {g.task}: {why}")
    return out


def _about(connection: Connection, some: Sequence[int]) -> dict[int, tuple[str, Mapping[str, Any]]]:
    found: dict[int, tuple[str, Mapping[str, Any]]] = {}
    forms: dict[int, tuple[str, Mapping[str, Any]]] = {}
    for part in chunks(dict.fromkeys(some)):
        for task, number in connection.execute(select(tasks.c.task, tasks.c.question).where(tasks.c.task.in_(part))):
            if number not in forms:
                row = connection.execute(select(questions.c.kind, questions.c.form).where(questions.c.number == number))
                kind, form = row.one()
                forms[number] = (kind, json.loads(form))
            found[task] = forms[number]
    return found


def answer(connection: Connection, given: Sequence[Checked], now: float) -> list[Receipt]:
    """Keep answers that were checked; those of one annotator, or of many."""
    names = sorted({who for who, _, _ in given})
    for name in names:
        member(connection, name)
    every = list(dict.fromkeys(g.task for _, g, _ in given))
    rows: dict[int, Any] = {}
    wanted = select(tasks.c.task, tasks.c.question, tasks.c.votes, tasks.c.given, tasks.c.gold)
    numbers = {
        n for part in chunks(every) for n in connection.scalars(select(tasks.c.question).where(tasks.c.task.in_(part)))
    }
    about = {row["number"]: row for row in lock(connection, questions.c.number.in_(sorted(numbers)))}
    there: dict[tuple[int, str], Any] = {}
    held: set[tuple[int, str]] = set()
    for part in chunks(every):
        rows |= {r.task: r for r in connection.execute(wanted.where(tasks.c.task.in_(part)))}
        old = select(answers.c.task, answers.c.annotator, answers.c.key, answers.c.verdict, answers.c.value)
        there |= {
            (r.task, r.annotator): r
            for r in connection.execute(old.where(answers.c.annotator.in_(names), answers.c.task.in_(part)))
        }
        leased = select(leases.c.task, leases.c.annotator).where(leases.c.task.in_(part))
        held |= {(r.task, r.annotator) for r in connection.execute(leased)}
    gone = [task for task in every if task not in rows]
    if gone:
        raise NotFound(f"the inbox has no task {gone[0]} any more: its run was deleted")
    used = _used(connection, given)
    batch = _Batch(now, about, rows)
    receipts: list[Receipt] = []
    for who, g, value in given:
        before = there.get((g.task, who))
        other = used.get((who, g.key)) if g.key is not None else None
        if before is not None:
            receipts.append(_twice(who, g, value, before))
        elif other is not None and other != g.task:
            receipts.append(
                Receipt(
                    g.task, "refused", f"key {g.key!r} is that of {who}'s answer to task {other}; one key an answer"
                )
            )
        else:
            receipts.append(batch.add(who, g, value, leased=(g.task, who) in held))
            there[g.task, who] = _Old(g.key, g.verdict, value)
            if g.key is not None:
                used[who, g.key] = g.task
    batch.write(connection)
    return receipts


class _Old:
    def __init__(self, key: str | None, verdict: str, value: str | None) -> None:
        self.key, self.verdict, self.value = key, verdict, value


def _used(connection: Connection, given: Sequence[Checked]) -> dict[tuple[str, str], int]:
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for who, g, _ in given:
        if g.key is not None:
            keys[who].append(g.key)
    found: dict[tuple[str, str], int] = {}
    for who, some in keys.items():
        for part in chunks(some):
            wanted = select(answers.c.key, answers.c.task).where(answers.c.annotator == who, answers.c.key.in_(part))
            found |= {(who, key): task for key, task in connection.execute(wanted)}
    return found


def _twice(who: str, g: Given, value: str | None, before: Any) -> Receipt:
    """Return a duplicate where the same came again (a retry), else a refusal: nothing is lost without a word."""
    if (before.verdict, before.value) == (g.verdict, value) or (g.key is not None and g.key == before.key):
        return Receipt(g.task, "duplicate", f"{who} has answered task {g.task} already")
    said = before.value if before.verdict == "answer" else before.verdict
    return Receipt(g.task, "refused", f"{who} has answered task {g.task} already, with {said}; retract that first")


class _Batch:
    """What a transaction adds: the answers, and what they add to the counts of tasks, questions and annotators."""

    def __init__(self, now: float, about: Mapping[int, Any], rows: Mapping[int, Any]) -> None:
        self.now, self.about, self.rows = now, about, rows
        self.answers: list[dict[str, Any]] = []
        self.given: defaultdict[int, int] = defaultdict(int)
        self.freed: defaultdict[int, int] = defaultdict(int)
        self.leases: list[dict[str, Any]] = []
        self.returned: list[dict[str, Any]] = []
        self.counts: defaultdict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.people: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(self, who: str, g: Given, value: str | None, *, leased: bool) -> Receipt:
        task = self.rows[g.task]
        question = task.question
        self.answers.append(
            {"task": g.task, "question": question, "annotator": who, "key": g.key, "verdict": g.verdict, "value": value,
             "seconds": g.seconds, "note": g.note, "time": self.now}
        )  # fmt: skip
        counts = self.counts[question]
        given = task.given + self.given[g.task]
        if leased:
            self.leases.append({"at": g.task, "who": who})
            self.freed[g.task] += 1
        if g.verdict == "skip":
            counts["skipped"] += 1
            if leased:
                self.returned.append({"question": question, "task": g.task})
        else:
            self.given[g.task] += 1
            counts["answers"] += 1
            counts["complete"] += given + 1 == task.votes
            if g.verdict in ("bad", "cannot_tell"):
                counts[g.verdict] += 1
            gold, right = graded(g.verdict, value, task.gold)
            self.people[who] = [a + b for a, b in zip(self.people[who], (1, gold, right), strict=True)]
        if self.about[question]["state"] == "closed":
            return Receipt(g.task, "late", "the question is closed; the answer is kept, and the next run takes it")
        if g.verdict != "skip" and given >= task.votes:
            return Receipt(g.task, "surplus", f"the task had its {task.votes} votes; the answer is kept beside them")
        return Receipt(g.task, "kept")

    def write(self, connection: Connection) -> None:
        if not self.answers:
            return
        connection.execute(insert(answers), self.answers)
        if self.leases:
            this = and_(leases.c.task == bindparam("at"), leases.c.annotator == bindparam("who"))
            connection.execute(delete(leases).where(this), self.leases)
        touched = [t for t in {*self.given, *self.freed} if self.given[t] or self.freed[t]]
        if touched:
            connection.execute(
                _GIVE, [{"at": t, "more": self.given[t], "freed": self.freed[t]} for t in sorted(touched)]
            )
        if self.returned:
            connection.execute(insert(returned), self.returned)
        for number, counts in sorted(self.counts.items()):
            connection.execute(_COUNT, {"at": number, **{f"more_{name}": counts[name] for name in _COUNTS}})
        for who, (n, gold, right) in sorted(self.people.items()):
            _tell(connection, who, n, gold, right)


def _tell(connection: Connection, who: str, n: int, gold: int, right: int) -> None:
    c = annotators.c
    new = {"answers": c.answers + n, "gold": c.gold + gold, "gold_right": c.gold_right + right}
    connection.execute(update(annotators).where(c.name == who).values(new))


def graded(verdict: str, value: str | None, gold: str | None) -> tuple[int, int]:
    """Return (1, 1) for a right answer to a task whose truth is known, (1, 0) for a wrong one, else (0, 0).

    >>> graded("answer", '["dog", "cat"]', '["cat", "dog"]'), graded("answer", '"cat"', None)
    ((1, 1), (0, 0))
    """
    if gold is None or value is None or verdict != "answer":
        return 0, 0
    said, truth = json.loads(value), json.loads(gold)
    if isinstance(said, list) and isinstance(truth, list):
        said, truth = sorted(said), sorted(truth)
    return 1, int(said == truth)


def retract(connection: Connection, annotator: str, task: int) -> bool:
    """Take an answer back that no part has taken; False where there is none."""
    member(connection, annotator)
    number = connection.scalar(select(tasks.c.question).where(tasks.c.task == task))
    if number is None:
        return False
    lock(connection, questions.c.number == number)
    mine = and_(answers.c.task == task, answers.c.annotator == annotator, answers.c.part.is_(None))
    old = connection.execute(select(answers.c.verdict, answers.c.value).where(mine)).first()
    if old is None:
        return False
    connection.execute(delete(answers).where(mine))
    row = connection.execute(select(tasks).where(tasks.c.task == task)).one()
    less = dict.fromkeys(_COUNTS, 0)
    if old.verdict == "skip":
        less["skipped"] = -1
    else:
        less |= {"answers": -1, "complete": -int(row.given == row.votes)}
        if old.verdict in ("bad", "cannot_tell"):
            less[old.verdict] = -1
        connection.execute(_GIVE, {"at": task, "more": -1, "freed": 0})
        gold, right = graded(old.verdict, old.value, row.gold)
        _tell(connection, annotator, -1, -gold, -right)
    connection.execute(insert(returned), [{"question": number, "task": task}])
    connection.execute(_COUNT, {"at": number, **{f"more_{name}": n for name, n in less.items()}})
    return True
