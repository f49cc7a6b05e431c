"""A source that is a query: rows of a database in the order of a column that only rises."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from tilth.errors import DataError, UsageError
from tilth.sql import connect, is_postgres

__all__ = ["SqlQuery"]


class SqlQuery:
    """The rows of a query on an SQLite file or a Postgres database, by a column that only rises, such as an id.

    >>> import sqlite3, tempfile
    >>> file = Path(tempfile.mkdtemp()) / "shop.sqlite"
    >>> with sqlite3.connect(file) as shop:
    ...     _ = shop.execute("create table orders (id integer primary key, price real)")
    ...     _ = shop.executemany("insert into orders (price) values (?)", [(9.5,), (20.0,), (3.0,)])
    >>> shop.close()
    >>> rows, cursor = SqlQuery(file, "select id, price from orders", by="id").read(None, 2)
    >>> rows["price"].to_pylist(), cursor
    ([9.5, 20.0], 2)

    `where`: the file, which is opened read-only, or postgresql://user@host/database, without a password (use PGPASSWORD
    or ~/.pgpass: what describes a source is stored with the run). `by`: a column of the query, of whole numbers or
    texts, with another value in every row; rows without one are never read, nor a row that appears later with a lower
    value. That happens with Postgres, where a transaction that takes an id early may end late, and nothing tells: let
    the query give out only rows before which none can appear (docs/how-to/watch-a-stream.md has one). SQLite has one
    writer at a time; `autoincrement` keeps it from giving the id of a deleted row again. Cursor: the last value read.
    DataError where the query fails or a value comes twice, and where the source went backward: there are rows, and all
    are before the cursor. OSError where the database cannot be reached.
    """

    def __init__(self, where: str | Path, query: str, *, by: str, name: str = "") -> None:
        self.where, self.query, self.by = str(where), query.strip().rstrip(";"), by
        if is_postgres(self.where):
            try:
                url = make_url(self.where)
            except ArgumentError as why:
                raise UsageError(f"SqlQuery: not the URL of a database ({why})") from why
            if url.password is not None:
                shown = url.render_as_string(hide_password=True)
                raise UsageError(
                    f"SqlQuery({shown!r}): the password would be stored with the run; leave it out and set PGPASSWORD, "
                    "or keep it in ~/.pgpass"
                )
            own = str(url.database)
        elif "://" in self.where:
            raise UsageError(
                f"SqlQuery({self.where!r}): the path of an SQLite file, or postgresql://user@host/database"
            )
        else:
            self.where = str(Path(where).expanduser())
            own = Path(where).name
        self._name = name or own
        self._named = self._name != own
        if not self.query.lower().startswith(("select", "with")):
            raise UsageError(f"SqlQuery(query={query!r}): what a query begins with is select or with")

    @property
    def name(self) -> str:
        """Its name in the history: that of the database, unless another was given."""
        return self._name

    @property
    def spec(self) -> Mapping[str, Any]:
        """Where and what it asks, as JSON."""
        kind = f"{__name__}:SqlQuery"
        return {"source": kind, "where": self.where, "query": self.query, "by": self.by, "name": self._name}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "SqlQuery":
        """Rebuild it from JSON."""
        return cls(spec["where"], spec["query"], by=spec["by"], name=spec["name"])

    def read(self, cursor: Any, limit: int) -> tuple[pa.Table, Any]:
        """Return up to `limit` rows behind the cursor, in the order of `by`."""
        quoted = '"' + self.by.replace('"', '""') + '"'
        behind = f"{quoted} > :cursor" if cursor is not None else f"{quoted} is not null"
        given: dict[str, Any] = {"limit": limit + 1} | ({"cursor": cursor} if cursor is not None else {})
        engine = self._engine()
        try:
            with engine.connect() as connection:
                # The text of the query is the user's own program, as are the conditions of their rules.
                ask = f"select * from ({self.query}) as source where {behind} order by {quoted} limit :limit"  # noqa: S608
                found = connection.execute(text(ask), given)
                names, rows = list(found.keys()), [tuple(row) for row in found]
                if not rows:
                    if cursor is not None:
                        self._last(connection, quoted, cursor)
                    return pa.table({}), cursor
        except OperationalError as why:
            if is_postgres(self.where) or not self._asks_amiss(why):
                raise OSError(f"{self!r} cannot be reached ({_short(why)}); try again when it is there") from why
            raise DataError(f"{self!r}: the query fails ({_short(why)}); mend it") from why
        except SQLAlchemyError as why:
            raise DataError(f"{self!r}: the query fails ({_short(why)}); mend it") from why
        finally:
            engine.dispose()
        return self._table(names, rows, limit)

    def _engine(self) -> Engine:
        if is_postgres(self.where):
            return connect(self.where, full=True)
        if not Path(self.where).is_file():
            raise DataError(f"{self!r}: there is no such file; mend the path")
        place = f"file:{quote(str(Path(self.where).absolute()))}?mode=ro"
        return create_engine("sqlite+pysqlite://", creator=lambda: sqlite3.connect(place, uri=True, timeout=30.0))

    @staticmethod
    def _asks_amiss(why: OperationalError) -> bool:
        """Whether SQLite, which has one error for both, complains of the query and not of the file."""
        return any(said in str(why.orig) for said in ("no such", "syntax error", "ambiguous"))

    def _last(self, connection: Any, quoted: str, cursor: Any) -> None:
        ask = f"select max({quoted}) from ({self.query}) as source"  # noqa: S608  the user's own query
        last = connection.execute(text(ask)).scalar()
        if last is not None and last < cursor:
            what = f"the last {self.by} is {last!r}, and {cursor!r} was read before"
            again = "Put back what was there, or give another name= to read it from the beginning as a new source"
            raise DataError(f"{self!r} went backward: {what}. {again}", [(self._name, 0, what)])

    def _table(self, names: Sequence[str], rows: list[tuple[Any, ...]], limit: int) -> tuple[pa.Table, Any]:
        at = names.index(self.by)
        order = [row[at] for row in rows]
        odd = next((v for v in order if isinstance(v, bool) or not isinstance(v, (int, str))), None)
        if odd is not None:
            raise DataError(
                f"{self!r}: {self.by} holds {odd!r} ({type(odd).__name__}); it takes whole numbers or texts"
            )
        twice = next((a for a, b in pairwise(order) if a == b), None)
        if twice is not None:
            raise DataError(f"{self!r}: {twice!r} is the {self.by} of several rows; order by a column where all differ")
        rows = rows[:limit]  # one more was asked for, to see whether its value is another
        columns = {n: [_plain(row[i]) for row in rows] for i, n in enumerate(names)}
        try:
            return pa.table(columns), order[len(rows) - 1]
        except (pa.ArrowInvalid, pa.ArrowTypeError) as why:
            raise DataError(f"{self!r}: its rows are no columns: {why}") from why

    def __repr__(self) -> str:
        query, by, name = (json.dumps(text, ensure_ascii=False) for text in (self.query, self.by, self._name))
        return f"SqlQuery({json.dumps(self.where)}, {query}, by={by}{f', name={name}' if self._named else ''})"

    def __hash__(self) -> int:
        return hash(repr(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SqlQuery) and dict(other.spec) == dict(self.spec)


def _plain(cell: Any) -> Any:
    return float(cell) if isinstance(cell, Decimal) else cell


def _short(why: SQLAlchemyError) -> str:
    told = why.orig if isinstance(why, DBAPIError) else why
    return str(told).strip().partition("\n")[0]
