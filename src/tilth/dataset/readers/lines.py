"""Text files of a record a line: JSON objects, or plain texts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.dataset.readers.memory import array_of
from tilth.dataset.readers.problems import Place, refuse
from tilth.dataset.readers.raw import Lines, Lost, Raw, Request, Roles, choose

__all__ = ["read_bytes", "read_json_lines", "read_text_lines"]

_BOM = b"\xef\xbb\xbf"


def read_bytes(path: Path) -> bytes:
    """Return what a file holds, without a byte order mark; DataError where that is nothing or it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refuse(str(path), f"cannot be read ({error.strerror})") from error
    data = data.removeprefix(_BOM)
    if not data.strip():
        raise refuse(str(path), "the file is empty")
    return data


def read_text_lines(path: Path, request: Request) -> Raw:
    """Read a text a line into the column "text"; blank lines are no records."""
    name = str(path)
    roles = choose(["text"], request, name)
    starts, texts, lost = _decoded(read_bytes(path), name)
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    return Raw(name, table, roles, Lines(name, lambda: starts), lost=lost, numbers=_numbers(starts, lost))


def read_json_lines(path: Path, request: Request) -> Raw:
    """Read a JSON object a line; a field that is not there is null.

    Arrow's own reader takes files without any fault (about ten times as fast); where it stops, each line is read by
    itself.
    """
    name, data = str(path), read_bytes(path)
    table = _fast(data)
    if table is not None:
        roles = choose(table.column_names, request, name)
        return Raw(name, table.select(roles.needed), roles, Lines(name, lambda: [n for n, _ in _lines(data)]))
    starts, texts, lost = _decoded(data, name)
    good: list[int] = []
    objects: list[dict[str, Any]] = []
    for start, text in zip(starts, texts, strict=True):
        found = _object(text)
        if isinstance(found, str):
            lost.append((Place(name, start, "line"), None, found))
        else:
            good.append(start)
            objects.append(found)
    columns = list(dict.fromkeys(field for found in objects for field in found))
    if not objects:
        raise refuse(name, f"no line is a JSON object; line {lost[0][0].row}: {lost[0][2]}")
    return _from_objects(objects, choose(columns, request, name), name, good, lost)


def _from_objects(objects: list[dict[str, Any]], roles: Roles, name: str, starts: list[int], lost: list[Lost]) -> Raw:
    arrays: dict[str, pa.Array] = {}
    faults: dict[int, str] = {}
    for column in roles.needed:
        arrays[column], wrong = array_of([found.get(column) for found in objects], column, name)
        faults = wrong | faults
    where = Lines(name, lambda: starts)
    return Raw(name, pa.table(arrays), roles, where, faults=faults, lost=lost, numbers=_numbers(starts, lost))


def _fast(data: bytes) -> pa.Table | None:
    """Return the table as Arrow reads it, or None where it stumbles or found something else than a row a line."""
    import pyarrow.json as pj

    try:
        table = pj.read_json(pa.BufferReader(data))
        # Texts that look like times become times: only there are the types told, and the file is read again.
        if any(told := [_untimed(f.type) != f.type for f in table.schema]):
            schema = pa.schema([f.with_type(_untimed(f.type)) for f, t in zip(table.schema, told, strict=True) if t])
            table = pj.read_json(pa.BufferReader(data), parse_options=pj.ParseOptions(explicit_schema=schema))
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    return table if len(table) == sum(1 for _ in _lines(data)) else None


def _untimed(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_untimed(kind.value_type))
    return pa.string() if pa.types.is_temporal(kind) else kind


def _lines(data: bytes) -> list[tuple[int, bytes]]:
    """Return the lines that are not blank, each with its number, the first line of the file being 1."""
    return [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if not line.isspace() and line]


def _decoded(data: bytes, name: str) -> tuple[list[int], list[str], list[Lost]]:
    starts: list[int] = []
    texts: list[str] = []
    lost: list[Lost] = []
    for number, line in _lines(data):
        try:
            texts.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as error:
            where = f"byte 0x{line[error.start]:02x} at position {error.start + 1}"
            reason = f"not valid UTF-8 ({where}); save the file as UTF-8"
            lost.append((Place(name, number, "line"), None, reason))
        else:
            starts.append(number)
    return starts, texts, lost


def _numbers(starts: Sequence[int], lost: Sequence[Lost]) -> npt.NDArray[np.int64]:
    """Return the number of each row among all records of the file, those that were lost included."""
    everything = np.sort(np.array([*starts, *(place.row for place, _, _ in lost)], dtype=np.int64))
    return np.searchsorted(everything, np.asarray(starts, dtype=np.int64))


def _object(text: str) -> dict[str, Any] | str:
    """Return the object that a line holds, or why it holds none."""
    try:
        found = json.loads(text)
    except ValueError as error:
        return f"not JSON ({error})"
    except RecursionError:
        return "JSON nested too deeply"
    return found if isinstance(found, dict) else f"a JSON {type(found).__name__}, not an object of named values"
