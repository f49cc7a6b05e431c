"""Fields between commas or tabs: Arrow reads the file; where a row is faulty, the file is sifted first."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tilth.dataset.readers.lines import read_bytes
from tilth.dataset.readers.problems import Place, refuse
from tilth.dataset.readers.raw import Lines, Lost, Raw, Request, Roles, choose, is_unicode
from tilth.errors import DataError

__all__ = ["read_delimited"]


_OPEN = "a quote is opened here and never closed, so that the rest of the file is one field"


@dataclass(frozen=True)
class _Sifted:
    """The good rows of a file written anew, the line each starts on, its number among all rows, and the others."""

    clean: bytes
    starts: list[int]
    numbers: list[int]
    lost: list[Lost]


def read_delimited(path: Path, request: Request, delimiter: str) -> Raw:
    """Read a `.csv` (comma) or `.tsv` (tab) file with a header; quotes (") may enclose fields, line ends included.

    Types are inferred, except for key, label and split and what `kinds` calls text: those keep their characters
    ("007"). An empty field is null for numbers, no label for a label and an empty text for texts.
    """
    name, data = str(path), read_bytes(path)
    header = _header(data, name, delimiter)
    try:
        roles = choose(header, request, name)
    except DataError as error:
        other = next((mark for mark in ";\t,|" if len(header) == 1 and mark in header[0]), None)
        if other is not None:
            raise refuse(
                name, f"its header is one field and holds {other!r}; separate the fields by {delimiter!r}"
            ) from error
        raise
    texts = [n for n in roles.features if _is_told_text(n, request)]
    texts += [n for n in (roles.key, roles.label, roles.split) if n is not None]
    try:
        table = _parse(data, delimiter, roles, texts)
        # A quote that is never closed swallows rows without any other sign.
        sifted = _sift(data, name, delimiter, len(header)) if data.count(b'"') % 2 else None
    except pa.ArrowException:
        table, sifted = None, _sift(data, name, delimiter, len(header))
    try:
        if table is None or (sifted is not None and sifted.lost):
            table = _parse(sifted.clean if sifted is not None else data, delimiter, roles, texts)
    except pa.ArrowException as error:
        raise refuse(name, f"cannot be read ({error})") from error
    lost = [] if sifted is None else sifted.lost
    if len(table) == 0 and not lost:
        raise refuse(name, "has a header and no rows")
    where = Lines(name, lambda: (sifted or _sift(data, name, delimiter, len(header))).starts)
    numbers = None if sifted is None else np.asarray(sifted.numbers, dtype=np.int64)
    return Raw(name, table, roles, where, lost=lost, numbers=numbers, untyped=True)


def _is_told_text(name: str, request: Request) -> bool:
    return (request.schema.column(name).kind if request.schema else request.kinds.get(name)) == "text"


def _text(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="surrogateescape", newline="")


def _header(data: bytes, name: str, delimiter: str) -> list[str]:
    try:
        header = next(row for row in csv.reader(_text(data), delimiter=delimiter) if row)
    except csv.Error as error:
        raise refuse(name, f"the header, line 1, cannot be read ({error})") from error
    if not all(map(is_unicode, header)):
        raise refuse(name, "the header, line 1, is not valid UTF-8; save the file as UTF-8")
    return header


def _parse(data: bytes, delimiter: str, roles: Roles, texts: Sequence[str]) -> pa.Table:
    """Return the needed columns; ArrowException where some row has a fault."""
    import pyarrow.csv as pc

    table = pc.read_csv(
        pa.BufferReader(data),
        parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            include_columns=roles.needed, column_types={text: pa.large_string() for text in texts}
        ),
    )
    if any(pa.types.is_binary(field.type) for field in table.schema):
        raise pa.ArrowInvalid("not valid UTF-8")  # Arrow makes bytes of such a column, without a word
    return table


def _sift(data: bytes, name: str, delimiter: str, width: int) -> _Sifted:
    """Read every row by itself, keep the good and say what is wrong with the others."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    sifted = _Sifted(b"", [], [], [])
    limit = csv.field_size_limit(2**31 - 1)  # the default, 128 KiB, is shorter than many a text
    try:
        for number, (start, end, row, last) in enumerate(_rows(data, delimiter), start=-1):  # the header is number -1
            reason = _fault(row, width, start, end) if not last or _is_closed(data, start, delimiter) else _OPEN
            if reason is not None:
                sifted.lost.append((Place(name, start, "line"), None, reason))
                continue
            writer.writerow(row)
            if number >= 0:
                sifted.starts.append(start)
                sifted.numbers.append(number)
    except csv.Error as error:
        raise refuse(name, f"cannot be read as rows of fields ({error})") from error
    finally:
        csv.field_size_limit(limit)
    return replace(sifted, clean=out.getvalue().encode())


def _rows(data: bytes, delimiter: str) -> Iterator[tuple[int, int, list[str], bool]]:
    """Yield the rows that are not blank: first line, last line, fields, and whether it is the last row of the file."""
    rows = csv.reader(_text(data), delimiter=delimiter)
    start, held = 1, None
    for row in rows:
        if row:
            if held is not None:
                yield (*held, False)
            held = (start, rows.line_num, row)
        start = rows.line_num + 1
    if held is not None:
        yield (*held, True)


def _fault(row: Sequence[str], width: int, start: int, end: int) -> str | None:
    if len(row) != width:
        spans = f" (a quote that is opened here ends on line {end})" if end > start else ""
        return f"{len(row)} fields, the header has {width}{spans}"
    return None if all(map(is_unicode, row)) else "not valid UTF-8; save the file as UTF-8"


def _is_closed(data: bytes, start: int, delimiter: str) -> bool:
    """Tell whether the last row, which begins on line `start`, does not end inside of quotes."""
    try:
        list(csv.reader(list(_text(data))[start - 1 :], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end of data" not in str(error)
    return True
