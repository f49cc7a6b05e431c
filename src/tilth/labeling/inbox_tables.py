"""The tables of the inbox, in an SQLite file or in the schema `tilth` of a Postgres database."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    and_,
    inspect,
    literal_column,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from tilth.errors import Damaged
from tilth.sql import connect, reading, writing

__all__ = [
    "COUNTS",
    "SPAN",
    "WAITING",
    "WANTING",
    "Place",
    "annotators",
    "answers",
    "insert",
    "leases",
    "open_place",
    "panels",
    "parts",
    "questions",
    "seats",
    "some",
    "tasks",
    "within",
]

SPAN = 2**26
"""A task's id is its question's number x SPAN + its rank: ids order tasks by question and rank, and name both."""

COUNTS = ("answers", "cannot_tell", "bad", "skipped", "complete", "gold", "gold_right")
"""What is counted of an annotator at a question."""

_SCHEMA = "tilth"
"""On Postgres the tables stand in a schema of their own, beside whatever else is in the database."""

_tables = MetaData()

# names are compared byte by byte in both databases, so that they order alike
_Name = Text().with_variant(Text(collation="C"), "postgresql")
_Number = BigInteger().with_variant(Integer(), "sqlite")

questions = Table(
    "questions",
    _tables,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", _Name, nullable=False, unique=True),
    Column("run", _Name, nullable=False),
    Column("team", _Name, nullable=False),
    Column("panel", _Name, nullable=False),
    Column("posted", Text, nullable=False),  # JSON of all that was posted
    Column("tasks", Integer, nullable=False),
    Column("closed", Text),  # why; null = it is open
    Column("opened", Float, nullable=False),
    sqlite_autoincrement=True,  # a deleted question's number, and so its tasks' ids, are never given again
)

tasks = Table(
    "tasks",
    _tables,
    Column("id", _Number, primary_key=True, autoincrement=False),
    Column("record", _Number, nullable=False),
    Column("key", Text, nullable=False),
    Column("score", Float),
    Column("suggestion", Text),
    Column("detail", Text),
    Column("gold", Text),
    Column("wants", Integer, nullable=False),  # votes still to come; below 0 there are surplus votes
)
WANTING = tasks.c.wants > literal_column("0")  # no parameter: else the index below is not used
"""What has not got its votes."""
Index("tasks_wanting", tasks.c.id, sqlite_where=WANTING, postgresql_where=WANTING)

leases = Table(
    "leases",
    _tables,
    Column("task", _Number, primary_key=True, autoincrement=False),
    Column("annotator", _Name, primary_key=True),
    Column("given", Float, nullable=False),
    Column("expires", Float, nullable=False),
    sqlite_with_rowid=False,
)
Index("leases_annotator", leases.c.annotator)

answers = Table(
    "answers",
    _tables,
    Column("task", _Number, primary_key=True, autoincrement=False),
    Column("annotator", _Name, primary_key=True),
    Column("key", _Name, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("value", Text),
    Column("seconds", Float),
    Column("note", Text, nullable=False),
    Column("time", Float, nullable=False),
    Column("surplus", Boolean, nullable=False),
    Column("part", Integer),  # the part that took it; null = none yet
    UniqueConstraint("annotator", "key"),
    sqlite_with_rowid=False,
)
WAITING = and_(answers.c.part.is_(None), answers.c.verdict != literal_column("'skip'"))
"""What no part has taken."""
Index("answers_waiting", answers.c.task, sqlite_where=WAITING, postgresql_where=WAITING)
_TAKEN = answers.c.part.is_not(None)
Index("answers_part", answers.c.part, sqlite_where=_TAKEN, postgresql_where=_TAKEN)

seats = Table(
    "seats",  # an annotator at a question: counts, so that progress need not look at answers
    _tables,
    Column("question", Integer, primary_key=True, autoincrement=False),
    Column("annotator", _Name, primary_key=True),
    Column("cursor", _Number, nullable=False),  # all tasks up to this id have their votes, or one of this annotator
    *(Column(name, Integer, nullable=False) for name in COUNTS),
    sqlite_with_rowid=False,
)

annotators = Table(
    "annotators",
    _tables,
    Column("annotator", _Name, primary_key=True),
    Column("suspended", Text),  # why; null = is not
)

parts = Table(
    "parts",
    _tables,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("part", _Name, nullable=False, unique=True),
    Column("run", _Name, nullable=False),
    sqlite_autoincrement=True,
)

panels = Table("panels", _tables, Column("paused", _Name, primary_key=True))


@dataclass(frozen=True)
class Place:
    """Where an inbox lies, and the clock by which its leases run."""

    engine: Engine
    clock: Callable[[], float] | None

    @property
    def postgres(self) -> bool:
        """Whether it is a Postgres database."""
        return self.engine.dialect.name != "sqlite"

    def now(self, connection: Connection) -> float:
        """Return the time in seconds since 1970: the database's where several machines share it."""
        if self.clock is not None:
            return self.clock()
        if self.postgres:
            return float(connection.exec_driver_sql("select extract(epoch from clock_timestamp())").scalar_one())
        return time.time()

    def one_leaser(self, connection: Connection) -> None:
        """Let nobody else change leases until the transaction ends; SQLite has one writer anyway."""
        if self.postgres:
            connection.execute(text("select pg_advisory_xact_lock(hashtext('tilth.leases'))"))


def open_place(where: str | Path, clock: Callable[[], float] | None) -> Place:
    """Return the place, with its tables made where they are not there."""
    try:
        engine = connect(where, full=True)
    except Damaged as why:
        raise Damaged(f"{where} is no inbox: {why}") from why
    if engine.dialect.name != "sqlite":
        engine = engine.execution_options(schema_translate_map={None: _SCHEMA})
    with reading(engine) as connection:
        schema = None if engine.dialect.name == "sqlite" else _SCHEMA
        ready = "panels" in inspect(connection).get_table_names(schema=schema)
    if not ready:
        with writing(engine) as connection:
            if engine.dialect.name != "sqlite":
                # several may begin at once: the second waits here, then finds what the first has made
                connection.execute(text("select pg_advisory_xact_lock(hashtext('tilth.tables'))"))
                connection.execute(text(f"create schema if not exists {_SCHEMA}"))
            _tables.create_all(connection)
    return Place(engine, clock)


def insert(place: Place, table: Table) -> Any:
    """Return an insert that knows `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if place.postgres else sqlite.insert(table)


def within(column: Any, number: Any) -> Any:
    """Return the condition that a column of task ids is of the question of that number."""
    return and_(column >= number * SPAN, column < (number + 1) * SPAN)


def some(values: Sequence[Any], size: int = 5_000) -> Iterator[Sequence[Any]]:
    """Yield the values in pieces that fit the number of parameters that both databases allow a statement."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
