"""The annotators of an inbox: who they are, who is suspended, how they do."""

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.labeling.inbox_tables import Place, annotators, answers, insert, leases, seats
from tilth.labeling.inbox_values import Standing
from tilth.sql import reading, writing

__all__ = ["enter", "named", "reinstate", "standings", "suspend"]


def named(annotator: str) -> str:
    """Return an annotator's name; UsageError where it is none."""
    if not isinstance(annotator, str) or not annotator.strip() or not annotator.isprintable() or len(annotator) > 100:
        raise UsageError(f"an annotator is called by 1 to 100 printable characters; got {annotator!r}")
    return annotator


def enter(place: Place, connection: Connection, annotator: str) -> str | None:
    """Note that there is this annotator, keep others from writing for them, and return why they are suspended."""
    connection.execute(insert(place, annotators).values(annotator=annotator).on_conflict_do_nothing())
    why: str | None = connection.scalar(
        select(annotators.c.suspended).where(annotators.c.annotator == annotator).with_for_update()
    )
    return why


def suspend(place: Place, annotator: str, why: str) -> None:
    """Take an annotator's leases back, and give no more."""
    with writing(place.engine) as connection:
        place.one_leaser(connection)
        enter(place, connection, named(annotator))
        connection.execute(update(annotators).where(annotators.c.annotator == annotator).values(suspended=why))
        connection.execute(delete(leases).where(leases.c.annotator == annotator))


def reinstate(place: Place, annotator: str) -> None:
    """Let an annotator have tasks again; NotFound names those there are."""
    with writing(place.engine) as connection:
        back = update(annotators).where(annotators.c.annotator == annotator).values(suspended=None)
        if not connection.execute(back).rowcount:
            known = connection.scalars(select(annotators.c.annotator).order_by(annotators.c.annotator)).all()
            raise NotFound(f"no annotator {annotator!r}. {did_you_mean(annotator, known)}")


def standings(place: Place) -> list[Standing]:
    """Return all annotators by name."""
    names = ("answers", "cannot_tell", "bad", "skipped", "gold", "gold_right")
    counts = [func.coalesce(func.sum(seats.c[name]), 0).label(name) for name in names]
    with reading(place.engine) as connection:
        medians = {row.annotator: float(row.seconds) for row in connection.execute(_medians())}
        rows = connection.execute(
            select(annotators.c.annotator, annotators.c.suspended, *counts)
            .join_from(annotators, seats, annotators.c.annotator == seats.c.annotator, isouter=True)
            .group_by(annotators.c.annotator, annotators.c.suspended)
            .order_by(annotators.c.annotator)
        ).mappings()
        return [Standing(**row, seconds=medians.get(row["annotator"])) for row in rows]


def _medians() -> Any:
    """The middle value, or the mean of the two in the middle; SQLite has no function for it."""
    who, seconds = answers.c.annotator, answers.c.seconds
    ranked = (
        select(
            who,
            seconds,
            func.row_number().over(partition_by=who, order_by=seconds).label("rank"),
            func.count().over(partition_by=who).label("n"),
        )
        .where(seconds.is_not(None), answers.c.verdict != "skip")
        .subquery()
    )
    middle = (ranked.c.rank * 2).between(ranked.c.n, ranked.c.n + 2)
    return (
        select(ranked.c.annotator, func.avg(ranked.c.seconds).label("seconds"))
        .where(middle)
        .group_by(ranked.c.annotator)
    )
