"""Tasks read without leasing them: what is open, which task is about a key, what a task is about."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Engine, select

from tilth.labeling.inbox.publishing import posted, those
from tilth.labeling.inbox.tables import chunks, questions, tasks
from tilth.labeling.inbox.words import Posted, Task
from tilth.sql import reading

__all__ = ["about", "by_key", "open_tasks"]

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


def about(engine: Engine, some: Iterable[int]) -> dict[int, tuple[Posted, str]]:
    """Return the question and the key of each of these tasks that is there."""
    found: dict[int, tuple[int, str]] = {}
    with reading(engine) as connection:
        for part in chunks(dict.fromkeys(some)):
            wanted = select(tasks.c.task, tasks.c.question, tasks.c.key).where(tasks.c.task.in_(part))
            found |= {task: (number, key) for task, number, key in connection.execute(wanted)}
        words: dict[int, Posted] = {}
        for part in chunks({number for number, _ in found.values()}):
            rows = connection.execute(select(questions).where(questions.c.number.in_(part))).mappings()
            words |= {row["number"]: posted(row) for row in rows}
    return {task: (words[number], key) for task, (number, key) in found.items()}


def by_key(engine: Engine, question: str, keys: Iterable[str]) -> dict[str, int]:
    """Return the task of a question for each of these keys that it has; none where there is no such question."""
    wanted = set(keys)
    with reading(engine) as connection:
        number = connection.scalar(select(questions.c.number).where(questions.c.id == question))
        rows = connection.execution_options(yield_per=_PAGE).execute(
            select(tasks.c.key, tasks.c.task).where(tasks.c.question == number).order_by(tasks.c.task.desc())
        )
        return {key: task for key, task in rows if key in wanted}
