"""Questions: publish them, list them, say how far they are, close them, want more votes."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, and_, delete, func, insert, select, update

from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.labeling.inbox.tables import (
    MOST_TASKS,
    RANK_BITS,
    answers,
    chunks,
    cursors,
    leases,
    parts,
    paused,
    questions,
    returned,
    tasks,
    upsert,
)
from tilth.labeling.inbox.words import Posted, Progress, Tasks

__all__ = ["complete", "delete_run", "lock", "locked", "posted", "progress", "publish", "set_votes", "those"]

_ABOUT = tuple(Posted.__dataclass_fields__)
_CHUNK = 10_000
_TASK = ("task", "question", "record", "key", "score", "suggestion", "detail", "gold", "votes", "given", "held")


def publish(connection: Connection, question: Posted, tasks: Tasks, now: float) -> bool:
    """Write a question and its tasks; False where it is there already."""
    n = len(tasks.records)
    if n >= MOST_TASKS:
        raise UsageError(f"question {question.id!r} has {n:,} tasks; publish it in parts of at most {MOST_TASKS - 1:,}")
    row = {name: getattr(question, name) for name in _ABOUT}
    row |= {"form": json.dumps(dict(question.form)), "state": "open", "opened": now}
    row |= {"tasks": n, "wanted": n * question.votes, "complete": 0, "answers": 0, "bad": 0, "cannot_tell": 0}
    made = upsert(connection, questions).values(row).on_conflict_do_nothing(index_elements=["id"])
    number = connection.scalar(made.returning(questions.c.number))
    if number is None:
        return False
    if connection.dialect.name == "sqlite":
        said = f"insert into tasks ({', '.join(_TASK)}) values ({', '.join('?' * len(_TASK))})"  # noqa: S608  no input
        for rows in _rows(number, question.votes, tasks):
            connection.exec_driver_sql(said, rows)
    else:
        _copy(connection, number, question.votes, tasks)
    return True


def _rows(number: int, votes: int, tasks: Tasks) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of the tasks, never all at once."""
    first = number << RANK_BITS
    for i in range(0, len(tasks.records), _CHUNK):
        part = slice(i, i + _CHUNK)
        records = np.asarray(tasks.records[part], np.int64).tolist()
        none = [None] * len(records)
        scores = none if tasks.scores is None else np.asarray(tasks.scores[part], np.float64).tolist()
        scores = [None if s is None or s != s else s for s in scores]
        texts = [none if c is None else c[part] for c in (tasks.suggestions, tasks.details, tasks.gold)]
        columns = zip(records, tasks.keys[part], scores, *texts, strict=True)
        yield [(first + i + j, number, *columns_, votes, 0, 0) for j, columns_ in enumerate(columns)]


def _copy(connection: Connection, number: int, votes: int, tasks: Tasks) -> None:
    # COPY: a million tasks in a quarter of the time that inserts take
    raw: Any = connection.connection.dbapi_connection
    with raw.cursor() as cursor, cursor.copy(f"copy tilth.tasks ({', '.join(_TASK)}) from stdin") as into:
        for rows in _rows(number, votes, tasks):
            for row in rows:
                into.write_row(row)
    # before it has counted the rows it would read the whole table to find the next task
    connection.exec_driver_sql("analyze tilth.tasks")


def those(connection: Connection, *where: Any, state: str | None = None) -> list[Posted]:
    """Return questions, oldest first."""
    if state not in (None, "open", "paused", "closed"):
        raise UsageError(f"state {state!r}: open, paused, closed, or None for all")
    found = connection.execute(select(questions).where(*where).order_by(questions.c.number)).mappings().all()
    still = set(connection.scalars(select(paused.c.panel)))
    return [posted(row) for row in found if state in (None, _state(row, still))]


def _state(row: Any, still: set[str]) -> str:
    return "paused" if row["state"] == "open" and row["panel"] and row["panel"] in still else row["state"]


def posted(row: Any) -> Posted:
    """Return a row as a question."""
    return Posted(**{name: row[name] for name in _ABOUT if name != "form"}, form=json.loads(row["form"]))


def lock(connection: Connection, *where: Any) -> list[Any]:
    """Return the rows of questions and keep others from changing anything below them until the transaction ends.

    Tasks, leases and answers change under this lock only. SQLite has one writer anyway. Whoever locks an annotator too
    does that first, and all take questions in the same order: nobody waits in a circle.
    """
    wanted = select(questions).where(*where).order_by(questions.c.number).with_for_update()
    return list(connection.execute(wanted).mappings().all())


def locked(connection: Connection, question: str) -> Any:
    """Return the row of one question, locked; NotFound names those there are."""
    rows = lock(connection, questions.c.id == question)
    return rows[0] if rows else _missing(connection, question)


def _missing(connection: Connection, question: str) -> Any:
    there = connection.scalars(select(questions.c.id).order_by(questions.c.number.desc()).limit(1000)).all()
    raise NotFound(f"the inbox has no question {question!r}. {did_you_mean(question, there)}")


def progress(connection: Connection, question: str, now: float) -> Progress:
    """Return how far a question is."""
    row = connection.execute(select(questions).where(questions.c.id == question)).mappings().first()
    row = row or _missing(connection, question)
    still = set(connection.scalars(select(paused.c.panel)))
    living = and_(leases.c.question == row["number"], leases.c.until > now)
    held = connection.scalar(select(func.count()).select_from(leases).where(living)) or 0
    counts = {name: row[name] for name in ("tasks", "complete", "answers", "bad", "cannot_tell", "skipped")}
    return Progress(
        **counts, votes=row["wanted"], leased=held, opened=row["opened"], state=_state(row, still), why=row["why"]
    )


def set_votes(connection: Connection, question: str, records: Iterable[int], votes: int) -> None:
    """Let the tasks of these records want that many votes, and open the question again."""
    if isinstance(votes, bool) or not isinstance(votes, int) or votes < 1:
        raise UsageError(f"votes={votes!r}: a whole number of answers a record, 1 or more")
    about = locked(connection, question)
    ids = np.unique(np.asarray(records, np.int64))
    wanted, done, there = 0, 0, 0
    for part in chunks(ids.tolist()):
        rows = connection.execute(_of(about, part)).all()
        there += len({r.record for r in rows})
        changed = [r for r in rows if r.votes != votes]
        if not changed:
            continue
        hit = [r.task for r in changed]
        connection.execute(update(tasks).where(tasks.c.task.in_(hit)).values(votes=votes))
        connection.execute(insert(returned), [{"question": about["number"], "task": t} for t in hit])
        wanted += sum(votes - r.votes for r in changed)
        done += sum((r.given >= votes) - (r.given >= r.votes) for r in changed)
    if there < len(ids):
        raise NotFound(
            f"question {question!r} asks about {there:,} of these {len(ids):,} records, not about the others"
        )
    new = {"wanted": questions.c.wanted + wanted, "complete": questions.c.complete + done, "state": "open", "why": ""}
    connection.execute(update(questions).where(questions.c.number == about["number"]).values(new))


def complete(connection: Connection, question: str, records: npt.NDArray[np.int64]) -> int:
    """Return how many of these records have all their votes."""
    row = connection.execute(select(questions).where(questions.c.id == question)).mappings().first()
    row = row or _missing(connection, question)
    done: dict[int, bool] = {}
    for part in chunks(np.unique(np.asarray(records, np.int64)).tolist()):
        for task in connection.execute(_of(row, part)):
            done[task.record] = done.get(task.record, True) and task.given >= task.votes
    return sum(done.values())


def _of(about: Any, records: list[int]) -> Any:
    wanted = select(tasks.c.task, tasks.c.record, tasks.c.votes, tasks.c.given)
    return wanted.where(tasks.c.question == about["number"], tasks.c.record.in_(records)).order_by(tasks.c.task)


def delete_run(connection: Connection, run: str) -> None:
    """Delete a run's questions and all below them."""
    for row in lock(connection, questions.c.run == run):
        for table in (answers, leases, returned, cursors, parts, tasks):
            connection.execute(delete(table).where(table.c.question == row["number"]))
        connection.execute(delete(questions).where(questions.c.number == row["number"]))
