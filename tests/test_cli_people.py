"""The commands on runs and on people: label, retry, list, watch, pause, resume, cancel, fork, delete, detach."""

import csv
import json
import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.test_cli import NEW, document, ok, shell, tilth, write_animals
from tests.test_cli import _fresh_modules as _fresh_modules
from tilth.cli.app import app
from tilth.dataset import Dataset
from tilth.runs.home import home_of

MINE = """
from tilth import Record, Rule, Team, Workflow, annotate, augment, labeled, margin, remove, rounds, unlabeled
from dataclasses import replace
from workflow import workflow as base

def picky(record: Record) -> Record:
    if record.key.endswith("6") and not PATH.exists():
        raise ValueError("ends in six")
    return record.change(size=record["size"] + 0.01)

from pathlib import Path
PATH = Path(__file__).parent / "mended"

crowd = Team("crowd", guide="Cat or dog?")
mine = replace(
    base,
    rules={
        "ask": Rule(select=unlabeled.top(4, by=margin()), do=annotate(by=crowd)),
        "grow": Rule(select=labeled.where(label="cat"), do=augment(picky)),
    },
    until=rounds() >= 1,
)
del base
"""


@pytest.fixture(scope="session")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run waits for people."""
    folder = tmp_path_factory.mktemp("asking")
    ok(tilth("new", folder / "animals", "--from", write_animals(folder / "animals.csv"), *NEW))
    project = folder / "animals"
    (project / "mine.py").write_text(MINE)
    assert shell("run", project / "mine.py", "--inline", "--no-wait").returncode == 3
    return project


@pytest.fixture
def project(asking: Path, tmp_path: Path) -> Path:
    target = tmp_path / "animals"
    shutil.copytree(asking, target)
    return target


def typed(project: Path, *lines: str, who: str = "ann") -> Any:
    return CliRunner().invoke(app, ["label", str(project), "--as", who], input="".join(f"{line}\n" for line in lines))


def go_on(project: Path) -> Any:
    return shell("run", project / "mine.py", "--inline", "--no-wait")


def test_a_person_does_the_whole_loop_in_the_terminal(project: Path) -> None:
    shown = ok(typed(project, "1", "d", "zebra", "<", "2", "", "."))
    assert "crowd, rule 'ask'" in shown.stdout
    assert "Cat or dog?" in shown.stdout
    assert "1 cat  2 dog" in shown.stdout
    assert "noise:" in shown.stdout
    assert "truth" not in shown.stdout  # hidden columns stay hidden
    assert "'zebra' is no class" in shown.stderr
    status = document(tilth("status", project, "--json"))
    [asked] = status["questions"]
    assert (asked["team"], asked["tasks"], asked["complete"]) == ("crowd", 4, 3)
    ok(typed(project, "1", who="bob"))
    done = go_on(project)
    assert done.returncode == 0, done.stderr
    dataset = Dataset.open(project)
    assert dataset.view.labels_spent == 4
    assert {row["annotator"] for row in dataset.answers().to_pylist()} == {"ann", "bob"}


def test_skip_cannot_tell_and_bad_are_kept_apart(project: Path) -> None:
    ok(typed(project, "-", "?", "!", "1"))
    ok(typed(project, "2", who="bob"))  # the skipped one goes to somebody else
    assert go_on(project).returncode == 0
    dataset = Dataset.open(project)
    assert sorted(str(json.loads(t)) for t in dataset.answers()["label"].to_pylist()) == ["None", "None", "cat", "dog"]
    assert int(dataset.view.quarantined.sum()) >= 1
    told = [tilth("why", project, k).stdout for k in dataset.keys(dataset.view.quarantined.nonzero()[0])]
    assert any("a bad record, said ann" in text for text in told)


def test_answers_go_out_and_come_in_by_files(project: Path, tmp_path: Path) -> None:
    file = tmp_path / "tasks.csv"
    assert document(tilth("label", project, "--export", file, "--json"))["tasks"] == 4
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    for row in rows:
        row["label"] = "dog"
    rows[2]["label"] = "dgo"
    with file.open("w", newline="") as opened:
        out = csv.DictWriter(opened, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    refused = tilth("label", project, "--import", file, "--as", "tool")
    assert refused.exit_code == 1
    assert "line 4" in refused.stderr
    assert "Did you mean 'dog'?" in refused.stderr
    assert document(tilth("status", project, "--json"))["questions"][0]["answers"] == 0
    taken = document(tilth("label", project, "--import", file, "--as", "tool", "--quarantine", "--json"))
    assert (taken["answers"], len(taken["refused"])) == (3, 1)
    again = document(tilth("label", project, "--import", file, "--as", "tool", "--quarantine", "--json"))
    assert (again["answers"], again["duplicates"]) == (0, 3)


def test_a_record_that_failed_is_retried_alone_after_it_was_mended(project: Path) -> None:
    ok(typed(project, "1", "1", "1", "1"))
    assert go_on(project).returncode == 0
    dataset = Dataset.open(project)
    bad = dataset.keys(dataset.view.quarantined.nonzero()[0])
    assert bad
    assert all(key.endswith("6") for key in bad)
    assert "picky" in tilth("why", project, bad[0]).stdout
    still = shell("retry", project, bad[0])
    assert still.returncode != 0
    assert "ends in six" in still.stderr
    (project / "mended").touch()
    done = shell("retry", project, bad[0])
    assert done.returncode == 0, done.stderr
    assert "1 record made of it" in done.stdout
    assert not Dataset.open(project).view.quarantined[dataset.ids(bad[:1])].any()
    again = tilth("retry", project, bad[0])
    assert (again.exit_code, "not quarantined" in again.stderr) == (2, True)


def test_list_pause_resume_fork_cancel_delete(project: Path) -> None:
    assert [r["state"] for r in document(tilth("list", project, "--json"))["runs"]] == ["waiting"]
    assert "run-1 is paused" in ok(tilth("pause", project)).stdout
    waits = shell("resume", project, "--no-wait")
    assert waits.returncode == 3, waits.stderr
    ok(typed(project, "1", "1", "1", "1"))
    assert shell("resume", project, "--no-wait").returncode == 0
    made = document(tilth("fork", project, "--from-round", "0", "--json"))
    assert (made["run"], made["branch"], made["state"]) == ("run-2", "run-1-fork-1", "paused")
    assert shell("resume", project, "--run", "run-2", "--no-wait").returncode == 3
    refused = tilth("cancel", project, "--run", "run-2")
    assert (refused.exit_code, "--yes" in refused.stderr) == (2, True)
    assert "run-2 is cancelled" in ok(tilth("cancel", project, "--run", "run-2", "--yes")).stdout
    ok(tilth("delete", project, "run-2", "--yes"))
    assert [r["run"] for r in document(tilth("list", project, "--json"))["runs"]] == ["run-1"]
    gone = tilth("watch", project, "--run", "run-2")
    assert (gone.exit_code, "no run 'run-2'" in gone.stderr) == (1, True)


def test_a_detached_run_is_watched_and_cancelled_from_another_terminal(project: Path) -> None:
    started = shell("resume", project, "--detach")
    assert started.returncode == 0, started.stderr
    assert "runs in the background" in started.stderr
    watching = subprocess.Popen(
        [sys.executable, "-m", "tilth.cli", "watch", str(project)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert watching.stdout is not None
        for line in watching.stdout:
            if "waits for crowd" in line:
                break
        busy = shell("run", project / "mine.py", "--inline")
        assert busy.returncode == 1
        assert "is running" in busy.stderr
        log = home_of(project / "dataset") / "detached.log"
        said = log.read_text()
        second = shell("resume", project, "--detach")
        assert second.returncode == 1
        assert "at work on 'run-1' already" in second.stderr
        assert log.read_text().startswith(said)
        ok(tilth("cancel", project, "--yes"))
        rest, _ = watching.communicate(timeout=60)
        assert "run-1 is cancelled" in rest
    finally:
        watching.kill()
        watching.wait()


def test_a_run_goes_on_with_its_own_of_several_workflows(project: Path) -> None:
    file = project / "mine.py"
    file.write_text(f"{MINE}other = replace(mine, seed=9)\n")
    resumed = shell("resume", project, "--no-wait")
    assert (resumed.returncode, "waits for crowd" in resumed.stderr) == (3, True), resumed.stderr
    assert shell("run", file, "--run", "run-1", "--inline", "--no-wait").returncode == 3
    unnamed = tilth("run", file, "--inline", "--no-wait")
    assert (unnamed.exit_code, "Say which: --name" in unnamed.stderr) == (2, True)
    file.write_text(f"{MINE.replace('top(4', 'top(5')}other = replace(mine, seed=9)\n")
    edited = shell("resume", project, "--no-wait")
    assert (edited.returncode, "Say which: --name" in edited.stderr) == (2, True)


def test_a_run_goes_on_from_the_file_whose_workflow_it_adopted(project: Path) -> None:
    (project / "yours.py").write_text(MINE.replace("top(4", "top(5"))
    assert shell("run", project / "yours.py", "--inline", "--no-wait", "--adopt").returncode == 3
    resumed = shell("resume", project, "--no-wait")
    assert resumed.returncode == 3, resumed.stderr


@pytest.mark.slow
def test_a_run_is_cancelled_in_the_middle_of_a_training(project: Path) -> None:
    file = project / "workflow.py"
    slow = "RandomForestClassifier(n_estimators=20_000)"
    text = file.read_text().replace("LogisticRegression(max_iter=1000)", slow)
    file.write_text(
        text.replace("sklearn.linear_model import LogisticRegression", "sklearn.ensemble import RandomForestClassifier")
    )
    ok(tilth("cancel", project, "--yes"))  # the run that waits for people
    command = [sys.executable, "-m", "tilth.cli", "run", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "training" in process.stderr.readline()
        ok(tilth("cancel", project, "--yes"))
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "run-2 was cancelled" in said
    assert [r["state"] for r in document(tilth("list", project, "--json"))["runs"]] == ["cancelled", "cancelled"]


def test_one_key_a_record_on_a_terminal(project: Path) -> None:
    """A real pseudo-terminal: no Enter is pressed, Backspace takes the last answer back."""
    handle, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm-256color", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "tilth.cli", "label", str(project), "--as", "ann"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    os.close(theirs)
    seen = ""
    keys: Iterator[bytes] = iter([b"1", b"1", b"\x7f", b"2", b"2", b"2"])
    prompts = 0
    while True:
        assert select.select([handle], [], [], 60)[0], seen
        try:
            read = os.read(handle, 4096).decode()
        except OSError:
            break
        if not read:
            break
        seen += read
        while seen.count("> ") > prompts:
            prompts += 1
            key = next(keys, None)
            if key is not None:
                os.write(handle, key)
    os.close(handle)
    assert process.wait(60) == 0
    assert "4 answers by ann" in seen
    status = document(tilth("status", project, "--json"))
    assert status["questions"][0]["complete"] == 4


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["label"], 2, "--as NAME"),
        (
            ["label", "--as", "ann", "--team", "nobody"],
            1,
            "nothing is asked of team 'nobody'",
        ),
        (["label", "--import", "nowhere.csv", "--as", "ann"], 1, "nowhere.csv"),
        (["fork", "--from-round", "7"], 1, "rounds 0 to 0"),
        (["worker"], 2, "--engine postgresql://"),
        (["retry", "animal-001"], 2, "is not quarantined"),
        (["delete", "run-9", "--yes"], 1, "no run 'run-9'"),
    ],
)
def test_wrong_arguments_say_what_to_do(project: Path, args: list[str], code: int, told: str) -> None:
    name, *rest = args
    result = tilth(name, *([] if name == "worker" else [project]), *rest)
    assert result.exit_code == code, result.stderr
    assert told in result.stderr


def test_a_project_that_asks_nobody_says_so(tmp_path: Path) -> None:
    ok(tilth("new", tmp_path / "animals", "--from", write_animals(tmp_path / "animals.csv"), *NEW))
    result = tilth("label", tmp_path / "animals", "--as", "ann")
    assert (result.exit_code, "asks nothing" in result.stderr) == (1, True)
    assert not home_of(tmp_path / "animals" / "dataset").exists()  # to look writes nothing
