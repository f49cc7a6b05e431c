"""Tables that are in memory already: pyarrow, pandas, Hugging Face, dicts of arrays; none is imported for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.dataset.readers.problems import refuse
from tilth.dataset.readers.raw import Raw, Request, Spans, choose, is_unicode, split_code, stack
from tilth.dataset.schema import ColumnKind
from tilth.errors import UsageError, did_you_mean

__all__ = [
    "array_of",
    "features_of",
    "is_dataset",
    "is_frame",
    "read_arrays",
    "read_dataset",
    "read_frame",
    "read_splits_of",
    "read_table",
]

_ARROW_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError, OverflowError)
_NEVER = ("a number beyond 64 bits", "a text of invalid Unicode")  # families that no column can be of
_MEDIA: Mapping[str, ColumnKind] = {"Image": "image", "Audio": "audio"}


def read_table(table: pa.Table, request: Request, name: str = "the table") -> Raw:
    """Take the columns of a pyarrow Table."""
    roles = choose(table.column_names, request, name)
    if len(table) == 0:
        raise refuse(name, "holds no rows")
    classes, kinds = features_of(table.schema.metadata)
    return Raw(name, table.select(roles.needed), roles, Spans((name,), (len(table),)), classes=classes, kinds=kinds)


def is_frame(source: Any) -> bool:
    """Tell whether a value is a DataFrame of pandas or polars."""
    return any(
        c.__name__ == "DataFrame" and c.__module__.partition(".")[0] in ("pandas", "polars")
        for c in type(source).__mro__
    )


def read_frame(frame: Any, request: Request) -> Raw:
    """Take the columns of a DataFrame; the index is left out, unless it has the name that `key` asks for."""
    name = "the data frame"
    if not hasattr(frame, "iloc"):
        return read_table(frame.to_arrow(), request, name)
    if frame.columns.nlevels > 1:
        raise refuse(name, "its columns have several levels; flatten them to one name each")
    names = [str(column) for column in frame.columns]
    if request.key is not None and request.key == frame.index.name and request.key not in names:
        frame = frame.reset_index()
        names = [str(column) for column in frame.columns]
    roles = choose(names, request, name)
    if len(frame) == 0:
        raise refuse(name, "holds no rows")
    arrays, faults = _arrays({column: frame.iloc[:, names.index(column)] for column in roles.needed}, name)
    return Raw(name, pa.table(arrays), roles, Spans((name,), (len(frame),)), faults=faults)


def read_arrays(arrays: Mapping[Any, Any], request: Request) -> Raw:
    """Take a dict of name -> array (or list): 1-D for numbers and texts, 2-D for vectors."""
    name = "the arrays"
    named = {str(column): _one_dimension(values, str(column), name) for column, values in arrays.items()}
    lengths = {column: len(values) for column, values in named.items()}
    if len(set(lengths.values())) > 1:
        raise refuse(name, f"differ in length: {', '.join(f'{c} has {n:,}' for c, n in lengths.items())}")
    roles = choose(list(named), request, name)
    rows = next(iter(lengths.values()))
    if rows == 0:
        raise refuse(name, "hold no rows")
    found, faults = _arrays({column: named[column] for column in roles.needed}, name)
    return Raw(name, pa.table(found), roles, Spans((name,), (rows,)), faults=faults)


def is_dataset(source: Any) -> bool:
    """Tell whether a value is a Dataset (not a DatasetDict) of Hugging Face."""
    return any(
        c.__name__ in ("Dataset", "IterableDataset") and c.__module__.partition(".")[0] == "datasets"
        for c in type(source).__mro__
    )


def read_dataset(dataset: Any, request: Request) -> Raw:
    """Take the columns of a Hugging Face Dataset: class names from ClassLabel, the bytes of Image and Audio."""
    name = "the Hugging Face dataset"
    if dataset.__class__.__name__ == "IterableDataset":
        raise UsageError("a streamed Hugging Face dataset has no rows yet; load it without streaming=True")
    roles = choose(dataset.column_names, request, name)
    if len(dataset) == 0:
        raise refuse(name, "holds no rows")
    table: pa.Table = dataset.select_columns(roles.needed).with_format("arrow")[:]
    classes, kinds = _meanings(dataset.features.to_dict())
    for position, column in enumerate(table.column_names):
        if column in kinds and pa.types.is_struct(table[column].type):
            table = table.set_column(position, column, _files(table[column]))
    return Raw(name, table.select(roles.needed), roles, Spans((name,), (len(table),)), classes=classes, kinds=kinds)


def read_splits_of(parts: Mapping[str, Raw], request: Request) -> Raw:
    """Put tables that are splits of one dataset together; DataError names a split of an unknown name."""
    name = "the splits"
    if request.split is not None:
        raise UsageError(f"the splits are told by their names ({', '.join(parts)}); leave out split={request.split!r}")
    codes = {part: split_code(part) for part in parts}
    strange = [part for part, code in codes.items() if code is None]
    if strange:
        there = did_you_mean(strange[0], ("train", "valid", "validation", "test"))
        raise refuse(name, f"no split is called {strange[0]!r}; leave it out or give it one of these names. {there}")
    raws = list(parts.values())
    table, lost, _ = stack([(part, raw.table) for part, raw in parts.items()], raws[0].roles.needed)
    if lost:
        raise refuse(lost[0][0].source, lost[0][2])
    counts = tuple(len(raw.table) for raw in raws)
    starts = np.cumsum([0, *counts])
    return replace(
        raws[0],
        name=name,
        table=table,
        where=Spans(tuple(parts), counts),
        faults={int(start) + i: why for start, raw in zip(starts, raws, strict=False) for i, why in raw.faults.items()},
        splits=np.repeat(np.array([codes[part] for part in parts], dtype=np.int8), counts),
    )


def features_of(metadata: Mapping[bytes, bytes] | None) -> tuple[dict[str, tuple[str, ...]], dict[str, ColumnKind]]:
    """Return the class names and the kinds of columns that Hugging Face wrote into a table's metadata."""
    import json

    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}, {}
    return _meanings(features) if isinstance(features, dict) else ({}, {})


def _meanings(features: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], dict[str, ColumnKind]]:
    classes: dict[str, tuple[str, ...]] = {}
    kinds: dict[str, ColumnKind] = {}
    for name, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and inner.get("names"):
            classes[name] = tuple(map(str, inner["names"]))
        if isinstance(feature, dict) and feature.get("_type") in _MEDIA:
            kinds[name] = _MEDIA[feature["_type"]]
    return classes, kinds


def _files(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Fill in the bytes of files of which a dataset on this machine holds the paths alone."""
    cells: list[dict[str, Any] | None] = values.to_pylist()
    for cell in cells:
        if cell is not None and cell["bytes"] is None and cell["path"] is not None:
            try:
                cell["bytes"] = Path(cell["path"]).read_bytes()
            except OSError:
                continue  # stays without bytes, which is a problem of this row
    return pa.chunked_array([pa.array(cells, pa.struct({"bytes": pa.large_binary(), "path": pa.large_string()}))])


def _one_dimension(values: Any, column: str, source: str) -> Any:
    if isinstance(values, np.ndarray) and values.ndim != 1:
        if values.ndim != 2 or values.dtype.kind not in "fiub" or values.shape[1] == 0:
            reason = f"array {column!r} has shape {values.shape} and type {values.dtype}; a column has one dimension"
            raise refuse(source, f"{reason}, or two for vectors of numbers: reshape(len(array), -1)")
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise refuse(
            source, f"{column!r} is of type {type(values).__name__}; each name of a dict takes an array or a list"
        )
    return values


def _arrays(columns: Mapping[str, Any], source: str) -> tuple[dict[str, pa.Array], dict[int, str]]:
    found: dict[str, pa.Array] = {}
    faults: dict[int, str] = {}
    for name, values in columns.items():
        found[name], wrong = array_of(values, name, source)
        faults = wrong | faults
    return found, faults


def array_of(values: Any, name: str, source: str) -> tuple[Any, dict[int, str]]:
    """Return values as Arrow, and {position: reason} of those of another type than most, which become null."""
    try:
        return pa.array(values, from_pandas=True), {}
    except _ARROW_ERRORS:
        cells: Sequence[Any] = list(values)
    families = [_family(cell) for cell in cells]
    counts = Counter(family for family in families if family and family not in _NEVER)
    usual = max(counts, key=lambda family: counts[family], default="")
    wrong = {
        i: f"column {name!r} is {family} here and {usual} in most rows"
        for i, family in enumerate(families)
        if family and family != usual
    }
    kept = [None if i in wrong else cell for i, cell in enumerate(cells)]
    try:
        return pa.array(kept, from_pandas=True), wrong
    except _ARROW_ERRORS as error:
        raise refuse(
            source, f"column {name!r} cannot be read ({error}); convert it to numbers, texts or lists of numbers"
        ) from error


def _family(cell: Any) -> str:
    """Return what sort of value a cell is, in words; "" for a missing one."""
    if cell is None or (isinstance(cell, float) and cell != cell) or type(cell).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(cell, bool | np.bool_):
        return "true or false"
    if isinstance(cell, int | np.integer):
        return "a number" if -(2**63) <= int(cell) < 2**63 else _NEVER[0]
    if isinstance(cell, float | np.floating):
        return "a number"
    if isinstance(cell, str):
        return "a text" if is_unicode(cell) else _NEVER[1]
    if isinstance(cell, list | tuple | np.ndarray):
        inner = sorted({_family(part) for part in cell} - {""})
        return f"a list ({', '.join(inner) or 'empty'})"
    return "bytes" if isinstance(cell, bytes) else f"a {type(cell).__name__}"
