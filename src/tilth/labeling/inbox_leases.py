"""Leases: which annotator has which task until when."""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, select, tuple_, update

from tilth.errors import UsageError
from tilth.labeling.inbox_looking import TASK, open_questions, task_of
from tilth.labeling.inbox_people import enter, named
from tilth.labeling.inbox_tables import (
    COUNTS,
    SPAN,
    WANTING,
    Place,
    answers,
    insert,
    leases,
    seats,
    some,
    tasks,
    within,
)
from tilth.labeling.inbox_values import Posted, Task
from tilth.sql import writing

__all__ = ["lease", "release", "renew"]

_LONGEST = 7 * 24 * 3600.0
_BESIDE = 64
"""Tasks looked at beyond those wanted: what is with other annotators lies between them."""


def lease(place: Place, annotator: str, n: int, *, team: str, question: str | None, ttl: float) -> list[Task]:
    """Return up to `n` tasks, those that the annotator holds first; all are theirs for `ttl` seconds from now."""
    named(annotator)
    if n < 1:
        raise UsageError(f"lease n={n}: how many tasks, 1 or more")
    _check_ttl(ttl)
    with writing(place.engine) as connection:
        place.one_leaser(connection)
        if enter(place, connection, annotator) is not None:
            return []
        now = place.now(connection)
        _tidy(connection, now, ttl)
        asked = open_questions(connection, team=team, question=question)
        got = _held(connection, annotator, asked, n, now)
        have = {row.id for row in got}
        for number in asked:
            if len(got) >= n:
                break
            got += _free(place, connection, annotator, number, n - len(got), now, have)
        if got:
            rows = [{"task": row.id, "annotator": annotator, "given": now, "expires": now + ttl} for row in got]
            made = insert(place, leases)
            again = {"given": made.excluded.given, "expires": made.excluded.expires}
            connection.execute(made.on_conflict_do_update(index_elements=["task", "annotator"], set_=again), rows)
    return [task_of(row, asked[row.id // SPAN], expires=now + ttl) for row in got]


def renew(place: Place, annotator: str, ids: Sequence[int] | None, *, ttl: float) -> list[int]:
    """Hold tasks for `ttl` seconds from now; return those whose lease was living."""
    _check_ttl(ttl)
    with writing(place.engine) as connection:
        place.one_leaser(connection)
        if enter(place, connection, named(annotator)) is not None:
            return []
        now = place.now(connection)
        _tidy(connection, now, ttl)
        mine = and_(leases.c.annotator == annotator, leases.c.expires > now)
        held = connection.scalars(select(leases.c.task).where(mine).order_by(leases.c.task)).all()
        kept = list(held) if ids is None else [task for task in held if task in set(ids)]
        for part in some(kept):
            longer = update(leases).where(leases.c.annotator == annotator, leases.c.task.in_(part))
            connection.execute(longer.values(given=now, expires=now + ttl))
    return kept


def release(place: Place, annotator: str, ids: Sequence[int] | None) -> None:
    """Give tasks back, default all that the annotator holds."""
    with writing(place.engine) as connection:
        place.one_leaser(connection)
        enter(place, connection, named(annotator))
        mine = delete(leases).where(leases.c.annotator == annotator)
        if ids is None:
            connection.execute(mine)
        for part in some(ids or ()):
            connection.execute(mine.where(leases.c.task.in_(part)))


def _check_ttl(ttl: float) -> None:
    if not 0 < ttl <= _LONGEST or math.isnan(ttl):
        raise UsageError(f"ttl={ttl}: how many seconds a lease lives, above 0 and up to {_LONGEST:.0f} (7 days)")


def _tidy(connection: Connection, now: float, ttl: float) -> None:
    """Forget expired leases, and cut those that were given later than now: the clock was set back since.

    What another transaction has locked is left to it: it deletes the lease anyway (the task was answered).
    """
    this = tuple_(leases.c.task, leases.c.annotator)
    pair = select(leases.c.task, leases.c.annotator).with_for_update(skip_locked=True)
    ahead = pair.where(leases.c.given > now)
    connection.execute(update(leases).where(this.in_(ahead)).values(given=now, expires=now + ttl))
    connection.execute(delete(leases).where(this.in_(pair.where(leases.c.expires <= now))))


def _held(connection: Connection, annotator: str, asked: dict[int, Posted], n: int, now: float) -> list[Any]:
    rows = connection.execute(
        select(*TASK)
        .join_from(leases, tasks, leases.c.task == tasks.c.id)
        .where(leases.c.annotator == annotator, leases.c.expires > now, WANTING)
        .order_by(tasks.c.id)
    )
    return [row for row in rows if row.id // SPAN in asked][:n]


def _free(
    place: Place, connection: Connection, annotator: str, number: int, n: int, now: float, have: set[int]
) -> list[Any]:
    """Return up to `n` tasks of a question that this annotator has not seen and that are not all with others.

    The annotator's cursor moves to just before the first task that could ever be theirs again, so that the next
    16 are found as fast at the end of a million as at the start.
    """
    seat = and_(seats.c.question == number, seats.c.annotator == annotator)
    cursor = connection.scalar(select(seats.c.cursor).where(seat))
    after = number * SPAN - 1 if cursor is None else cursor
    answered = exists().where(answers.c.task == tasks.c.id, answers.c.annotator == annotator)
    out = (
        select(func.count())
        .select_from(leases)
        .where(leases.c.task == tasks.c.id, leases.c.expires > now)
        .scalar_subquery()
    )
    candidates = select(*TASK, (tasks.c.wants - out).label("left")).where(
        within(tasks.c.id, number), WANTING, ~answered
    )
    size = n + _BESIDE
    got: list[Any] = []
    looked = 0
    while True:
        page = candidates.where(tasks.c.id > after).order_by(tasks.c.id).limit(size)
        rows = connection.execute(page).all()
        if not looked:
            looked = (rows[0].id if rows else (number + 1) * SPAN) - 1
        got += [row for row in rows if row.left > 0 and row.id not in have]
        if len(got) >= n or len(rows) < size:
            break
        after = rows[-1].id
    if cursor != looked:
        blank = dict.fromkeys(COUNTS, 0)
        made = insert(place, seats).values(question=number, annotator=annotator, cursor=looked, **blank)
        moved = made.on_conflict_do_update(
            index_elements=["question", "annotator"], set_={"cursor": made.excluded.cursor}
        )
        connection.execute(moved)
    return got[:n]
