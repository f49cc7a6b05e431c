"""Leases: which tasks an annotator gets next, for how long, and how they come back.

An annotator passes the tasks of a question once, in the order of rank: `cursors` holds how far each has come, so that
the next tasks are found at once, however many went before. A task that wants votes again after somebody may have passed
it (its lease ran out or was released, an answer was retracted, more votes are wanted) is written to `returned`, which
every annotator passes once too.
"""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from tilth.errors import UsageError
from tilth.labeling.inbox.publishing import lock, posted
from tilth.labeling.inbox.tables import (
    MOST_TASKS,
    RANK_BITS,
    WANTS,
    annotators,
    answers,
    chunks,
    cursors,
    leases,
    paused,
    questions,
    returned,
    tasks,
    upsert,
)
from tilth.labeling.inbox.words import Task

__all__ = ["check_ttl", "give_back", "held", "lease", "member", "release", "renew"]

_MOST = 1000
_LONGEST = 7 * 24 * 3600.0

_HOLD = update(tasks).where(tasks.c.task == bindparam("at")).values(held=tasks.c.held + 1)
_LET_GO = update(tasks).where(tasks.c.task == bindparam("at")).values(held=tasks.c.held - 1)


def check_ttl(ttl: float) -> None:
    """UsageError where no lease can last that long."""
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 < ttl <= _LONGEST:
        raise UsageError(f"ttl={ttl!r}: the seconds that a lease lasts, above 0 up to {_LONGEST:,.0f} (a week)")


def member(connection: Connection, name: str) -> Any:
    """Return an annotator's row, made where there is none, locked until the transaction ends."""
    wanted = select(annotators).where(annotators.c.name == name).with_for_update()
    row = connection.execute(wanted).first()
    if row is None:
        connection.execute(upsert(connection, annotators).values(name=name).on_conflict_do_nothing())
        row = connection.execute(wanted).one()
    return row


def lease(
    connection: Connection, annotator: str, n: int, *, team: str, question: str | None, ttl: float, now: float
) -> list[Task]:
    """Return up to `n` tasks, now held by this annotator: those that they hold already, then the next ones."""
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MOST:
        raise UsageError(f"n={n!r}: the number of tasks to lease, 1 to {_MOST:,}")
    if member(connection, annotator).suspended:
        return []
    where = [
        questions.c.state == "open",
        questions.c.team.in_(["", team]),
        questions.c.panel.not_in(select(paused.c.panel)),
        questions.c.complete < questions.c.tasks,
        *([] if question is None else [questions.c.id == question]),
    ]
    found: dict[int, float] = {}
    about = {row["number"]: row for row in lock(connection, *where)}
    _sweep(connection, about, now)
    held = select(leases.c.task).where(leases.c.annotator == annotator, leases.c.question.in_(list(about)))
    mine = list(connection.scalars(held.order_by(leases.c.task).limit(n))) if about else []
    if mine:
        new = {"until": now + ttl, "ttl": ttl}
        connection.execute(update(leases).where(leases.c.annotator == annotator, leases.c.task.in_(mine)).values(new))
        found |= dict.fromkeys(mine, now + ttl)
    for number in about:
        if len(found) == n:
            break
        picked = _pick(connection, number, annotator, n - len(found))
        if picked:
            told = {"annotator": annotator, "question": number, "until": now + ttl, "ttl": ttl}
            connection.execute(insert(leases), [{"task": t, **told} for t in picked])
            connection.execute(_HOLD, [{"at": t} for t in picked])
            found |= dict.fromkeys(picked, now + ttl)
    return _tasks(connection, found, about)


def held(connection: Connection, annotator: str, now: float) -> list[Task]:
    """Return the tasks whose lease of this annotator has not run out."""
    mine = select(leases.c.task, leases.c.until).where(leases.c.annotator == annotator, leases.c.until > now)
    found = {row.task: row.until for row in connection.execute(mine.order_by(leases.c.task))}
    asked = select(tasks.c.question).where(tasks.c.task.in_(list(found)))
    rows = connection.execute(select(questions).where(questions.c.number.in_(asked))).mappings()
    return _tasks(connection, found, {row["number"]: row for row in rows})


def _tasks(connection: Connection, found: dict[int, float], about: dict[int, Any]) -> list[Task]:
    if not found:
        return []
    rows = {r.task: r for r in connection.execute(select(tasks).where(tasks.c.task.in_(list(found))))}
    words = {number: posted(about[number]) for number in {r.question for r in rows.values()}}
    return [
        Task(task, words[r.question], r.record, r.key, r.suggestion, r.detail, until)
        for task, until in found.items()
        for r in [rows[task]]
    ]


def _pick(connection: Connection, question: int, annotator: str, n: int) -> list[int]:
    """Return the next tasks of a question that this annotator may have, and move their cursor past them."""
    newest = select(func.coalesce(func.max(returned.c.number), 0)).where(returned.c.question == question)
    last = connection.scalar(newest) or 0
    here = and_(cursors.c.annotator == annotator, cursors.c.question == question)
    old = connection.execute(select(cursors.c.task, cursors.c.returned).where(here)).first()
    at, seen = (question << RANK_BITS, last) if old is None else (old.task, old.returned)
    picked: list[int] = []
    seen = _again(connection, question, annotator, n, at, seen, last, picked)
    at = _onward(connection, question, annotator, n, at, picked)
    if old is None or (at, seen) != tuple(old):
        told = {"annotator": annotator, "question": question, "task": at, "returned": seen}
        made = upsert(connection, cursors).values(told)
        connection.execute(
            made.on_conflict_do_update(index_elements=["annotator", "question"], set_={"task": at, "returned": seen})
        )
    return sorted(picked)


def _again(
    connection: Connection, question: int, annotator: str, n: int, at: int, seen: int, last: int, picked: list[int]
) -> int:
    """Add tasks before `at` that came back; return the number in `returned` up to which all were looked at."""
    size = max(64, n)
    while seen < last and len(picked) < n:
        # those after `at` are met later
        wanted = (
            select(returned.c.number, returned.c.task, tasks.c.task.label("wants"))
            .join_from(returned, tasks, and_(tasks.c.task == returned.c.task, WANTS), isouter=True)
            .where(returned.c.question == question, returned.c.number > seen)
            .order_by(returned.c.number)
            .limit(size)
        )
        rows = connection.execute(wanted).all()
        if not rows:
            return last
        no = _theirs(connection, annotator, _among([r.task for r in rows]))
        for number, task, wants in rows:
            if len(picked) == n:
                break
            seen = number
            if wants is not None and task < at and task not in no and task not in picked:
                picked.append(task)
        size = min(2 * size, 4096)
    return seen


def _onward(connection: Connection, question: int, annotator: str, n: int, at: int, picked: list[int]) -> int:
    """Add tasks from `at` on; return the task before which all were looked at."""
    end = (question << RANK_BITS) + MOST_TASKS
    size = max(64, n)
    while at < end and len(picked) < n:
        wanted = select(tasks.c.task).where(tasks.c.task >= at, tasks.c.task < end, WANTS)
        # SQLite would rather walk over all tasks in the order of their ids
        wanted = wanted.order_by(tasks.c.task).limit(size).with_hint(tasks, "indexed by tasks_wanting", "sqlite")
        rows = connection.scalars(wanted).all()
        no = _theirs(connection, annotator, _between(rows[0], rows[-1])) if rows else set[int]()
        for task in rows:
            if len(picked) == n:
                return at
            at = task + 1
            if task not in no:
                picked.append(task)
        if len(rows) < size:
            return end
        size = min(4 * size, 65_536)  # past what this annotator has answered without a lease
    return at


def _among(some: list[int]) -> Callable[[Any], Any]:
    return lambda task: task.in_(some)


def _between(first: int, last: int) -> Callable[[Any], Any]:
    return lambda task: task.between(first, last)


def _theirs(connection: Connection, annotator: str, which: Callable[[Any], Any]) -> set[int]:
    """Return those tasks that an annotator has answered, skipped or holds."""
    no: set[int] = set()
    for table in (answers, leases):
        mine = select(table.c.task).where(table.c.annotator == annotator, which(table.c.task))
        no |= set(connection.scalars(mine))
    return no


def _sweep(connection: Connection, about: dict[int, Any], now: float) -> None:
    """Give back the tasks of leases that have run out, in questions that are locked.

    A lease that ends later than its own length from now was made before the clock was set back: it ends that length
    from now, so that it cannot last for the hours that the clock has to make up for.
    """
    if not about:
        return
    here = leases.c.question.in_(list(about))
    wrong = and_(here, leases.c.until - leases.c.ttl > now + 1.0)
    gone = connection.execute(
        select(leases.c.task, leases.c.annotator, leases.c.question).where(here, leases.c.until <= now)
    )
    give_back(connection, list(gone.all()))
    if connection.scalar(select(func.count()).select_from(leases).where(wrong)):
        connection.execute(update(leases).where(wrong).values(until=now + leases.c.ttl))


def give_back(connection: Connection, rows: list[Any]) -> None:
    """End leases (task, annotator, question) of questions that are locked."""
    if not rows:
        return
    this = and_(leases.c.task == bindparam("at"), leases.c.annotator == bindparam("who"))
    connection.execute(delete(leases).where(this), [{"at": r.task, "who": r.annotator} for r in rows])
    connection.execute(_LET_GO, [{"at": r.task} for r in rows])
    connection.execute(insert(returned), [{"question": r.question, "task": r.task} for r in rows])


def release(connection: Connection, annotator: str, some: Iterable[int] | None) -> int:
    """Give back tasks that an annotator holds, all of them where none are named; return how many."""
    member(connection, annotator)
    wanted = select(leases.c.task, leases.c.annotator, leases.c.question).where(leases.c.annotator == annotator)
    there = connection.scalars(select(leases.c.question).distinct().where(leases.c.annotator == annotator)).all()
    lock(connection, questions.c.number.in_(list(there)))
    rows = connection.execute(wanted.where(leases.c.question.in_(list(there)))).all()
    named = None if some is None else set(some)
    mine = [r for r in rows if named is None or r.task in named]
    give_back(connection, mine)
    return len(mine)


def renew(connection: Connection, annotator: str, some: Iterable[int] | None, *, ttl: float, now: float) -> list[int]:
    """Let leases last `ttl` from now, all of an annotator's where none are named; return the tasks still held."""
    member(connection, annotator)
    there = connection.scalars(select(leases.c.question).distinct().where(leases.c.annotator == annotator)).all()
    lock(connection, questions.c.number.in_(list(there)))
    rows = connection.scalars(
        select(leases.c.task).where(leases.c.annotator == annotator).order_by(leases.c.task)
    ).all()
    named = None if some is None else set(some)
    mine = [t for t in rows if named is None or t in named]
    for part in chunks(mine):
        this = and_(leases.c.annotator == annotator, leases.c.task.in_(part))
        connection.execute(update(leases).where(this).values(until=now + ttl, ttl=ttl))
    return mine
