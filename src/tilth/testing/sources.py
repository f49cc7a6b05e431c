"""The exam for sources: does it give each row once, whatever is asked for in what portions?"""

import json
from typing import Any

import pyarrow as pa

from tilth.algebra import from_json, to_json
from tilth.protocols import Source
from tilth.testing.promise import promise

__all__ = ["check_source"]

PORTIONS = (1, 3, 7, 1000)


def check_source(source: Source, *, most: int = 50) -> None:
    """Examine a source that has rows now; an AssertionError says in a sentence which promise is broken.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import pyarrow.parquet as pq
    >>> from tilth.sources import ParquetFolder
    >>> folder = Path(tempfile.mkdtemp())
    >>> pq.write_table(pa.table({"x": [1, 2, 3]}), folder / "monday.parquet")
    >>> check_source(ParquetFolder(folder))

    It must have a name, come back from JSON as it was, give at most as many rows as are asked for, give the same for
    the same cursor however often it is asked, give the same rows in whatever portions it is read (the first `most` are
    tried), keep a cursor that JSON can hold, and give nothing, and the same cursor, behind its last row.
    """
    promise(isinstance(source, Source), f"{source!r} is no Source: it lacks name, spec or read(cursor, limit)")
    promise(isinstance(source.name, str) and source.name, f"{source!r} has no name, under which its cursor is kept")
    again: Any = from_json(json.loads(json.dumps(to_json(source))))
    promise(
        dict(again.spec) == dict(source.spec) and again.name == source.name,
        f"{source!r} came back from JSON as {again!r}; its spec leaves something out",
    )
    first, cursor = _read(source, None, 1)
    promise(first, f"{source!r} has no rows now; the exam needs some")
    promise(
        _read(source, None, 1) == _read(again, None, 1) == (first, cursor),
        f"{source!r} gives something else for the same cursor when it is asked again; read must be pure in the cursor",
    )
    found: dict[int, list[Any]] = {}
    for portion in PORTIONS:
        found[portion] = _rows(source if portion > 1 else again, portion, most)
        same = found[portion] == found[PORTIONS[0]]
        promise(same, f"{source!r} gives other rows, or another order, in portions of {portion} than one by one")
    if len(found[1]) < most:
        end = _end(source)
        rows, after = _read(source, end, 5)
        promise(not rows and after == end, f"{source!r} gave rows, or another cursor, behind its last row")


def _rows(source: Source, portion: int, most: int) -> list[Any]:
    out: list[Any] = []
    cursor: Any = None
    while len(out) < most:
        rows, cursor = _read(source, cursor, portion)
        if not rows:
            break
        out += rows
    return out[:most]


def _end(source: Source) -> Any:
    cursor: Any = None
    while True:
        rows, after = _read(source, cursor, 1000)
        if not rows:
            return cursor
        cursor = after


def _read(source: Source, cursor: Any, limit: int) -> tuple[list[Any], Any]:
    table, after = source.read(cursor, limit)
    promise(isinstance(table, pa.Table), f"{source!r} returned {type(table).__name__} first; it is a pyarrow Table")
    promise(table.num_rows <= limit, f"{source!r} gave {table.num_rows} rows where at most {limit} were asked for")
    try:
        told = json.loads(json.dumps(after))
    except (TypeError, ValueError) as why:
        raise AssertionError(f"{source!r} has a cursor that JSON cannot hold: {after!r} ({why})") from why
    promise(told == after, f"{source!r} has the cursor {after!r}, which comes back from JSON as {told!r}")
    if table.num_rows:
        promise(after != cursor, f"{source!r} gave rows and the same cursor again: they would come twice")
    return table.to_pylist(), after
