"""Publishing: a question and its tasks in one transaction; and deleting what a run has published."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, delete, select

from tilth.errors import UsageError
from tilth.labeling.inbox_tables import SPAN, Place, answers, insert, leases, parts, questions, seats, tasks, within
from tilth.labeling.inbox_values import Posted, Tasks
from tilth.sql import writing

__all__ = ["forget", "publish"]

_CHUNK = 10_000

# A million tasks: 3 times as fast as inserts that SQLAlchemy compiles, in both databases.
_INSERT = "insert into tasks (id, record, key, score, suggestion, detail, gold, wants) values (?, ?, ?, ?, ?, ?, ?, ?)"
_COPY = "copy tilth.tasks (id, record, key, score, suggestion, detail, gold, wants) from stdin"


def publish(place: Place, posted: Posted, wanted: Tasks) -> bool:
    """Ask a question; False where one of that id is there."""
    if len(wanted) > SPAN:
        raise UsageError(f"question {posted.id!r}: {len(wanted):,} tasks; ask at most {SPAN:,} at once")
    about = {"id": posted.id, "run": posted.run, "team": posted.team, "panel": posted.panel}
    with writing(place.engine) as connection:
        new = insert(place, questions).values(
            **about, posted=posted.to_json(), tasks=len(wanted), opened=place.now(connection)
        )
        number = connection.scalar(new.on_conflict_do_nothing().returning(questions.c.number))
        if number is None:
            return False
        _fill(place, connection, number, posted.votes, wanted)
    return True


def forget(place: Place, run: str) -> None:
    """Delete a run's questions and all that hangs on them."""
    with writing(place.engine) as connection:
        place.one_leaser(connection)
        for number in connection.scalars(select(questions.c.number).where(questions.c.run == run)).all():
            # tasks first: who answers one now holds it, and what they write is seen by what follows
            for table, column in ((tasks, tasks.c.id), (leases, leases.c.task), (answers, answers.c.task)):
                connection.execute(delete(table).where(within(column, number)))
            connection.execute(delete(seats).where(seats.c.question == number))
        connection.execute(delete(questions).where(questions.c.run == run))
        connection.execute(delete(parts).where(parts.c.run == run))


def _fill(place: Place, connection: Connection, number: int, votes: int, wanted: Tasks) -> None:
    chunks = (_rows(wanted, number, votes, start) for start in range(0, len(wanted), _CHUNK))
    if not place.postgres:
        for rows in chunks:
            connection.exec_driver_sql(_INSERT, list(rows))
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        for rows in chunks:
            for row in rows:
                copy.write_row(row)


def _rows(wanted: Tasks, number: int, votes: int, start: int) -> Iterator[tuple[Any, ...]]:
    piece = slice(start, start + _CHUNK)
    records = wanted.records[piece].tolist()
    nothing = [None] * len(records)
    scores = nothing if wanted.scores is None else wanted.scores[piece].tolist()
    first = number * SPAN + start
    return zip(
        range(first, first + len(records)),
        records,
        wanted.keys[piece],
        [None if s != s else s for s in scores],  # the databases disagree on what NaN is
        *(nothing if c is None else c[piece] for c in (wanted.suggestions, wanted.details, wanted.gold)),
        [votes] * len(records),
        strict=True,
    )
