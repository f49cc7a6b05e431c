"""Draining: a part of a run takes answers once, and gets the same ones again when it comes again."""

import numpy as np
from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update

from tilth.labeling.inbox.publishing import locked, those
from tilth.labeling.inbox.tables import answers, parts, questions, tasks
from tilth.labeling.inbox.words import Drained, Posted

__all__ = ["claim", "undrained"]

_FREE = and_(answers.c.part.is_(None), answers.c.verdict != "skip")


def claim(connection: Connection, question: list[str], part: str, *, complete: bool) -> Drained:
    """Let a part take all answers that no part has, where it has not taken before; return those that it has."""
    rows: list[tuple[int, str, int, str, str | None, str, float | None, float, str | None, str]] = []
    # locked in the order of their numbers, as everywhere
    about = sorted(
        (connection.scalar(select(questions.c.number).where(questions.c.id == q)) or 0, q) for q in set(question)
    )
    for _, name in about:
        number = locked(connection, name)["number"]
        before = and_(parts.c.question == number, parts.c.part == part)
        if connection.scalar(select(func.count()).select_from(parts).where(before)) == 0:
            connection.execute(insert(parts).values(question=number, part=part))
            taken = update(answers).where(answers.c.question == number, _FREE)
            if complete:
                full = select(tasks.c.task).where(tasks.c.question == number, tasks.c.given >= tasks.c.votes)
                taken = taken.where(answers.c.task.in_(full))
            connection.execute(taken.values(part=part))
        a, t = answers.c, tasks.c
        wanted = select(a.task, a.annotator, t.record, t.key, a.value, a.verdict, a.seconds, a.time, t.gold)
        wanted = wanted.join_from(answers, tasks, a.task == t.task).where(a.question == number, a.part == part)
        rows += [(*row, name) for row in connection.execute(wanted)]
    # here and not in SQL: databases put names into different orders
    rows.sort(key=lambda row: row[:2])
    columns = list(zip(*rows, strict=True)) or [()] * 10
    _, who, record, key, value, verdict, seconds, time, gold, names = (list(c) for c in columns)
    return Drained(
        records=np.array(record, np.int64),
        keys=key,
        values=value,
        verdicts=verdict,
        annotators=who,
        seconds=np.array([np.nan if s is None else s for s in seconds], np.float64),
        times=np.array(time, np.float64),
        gold=gold,
        questions=names,
    )


def undrained(connection: Connection, scope: str, *, branch: str, part: str | None) -> list[Posted]:
    """Return questions that have answers which no part has taken, or that `part` has taken from."""
    # not LIKE: SQLite's takes A for a
    within = func.substr(questions.c.id, 1, len(scope)) == scope
    left = exists().where(answers.c.question == questions.c.number, _FREE)
    if part is not None:
        left = or_(left, exists().where(parts.c.question == questions.c.number, parts.c.part == part))
    return those(connection, within, questions.c.branch == branch, left)
