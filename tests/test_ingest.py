"""What comes in from sources enters once, in whatever portions it is read and whoever is killed meanwhile."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import launching, stream_program
from tests.stream_program import workflow
from tests.streams import QUERY, bring, drain, empty, every_source, rows
from tilth import FromIterator, GrowingCsv, ParquetFolder, Rule, SqlQuery, ingest, records, remove, rounds, run
from tilth.algebra import from_json, to_json
from tilth.dataset import Dataset
from tilth.dataset.arrivals import newest
from tilth.errors import DataError, RunFailed, UsageError
from tilth.loop import propose
from tilth.runs.schedule import repeat, tick
from tilth.selectors import Chosen
from tilth.state import State
from tilth.workflow import Workflow

PROGRAM = Path(stream_program.__file__)


PLAIN = {"splits": {"train": 1.0}}


@settings(max_examples=15)
@given(which=st.integers(0, 3), limits=st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_any_chopping_of_a_stream_gives_the_same_dataset(
    which: int, limits: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("chopped")
    source = every_source(folder)[which]
    columns = ["x", "note"]
    whole, chopped = empty(folder, "whole"), empty(folder, "chopped")
    assert len(drain(whole, ingest(source, label="kind", columns=columns))) == 1
    for limit in limits:
        bring(chopped, ingest(source, label="kind", columns=columns, limit=limit))
    drain(chopped, ingest(source, label="kind", columns=columns, limit=5))
    assert chopped.digest() == whole.digest()
    assert len(whole) == 23
    assert whole.labels()[:2] == ["cat", "dog"]
    last = newest(chopped.log(), source.name)
    assert last is not None
    assert last.first + last.rows == 23


def test_rows_that_come_later_enter_later_and_nothing_new_makes_no_version(tmp_path: Path) -> None:
    source = every_source(tmp_path)[0]
    dataset = empty(tmp_path)
    action = ingest(source, label="kind", limit=100)
    drain(dataset, action)
    version = dataset.version
    assert bring(dataset, action) is None
    assert dataset.version == version
    pq.write_table(rows(23, 2), tmp_path / "in" / "3.parquet")
    done = bring(dataset, action)
    assert done.meta["batch"]["first"] == 23
    assert done.message == "2 records from 'in' (batch 2, rows 24 to 25)"
    born = dataset.history("in/25")[0]
    assert born.reason == done.message  # which source, which batch, and when: born.time
    assert born.time == done.time


def test_a_branch_reads_on_from_where_it_parted_and_a_rollback_reads_nothing_twice(tmp_path: Path) -> None:
    source = every_source(tmp_path)[0]
    dataset = empty(tmp_path)
    action = ingest(source, label="kind", limit=8)
    bring(dataset, action)
    branch = dataset.branch("other")
    assert [b.rows for b in drain(dataset, action)] == [8, 7]
    assert [b.first for b in drain(branch, action)] == [8, 16]
    assert branch.digest() == dataset.digest()
    dataset.rollback(1)
    assert len(dataset) == 8
    assert bring(dataset, action) is None
    pq.write_table(rows(23, 1), tmp_path / "in" / "9.parquet")
    assert bring(dataset, action).meta["batch"]["first"] == 23


def test_two_that_read_the_same_rows_bring_them_once(tmp_path: Path) -> None:
    source = every_source(tmp_path)[0]
    dataset = empty(tmp_path)
    action = ingest(source, label="kind", limit=8)
    state = State(dataset.at(dataset.version))
    first, second = (action.propose(Chosen.none("test"), state) for _ in range(2))
    shorter = ingest(source, label="kind", limit=3).propose(Chosen.none("test"), state)
    done = dataset.commit(first, base=0)
    assert dataset.commit(second, base=0) == done
    assert dataset.commit(shorter, base=0) == done
    assert len(dataset) == 8


def test_a_stream_without_labels_waits_for_people(tmp_path: Path) -> None:
    dataset = empty(tmp_path)
    bring(dataset, ingest(every_source(tmp_path)[0], columns=["x", "note"], **PLAIN))
    assert dataset.view.pool.sum() == 23


def test_keys_and_splits_come_from_columns_where_asked(tmp_path: Path) -> None:
    table = rows(0, 4).append_column("who", pa.array(list("abcd")))
    table = table.append_column("where", pa.array(["train", "test", "valid", "train"]))
    (tmp_path / "keyed").mkdir()
    pq.write_table(table, tmp_path / "keyed" / "a.parquet")
    dataset = empty(tmp_path)
    bring(dataset, ingest(ParquetFolder(tmp_path / "keyed"), key="who", split="where", label="kind"))
    assert dataset.table()["key"].to_pylist() == list("abcd")
    assert dataset.table()["split"].to_pylist() == ["train", "test", "valid", "train"]


def test_an_action_prints_as_written_and_comes_back_from_json(tmp_path: Path) -> None:
    for source in every_source(tmp_path):
        rule = Rule(do=ingest(source, key="note", limit=5, splits={"train": 0.5, "test": 0.5}, columns=["x"]))
        again = from_json(to_json(rule))
        assert repr(again) == repr(rule)
        assert repr(source) in repr(rule)
        assert again.do.source == source


def test_rows_that_do_not_fit_stop_the_rule_or_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("x,note,kind\n1,a,cat\nmany,b,cat\n3,c\n4,d,horse\n5,e,dog\n", encoding="utf-8")
    dataset = empty(tmp_path)
    source = GrowingCsv(file)
    with pytest.raises(DataError, match="3 of the next 5 rows cannot enter") as refused:
        bring(dataset, ingest(source, label="kind"))
    assert "row 2: column 'x' is not a number" in str(refused.value)
    assert "row 3: 2 fields, the header has 3" in str(refused.value)
    assert [row for _, row, _ in refused.value.problems] == [2, 3, 4]
    assert (dataset.version, len(dataset), dataset.rejected().num_rows) == (0, 0, 0)
    for limit in (1, 2, 5):
        here = dataset.branch(f"by-{limit}")
        drain(here, ingest(source, label="kind", on_error="quarantine", limit=limit))
        assert here.table()["note"].to_pylist() == ["a", "e"]
        assert here.table()["key"].to_pylist() == ["log.csv/1", "log.csv/5"]
    listed = Dataset.open(dataset.path, branch="by-5").rejected().to_pylist()
    assert {(r["source"], r["row"]) for r in listed} == {("log.csv", 2), ("log.csv", 3), ("log.csv", 4)}


def test_a_key_that_is_there_already_does_not_enter_again(tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    folder.mkdir()
    for name, table in (("a", rows(0, 3)), ("b", rows(2, 2))):
        pq.write_table(table.append_column("who", table["note"]), folder / f"{name}.parquet")
    dataset = empty(tmp_path)
    with pytest.raises(DataError, match="row 4: key 'n2' came already in this batch"):
        bring(dataset, ingest(ParquetFolder(folder), key="who", label="kind"))
    for limit in (2, 100):
        here = dataset.branch(f"by-{limit}")
        drain(here, ingest(ParquetFolder(folder), key="who", label="kind", on_error="quarantine", limit=limit))
        assert here.table()["key"].to_pylist() == ["n0", "n1", "n2", "n3"]
    assert set(dataset.rejected()["key"].to_pylist()) == {"n2"}


def test_columns_that_the_dataset_lacks_or_that_lack_are_named(tmp_path: Path) -> None:
    dataset = empty(tmp_path)
    source = every_source(tmp_path)[0]
    with pytest.raises(DataError, match="the dataset has no column 'kind'; leave them out by columns="):
        bring(dataset, ingest(source, on_error="quarantine"))
    (tmp_path / "less").mkdir()
    pq.write_table(rows(0, 3).drop_columns(["x"]), tmp_path / "less" / "a.parquet")
    with pytest.raises(DataError, match="the dataset has columns that are not here: x"):
        bring(dataset, ingest(ParquetFolder(tmp_path / "less"), label="kind", on_error="quarantine"))
    assert dataset.version == 0


def test_what_cannot_mean_anything_is_refused_when_it_is_written(tmp_path: Path) -> None:
    source = every_source(tmp_path)[0]
    with pytest.raises(UsageError, match="a source such as ParquetFolder"):
        ingest("orders.csv")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="whole number of 1 or more"):
        ingest(source, limit=0)
    with pytest.raises(UsageError, match="say to which records: select="):
        Rule(do=remove())
    with pytest.raises(UsageError, match="chooses nothing; leave out select="):
        Rule(select=records.sample(3), do=ingest(source))
    with pytest.raises(UsageError, match="the password would be stored with the run"):
        SqlQuery("postgresql://me:secret@host/shop", QUERY, by="id")
    with pytest.raises(UsageError, match="lambda"):
        FromIterator(lambda _: [])
    with pytest.raises(UsageError, match="what a query begins with"):
        SqlQuery("a.sqlite", "drop table t", by="id")


# -- in a run, and at each look
# -----------------------------------------------------------------------------------------------------------


def stream(folder: Path) -> Path:
    """Make a project: 12 records that are there, 35 rows to come (three of them faulty), in three files."""
    every = rows(0, 47)
    start = every.slice(0, 12).select(["x", "kind"])
    Dataset.create(folder / "stream", start, label="kind", splits={"train": 1.0}, durability="process")
    (folder / "in").mkdir()
    x = every["x"].to_pylist()
    for i in (15, 16, 40):
        x[i] = None
    faulty = every.set_column(0, "x", pa.array(x)).select(["x", "kind"])
    for i, (at, n) in enumerate([(12, 10), (22, 15), (37, 10)]):
        pq.write_table(faulty.slice(at, n), folder / "in" / f"{i}.parquet")
    return folder


def test_looks_ingest_before_the_trigger_is_looked_at_and_a_quiet_look_is_answered_at_once(tmp_path: Path) -> None:
    made = workflow(stream(tmp_path))
    told: list[Any] = []
    repeat(made, lambda: run(made, inline=True), told=told.append, wait=False)  # the first run: two rounds, one batch
    assert made.dataset.view.alive.sum() == 12 + 7 - 2
    looks = [tick(made) for _ in range(3)]
    assert [look["brought"]["arrive"]["n"] for look in looks] == [7, 7, 7]
    assert [look["holds"] for look in looks] == [False, False, True]
    assert [look["metrics"]["labeled_count()"] >= 30 for look in looks] == [False, False, True]
    last = tick(made), tick(made), tick(made)
    assert [look.get("brought", {}).get("arrive", {}).get("n", 0) for look in last] == [7, 0, 0]
    assert last[2]["version"] == last[0]["version"] == made.dataset.version
    assert made.dataset.rejected()["row"].to_pylist() == [4, 5, 29]
    assert made.dataset.log()[-1].rule == "arrive"
    repeat(made, lambda: run(made, inline=True), told=told.append, wait=False)
    assert told[-1]["holds"]


def test_an_error_of_a_source_at_a_look_says_the_rule_and_leaves_the_dataset(tmp_path: Path) -> None:
    made = workflow(stream(tmp_path))
    run(made, inline=True)
    version = made.dataset.version
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(DataError, match=r"Rule 'arrive': .*there is no such folder"):
        tick(made)
    with pytest.raises(RunFailed, match="there is no such folder"):
        run(made, inline=True)
    assert made.dataset.version == version


def test_a_source_that_is_away_is_tried_again_at_the_next_look(tmp_path: Path) -> None:
    plain = workflow(stream(tmp_path))
    rules = {"away": Rule(do=ingest(FromIterator(away), label="kind")), **plain.rules}
    made = replace(plain, rules=rules)
    run(plain, inline=True)
    look = tick(made)
    assert look is not None
    assert look["brought"]["away"] == {"n": 0, "why": "ConnectionError: the service is away"}
    assert look["brought"]["arrive"]["n"] == 7


def away(start: int) -> Iterator[Mapping[str, Any]]:
    raise ConnectionError("the service is away")


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    plain = workflow(stream(tmp_path))
    (tmp_path / "other" / "in").mkdir(parents=True)
    other = Rule(do=ingest(ParquetFolder(tmp_path / "other" / "in"), label="kind"))
    with pytest.raises(UsageError, match="are both called 'in', under which the cursor is kept"):
        replace(plain, rules={**plain.rules, "other": other})
    named = Rule(do=ingest(ParquetFolder(tmp_path / "other" / "in", name="other"), label="kind"))
    assert 'name="other"' in repr(replace(plain, rules={**plain.rules, "other": named}))


def test_a_dry_run_reads_and_writes_nothing(tmp_path: Path) -> None:
    made = workflow(stream(tmp_path))
    plan = propose(made, "arrive", 0, "", (), tmp_path / "plan")
    assert plan == {"n": 7, "why": "5 records from 'in' (batch 1, rows 1 to 7; 2 refused)"}
    assert made.dataset.version == 0
    assert made.dataset.rejected().num_rows == 0


def test_a_run_reads_a_source_to_its_end_round_by_round(tmp_path: Path) -> None:
    plain = workflow(stream(tmp_path))
    made = Workflow(dataset=plain.dataset, model=plain.model, rules=plain.rules, until=rounds() >= 20)
    done = run(made, inline=True)
    assert [r.rules.get("arrive", {}).get("n") for r in done.rounds] == [7, 7, 7, 7, 7, 0]
    assert done.why == "no rule has anything left to change"
    assert len(made.dataset) == 47 - 3


KILLS = [
    "read arrive:1",
    "read arrive:2",
    "brought arrive:1",
    "brought arrive:3",
    "inside r0/arrive/propose",
    "before r0/arrive/commit",
    "inside r0/arrive/commit:2",
    "after r0/arrive/commit",
]


@pytest.mark.crash
@pytest.mark.parametrize("kill", KILLS)
def test_killed_between_reading_and_committing_no_row_is_lost_or_doubled(kill: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    folder = stream(tmp_path / "a")
    shutil.copytree(folder, tmp_path / "b")
    out = tmp_path / "out"
    code, said = launching.launch(launching.as_program, str(PROGRAM), str(folder), out=out)
    assert code == 0, said
    code, died = launching.launch(launching.as_program, str(PROGRAM), str(tmp_path / "b"), out=out, kill=kill)
    assert code == -9, died
    code, again = launching.launch(launching.as_program, str(PROGRAM), str(tmp_path / "b"), out=out)
    assert code == 0, again
    assert again == said
    datasets = [Dataset.open(place / "stream") for place in (folder, tmp_path / "b")]
    keys = [sorted(d.table()["key"].to_pylist()) for d in datasets]
    assert keys[0] == keys[1]
    assert [len(d) for d in datasets] == [44, 44]
    assert [d.rejected()["row"].to_pylist() for d in datasets] == [[4, 5, 29]] * 2
    batches = [c.meta["batch"] for c in datasets[1].log() if "batch" in c.meta]
    assert np.cumsum([0, *(b["rows"] for b in batches)]).tolist()[:-1] == [b["first"] for b in batches]
    assert os.environ.get("TILTH_KILL") is None
