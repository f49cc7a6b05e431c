"""The tables of the inbox, in an SQLite file or in the schema `tilth` of a Postgres database."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from tilth.errors import Damaged
from tilth.sql import connect, reading, writing

__all__ = [
    "MOST_TASKS",
    "RANK_BITS",
    "WANTS",
    "annotators",
    "answers",
    "chunks",
    "cursors",
    "leases",
    "open_tables",
    "parts",
    "paused",
    "questions",
    "returned",
    "tasks",
    "upsert",
]

_SCHEMA = "tilth"
"""On Postgres the tables stand in a schema of their own, beside whatever else is in the database."""

RANK_BITS = 27
"""A task's id is its question's number and its rank in one: ids sort as tasks are wanted, and JavaScript reads them."""

MOST_TASKS = 1 << RANK_BITS

_Big = BigInteger().with_variant(Integer, "sqlite")  # only an INTEGER is SQLite's own row number
_tables = MetaData()

questions = Table(
    "questions",
    _tables,
    Column("number", _Big, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("team", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("run", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("panel", Text, nullable=False),
    Column("guide", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("signal", Text),
    Column("votes", Integer, nullable=False),
    Column("form", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("why", Text, nullable=False, default=""),
    Column("opened", Float, nullable=False),
    # counted in the transaction of each answer, so that nobody has to count a million tasks
    Column("tasks", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("complete", Integer, nullable=False, default=0),
    Column("answers", Integer, nullable=False, default=0),
    Column("bad", Integer, nullable=False, default=0),
    Column("cannot_tell", Integer, nullable=False, default=0),
    Column("skipped", Integer, nullable=False, default=0),
    sqlite_autoincrement=True,  # a number is never given again: an old client's task ids must not mean other tasks
)

tasks = Table(
    "tasks",
    _tables,
    Column("task", _Big, primary_key=True, autoincrement=False),
    Column("question", _Big, nullable=False),
    Column("record", _Big, nullable=False),
    Column("key", Text, nullable=False),
    Column("score", Float),
    Column("suggestion", Text),
    Column("detail", Text),
    Column("gold", Text),
    Column("votes", Integer, nullable=False),
    Column("given", Integer, nullable=False, default=0),
    Column("held", Integer, nullable=False, default=0),  # leases, those that have run out too until they are swept
)
WANTS = text("tasks.given + tasks.held < tasks.votes")
"""The condition of the partial index below, in the words that both databases recognise."""
Index(
    "tasks_wanting",
    tasks.c.task,
    sqlite_where=text("given + held < votes"),
    postgresql_where=text("given + held < votes"),
)
Index("tasks_by_record", tasks.c.question, tasks.c.record)

leases = Table(
    "leases",
    _tables,
    Column("task", _Big, primary_key=True, autoincrement=False),
    Column("annotator", Text, primary_key=True),
    Column("question", _Big, nullable=False),
    Column("until", Float, nullable=False),
    Column("ttl", Float, nullable=False),
)
Index("leases_by_annotator", leases.c.annotator)
Index("leases_by_question", leases.c.question)

returned = Table(
    "returned",
    _tables,
    Column("number", _Big, primary_key=True),
    Column("question", _Big, nullable=False),
    Column("task", _Big, nullable=False),
)
Index("returned_by_question", returned.c.question, returned.c.number)

cursors = Table(
    "cursors",
    _tables,
    Column("annotator", Text, primary_key=True),
    Column("question", _Big, primary_key=True, autoincrement=False),
    Column("task", _Big, nullable=False),  # this annotator has passed all tasks before this one,
    Column("returned", _Big, nullable=False),  # and all that came back up to this number of `returned`
)

answers = Table(
    "answers",
    _tables,
    Column("number", _Big, primary_key=True),
    Column("task", _Big, nullable=False),
    Column("question", _Big, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("key", Text),
    Column("verdict", String, nullable=False),
    Column("value", Text),
    Column("seconds", Float),
    Column("note", Text, nullable=False),
    Column("time", Float, nullable=False),
    Column("part", Text),
    UniqueConstraint("annotator", "task"),
    UniqueConstraint("annotator", "key"),
)
Index("answers_by_part", answers.c.question, answers.c.part)
Index("answers_by_annotator", answers.c.annotator, answers.c.number)

parts = Table(
    "parts",
    _tables,
    # a part that took nothing has a row too: claimed again it must take nothing again
    Column("question", _Big, primary_key=True, autoincrement=False),
    Column("part", Text, primary_key=True),
)

annotators = Table(
    "annotators",
    _tables,
    Column("name", Text, primary_key=True),
    Column("answers", Integer, nullable=False, default=0),
    Column("gold", Integer, nullable=False, default=0),
    Column("gold_right", Integer, nullable=False, default=0),
    Column("suspended", Text, nullable=False, default=""),
)

paused = Table("paused_panels", _tables, Column("panel", Text, primary_key=True))


def open_tables(where: str | Path) -> Engine:
    """Return an engine on which the tables are there."""
    try:
        engine = connect(where, full=True)
    except Damaged as why:
        raise Damaged(f"{where} is no inbox: {why}. The datasets are intact; answers not yet taken are in it") from why
    schema = None
    if engine.dialect.name != "sqlite":
        schema = _SCHEMA
        engine = engine.execution_options(schema_translate_map={None: schema})
    with reading(engine) as connection:
        there = set(inspect(connection).get_table_names(schema=schema))
    if not there >= set(_tables.tables):
        with writing(engine) as connection:
            _make(connection)
    return engine


def _make(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        # several processes may begin at once: the second waits here, then finds what the first has made
        connection.execute(text("select pg_advisory_xact_lock(hashtext('tilth.tables'))"))
        connection.execute(text(f"create schema if not exists {_SCHEMA}"))
    _tables.create_all(connection)


def upsert(connection: Connection, table: Table) -> Any:
    """Return an insert that knows `on_conflict_do_...`, which each database writes its own way."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


T = TypeVar("T")


def chunks(items: Iterable[T], size: int = 1000) -> Iterator[list[T]]:
    """Yield the items in lists short enough for one `in (...)`.

    >>> list(chunks("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    every = list(items)
    for i in range(0, len(every), size):
        yield every[i : i + size]
