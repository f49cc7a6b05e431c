"""Sources that are files: a folder to which Parquet files are added, a CSV file to which lines are added."""

import csv
import io
import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from tilth.errors import DataError, UsageError

__all__ = ["GrowingCsv", "ParquetFolder"]

_TAIL = 256
"""Bytes before the cursor that must be what they were: a file that was written anew differs in them."""
_LONGEST = 2**24
"""Bytes at which a line without an end is no line any more: a quote was opened and never closed."""

_AGAIN = "Put back what was there, or give the source another name= to read it from the beginning as a new one"


class _Place:
    """A path, and the name under which its cursor is kept: its last part, unless another is given.

    A relative path is taken from where the process was started; `Path(__file__).parent / "in"` is the same everywhere.
    """

    def __init__(self, path: str | Path, *, name: str = "") -> None:
        self.path = Path(path).expanduser()
        self._name = name or self.path.resolve().name
        if not self._name:
            raise UsageError(f"{type(self).__name__}({str(path)!r}): it has no name of its own; give name=")

    @property
    def name(self) -> str:
        """Its name in the history."""
        return self._name

    @property
    def spec(self) -> Mapping[str, Any]:
        """Where it lies, as it was written, as JSON."""
        kind = type(self)
        return {"source": f"{kind.__module__}:{kind.__name__}", "path": str(self.path), "name": self._name}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Any:
        """Rebuild it from JSON."""
        return cls(spec["path"], name=spec["name"])

    def __repr__(self) -> str:
        named = f", name={json.dumps(self._name)}" if self._name != self.path.resolve().name else ""
        return f"{type(self).__name__}({json.dumps(str(self.path))}{named})"

    def __hash__(self) -> int:
        return hash(repr(self))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and repr(other) == repr(self)

    def _backward(self, what: str) -> DataError:
        return DataError(f"{self!r} went backward: {what}. {_AGAIN}", [(self._name, 0, what)])


class ParquetFolder(_Place):
    """A folder to which Parquet files are added: they are read in the order of their names, each row once.

    >>> import tempfile
    >>> import pyarrow.parquet as pq
    >>> folder = Path(tempfile.mkdtemp()) / "orders"
    >>> folder.mkdir()
    >>> pq.write_table(pa.table({"x": [1, 2, 3]}), folder / "monday.parquet")
    >>> rows, cursor = ParquetFolder(folder).read(None, 2)
    >>> rows["x"].to_pylist(), cursor
    ([1, 2], ['monday.parquet', 2, 3])

    Write each file under another name first (beginning with "." or "_", or without `.parquet`) and rename it when it is
    whole. New files must sort behind those that were read: call them by date or number. Files that were read to their
    end may be deleted. Cursor: the file, how many of its rows were read, how many it has. DataError where the folder is
    not there, a file is no Parquet, and where the source went backward: the file of the cursor is gone before its end
    or has another number of rows.
    """

    def read(self, cursor: Any, limit: int) -> tuple[pa.Table, Any]:
        """Return up to `limit` rows of the first file that has unread ones."""
        if not self.path.is_dir():
            raise DataError(f"{self!r}: there is no such folder; make it, or mend the path")
        files = sorted(
            p.name
            for p in self.path.iterdir()
            if p.suffix.lower() == ".parquet" and p.name[0] not in "._" and p.is_file()
        )
        name, row, rows = (str(cursor[0]), int(cursor[1]), int(cursor[2])) if cursor else ("", 0, 0)
        if row < rows:
            if name not in files:
                raise self._backward(f"{name} is gone, of which {row:,} of {rows:,} rows were read")
            table, has = self._rows(name, row, limit)
            if has != rows:
                raise self._backward(f"{name} had {rows:,} rows and has {has:,} now")
            return table, [name, row + table.num_rows, rows]
        for file in (f for f in files if f > name):
            table, has = self._rows(file, 0, limit)
            if has:
                return table, [file, table.num_rows, has]
        return pa.table({}), cursor

    def _rows(self, name: str, start: int, limit: int) -> tuple[pa.Table, int]:
        """Return rows of a file, and how many it has in all; only the groups that hold them are read."""
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.path / name) as file:
                has, at = file.metadata.num_rows, 0
                parts: list[pa.Table] = []
                for group in range(file.num_row_groups):
                    n = file.metadata.row_group(group).num_rows
                    if at < start + limit and at + n > start:
                        whole = file.read_row_group(group)
                        first = max(start - at, 0)
                        parts.append(whole.slice(first, min(n, start + limit - at) - first))
                    at += n
                return (pa.concat_tables(parts) if parts else pa.table({})), has
        except pa.ArrowException as why:
            short = str(why).partition("\n")[0]
            hint = "a file is written under another name first, and renamed when it is whole"
            raise DataError(
                f"{self!r}: {name} cannot be read as Parquet ({short}); {hint}", [(name, 0, short)]
            ) from why


class GrowingCsv(_Place):
    r"""A CSV file with a header to whose end lines are added; a line without its line end is not read yet.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "orders.csv"
    >>> _ = file.write_text("x,kind\n1,cat\n2,d", encoding="utf-8")
    >>> rows, cursor = GrowingCsv(file).read(None, 10)
    >>> rows.to_pylist(), cursor["byte"]
    ([{'x': '1', 'kind': 'cat'}], 13)

    Fields are between commas, quotes (") may enclose them, line ends included; UTF-8. All columns come as text: the
    dataset knows which are numbers. Cursor: the byte behind the last line read, with marks of the header and of the
    bytes before it. A line with more or fewer fields than the header comes as `unreadable`. DataError where there is no
    file or no header, and where the source went backward: the file is shorter than what was read of it, or its header
    or the lines before the cursor are others (a log that was rotated).
    """

    def read(self, cursor: Any, limit: int) -> tuple[pa.Table, Any]:
        """Return up to `limit` whole lines behind the cursor."""
        if not self.path.is_file():
            raise DataError(f"{self!r}: there is no such file; mend the path, or wait until it is written")
        with self.path.open("rb") as file:
            head = _line(file, self)
            if head is None:
                raise DataError(f"{self!r}: it has no header yet: a first line with the names of the columns")
            header = next(csv.reader(io.StringIO(_decoded(head) or "", newline="")), [])
            if not all(header) or len(set(header)) < len(header) or _decoded(head) is None:
                raise DataError(
                    f"{self!r}: its header is {head[:80]!r}; every column needs a name of its own, in UTF-8"
                )
            if cursor is None:
                at = len(head)
            else:
                at = int(cursor["byte"])
                self._compare(file, cursor, head)
            file.seek(at)
            lines: list[bytes] = []
            while len(lines) < limit and (line := _line(file, self)) is not None:
                at += len(line)
                if line.strip():
                    lines.append(line)
            if not lines:
                return pa.table({}), cursor
            return _table(header, lines), {"byte": at, "head": _mark(head), "tail": _mark(self._tail(file, at))}

    def _compare(self, file: BinaryIO, cursor: Mapping[str, Any], head: bytes) -> None:
        size, at = file.seek(0, io.SEEK_END), int(cursor["byte"])
        if size < at:
            raise self._backward(f"it has {size:,} bytes, and {at:,} were read before")
        if cursor["head"] != _mark(head):
            raise self._backward(f"its header is another one now: {head[:80].decode(errors='replace').strip()}")
        if cursor["tail"] != _mark(self._tail(file, at)):
            raise self._backward(f"the lines before byte {at:,} are not those that were read")

    @staticmethod
    def _tail(file: BinaryIO, at: int) -> bytes:
        file.seek(max(at - _TAIL, 0))
        return file.read(min(at, _TAIL))


def _line(file: BinaryIO, source: GrowingCsv) -> bytes | None:
    """Return the next line, with those that a quoted field holds; None where it is not whole yet."""
    line = b""
    while True:
        more = file.readline(_LONGEST)
        line += more
        if len(line) >= _LONGEST:
            raise DataError(
                f"{source!r}: a line at byte {file.tell() - len(line):,} goes on for {len(line):,} bytes; a quote that "
                "is opened there is never closed"
            )
        if not more.endswith(b"\n"):
            return None
        if line.count(b'"') % 2 == 0:
            return line


def _table(header: list[str], lines: list[bytes]) -> pa.Table:
    cells: list[list[str]] = []
    wrong: list[str | None] = []
    blank = [""] * len(header)
    for line in lines:
        text = _decoded(line)
        row = [] if text is None else next(csv.reader(io.StringIO(text, newline="")))
        fits = len(row) == len(header)
        said = "not valid UTF-8" if text is None else f"{len(row)} fields, the header has {len(header)}"
        cells.append(row if fits else blank)
        wrong.append(None if fits else said)
    columns = {name: pa.array([row[i] for row in cells], pa.large_string()) for i, name in enumerate(header)}
    if any(wrong):
        columns["unreadable"] = pa.array(wrong, pa.large_string())
    return pa.table(columns)


def _decoded(line: bytes) -> str | None:
    try:
        return line.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None


def _mark(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()
