"""Parquet: one file, or the files of a folder that together are one table."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tilth.dataset.readers.memory import features_of
from tilth.dataset.readers.problems import Place, refuse
from tilth.dataset.readers.raw import Lost, Raw, Request, Roles, Spans, choose, split_code, stack

__all__ = ["read_parquet"]


def read_parquet(paths: Sequence[Path], request: Request, folder: Path | None = None) -> Raw:
    """Read Parquet files as one table; a file that is damaged or has other columns than most is lost as a whole.

    Where every file (or the subfolder of `folder` that it lies in) is called after a split, as in
    `train-00000-of-00002.parquet`, that is the split of its rows.
    """
    name = str(folder or paths[0])
    codes = [_split_of(path.relative_to(folder)) for path in paths] if folder is not None else []
    told = bool(codes) and None not in codes
    parts: list[tuple[str, pa.Table]] = []
    given: list[int] = []
    lost: list[Lost] = []
    roles: Roles | None = None
    for index, path in enumerate(paths):
        try:
            table, found = _read(path, request, roles, told)
        except (pa.ArrowException, OSError) as error:
            lost.append((Place(str(path), 0, "file"), None, f"cannot be read as Parquet ({_short(error)})"))
            continue
        roles = roles or found
        parts.append((str(path), table))
        given.append(codes[index] or 0 if told else -1)
    if roles is None:
        raise refuse(lost[0][0].source, lost[0][2])
    table, misfits, kept = stack(parts, roles.needed)
    if len(table) == 0:
        raise refuse(name, "holds no rows")
    counts = tuple(len(parts[i][1]) for i in kept)
    classes, kinds = features_of(parts[kept[0]][1].schema.metadata)
    raw = Raw(name, table, roles, Spans(tuple(parts[i][0] for i in kept), counts), classes=classes, kinds=kinds)
    splits = np.repeat(np.array([given[i] for i in kept], dtype=np.int8), counts) if told else None
    return replace(raw, lost=[*lost, *misfits], splits=splits)


def _read(path: Path, request: Request, roles: Roles | None, splits_known: bool) -> tuple[pa.Table, Roles]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, memory_map=True) as file:
        names: list[str] = file.schema_arrow.names
        there = [name for name in names if not _is_index(name) or name == request.key]
        roles = roles or choose(there, request, str(path), splits_known=splits_known)
        return file.read([name for name in roles.needed if name in there]), roles


def _is_index(name: str) -> bool:
    """Tell whether pandas wrote a column for the index of a DataFrame."""
    return name.startswith("__index_level_") and name.endswith("__")


def _split_of(path: Path) -> int | None:
    first = path.parts[0].removesuffix(".parquet")
    return split_code(first.replace(".", "-").replace("_", "-").partition("-")[0])


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__
