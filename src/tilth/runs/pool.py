"""The connections that DBOS works with, set up for the load of runs and closed for good at the end."""

import contextlib
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url

from tilth.sql import shut

__all__ = ["open_pool", "shut_pool"]


def open_pool(database: str | Path) -> tuple[Engine, list[Any]]:
    """Return the connections that DBOS works with, and a list of all that are opened."""
    opened: list[Any] = []
    if isinstance(database, str):
        url = make_url(database).set(drivername="postgresql+psycopg")
        engine = create_engine(url, pool_size=5, max_overflow=5, pool_pre_ping=True)

        @event.listens_for(engine, "connect")
        def note(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]  (SQLAlchemy calls it)
            opened.append(connection)

        return engine, opened
    engine = create_engine(f"sqlite+pysqlite:///{database}", connect_args={"timeout": 30.0})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]  (SQLAlchemy calls it)
        # DBOS' own settings cost ten times as much a write: its file is in rollback mode, forced at each commit
        connection.isolation_level = "IMMEDIATE"
        connection.execute("pragma journal_mode=WAL")
        connection.execute("pragma synchronous=NORMAL")
        connection.execute("pragma foreign_keys=ON")

    return engine, opened


def shut_pool(engine: Engine, opened: list[Any]) -> None:
    """Close the connections, those too that a thread of DBOS held when it was told to end."""
    shut(engine)
    for connection in opened:
        with contextlib.suppress(Exception):
            connection.close()
