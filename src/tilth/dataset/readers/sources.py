"""Which reader a source goes to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tilth.dataset.readers.delimited import read_delimited
from tilth.dataset.readers.folder import read_folder
from tilth.dataset.readers.lines import read_json_lines, read_text_lines
from tilth.dataset.readers.memory import (
    is_dataset,
    is_frame,
    read_arrays,
    read_dataset,
    read_frame,
    read_splits_of,
    read_table,
)
from tilth.dataset.readers.parquet import read_parquet
from tilth.dataset.readers.problems import refuse
from tilth.dataset.readers.raw import Raw, Request
from tilth.errors import UsageError, did_you_mean

__all__ = ["open_source"]

_KNOWN = ".parquet, .csv, .tsv, .jsonl, .ndjson, .txt, or a folder of Parquet files, images or wav files"


def open_source(source: Any, request: Request) -> Raw:
    """Read a source of any sort; UsageError says what is taken, DataError what is wrong with a path."""
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(os.fspath(source)).expanduser(), request)
    if isinstance(source, Mapping):
        if source and all(_is_whole(value) for value in source.values()):
            return read_splits_of({str(name): _open_whole(value, request) for name, value in source.items()}, request)
        return read_arrays(source, request)
    if _is_whole(source):
        return _open_whole(source, request)
    raise UsageError(
        f"records cannot be read from {type(source).__module__}.{type(source).__qualname__}; give a path, a pyarrow "
        "Table, a pandas DataFrame, a Hugging Face Dataset, or a dict of arrays"
    )


def _is_whole(source: Any) -> bool:
    """Tell whether a value is a table of its own, and not one column of a dict."""
    return (
        isinstance(source, pa.Table | pa.RecordBatch | pa.RecordBatchReader) or is_frame(source) or is_dataset(source)
    )


def _open_whole(source: Any, request: Request) -> Raw:
    if is_dataset(source):
        return read_dataset(source, request)
    if is_frame(source):
        return read_frame(source, request)
    if isinstance(source, pa.RecordBatchReader):
        return read_table(source.read_all(), request)
    return read_table(pa.table(source) if isinstance(source, pa.RecordBatch) else source, request)


def _open_path(path: Path, request: Request) -> Raw:
    name = str(path)
    try:
        folder, there = path.is_dir(), path.exists()
    except OSError as error:
        raise refuse(name, f"cannot be read ({error.strerror})") from error
    if not there:
        raise refuse(name, f"no such file or folder{_neighbours(path)}")
    if folder:
        return read_folder(path, request)
    match path.suffix.lower():
        case ".parquet":
            return read_parquet([path], request)
        case ".csv":
            return read_delimited(path, request, ",")
        case ".tsv":
            return read_delimited(path, request, "\t")
        case ".jsonl" | ".ndjson" | ".json-lines" | ".jsonlines":
            return read_json_lines(path, request)
        case ".txt":
            return read_text_lines(path, request)
        case ".json":
            raise refuse(name, "one JSON text a file cannot be read; write one object a line and call it .jsonl")
        case suffix:
            raise refuse(name, f"no reader for {suffix!r} files. There is: {_KNOWN}")


def _neighbours(path: Path) -> str:
    try:
        names = sorted(entry.name for entry in os.scandir(path.parent) if not entry.name.startswith("."))
    except OSError:
        return f"; nor is there a folder {str(path.parent)!r}"
    return f" in {str(path.parent.absolute())!r}. {did_you_mean(path.name, names)}"
