"""Every source that is shipped, with the same 23 rows, and what a rule does with them."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tilth import FromIterator, GrowingCsv, ParquetFolder, SqlQuery
from tilth.changes import Batch
from tilth.dataset import Dataset
from tilth.dataset.schema import Column, LabelType, Schema
from tilth.selectors import Chosen
from tilth.state import State

__all__ = ["QUERY", "bring", "drain", "empty", "every_source", "rows"]

SCHEMA = Schema((Column("x", "number"), Column("note", "text")), LabelType("class", ("cat", "dog")))


def rows(start: int, n: int) -> pa.Table:
    at = range(start, start + n)
    return pa.table(
        {"x": [float(i) for i in at], "note": [f"n{i}" for i in at], "kind": [("cat", "dog")[i % 2] for i in at]}
    )


def empty(folder: Path, name: str = "data") -> Dataset:
    return Dataset.create(folder / name, schema=SCHEMA, durability="process")


def bring(dataset: Dataset, action: Any) -> Any:
    """Let an action bring what is new, as a rule does; return the commit, None where nothing is new."""
    state = State(dataset.at(dataset.version))
    found = action.propose(Chosen.none("test"), state)
    if found.batch is None:
        return None
    return dataset.commit(found, base=state.dataset.version)


def drain(dataset: Dataset, action: Any) -> list[Batch]:
    batches: list[Batch] = []
    while (done := bring(dataset, action)) is not None:
        batches.append(Batch(**done.meta["batch"]))
    return batches


def csv_of(table: pa.Table, *, header: bool = True) -> str:
    lines = [",".join(table.column_names)] if header else []
    lines += [f'{r["x"]},"{r["note"]}",{r["kind"]}' for r in table.to_pylist()]
    return "".join(f"{line}\n" for line in lines)


def counting(start: int) -> Iterator[Mapping[str, Any]]:
    yield from rows(start, max(23 - start, 0)).to_pylist()


def sqlite_of(path: Path, table: pa.Table) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table if not exists t (id integer primary key, x real, note text, kind text)")
        db.executemany("insert into t (x, note, kind) values (:x, :note, :kind)", table.to_pylist())
    db.close()


QUERY = "select id, x, note, kind from t"


def every_source(folder: Path) -> list[Any]:
    (folder / "in").mkdir(exist_ok=True)
    for i, (start, n) in enumerate([(0, 9), (9, 0), (9, 14)]):
        pq.write_table(rows(start, n), folder / "in" / f"{i}.parquet", row_group_size=4)
    (folder / "in.csv").write_text(csv_of(rows(0, 23)), encoding="utf-8")
    sqlite_of(folder / "in.sqlite", rows(0, 23))
    return [
        ParquetFolder(folder / "in"),
        GrowingCsv(folder / "in.csv"),
        SqlQuery(folder / "in.sqlite", QUERY, by="id"),
        FromIterator(counting),
    ]
