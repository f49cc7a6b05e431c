"""The tables of the journal, in an SQLite file or in the schema `tilth` of a Postgres database."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import (
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
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql.dml import Insert

from tilth.errors import Damaged, RunFailed
from tilth.sql import connect, reading, writing

__all__ = ["insert", "open_tables", "runs", "specs", "steps", "workers"]

_SCHEMA = "tilth"
"""On Postgres the tables stand in a schema of their own, beside whatever else is in the database."""

_tables = MetaData()

runs = Table(
    "runs",
    _tables,
    Column("project", String, primary_key=True, default=""),
    Column("run", String, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("spec", String, nullable=False),
    Column("branch", String, nullable=False, default="main"),
    Column("state", String, nullable=False),
    Column("why", Text, nullable=False, default=""),
    Column("source", Text, nullable=False, default=""),
    Column("ticket", Text),  # JSON of what a run that waits for people waits for, so that no process has to
    Column("asked", String),  # what is asked of it: pause, cancel; null once that was taken
    Column("holder", String),  # the worker that runs it
    Column("launch", Integer, nullable=False, default=0),  # how often an engine was told to run it
    Column("started", Float, nullable=False),
    Column("ended", Float),
)

steps = Table(
    "steps",
    _tables,
    # the order in which steps finished: a clock may be set back
    Column("number", Integer, primary_key=True),
    Column("project", String, nullable=False, default=""),
    Column("run", String, nullable=False),
    Column("key", String, nullable=False),
    Column("result", Text, nullable=False),
    Column("finished", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    UniqueConstraint("project", "run", "key"),
)

specs = Table(
    "specs",
    _tables,
    # by project too: a spec's hash leaves out where the dataset lies, its JSON does not
    Column("project", String, primary_key=True, default=""),
    Column("spec", String, primary_key=True),
    Column("json", Text, nullable=False),
)

workers = Table(
    "workers",
    _tables,
    Column("worker", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("place", String, nullable=False),  # machine and process namespace that the pid counts in
    Column("begun", Float, nullable=False),
    Column("seen", Float, nullable=False),  # its last sign of life, by the database's clock
    Column("lease", Float, nullable=False),  # seconds after that at which it is given up
)

Index("runs_held", runs.c.holder)


def open_tables(where: str | Path) -> Engine:
    """Return an engine on which the tables are there, made or brought up from those of an older Tilth."""
    try:
        engine = connect(where, full=False)
    except Damaged as why:
        raise Damaged(f"{where} is no journal: {why}. The datasets are intact, runs begin anew") from why
    if engine.dialect.name != "sqlite":
        engine = engine.execution_options(schema_translate_map={None: _SCHEMA})
    try:
        with reading(engine) as connection:
            ready = _columns(connection)
    except OperationalError as why:
        place = engine.url.render_as_string(hide_password=True)
        raise RunFailed(f"{place} does not answer ({why.orig}); is the server up, and the address right?") from why
    if not ready >= {c.name for c in runs.columns}:
        with writing(engine) as connection:
            _make(connection)
    return engine


def insert(engine: Engine, table: Table) -> Any:
    """Return an insert that knows `on_conflict_do_update`, which each database writes its own way."""
    made: Insert = sqlite.insert(table) if engine.dialect.name == "sqlite" else postgresql.insert(table)
    return made


def _columns(connection: Connection) -> set[str]:
    schema = None if connection.dialect.name == "sqlite" else _SCHEMA
    look = inspect(connection)
    # `workers` is made last: where it is, all are
    names = look.get_table_names(schema=schema)
    return {c["name"] for c in look.get_columns("runs", schema=schema)} if "workers" in names else set()


def _make(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        # several workers may begin at once: the second waits here, then finds what the first has made
        connection.execute(text("select pg_advisory_xact_lock(hashtext('tilth.tables'))"))
        connection.execute(text(f"create schema if not exists {_SCHEMA}"))
        _tables.create_all(connection)
        connection.execute(text(f"alter table {_SCHEMA}.runs add column if not exists ticket text"))
        return
    old = set(inspect(connection).get_table_names()) & {"runs", "steps", "specs"}
    there = {c["name"] for c in inspect(connection).get_columns("runs")} if "runs" in old else set[str]()
    if "project" in there:
        old = set()
        if "ticket" not in there:
            connection.execute(text("alter table runs add column ticket text"))
    for name in sorted(old):
        connection.execute(text(f"alter table {name} rename to old_{name}"))
    _tables.create_all(connection)
    if old:
        _bring_up(connection)
    for name in sorted(old):
        connection.execute(text(f"drop table old_{name}"))


def _bring_up(connection: Connection) -> None:
    """Copy what stands in the tables that had no project."""
    connection.execute(text("insert into specs (project, spec, json) select '', spec, json from old_specs"))
    connection.execute(
        text(
            "insert into runs (project, run, number, spec, branch, state, why, source, launch, started, ended) "
            "select '', run, number, spec, 'main', state, why, source, 0, started, ended from old_runs"
        )
    )
    connection.execute(
        text(
            "insert into steps (project, run, key, result, finished, seconds) "
            "select '', run, key, result, finished, seconds from old_steps order by finished, rowid"
        )
    )
    for spec, written in connection.execute(select(specs.c.spec, specs.c.json)).all():
        branch = json.loads(written)["dataset"]["branch"]
        connection.execute(runs.update().where(runs.c.spec == spec).values(branch=branch))
