"""Tasks and answers as they are read, leasing and changing nothing."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Engine, select

from tilth.labeling.inbox.publishing import posted, those
from tilth.labeling.inbox.tables import answers, chunks, questions, tasks
from tilth.labeling.inbox.words import Said, Task
from tilth.sql import reading

__all__ = ["by_key", "find", "open_tasks", "said", "scores"]

_PAGE = 5000


def open_tasks(engine: Engine, team: str) -> Iterator[list[Task]]:
    """Yield the tasks of a team's open questions that lack votes, a page at a time."""
    with reading(engine) as connection:
        names = [p.id for p in those(connection, questions.c.team.in_(["", team]), state="open")]
    for name in names:
        last = -1
        while True:
            with reading(engine) as connection:  # a transaction a page: a slow reader must not hold the database open
                row = connection.execute(select(questions).where(questions.c.id == name)).mappings().first()
                if row is None:
                    break
                here = (tasks.c.question == row["number"], tasks.c.task > last, tasks.c.given < tasks.c.votes)
                wanted = select(tasks).where(*here).order_by(tasks.c.task).limit(_PAGE)
                page = connection.execute(wanted).all()
            if not page:
                break
            last, words = page[-1].task, posted(row)
            yield [Task(r.task, words, r.record, r.key, r.suggestion, r.detail, 0.0) for r in page]


def find(engine: Engine, some: Iterable[int]) -> dict[int, Task]:
    """Return those of these tasks that are there."""
    with reading(engine) as connection:
        rows = [
            row
            for part in chunks(dict.fromkeys(some))
            for row in connection.execute(select(tasks).where(tasks.c.task.in_(part)))
        ]
        words = {
            row["number"]: posted(row)
            for part in chunks({r.question for r in rows})
            for row in connection.execute(select(questions).where(questions.c.number.in_(part))).mappings()
        }
    return {r.task: Task(r.task, words[r.question], r.record, r.key, r.suggestion, r.detail, 0.0) for r in rows}


def scores(engine: Engine, some: Iterable[int]) -> dict[int, float]:
    """Return the score of those of these tasks that have one."""
    with reading(engine) as connection:
        return {
            row.task: row.score
            for part in chunks(dict.fromkeys(some))
            for row in connection.execute(select(tasks.c.task, tasks.c.score).where(tasks.c.task.in_(part)))
            if row.score is not None
        }


def said(engine: Engine, *where: Any, last: int) -> list[Said]:
    """Return answers, newest first."""
    a, t = answers.c, tasks.c
    wanted = (
        select(a.task, questions.c.id, t.record, t.key, a.annotator, a.verdict, a.value, a.seconds, a.note, a.time,
               t.gold, a.part)
        .join_from(answers, tasks, a.task == t.task)
        .join(questions, questions.c.number == a.question)
        .where(*where)
        .order_by(a.number.desc())
        .limit(last)
    )  # fmt: skip
    with reading(engine) as connection:
        return [Said(*row[:-1], taken=row.part is not None) for row in connection.execute(wanted)]


def by_key(engine: Engine, question: str, keys: Iterable[str]) -> dict[str, int]:
    """Return the task of a question for each of these keys that it has; none where there is no such question."""
    wanted = set(keys)
    with reading(engine) as connection:
        number = connection.scalar(select(questions.c.number).where(questions.c.id == question))
        rows = connection.execution_options(yield_per=_PAGE).execute(
            select(tasks.c.key, tasks.c.task).where(tasks.c.question == number).order_by(tasks.c.task.desc())
        )
        return {key: task for key, task in rows if key in wanted}
