"""`ingest`: bring what is new in a source into the dataset, each row once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from tilth.actions.base import Action
from tilth.algebra import show
from tilth.changes import Batch, Changes
from tilth.dataset import Dataset
from tilth.dataset.arrivals import REJECTED, arrivals, newest
from tilth.dataset.readers import Imported, read
from tilth.dataset.splits import FRACTIONS
from tilth.errors import DataError, TilthError, UsageError
from tilth.protocols import Source
from tilth.selectors import Chosen
from tilth.signals.making import count, one_of
from tilth.state import State

__all__ = ["Ingest", "ingest"]

UNREADABLE = "unreadable"
"""The column in which a source says why a row could not be read."""

Refused = list[tuple[str, int, str | None, str]]


def ingest(
    source: Source,
    *,
    limit: int = 10_000,
    key: str | None = None,
    label: str | None = None,
    split: str | None = None,
    splits: Mapping[str, float] = FRACTIONS,
    columns: Sequence[str] | None = None,
    missing: Literal["error", "keep"] = "error",
    on_error: Literal["raise", "quarantine"] = "raise",
) -> "Ingest":
    """Bring the next rows of a source into the dataset, at most `limit` at once; its rule selects nothing.

    >>> from tilth.rules import Rule
    >>> from tilth.sources import GrowingCsv
    >>> Rule(do=ingest(GrowingCsv("orders.csv"), label="kind"))
    Rule(do=ingest(GrowingCsv("orders.csv"), label="kind"))

    Each row enters once, whoever is killed in between: the commit that brings a batch keeps the cursor behind it, and
    no other commit can bring the same rows. Where the next batch begins follows from the branch; what was rolled back
    or reverted was read all the same (it is among the `removed`). A workflow with `every=` ingests at each tick, before
    its trigger is looked at, and in each round. `key`: the column that names records; without it a record is called
    `source/17`, by its number in the source. `label`, `split`, `splits`, `columns`, `missing` as for `Dataset.create`;
    no label: it is to be found out. Rows that do not fit the schema, whose key the dataset has already, or that could
    not be read stop the rule (`on_error="raise"`, nothing is changed) or are left out and listed in
    `Dataset.rejected()` (`"quarantine"`). In what portions rows are read changes nothing of the data.
    """
    if not isinstance(source, Source):
        raise UsageError(
            f"ingest({source!r}): a source such as ParquetFolder(path) or GrowingCsv(path), got {type(source).__name__}"
        )
    one_of("ingest(missing=...)", missing, ("error", "keep"))
    one_of("ingest(on_error=...)", on_error, ("raise", "quarantine"))
    if isinstance(columns, str):
        raise UsageError(f"ingest(columns={columns!r}): a list of names, such as [{columns!r}]")
    named = None if columns is None else tuple(columns)
    n = count("ingest(limit=...)", limit)
    return Ingest(source, n, key, label, split, dict(splits), named, missing, on_error)


@dataclass(frozen=True, repr=False)
class Ingest(Action, tag="ingest"):
    """See `ingest`."""

    source: Source
    limit: int = 10_000
    key: str | None = None
    label: str | None = None
    split: str | None = None
    splits: Mapping[str, float] | None = None
    columns: tuple[str, ...] | None = None
    missing: Literal["error", "keep"] = "error"
    on_error: Literal["raise", "quarantine"] = "raise"
    chooses: ClassVar[bool] = False

    def __hash__(self) -> int:
        return hash(repr(self))

    @override
    def propose(self, chosen: Chosen, state: State) -> Changes:
        dataset, name = state.dataset, self.source.name
        before = newest(dataset.log(), name)
        first = 0 if before is None else before.first + before.rows
        cursor: Any = None if before is None else before.cursor
        parts: list[pa.Table] = []
        refused: Refused = []
        rows, schema = 0, None
        while rows < self.limit:
            table, cursor = self._portion(cursor, self.limit - rows, first + rows)
            if table.num_rows == 0:
                break
            found = self._judged(dataset, table, first + rows, refused)
            if found is not None:
                parts.append(found.table)
                schema = found
            rows += table.num_rows
        if rows == 0:
            return Changes.none()
        whole = self._known(dataset, pa.concat_tables(parts), refused) if parts else None
        refused.sort(key=lambda r: r[1])
        if refused and self.on_error == "raise":
            raise self._refusal(refused, rows)
        number = 0 if before is None else before.number + 1
        batch = Batch(name, number, first, rows, cursor, len(refused))
        table = pa.Table.from_pylist([dict(zip(REJECTED.names, r, strict=True)) for r in refused], REJECTED)
        if whole is None or schema is None or whole.num_rows == 0:
            return Changes(Changes.none().events, batch=batch, rejected=table)
        splits = self.splits or FRACTIONS
        came = arrivals(Imported(schema.schema, whole, table), splits=splits, stratify=False, seed=0)
        return Changes(came.events, came.added, batch=batch, rejected=table)

    def _portion(self, cursor: Any, limit: int, first: int) -> tuple[pa.Table, Any]:
        """Read from the source; what it raises, or returns amiss, is told with its name and where it was."""
        where = f"{self.source!r}, behind row {first:,}"
        try:
            table, after = self.source.read(cursor, limit)
        except (TilthError, OSError):  # says itself what is wrong; an OSError may pass, and is tried again
            raise
        except Exception as why:
            raise DataError(f"{where}: it raised {type(why).__name__}: {why}. Nothing was changed; mend it") from why
        if not isinstance(table, pa.Table):
            raise UsageError(f"{where}: read returned {type(table).__name__} first; it returns (pyarrow Table, cursor)")
        if table.num_rows > limit:
            raise UsageError(f"{where}: read returned {table.num_rows:,} rows where at most {limit:,} were asked for")
        try:
            after = json.loads(json.dumps(after))
        except (TypeError, ValueError) as why:
            raise UsageError(f"{where}: its cursor {after!r} is no JSON ({why})") from why
        if table.num_rows and after == cursor:
            raise UsageError(
                f"{where}: it gave {table.num_rows:,} rows and the same cursor again: they would come twice"
            )
        return table, after

    def _judged(self, dataset: Dataset, table: pa.Table, first: int, refused: Refused) -> Imported | None:
        """Return the rows of a portion that fit the dataset, with their keys; note the others. None: none fits."""
        name = self.source.name
        at = np.arange(first, first + table.num_rows)
        if UNREADABLE in table.column_names:
            why = table[UNREADABLE].to_pylist()
            refused += [(name, int(at[i]) + 1, None, said) for i, said in enumerate(why) if said is not None]
            keep = pc.is_null(table[UNREADABLE])
            table, at = table.filter(keep).drop_columns([UNREADABLE]), at[np.array(keep.to_numpy(), bool)]
            if table.num_rows == 0:
                return None
        ready = _with_nulls(table, dataset, self.label, self.split)
        try:
            found = read(
                ready,
                key=self.key,
                label=self.label,
                split=self.split,
                columns=self.columns,
                missing=self.missing,
                on_error="quarantine",
                schema=dataset.schema,
            )
        except DataError as error:
            rows = [row for _, row, _ in error.problems]
            if len(rows) != table.num_rows or min(rows) < 1:  # it is not the rows that are wrong
                raise DataError(f"{self.source!r}, rows from {first + 1:,}: {error}", error.problems) from error
            refused += [(name, int(at[row - 1]) + 1, None, said) for _, row, said in error.problems]
            return None
        lost = found.rejected
        refused += [
            (name, int(at[row - 1]) + 1, k, said)
            for row, k, said in zip(*(lost[c].to_pylist() for c in ("row", "key", "reason")), strict=True)
        ]
        good = np.ones(len(at), bool)
        good[np.array(lost["row"].to_pylist(), np.int64) - 1] = False
        numbers = pa.array(at[good] + 1)
        keys = found.table["key"] if self.key is not None else pa.array([f"{name}/{n}" for n in numbers.to_pylist()])
        return Imported(found.schema, found.table.set_column(0, "key", keys).append_column("row", numbers), lost)

    def _known(self, dataset: Dataset, table: pa.Table, refused: Refused) -> pa.Table:
        """Leave out, and note, rows whose key the dataset has, or an earlier row of the batch."""
        keys = table["key"].to_pylist()
        there = dataset.find(keys) >= 0
        _, firsts = np.unique(np.array(keys, object).astype(str), return_index=True)
        twice = np.ones(len(keys), bool)
        twice[firsts] = False
        for i in np.flatnonzero(there | twice).tolist():
            said = "is in the dataset already" if there[i] else "came already in this batch"
            refused.append((self.source.name, table["row"][i].as_py(), keys[i], f"key {keys[i]!r} {said}"))
        return table.filter(pa.array(~(there | twice))).drop_columns(["row"])

    def _refusal(self, refused: Refused, rows: int) -> DataError:
        lines = [f"  row {row:,}: {said}" for _, row, _, said in refused[:5]]
        more = f"\n  ... and {len(refused) - 5:,} more" if len(refused) > 5 else ""
        return DataError(
            f"{self.source!r}: {len(refused):,} of the next {rows:,} rows cannot enter (rows are counted from 1):\n"
            + "\n".join(lines)
            + f'{more}\nNothing was changed. Mend them, or write ingest(..., on_error="quarantine") to leave them out.',
            [(name, row, said) for name, row, _, said in refused],
        )

    def __repr__(self) -> str:
        options: dict[str, tuple[Any, Any]] = {
            "limit": (self.limit, 10_000),
            "key": (self.key, None),
            "label": (self.label, None),
            "split": (self.split, None),
            "splits": (dict(self.splits or FRACTIONS), dict(FRACTIONS)),
            "columns": (self.columns, None),
            "missing": (self.missing, "error"),
            "on_error": (self.on_error, "raise"),
        }
        said = [f"{n}={show(value)}" for n, (value, usual) in options.items() if value != usual]
        return f"ingest({', '.join([repr(self.source), *said])})"


def _with_nulls(table: pa.Table, dataset: Dataset, *texts: str | None) -> pa.Table:
    """Return a table where an empty text stands for nothing, except in columns of texts."""
    kinds = {c.name: c.kind for c in dataset.schema.columns}
    for i, field in enumerate(table.schema):
        is_text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
        if is_text and (kinds.get(field.name) in ("number", "integer") or field.name in texts):
            cells = table[field.name]
            table = table.set_column(i, field.name, pc.if_else(pc.equal(cells, ""), pa.scalar(None, field.type), cells))
    return table
