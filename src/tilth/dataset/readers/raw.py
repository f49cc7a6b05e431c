"""What every reader hands over: the columns as they came, their roles, and where each row came from."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.dataset.readers.problems import Place, refuse
from tilth.dataset.schema import RESERVED, SPLITS, ColumnKind, Schema
from tilth.errors import UsageError, did_you_mean

__all__ = [
    "CELL_LIMIT",
    "Files",
    "Lines",
    "Progress",
    "Raw",
    "Request",
    "Roles",
    "Spans",
    "choose",
    "is_text",
    "is_unicode",
    "split_code",
    "stack",
]

CELL_LIMIT = 2**31
"""Bytes at which one cell (text, image, sound) is refused: Arrow and Lance address the inside of a value by int32."""

Lost = tuple[Place, str | None, str]
"""A row (or file) that could not be read: where it is, its key where that is known, and why."""

Progress = Callable[[int, int | None], object]

_SPLIT_NAMES = {name: name for name in SPLITS} | {"val": "valid", "validation": "valid", "dev": "valid"}


@dataclass(frozen=True)
class Request:
    """What the caller of `read` asked for, as far as readers need it."""

    key: str | None
    label: str | None
    split: str | None
    columns: tuple[str, ...] | None
    kinds: Mapping[str, ColumnKind]
    missing: Literal["error", "keep"]
    schema: Schema | None
    limit: int
    progress: Progress | None


@dataclass(frozen=True)
class Roles:
    """Which column of a source plays which part; `everywhere` is the split (a code) that all rows have."""

    features: tuple[str, ...]
    key: str | None
    label: str | None
    split: str | None
    everywhere: int = -1

    @property
    def needed(self) -> list[str]:
        """The names of all columns that are read."""
        return [*self.features, *(name for name in (self.key, self.label, self.split) if name is not None)]


@dataclass(frozen=True)
class Raw:
    """A source that was read and not yet judged.

    `table` holds the columns of `roles.needed`. `where` tells the places of rows. `faults` are rows that a reader knows
    to be bad though they stand in the table; `lost` are rows that do not. `numbers`: the number of each row in the
    source, where rows were lost. `splits`: `int8[n]` where the source itself tells them. `classes`: the class names
    behind integer codes, a column. `kinds`: what the source says about its columns; `checked`: columns of media whose
    bytes were already looked at. `untyped`: the source is a text file, so an empty label is no label and numbers came
    as text.
    """

    name: str
    table: pa.Table
    roles: Roles
    where: Callable[[Sequence[int]], list[Place]]
    faults: Mapping[int, str] = field(default_factory=dict[int, str])
    lost: Sequence[Lost] = ()
    numbers: npt.NDArray[np.int64] | None = None
    splits: npt.NDArray[np.int8] | None = None
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    kinds: Mapping[str, ColumnKind] = field(default_factory=dict[str, ColumnKind])
    checked: frozenset[str] = frozenset()
    untyped: bool = False


@dataclass(frozen=True)
class Spans:
    """Rows of several tables, one after the other, counted from 1 within each.

    >>> [str(place) for place in Spans(("a.parquet", "b.parquet"), (2, 3))([1, 2])]
    ['a.parquet, row 2', 'b.parquet, row 1']
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]

    def __call__(self, positions: Sequence[int]) -> list[Place]:
        """Return the places of rows."""
        ends = np.cumsum(self.counts)
        at = np.searchsorted(ends, np.asarray(positions, dtype=np.int64), side="right")
        return [
            Place(self.names[t], int(p - ends[t] + self.counts[t] + 1), "row")
            for p, t in zip(positions, at, strict=True)
        ]


@dataclass(frozen=True)
class Lines:
    """Rows of a text file; `starts` is called when a place is asked for: it may have to read the file again."""

    name: str
    starts: Callable[[], Sequence[int]]

    def __call__(self, positions: Sequence[int]) -> list[Place]:
        """Return the places of rows."""
        if not positions:
            return []
        starts = self.starts()
        return [Place(self.name, int(starts[p]), "line") for p in positions]


@dataclass(frozen=True)
class Files:
    """Rows that are files of their own."""

    names: Sequence[str]

    def __call__(self, positions: Sequence[int]) -> list[Place]:
        """Return the places of rows."""
        return [Place(self.names[p], 0, "file") for p in positions]


def split_code(name: str) -> int | None:
    """Return the code of a split by any of its usual names, or None.

    >>> split_code("validation"), split_code("pool")
    (1, None)
    """
    known = _SPLIT_NAMES.get(name.strip().lower())
    return None if known is None else SPLITS.index(known)


def choose(names: Sequence[str], request: Request, source: str, *, splits_known: bool = False) -> Roles:
    """Decide which column plays which part; DataError names a column that is not there, that is double or reserved."""
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise refuse(source, f"{', '.join(map(repr, twice))} names more than one column; rename them")
    if splits_known and request.split is not None:
        raise UsageError(f"{source} tells the split of each record itself; leave out split={request.split!r}")
    split, everywhere = request.split, -1
    if split is not None and split not in names and (code := split_code(split)) is not None:
        split, everywhere = None, code
    for role, name in (("key", request.key), ("label", request.label), ("split", split)):
        if name is not None and name not in names:
            raise refuse(source, f"no column {name!r} to be the {role}. {did_you_mean(name, names)}")
    taken = {name for name in (request.key, request.label, split) if name is not None}
    return Roles(_features(names, request, source, taken), request.key, request.label, split, everywhere)


def _features(names: Sequence[str], request: Request, source: str, taken: set[str]) -> tuple[str, ...]:
    for name in request.columns or ():
        if name not in names:
            raise refuse(source, f"no column {name!r}. {did_you_mean(name, names)}")
        if name in taken:
            raise UsageError(f"column {name!r} is the key, label or split, so it cannot be one of columns= as well")
    features = request.columns or tuple(n for n in names if n not in taken)
    if request.schema is not None:
        features = _fitting(features, request.schema, source)
    if not features:
        raise refuse(source, "no column is left beside key, label and split; a dataset needs at least one")
    chosen = set(features)
    for position, name in enumerate(names, start=1):
        if name in chosen and not name.strip():
            hint = "(pandas writes its index so; save with index=False)"
            raise refuse(source, f"column {position} has no name {hint}; name it, or choose others by columns=[...]")
        if name in chosen and name in RESERVED:
            raise refuse(
                source,
                f"a column cannot be called {name!r}, which the store uses; rename it, or leave it out (columns=)",
            )
    for name in request.kinds:
        if name not in features:
            raise UsageError(
                f"kinds= names {name!r}, which is no column that is imported. {did_you_mean(name, features)}"
            )
    return features


def _fitting(features: tuple[str, ...], schema: Schema, source: str) -> tuple[str, ...]:
    """Return the columns in the order of `schema`, or say which are missing or too many."""
    lacking = [n for n in schema.names if n not in features]
    surplus = [n for n in features if n not in schema.names]
    if lacking:
        raise refuse(
            source,
            f"the dataset has columns that are not here: {', '.join(lacking)}. {did_you_mean(lacking[0], features)}",
        )
    if surplus:
        keep = ", ".join(map(repr, schema.names))
        raise refuse(
            source, f"the dataset has no column {', '.join(map(repr, surplus))}; leave them out by columns=[{keep}]"
        )
    return schema.names


def stack(parts: Sequence[tuple[str, pa.Table]], columns: Sequence[str]) -> tuple[pa.Table, list[Lost], list[int]]:
    """Put tables one below the other: the whole, the parts that do not fit, and the indices of those that do.

    The types that most parts have are the right ones. Texts may be plain, large or dictionaries, and a column without
    any value fits every type.
    """
    told = [{f.name: _settled(f.type) for f in part.schema} for _, part in parts]
    usual = Counter(tuple(here.get(c) for c in columns) for here in told).most_common(1)[0][0]
    model = next(name for (name, _), here in zip(parts, told, strict=True) if tuple(map(here.get, columns)) == usual)
    types = {c: kind if kind is not None else pa.null() for c, kind in zip(columns, usual, strict=True)}
    fitting: list[int] = []
    lost: list[Lost] = []
    for index, ((name, _), here) in enumerate(zip(parts, told, strict=True)):
        wrong = next((c for c in columns if c not in here or not _fits(here[c], types[c])), None)
        if wrong is None:
            fitting.append(index)
            types |= {c: here[c] for c in columns if pa.types.is_null(types[c])}
        else:
            reason = f"column {wrong!r} is {here.get(wrong, 'not there')} here and {types[wrong]} in {model}"
            lost.append((Place(name, 0, "file"), None, reason))
    schema = pa.schema([pa.field(name, kind) for name, kind in types.items()])
    tables = [parts[i][1].select(list(columns)).replace_schema_metadata(None).cast(schema) for i in fitting]
    return pa.concat_tables(tables) if tables else schema.empty_table(), lost, fitting


def _settled(kind: pa.DataType) -> pa.DataType:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.large_string() if is_text(value) else value


def _fits(kind: pa.DataType, known: pa.DataType) -> bool:
    return pa.types.is_null(kind) or pa.types.is_null(known) or kind == known


def is_text(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type holds texts (dictionaries of texts excepted)."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_unicode(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: lone surrogates, which stand for undecodable bytes, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
