"""The journal: runs and finished steps, in a file and in a database, today's and those of older releases."""

import gc
import json
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilth.errors import Damaged, NotFound, Parked, RunFailed, UsageError
from tilth.runs.journal import Journal

SPEC = json.dumps({"dataset": {"branch": "main"}, "rules": {}})


Open = Callable[..., Journal]


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "journal.sqlite") if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def at(where: str) -> Generator[Open]:
    """Opens the journal; all that were opened are closed at the end."""
    opened: list[Journal] = []

    def at(project: str = "", *, holder: str = "") -> Journal:
        opened.append(Journal(where, project, holder=holder))
        return opened[-1]

    yield at
    for journal in opened:
        journal.close()


def test_a_finished_step_returns_its_result_after_the_process_is_gone(at: Open) -> None:
    first = at()
    run = first.begin("5f2c", SPEC, "pets.py")
    first.finish(run, "r0/start", {"version": 7}, 0.5)
    first.close()
    again = at()
    assert again.result(run, "r0/start") == (True, {"version": 7})
    assert again.result(run, "r0/train") == (False, None)
    assert again.run()["source"] == "pets.py"
    assert again.spec("5f2c") == json.loads(SPEC)


def test_a_step_that_returned_nothing_has_finished_all_the_same(at: Open) -> None:
    journal = at()
    run = journal.begin("5f2c", SPEC, "")
    journal.finish(run, "r0/nothing", None, 0.0)
    assert journal.result(run, "r0/nothing") == (True, None)


def test_steps_come_in_the_order_in_which_they_finished_and_keep_their_place(at: Open) -> None:
    journal = at()
    run = journal.begin("5f2c", SPEC, "")
    for key in ("r0/start", "r0/train", "r0/evaluate"):
        journal.finish(run, key, {"key": key}, 0.25)
    journal.finish(run, "r0/start", {"spec": "new"}, 0.25)
    assert [s["key"] for s in journal.steps(run)] == ["r0/start", "r0/train", "r0/evaluate"]
    assert journal.steps(run)[0]["result"] == {"spec": "new"}


def test_projects_share_a_database_and_see_nothing_of_each_other(at: Open) -> None:
    pets, birds = at("pets"), at("birds")
    assert pets.begin("5f2c", SPEC, "") == birds.begin("5f2c", json.dumps({"of": "birds"}), "") == "run-1"
    pets.finish("run-1", "r0/start", 1, 0.0)
    birds.finish("run-1", "r0/start", 2, 0.0)
    assert pets.result("run-1", "r0/start") == (True, 1)
    assert pets.spec("5f2c") == json.loads(SPEC)  # the same hash: it leaves out where the dataset lies
    birds.delete("run-1")
    assert [r["run"] for r in pets.runs()] == ["run-1"]
    assert pets.steps("run-1")
    assert birds.runs() == []


def test_a_fork_has_the_rounds_before_it_and_its_own_branch(at: Open) -> None:
    journal = at()
    run = journal.begin("5f2c", SPEC, "pets.py")
    keys = [f"r{r}/{step}" for r in range(3) for step in ("start", "train", "flip/propose")]
    for key in keys:
        journal.finish(run, key, {"from": key}, 0.0)
    journal.finish(run, "outcome", {}, 0.0)
    journal.set_state(run, "done", "rounds() >= 2")
    fork = journal.fork(run, 2, branch="try")
    assert [s["key"] for s in journal.steps(fork)] == keys[:6]
    about = journal.run(fork)
    assert (about["branch"], about["state"], about["spec"], about["source"]) == ("try", "running", "5f2c", "pets.py")
    journal.finish(fork, "r2/start", {"from": "the fork"}, 0.0)
    assert journal.result(run, "r2/start") == (True, {"from": "r2/start"})
    assert journal.steps(journal.fork(run, 0, branch="afresh")) == []


@pytest.mark.parametrize("to_round", [-1, 3])
def test_a_fork_at_a_round_that_was_not_begun_is_refused(at: Open, to_round: int) -> None:
    journal = at()
    run = journal.begin("5f2c", SPEC, "")
    for r in range(3):
        journal.finish(run, f"r{r}/start", {}, 0.0)
    with pytest.raises(UsageError, match="rounds 0 to 2"):
        journal.fork(run, to_round, branch="try")


def test_a_deleted_run_is_gone_and_its_name_is_not_given_again(at: Open) -> None:
    journal = at()
    run = journal.begin("5f2c", SPEC, "")
    journal.finish(run, "r0/start", {}, 0.0)
    journal.delete(run)
    with pytest.raises(NotFound, match="no run 'run-1'"):
        journal.run(run)
    with pytest.raises(NotFound, match="no run 'run-1'"):
        journal.delete(run)
    assert journal.steps(run) == []
    assert journal.begin("5f2c", SPEC, "") == "run-2"  # commits keep run-1 in their keys


def test_runs_that_another_journal_knows_are_not_counted_again(where: str) -> None:
    journal = Journal(where, above=7)
    assert [journal.begin("5f2c", SPEC, "") for _ in range(2)] == ["run-8", "run-9"]
    journal.close()


def test_a_thread_that_is_at_work_while_it_is_closed_leaves_no_connection(postgres_url: str) -> None:
    import psycopg

    journal = Journal(postgres_url)
    run = journal.begin("5f2c", SPEC, "")
    others = (
        "select wait_event_type from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    with psycopg.connect(postgres_url, autocommit=True) as look, psycopg.connect(postgres_url) as writer:
        writer.execute("lock table tilth.steps")
        reader = threading.Thread(target=journal.steps, args=[run])
        reader.start()
        while ("Lock",) not in look.execute(others).fetchall():
            assert reader.is_alive()
        journal.close()
        writer.close()
        reader.join()
        with warnings.catch_warnings(record=True) as told:
            gc.collect()
        assert not told
        end = time.monotonic() + 20
        while look.execute(others).fetchall():  # the server takes a moment to see that one has gone
            assert time.monotonic() < end, "a connection is left"


def test_what_is_asked_of_a_run_is_told_once(at: Open) -> None:
    asks, runs = at(), at()
    run = runs.begin("5f2c", SPEC, "")
    assert runs.requested(run) is None
    asks.request(run, "pause")
    asks.request(run, "cancel")
    assert runs.requested(run) == "cancel"
    assert runs.requested(run) is None
    asks.request(run, "pause")
    asks.request(run, None)
    assert runs.requested(run) is None
    with pytest.raises(UsageError, match="'pause' or 'cancel', not 'stop'"):
        asks.request(run, "stop")
    with pytest.raises(NotFound, match="Did you mean 'run-1'"):
        asks.request("run-11", "pause")


def test_the_end_of_a_run_has_a_time_and_a_reason(at: Open) -> None:
    journal = at()
    run = journal.begin("5f2c", SPEC, "")
    journal.set_state(run, "failed", "the disk is full")
    assert (journal.run()["why"], journal.run()["ended"]) == ("the disk is full", None)
    journal.set_state(run, "done")
    assert journal.run()["ended"] >= journal.run()["started"]


def test_who_does_not_hold_a_run_writes_nothing_about_it(at: Open) -> None:
    journal = at()
    run = journal.begin("5f2c", SPEC, "")
    other = at(holder="another")
    with pytest.raises(Parked, match="waits for another worker") as lost:
        other.finish(run, "r0/start", {}, 0.0)
    assert lost.value.state == "lost"
    with pytest.raises(Parked, match="not this worker's"):
        other.set_state(run, "done")
    assert journal.steps(run) == []
    assert journal.run()["state"] == "running"


def test_runs_that_begin_at_once_get_different_names(at: Open) -> None:
    names: list[str] = []

    def begin(journal: Journal) -> None:
        names.extend(journal.begin("5f2c", SPEC, "") for _ in range(10))

    threads = [threading.Thread(target=begin, args=[at()]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == sorted(f"run-{n}" for n in range(1, 41))


@given(
    result=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_any_json_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, result: object) -> None:
    journal = Journal(tmp_path_factory.getbasetemp() / "any.sqlite")
    run = journal.run()["run"] if journal.runs() else journal.begin("5f2c", SPEC, "")
    journal.finish(run, "r0/step", result, 0.0)
    assert journal.result(run, "r0/step") == (True, result)
    journal.close()


OLD = """
create table runs (
  run text primary key, number integer not null, spec text not null, state text not null, why text not null default '',
  source text not null default '', started real not null, ended real);
create table steps (
  run text not null, key text not null, result text not null, finished real not null, seconds real not null, primary key
  (run, key));
create table specs (spec text primary key, json text not null);
insert into specs values ('5f2c', '{"dataset": {"branch": "main"}}'), ('aa01', '{"dataset": {"branch": "try"}}');
insert into runs values ('run-1', 1, '5f2c', 'done', 'enough', 'pets.py', 100.0, 200.0);
insert into runs values ('run-2', 2, 'aa01', 'paused', 'stopped by Ctrl-C', 'pets.py', 300.0, null);
insert into steps values ('run-2', 'r0/train', '{"ref": "m1"}', 302.0, 1.5);
insert into steps values ('run-2', 'r0/start', '{"version": 4}', 301.0, 0.5);
"""
"""A journal as the release 0.1.0 made it."""


def test_a_journal_of_an_older_release_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(OLD)
    db.close()
    journal = Journal(path)
    assert [(r["run"], r["branch"], r["state"]) for r in journal.runs()] == [
        ("run-1", "main", "done"),
        ("run-2", "try", "paused"),
    ]
    assert [(s["key"], s["seconds"]) for s in journal.steps("run-2")] == [("r0/start", 0.5), ("r0/train", 1.5)]
    journal.finish("run-2", "r0/start", {"version": 5}, 0.5)
    assert journal.result("run-2", "r0/start") == (True, {"version": 5})
    assert journal.begin("5f2c", SPEC, "") == "run-3"
    journal.close()
    again = Journal(path)
    assert len(again.runs()) == 3
    again.close()


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database, but a diary" * 100)
    before = path.read_bytes()
    with pytest.raises(Damaged, match=r"is no journal.*datasets are intact"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(RunFailed, match="is the server up") as told:
        Journal("postgresql://tilth:hunter2@127.0.0.1:1/tilth")
    assert "hunter2" not in str(told.value)


def test_a_journal_without_a_spec_says_so(at: Open) -> None:
    with pytest.raises(Damaged, match="has no spec 5f2c"):
        at().spec("5f2c")
