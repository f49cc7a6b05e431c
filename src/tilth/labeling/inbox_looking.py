"""What stands in an inbox: questions and how far they are, and tasks, without leasing them."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.labeling.inbox_tables import SPAN, WANTING, Place, leases, panels, questions, seats, some, tasks, within
from tilth.labeling.inbox_values import Posted, Progress, Task
from tilth.sql import reading

__all__ = ["TASK", "all_progress", "find", "ids_of", "numbers", "open_questions", "open_tasks", "posted_of", "task_of"]

TASK = (tasks.c.id, tasks.c.record, tasks.c.key, tasks.c.score, tasks.c.suggestion, tasks.c.detail)
"""What `task_of` reads."""

_PAGE = 2_000
_STATES = ("open", "closed", "paused")


def numbers(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Return the numbers of questions; NotFound names those there are."""
    found: dict[str, int] = {}
    for part in some(ids):
        rows = connection.execute(select(questions.c.id, questions.c.number).where(questions.c.id.in_(part)))
        found |= {row.id: row.number for row in rows}
    for id in ids:
        if id not in found:
            known = connection.scalars(select(questions.c.id).order_by(questions.c.number)).all()
            raise NotFound(f"no question {id!r} in the inbox. {did_you_mean(id, known)}")
    return found


def open_questions(connection: Connection, *, team: str, question: str | None) -> dict[int, Posted]:
    """Return the questions from which tasks are given, older first, by their number."""
    wanted: list[Any] = [questions.c.closed.is_(None), questions.c.panel.not_in(select(panels.c.paused))]
    if question is not None:
        wanted.append(questions.c.number == numbers(connection, [question])[question])
    rows = connection.execute(
        select(questions.c.number, questions.c.posted)
        .where(questions.c.team == team, *wanted)
        .order_by(questions.c.number)
    )
    return {row.number: Posted.from_json(row.posted) for row in rows}


def task_of(row: Any, posted: Posted, *, expires: float = 0.0) -> Task:
    """Return the task in a row of `TASK`."""
    suggestion = None if row.suggestion is None else json.loads(row.suggestion)
    detail = None if row.detail is None else json.loads(row.detail)
    return Task(row.id, posted, row.id % SPAN, row.record, row.key, row.score, suggestion, detail, expires)


def open_tasks(place: Place, *, team: str, question: str | None) -> Iterator[Task]:
    """Yield the tasks that still want votes, page by page."""
    with reading(place.engine) as connection:
        asked = open_questions(connection, team=team, question=question)
    for number, posted in asked.items():
        after = number * SPAN - 1
        while True:
            page = select(*TASK).where(tasks.c.id > after, within(tasks.c.id, number), WANTING)
            with reading(place.engine) as connection:
                rows = connection.execute(page.order_by(tasks.c.id).limit(_PAGE)).all()
            yield from (task_of(row, posted) for row in rows)
            if len(rows) < _PAGE:
                break
            after = rows[-1].id


def find(place: Place, ids: Sequence[int]) -> dict[int, Task]:
    """Return the tasks of these ids that there are."""
    found: dict[int, Task] = {}
    with reading(place.engine) as connection:
        rows = [r for part in some(ids) for r in connection.execute(select(*TASK).where(tasks.c.id.in_(part)))]
        asked = posted_of(connection, {row.id // SPAN for row in rows})
    for row in rows:
        found[row.id] = task_of(row, asked[row.id // SPAN])
    return found


def posted_of(connection: Connection, numbers: Collection[int]) -> dict[int, Posted]:
    """Return questions by their numbers."""
    rows = connection.execute(select(questions.c.number, questions.c.posted).where(questions.c.number.in_(numbers)))
    return {row.number: Posted.from_json(row.posted) for row in rows}


def ids_of(place: Place, question: str, keys: Collection[str]) -> dict[str, int]:
    """Return the task ids of records of a question by their keys, of those there are.

    It reads all tasks of the question once: an index on keys would make publishing twice as slow for a rare use.
    """
    with reading(place.engine) as connection:
        number = numbers(connection, [question])[question]
        all_of_it = select(tasks.c.id, tasks.c.key).where(within(tasks.c.id, number))
        rows = connection.execution_options(yield_per=10_000).execute(all_of_it)
        return {key: id for id, key in rows if key in keys}


def all_progress(
    place: Place, *, id: str | None = None, run: str | None = None, state: str | None = None
) -> list[Progress]:
    """Return how far questions are, older first: all, one, those of a run, those in a state."""
    if state is not None and state not in _STATES:
        raise UsageError(f"no state {state!r} of a question. {did_you_mean(state, _STATES)}")
    counted = ("answers", "complete", "bad", "cannot_tell", "skipped")
    with reading(place.engine) as connection:
        now = place.now(connection)
        leased = (
            select(func.count())
            .select_from(leases)
            .where(within(leases.c.task, questions.c.number), leases.c.expires > now)
            .scalar_subquery()
        )
        sums = (
            select(seats.c.question, *(func.sum(seats.c[name]).label(name) for name in counted))
            .group_by(seats.c.question)
            .subquery()
        )
        about = select(
            questions.c.posted,
            questions.c.closed,
            questions.c.opened,
            questions.c.tasks,
            leased.label("leased"),
            questions.c.panel.in_(select(panels.c.paused)).label("paused"),
            *(func.coalesce(sums.c[name], 0).label(name) for name in counted),
        ).join_from(questions, sums, questions.c.number == sums.c.question, isouter=True)
        if id is not None:
            about = about.where(questions.c.number == numbers(connection, [id])[id])
        if run is not None:
            about = about.where(questions.c.run == run)
        rows = connection.execute(about.order_by(questions.c.number)).mappings().all()
    found = [_progress(row, {name: int(row[name]) for name in (*counted, "leased", "tasks")}) for row in rows]
    return [p for p in found if state is None or p.state == state]


def _progress(row: Any, counts: dict[str, int]) -> Progress:
    posted = Posted.from_json(row["posted"])
    state = "closed" if row["closed"] is not None else "paused" if row["paused"] else "open"
    wanted = counts["tasks"] * posted.votes
    return Progress(posted, state, why=row["closed"] or "", opened=row["opened"], wanted=wanted, **counts)
