"""Where a durable engine keeps what it knows, and what it calls a project."""

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tilth.errors import UsageError
from tilth.sql import is_postgres

__all__ = ["database_of", "project_of"]


def database_of(engine: str) -> str | Path:
    """Return the database of an engine, as the journal opens it: a Postgres URL, or the file of an SQLite URL.

    >>> database_of("postgresql://localhost/tilth"), database_of("sqlite:///runs/engine.sqlite").as_posix()
    ('postgresql://localhost/tilth', 'runs/engine.sqlite')
    >>> database_of("mysql://localhost/tilth")
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: engine 'mysql://localhost/tilth': postgresql://user@host/database, or sqlite:///file
    """
    if is_postgres(engine):
        return engine
    try:
        url = make_url(engine)
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise UsageError(f"engine {engine!r}: postgresql://user@host/database, or sqlite:///file")
    return Path(url.database)


def project_of(dataset: Path) -> str:
    """Return the name of a dataset's project within an engine: its path, the same on every machine that works on it."""
    return str(dataset.resolve())
