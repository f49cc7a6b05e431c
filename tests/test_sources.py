"""Sources: the exam, and what is said where one goes backward or returns rubbish."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, text

from tests.streams import QUERY, bring, drain, empty, every_source, rows
from tilth import FromIterator, GrowingCsv, ParquetFolder, SqlQuery, ingest
from tilth.errors import DataError, UsageError
from tilth.testing import check_source

# -- the exam
# -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", range(4))
def test_every_source_that_is_shipped_passes_the_exam(which: int, tmp_path: Path) -> None:
    check_source(every_source(tmp_path)[which])


@dataclass
class Odd:
    """A source that breaks one promise."""

    fault: str
    name: str = "odd"
    asked: list[int] = field(default_factory=list[int])

    @property
    def spec(self) -> Mapping[str, Any]:
        return {"source": f"{__name__}:Odd", "fault": self.fault}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Odd":
        return cls("" if spec["fault"] == "spec" else spec["fault"])

    def read(self, cursor: Any, limit: int) -> tuple[Any, Any]:
        self.asked.append(limit)
        at = 0 if cursor is None else int(cursor)
        n = max(0, min(limit, 20 - at))
        table = rows(at, n)
        match self.fault:
            case "raises":
                raise RuntimeError("the pipe broke")
            case "too many":
                return rows(at, n + 1), at + n + 1
            case "forgets":
                return table, cursor
            case "no table":
                return table.to_pylist(), at + n
            case "no json":
                return table, {at + n}
            case "remembers":
                return rows(len(self.asked), n), at + n
            case "portions" if limit == 3:
                return rows(at + 1, n), at + n
            case _:
                return table, at + n if n else cursor


EXAM = {
    "spec": "its spec leaves something out",
    "too many": "where at most 1 were asked for",
    "forgets": "the same cursor again",
    "no table": "it is a pyarrow Table",
    "no json": "JSON cannot hold",
    "remembers": "read must be pure in the cursor",
    "portions": "in portions of 3 than one by one",
}


@pytest.mark.parametrize(("fault", "match"), EXAM.items())
def test_the_exam_names_the_broken_promise(fault: str, match: str) -> None:
    with pytest.raises(AssertionError, match=match):
        check_source(Odd(fault))


def test_the_exam_passes_a_source_of_the_users_own() -> None:
    check_source(Odd("none"))


# -- what is refused
# -----------------------------------------------------------------------------------------------------------


def backward_csv(folder: Path, how: str) -> None:
    file = folder / "in.csv"
    lines = file.read_text(encoding="utf-8")
    match how:
        case "shorter":
            file.write_text(lines[: len(lines) // 2], encoding="utf-8")
        case "header":
            file.write_text("y" + lines[1:], encoding="utf-8")
        case "rewritten":
            file.write_text(lines.replace("n22", "m22"), encoding="utf-8")
        case _:
            file.unlink()


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("shorter", "went backward: it has .* bytes, and .* were read before"),
        ("header", "went backward: its header is another one now: y,note,kind"),
        ("rewritten", "went backward: the lines before byte"),
        ("gone", "there is no such file"),
    ],
)
def test_a_csv_that_goes_backward_is_refused_and_the_dataset_stays(how: str, match: str, tmp_path: Path) -> None:
    dataset = empty(tmp_path)
    action = ingest(every_source(tmp_path)[1], label="kind")
    drain(dataset, action)
    before = dataset.digest(), dataset.version
    backward_csv(tmp_path, how)
    with pytest.raises(DataError, match=match):
        bring(dataset, action)
    assert (dataset.digest(), dataset.version) == before


def test_a_folder_that_goes_backward_is_refused(tmp_path: Path) -> None:
    dataset = empty(tmp_path)
    source = every_source(tmp_path)[0]
    bring(dataset, ingest(source, label="kind", limit=12))
    half_read = tmp_path / "in" / "2.parquet"
    kept = half_read.read_bytes()
    pq.write_table(rows(9, 5), half_read)
    with pytest.raises(DataError, match=r"2\.parquet had 14 rows and has 5 now"):
        bring(dataset, ingest(source, label="kind"))
    half_read.unlink()
    with pytest.raises(DataError, match=r"2\.parquet is gone, of which 3 of 14 rows were read"):
        bring(dataset, ingest(source, label="kind"))
    half_read.write_bytes(kept[:-20])
    with pytest.raises(DataError, match=r"2\.parquet cannot be read as Parquet"):
        bring(dataset, ingest(source, label="kind"))
    half_read.write_bytes(kept)
    bring(dataset, ingest(source, label="kind"))
    assert len(dataset) == 23
    half_read.unlink()  # what was read to its end may go
    assert bring(dataset, ingest(source, label="kind")) is None
    with pytest.raises(DataError, match="there is no such folder"):
        bring(dataset, ingest(ParquetFolder(tmp_path / "nowhere"), label="kind"))


def test_a_query_that_goes_backward_or_is_amiss_is_refused(tmp_path: Path) -> None:
    dataset = empty(tmp_path)
    source = every_source(tmp_path)[2]
    action = ingest(source, label="kind", columns=["x", "note"])
    drain(dataset, action)
    with sqlite3.connect(tmp_path / "in.sqlite") as db:
        db.execute("delete from t where id > 5")
    db.close()
    with pytest.raises(DataError, match="went backward: the last id is 5, and 23 was read before"):
        bring(dataset, action)
    amiss = {
        "select id, y from t": "no such column: y",
        "select x, note from t": "id",
        "select 1 as id, x, note, kind from t": "1 is the id of several rows",
        "select x as id, x, note, kind from t": "whole numbers or texts",
    }
    for query, match in amiss.items():
        with pytest.raises(DataError, match=match):
            bring(dataset, ingest(SqlQuery(tmp_path / "in.sqlite", query, by="id", name=query), limit=3))
    with pytest.raises(DataError, match="there is no such file"):
        bring(dataset, ingest(SqlQuery(tmp_path / "no.sqlite", QUERY, by="id")))
    assert len(dataset) == 23


def test_postgres_is_read_by_a_column_that_rises(tmp_path: Path, postgres_url: str) -> None:
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as db:
        db.execute(text("create table t (id bigserial primary key, x numeric, note text, kind text)"))
        db.execute(text("insert into t (x, note, kind) values (:x, :note, :kind)"), rows(0, 23).to_pylist())
    source = SqlQuery(postgres_url, QUERY, by="id", name="shop")
    check_source(source)
    dataset = empty(tmp_path)
    action = ingest(source, label="kind", columns=["x", "note"], limit=10)
    assert [b.rows for b in drain(dataset, action)] == [10, 10, 3]
    with engine.begin() as db:
        db.execute(text("insert into t (x, note, kind) values (1.5, 'late', 'cat')"))
    assert [b.first for b in drain(dataset, action)] == [23]
    with engine.begin() as db:
        db.execute(text("drop table t"))
    with pytest.raises(DataError, match='relation "t" does not exist'):
        bring(dataset, action)
    engine.dispose()
    away = SqlQuery("postgresql://postgres@127.0.0.1:1/nothing", QUERY, by="id", name="shop")
    with pytest.raises(OSError, match="cannot be reached"):
        away.read(None, 1)


def test_rows_of_transactions_that_end_out_of_order_are_read_once_where_the_query_waits_for_them(
    postgres_url: str,
) -> None:
    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as db:
        db.execute(text("create table t (id serial, x float, tx xid8 not null default pg_current_xact_id())"))
    place = "lpad(tx::text, 20, '0') || '/' || lpad(id::text, 20, '0')"
    settled = f"select {place} as place, x from t where tx < pg_snapshot_xmin(pg_current_snapshot())"
    waits = SqlQuery(postgres_url, settled, by="place", name="t")
    hasty = SqlQuery(postgres_url, "select id, x from t", by="id", name="t")
    found: list[list[float]] = [[], []]
    cursors: list[Any] = [None, None]

    def look() -> None:
        for i, source in enumerate((waits, hasty)):
            table, cursors[i] = source.read(cursors[i], 10)
            found[i] += table["x"].to_pylist() if table.num_rows else []

    add = text("insert into t (x) values (:x)")
    with engine.connect() as slow, engine.connect() as quick:
        slow.execute(add, {"x": 1.0})  # takes the lower id, and ends last
        quick.execute(add, {"x": 2.0})
        quick.commit()
        look()
        assert found == [[], [2.0]]
        slow.commit()
        quick.execute(add, {"x": 3.0})
        quick.commit()
    look()
    look()
    assert found == [[1.0, 2.0, 3.0], [2.0, 3.0]]
    engine.dispose()


def test_a_generator_that_fails_or_changes_its_columns_is_told(tmp_path: Path) -> None:
    dataset = empty(tmp_path)
    with pytest.raises(DataError, match=r"FromIterator\(breaking\), behind row 0: it raised ValueError: no sensor"):
        bring(dataset, ingest(FromIterator(breaking)))
    with pytest.raises(DataError, match="record 1 has y; each is a mapping with the columns of the first: x"):
        bring(dataset, ingest(FromIterator(changing)))
    assert dataset.version == 0


def breaking(start: int) -> Iterator[Mapping[str, Any]]:
    yield {"x": 1.0, "note": ""}
    raise ValueError("no sensor")


def changing(start: int) -> Iterator[Mapping[str, Any]]:
    yield from [{"x": 1.0}, {"y": 1.0}][start:]


@pytest.mark.parametrize(
    ("fault", "error", "match"),
    [
        ("raises", DataError, "it raised RuntimeError: the pipe broke. Nothing was changed"),
        ("too many", UsageError, "21 rows where at most 20|at most 10 were asked for"),
        ("forgets", UsageError, "the same cursor again"),
        ("no table", UsageError, "read returned list first"),
        ("no json", UsageError, "is no JSON"),
    ],
)
def test_a_source_that_returns_rubbish_is_named_and_nothing_changes(
    fault: str, error: type[Exception], match: str, tmp_path: Path
) -> None:
    dataset = empty(tmp_path)
    with pytest.raises(error, match=match):
        bring(dataset, ingest(Odd(fault), label="kind", limit=10))
    assert dataset.version == 0


def test_a_csv_with_quoted_line_ends_and_half_a_line(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_bytes(b'x,note,kind\n1,"two\nlines, one ""field""",cat\n2,half')
    dataset = empty(tmp_path)
    action = ingest(GrowingCsv(file), label="kind")
    assert [b.rows for b in drain(dataset, action)] == [1]
    assert dataset.table()["note"].to_pylist() == ['two\nlines, one "field"']
    with file.open("ab") as out:
        out.write(b",dog\n\n3,,\n")
    assert [b.rows for b in drain(dataset, action)] == [2]
    assert dataset.labels() == ["cat", "dog", None]
    assert dataset.table()["note"].to_pylist()[2] == ""
