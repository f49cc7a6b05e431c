"""Claims: which answers a run takes into which commit."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import exists, select, update

from tilth.errors import UsageError
from tilth.labeling.inbox_looking import numbers, posted_of
from tilth.labeling.inbox_tables import SPAN, WAITING, Place, answers, insert, parts, questions, tasks, within
from tilth.labeling.inbox_values import Drained
from tilth.sql import reading, writing

__all__ = ["claim", "undrained"]

_ROWS = (
    *(answers.c.task, tasks.c.record, tasks.c.key, answers.c.value, answers.c.verdict, answers.c.annotator),
    *(answers.c.seconds, answers.c.time, answers.c.note, tasks.c.gold, answers.c.surplus),
)


def claim(place: Place, ids: Sequence[str], part: str) -> Drained:
    """Mark what no part has taken as this part's, where the part is new; return what is the part's."""
    if not part:
        raise UsageError("a claim needs the name of its part, unique within the inbox; got ''")
    with writing(place.engine) as connection:
        found = numbers(connection, ids)
        runs = connection.scalars(select(questions.c.run).where(questions.c.id.in_(ids)).distinct()).all()
        if len(runs) > 1:
            raise UsageError(f"part {part!r}: questions of {', '.join(sorted(runs))}; a part is of one run")
        new = insert(place, parts).values(part=part, run=runs[0] if runs else "")
        number = connection.scalar(new.on_conflict_do_nothing().returning(parts.c.number))
        if number is not None:
            for question in sorted(found.values()):
                free = update(answers).where(within(answers.c.task, question), WAITING)
                connection.execute(free.values(part=number))
    with reading(place.engine) as connection:
        number = connection.scalar(select(parts.c.number).where(parts.c.part == part))
        rows = connection.execute(
            select(*_ROWS)
            .join_from(answers, tasks, answers.c.task == tasks.c.id)
            .where(answers.c.part == number)
            .order_by(answers.c.task, answers.c.annotator)
        ).all()
        asked = {n: p.id for n, p in posted_of(connection, {row[0] // SPAN for row in rows}).items()}
    return _drained(part, rows, asked)


def undrained(place: Place, run: str) -> list[str]:
    """Return the questions of a run with answers that no part has taken, older first."""
    waiting = exists().where(within(answers.c.task, questions.c.number), WAITING)
    with reading(place.engine) as connection:
        found = select(questions.c.id).where(questions.c.run == run, waiting).order_by(questions.c.number)
        return list(connection.scalars(found))


def _drained(part: str, rows: Sequence[Any], asked: dict[int, str]) -> Drained:
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [() for _ in _ROWS]
    task, record, key, value, verdict, annotator, seconds, time, note, gold, surplus = columns
    ids = np.array(task, np.int64)
    return Drained(
        part,
        question=[asked[id // SPAN] for id in task],
        task=ids,
        record=np.array(record, np.int64),
        key=list(key),
        value=_read(value),
        verdict=list(verdict),
        annotator=list(annotator),
        seconds=np.array([np.nan if s is None else s for s in seconds], np.float64),
        time=np.array(time, np.float64),
        note=list(note),
        gold=_read(gold),
        surplus=np.array(surplus, bool),
    )


def _read(texts: Sequence[str | None]) -> list[Any]:
    # every entry is read by itself: equal lists must not be one list that somebody changes
    return [None if text is None else json.loads(text) for text in texts]
