"""From any source to one table in memory: nothing is written here, so nothing is half imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pyarrow as pa

from tilth.dataset.readers.columns import convert
from tilth.dataset.readers.keys import read_keys, read_splits
from tilth.dataset.readers.labels import read_labels
from tilth.dataset.readers.problems import Problems, Rejected
from tilth.dataset.readers.raw import CELL_LIMIT, Progress, Raw, Request
from tilth.dataset.readers.sources import open_source
from tilth.dataset.schema import ColumnKind, LabelKind, Schema
from tilth.errors import UsageError, did_you_mean

__all__ = ["CELL_LIMIT", "Imported", "Rejected", "read"]

_SMALL_CHUNK = 2**20  # bytes; columns in chunks smaller than this on average are put into one


@dataclass(frozen=True)
class Imported:
    """What an importer read: rows that all fit the schema, and a list of those that did not.

    >>> found = read({"x": [1.0, 2.0], "y": ["cat", None]}, label="y")
    >>> found.table.to_pydict()
    {'key': ['0', '1'], 'label0': [0, -1], 'split0': [-1, -1], 'x': [1.0, 2.0]}
    >>> found.rejected.num_rows
    0

    `table`: `key` (string, unique), `label0` (`schema.label.arrow`), `split0` (int8, a position in `SPLITS`, -1 = not
    given), then the columns of `schema` in their Arrow types, without nulls. `rejected`: `source`, `row`, `key`,
    `reason`, a row for each that did not enter (see `Rejected`); empty unless rows were quarantined.
    """

    schema: Schema
    table: pa.Table
    rejected: pa.Table


def read(
    source: Any,
    *,
    key: str | None = None,
    label: str | None = None,
    label_kind: LabelKind | None = None,
    classes: Sequence[str] | None = None,
    split: str | None = None,
    columns: Sequence[str] | None = None,
    kinds: Mapping[str, ColumnKind] | None = None,
    missing: Literal["error", "keep"] = "error",
    on_error: Literal["raise", "quarantine"] = "raise",
    schema: Schema | None = None,
    progress: Progress | None = None,
    cell_limit: int = CELL_LIMIT,
) -> Imported:
    """Read a source of records into one table of checked columns.

    >>> read({"text": ["a", "b"], "y": ["ham", "spam"]}, label="y").schema.label.classes
    ('ham', 'spam')
    >>> read({"x": [1.0, float("nan")]}, classes=["a"])
    Traceback (most recent call last):
        ...
    tilth.errors.DataError: the arrays: 1 of 2 rows cannot be imported (rows are counted from 1):
      the arrays, row 2: column 'x' is missing (null or NaN); missing="keep" would let it pass
    Mend them, or pass on_error="quarantine" to import the others and get these as a list.

    `source`: a pyarrow Table, RecordBatch or RecordBatchReader, a pandas (or polars) DataFrame, a Hugging Face Dataset
    or DatasetDict, a dict of arrays (1-D: numbers or texts; 2-D: vectors), a dict of one table a split, or a path:
    `.parquet`, `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.txt` (a text a line), a folder of Parquet files, or a folder of
    images or wav files (a class a subfolder; no class where they lie flat; top folders called train, valid, test are
    splits).

    - `key`, `label`, `split`: the columns that play these parts; `split` may also be the split of all rows ("test").
      Without `key` it is the number of the row, the first being 0; in a folder of media it is the path of the file.
    - `label_kind`: inferred where it is None. Texts, bools and up to 1000 different whole numbers are a class,
      fractions a number, lists of texts several classes.
    - `classes`: their names in order; else they are sorted. Whole numbers are their codes if no class is called by a
      number.
    - `columns`: those to keep, else all. `kinds`: what they are, where it should not be inferred.
    - `missing="keep"`: null and NaN may stand in columns of numbers (as NaN; integers become numbers then).
    - `on_error="quarantine"`: good rows enter, the bad are listed in `rejected`.
    - `schema`: that of a dataset which the rows must fit.
    - `progress`: called as (done, total) while files or media are looked at. `cell_limit`: bytes at which a cell is
      refused.

    Raises DataError, with file and row in its message and all in `problems`, where the source cannot be used as a
    whole, rows cannot enter, or none is left; UsageError where the arguments contradict each other. Rows are counted
    from 1; those of text files by the line that an editor shows (a row of several lines: its first).
    """
    _check(label_kind, classes, columns, kinds, missing, on_error, schema)
    told = kinds if schema is None else {}
    request = Request(
        key=key,
        label=label,
        split=split,
        columns=None if columns is None else tuple(columns),
        kinds=dict(told or {}),
        missing=missing,
        schema=schema,
        limit=cell_limit,
        progress=progress,
    )
    raw = open_source(source, request)
    if schema is not None:
        label_kind, classes = schema.label.kind, schema.label.classes
    return _judge(raw, request, label_kind, classes, on_error)


def _judge(
    raw: Raw,
    request: Request,
    label_kind: LabelKind | None,
    classes: Sequence[str] | None,
    on_error: Literal["raise", "quarantine"],
) -> Imported:
    problems = Problems(len(raw.table))
    for place, lost_key, reason in raw.lost:
        problems.lose(place, reason, lost_key)
    for position, reason in raw.faults.items():
        problems.add([position], reason)
    if len(raw.table) == 0:
        problems.settle([], [], name=raw.name, on_error=on_error)
    converted = [convert(raw, name, request, problems) for name in raw.roles.features]
    label_type, labels = read_labels(raw, label_kind, classes, problems)
    splits = read_splits(raw, problems)
    keys = read_keys(raw, problems)
    bad = sorted(problems.reasons)
    bad_keys = [key or None for key in keys.take(pa.array(bad, pa.int64())).to_pylist()]
    rejected = problems.settle(raw.where(bad), bad_keys, name=raw.name, on_error=on_error)
    data = {"key": keys, "label0": labels, "split0": pa.chunked_array([pa.array(splits)])}
    table = pa.table(data | {column.name: values for column, values in converted})
    if bad:
        table = table.filter(pa.array(problems.good))
    chunks = max(column.num_chunks for column in table.columns)
    if chunks > 1 and table.nbytes / chunks < _SMALL_CHUNK:
        table = table.combine_chunks()
    schema = request.schema or Schema(tuple(column for column, _ in converted), label_type)
    return Imported(schema, table, rejected)


def _check(
    label_kind: LabelKind | None,
    classes: Sequence[str] | None,
    columns: Sequence[str] | None,
    kinds: Mapping[str, ColumnKind] | None,
    missing: str,
    on_error: str,
    schema: Schema | None,
) -> None:
    for argument, value, allowed in (
        ("missing", missing, ("error", "keep")),
        ("on_error", on_error, ("raise", "quarantine")),
        ("label_kind", label_kind or "class", get_args(LabelKind)),
        *((f"kinds[{name!r}]", kind, get_args(ColumnKind)) for name, kind in (kinds or {}).items()),
    ):
        if value not in allowed:
            raise UsageError(f"{argument} cannot be {value!r}. {did_you_mean(str(value), allowed)}")
    for argument, names in (("classes", classes), ("columns", columns)):
        if isinstance(names, str) or (names is not None and not all(isinstance(name, str) for name in names)):
            raise UsageError(f"{argument} takes a list of names, got {names!r}")
        if names is not None and (not names or len(set(names)) < len(names)):
            raise UsageError(f"{argument} takes at least one name and each once, got {list(names)!r}")
    if classes is not None and label_kind == "number":
        raise UsageError(f"labels are numbers, so they have no classes; got {len(classes)} classes")
    if schema is not None:
        _check_against(schema, label_kind, classes, kinds or {})


def _check_against(
    schema: Schema, label_kind: LabelKind | None, classes: Sequence[str] | None, kinds: Mapping[str, ColumnKind]
) -> None:
    if label_kind is not None and label_kind != schema.label.kind:
        raise UsageError(
            f"the labels of this dataset are of kind {schema.label.kind!r}, not {label_kind!r}; leave out label_kind="
        )
    if classes is not None and tuple(classes) != schema.label.classes:
        raise UsageError(
            f"the classes of this dataset are fixed: {', '.join(schema.label.classes)}; leave out classes="
        )
    for name, kind in kinds.items():
        if schema.column(name).kind != kind:
            raise UsageError(f"column {name!r} of this dataset is of kind {schema.column(name).kind!r}, not {kind!r}")
