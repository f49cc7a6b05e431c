"""The databases that people and runs write to: an SQLite file, or Postgres by its URL; one way to reach both."""

import shutil
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.dml import Insert

from tilth.errors import Busy, Damaged, MissingExtra, UsageError

__all__ = ["Alone", "connect", "is_postgres", "reading", "shut", "writing"]

_READS = "tilth_reads"


def is_postgres(where: str | Path) -> bool:
    """Whether `where` is the URL of a Postgres database.

    >>> is_postgres("postgresql://localhost/tilth"), is_postgres(Path("runs/inbox.sqlite"))
    (True, False)
    """
    return str(where).startswith(("postgresql://", "postgres://", "postgresql+psycopg://"))


def connect(where: str | Path, *, full: bool) -> Engine:
    """Return an engine for an SQLite file (made where it is not there) or a Postgres URL.

    `full=True`: what is committed survives a power cut (SQLite's synchronous=FULL); `full=False` survives the end of
    the process (NORMAL; the write-ahead log is forced at checkpoints only). Postgres is always full. UsageError for a
    URL of another database, MissingExtra where Postgres' driver is not installed, Damaged where a file is no database.
    """
    if is_postgres(where):
        return _postgres(str(where))
    if "://" in str(where):
        raise UsageError(f"{where}: the path of an SQLite file, or postgresql://user@host/database")
    path = Path(where)
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(f"sqlite+pysqlite:///{path}", connect_args={"timeout": 30.0, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]  (SQLAlchemy calls it)
        connection.isolation_level = None  # the driver begins no transactions of its own: `begin` below does
        connection.execute("pragma journal_mode=WAL")
        connection.execute(f"pragma synchronous={'FULL' if full else 'NORMAL'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        # IMMEDIATE: a transaction that read first and then writes would fail at once where another writer came between
        reads = connection.get_execution_options().get(_READS)
        connection.exec_driver_sql("begin" if reads else "begin immediate")

    try:
        with engine.connect():
            pass
    except DatabaseError as why:
        if isinstance(why, OperationalError):  # a full disk, a file that may not be written: the file itself is sound
            free = (
                "the disk is full: make room"
                if not shutil.disk_usage(path.parent).free
                else "see that it can be written"
            )
            raise OSError(f"{path} cannot be opened ({why.orig}); {free}, then try again") from why
        raise Damaged(f"{path} is not a database ({why.orig}); move it away, or restore it from a backup") from why
    return engine


def _postgres(url: str) -> Engine:
    try:
        import psycopg as _  # noqa: F401  only whether it is there
    except ImportError as why:
        raise MissingExtra("a Postgres database", "psycopg", extra="postgres") from why
    try:
        return create_engine(make_url(url).set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ArgumentError as why:
        raise UsageError(f"not the URL of a database ({why}); write postgresql://user@host/database") from why


def shut(engine: Engine) -> None:
    """Close the connections of an engine; one with which a thread is at work still, when it gives that back."""
    event.listen(engine.pool, "checkin", _close)
    engine.dispose()


def _close(_: Any, record: Any) -> None:
    record.invalidate()


@contextmanager
def writing(engine: Engine) -> Generator[Connection]:
    """Yield a connection in a transaction that is committed at the end, and rolled back by an exception.

    Busy where another writer holds an SQLite file for longer than half a minute.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as why:
        if "locked" in str(why.orig):
            raise _busy(engine) from why
        raise


def _busy(engine: Engine) -> Busy:
    return Busy(f"{engine.url.database} is locked by another process; wait for it, then try again")


class Alone:
    """An insert with values of these names, each time in a transaction of its own.

    On SQLite by the driver, for which one statement is a transaction, on a connection that is kept until `close`: what
    stands around it took 0.5 ms after each step of a run, when nothing of it is in the processor's cache any more, and
    to fetch the connection from the pool half of the 0.2 that were left.
    """

    def __init__(self, engine: Engine, statement: Insert, names: Sequence[str]) -> None:
        self._engine = engine
        self._statement = statement
        self._kept: PoolProxiedConnection | None = None
        compiled = statement.compile(engine, column_keys=list(names))
        self._text, self._order = str(compiled), compiled.positiontup or ()

    def __call__(self, values: Mapping[str, Any]) -> None:
        """Execute it; Busy where another writer holds an SQLite file for longer than half a minute."""
        if self._engine.dialect.name != "sqlite":
            with writing(self._engine) as connection:
                connection.execute(self._statement, dict(values))
            return
        if self._kept is None:
            self._kept = self._engine.raw_connection()
        try:
            self._kept.cursor().execute(self._text, [values[name] for name in self._order])
        except sqlite3.OperationalError as why:
            raise _busy(self._engine) if "locked" in str(why) else OperationalError(self._text, None, why) from why

    def close(self) -> None:
        """Give the connection back; the next call takes one anew."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


@contextmanager
def reading(engine: Engine) -> Generator[Connection]:
    """Yield a connection that sees one state of the database and writes nothing."""
    with engine.connect().execution_options(**{_READS: True}) as connection, connection.begin():
        yield connection
