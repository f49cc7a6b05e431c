"""The command line, called in this process and as a process of its own, on real small projects."""

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from PIL import Image
from scipy.io import wavfile
from typer.testing import CliRunner

from tilth.cli.app import app
from tilth.dataset import Dataset
from tilth.functions import load_file
from tilth.scaffold import PATTERNS
from tilth.workflow import Workflow

COMMANDS = [
    "new",
    "run",
    "explain",
    "check",
    "draw",
    "status",
    "log",
    "diff",
    "why",
    "rollback",
    "export",
    "signals",
    "demo",
]


def tilth(*args: object) -> Any:
    """Call the command line in this process; the result has `exit_code`, `stdout` and `stderr`."""
    return CliRunner().invoke(app, [str(arg) for arg in args])


def shell(*args: object, env: dict[str, str] | None = None, cwd: Path | None = None) -> Any:
    """Call it as a process of its own."""
    command = [sys.executable, "-m", "tilth.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | (env or {}), timeout=120)


def ok(result: Any) -> Any:
    """Return the result of a command that must have gone well."""
    assert result.exit_code == 0, result.stderr
    return result


def document(result: Any) -> Any:
    """Return the one JSON document that stdout must be, without NaN in it."""
    return json.loads(ok(result).stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.fixture(autouse=True)
def _fresh_modules() -> Iterator[None]:
    # workflow files are imported by the name of their file, and every project has a workflow.py
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if Path(file).name in ("workflow.py", "mine.py") and "tilth" not in name:
            del sys.modules[name]
    sys.path[:] = path


def write_animals(path: Path, n: int = 120) -> Path:
    """Write a table of cats and dogs: half of train without a label, some labels wrong, the truth in a column."""
    chance = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["name", "size", "noise", "truth", "kind", "part"])
        for i in range(n):
            truth = ["cat", "dog"][i % 2]
            part = ["train", "train", "train", "valid", "test"][i % 5]
            wrong = part == "train" and i % 9 == 0
            kind = "" if part == "train" and i % 4 == 1 else {"cat": "dog", "dog": "cat"}[truth] if wrong else truth
            size, noise = chance.normal(2.0 * (i % 2), 0.7, 2)
            out.writerow([f"animal-{i:03d}", f"{size:.3f}", f"{noise:.3f}", truth, kind, part])
    return path


NEW = ("--label", "kind", "--key", "name", "--split", "part", "--hidden", "truth")


def new_project(folder: Path) -> Path:
    """Make a project of few animals that nobody has run yet."""
    ok(tilth("new", folder / "animals", "--from", write_animals(folder / "animals.csv"), *NEW))
    file = folder / "animals" / "workflow.py"
    # less to train: two rounds, and labels judged by the model itself instead of a forest
    text = file.read_text().replace("rounds() >= 3", "rounds() >= 2").replace('by="probe"', 'by="model"')
    file.write_text(text.replace("label_quality()", 'label_quality(by="model")'))
    return folder / "animals"


def finished_project(made: Path, folder: Path) -> Path:
    """Copy a project and run it to its end."""
    project = folder / "animals"
    shutil.copytree(made, project)
    assert shell("run", project, "--inline").returncode == 0
    return project


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_project(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def done(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose run is over; only to be read."""
    return finished_project(made, tmp_path_factory.mktemp("done"))


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A project of the test's own that nobody has run yet."""
    return shutil.copytree(made, tmp_path / "animals")


@pytest.fixture
def after(done: Path, tmp_path: Path) -> Path:
    """A project of the test's own whose run is over."""
    return shutil.copytree(done, tmp_path / "animals")


# -- the whole -------------------------------------------------------------------------------------------------------


def test_help_lists_every_command() -> None:
    text = ok(tilth("--help")).stdout
    assert [name for name in COMMANDS if f"\n  {name} " not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert "--traceback" in ok(tilth(command, "--help")).stdout


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys; sys.argv = ['tilth', '--help']\nfrom tilth.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    heavy = "('numpy', 'pyarrow', 'lance', 'pandas', 'sklearn', 'scipy', 'rich', 'sqlite3', 'asyncio')"
    code += f"print('loaded:', [m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "loaded: []" in said


def test_version() -> None:
    assert re.fullmatch(r"tilth \d+\.\d+\.\d+\n", shell("--version").stdout)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["frobnicate"], "error: No such command 'frobnicate'"),
        (["stats"], "Did you mean 'status'?"),
        (["status", "--nope"], "--nope"),
        (["diff", ".", "first"], "'A'"),
        (["why", "."], "KEY"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(args: list[str], said: str) -> None:
    result = tilth(*args)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "--help" in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_dataset_is_exit_code_1_and_says_how_to_make_one(tmp_path: Path) -> None:
    result = tilth("status", tmp_path / "birds")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "tilth new" in result.stderr


def test_a_reader_that_goes_away_is_no_error(done: Path) -> None:
    command = f"{sys.executable} -m tilth.cli diff {done} 0 1 --limit 0 | true"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in result.stderr


# -- new -------------------------------------------------------------------------------------------------------------


def test_new_says_what_was_imported_and_what_to_do_next(tmp_path: Path) -> None:
    result = ok(tilth("new", tmp_path / "animals", "--from", write_animals(tmp_path / "animals.csv"), *NEW))
    assert "animals: 120 records" in result.stdout
    assert re.search(r"train +72 +54\n", result.stdout)
    assert "truth (text, hidden from models)" in result.stdout
    assert re.search(r"labels: 2 classes: (cat|dog) \d+, (cat|dog) \d+", result.stdout)
    assert f"tilth run {tmp_path / 'animals'}" in result.stdout
    text = (tmp_path / "animals" / "workflow.py").read_text()
    assert 'Path(__file__).parent / "dataset"' in text
    assert str(tmp_path) not in text


def test_new_takes_the_options_of_create(tmp_path: Path) -> None:
    source = write_animals(tmp_path / "animals.csv")
    ok(tilth("new", tmp_path / "a", "--from", source, "--label", "kind", "--stratify", "--seed", "3"))
    ok(tilth("new", tmp_path / "b", "--from", source, "--label", "kind", "--stratify", "--seed", "4"))
    a, b = (Dataset.open(tmp_path / name) for name in "ab")
    assert a.digest() != b.digest()
    assert a.schema.names == ("name", "size", "noise", "truth", "part")
    assert a.schema.features == a.schema.names


@pytest.mark.parametrize("args", [[], ["birds"], ["--from", "photos"]])
def test_new_without_a_source_or_name_shows_the_forms(args: list[str]) -> None:
    result = tilth("new", *args)
    assert result.exit_code == 2
    assert "tilth new birds --from photos/" in result.stderr
    assert "--label kind" in result.stderr


def test_new_that_fails_leaves_nothing_behind_and_speaks_of_options(tmp_path: Path) -> None:
    (tmp_path / "holes.csv").write_text("x,kind\n1.5,cat\n,dog\n3.5,cat\n")
    result = tilth("new", tmp_path / "p", "--from", tmp_path / "holes.csv", "--label", "kind")
    assert result.exit_code == 1
    assert "holes.csv, line 3" in result.stderr
    assert "--missing keep" in result.stderr
    assert "--on-error quarantine" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["holes.csv"]


def test_new_quarantines_on_demand_and_lists_what_it_refused(tmp_path: Path) -> None:
    lines = "".join(f"{i},{'cat' if i % 2 else 'dog'}\n" for i in range(30))
    (tmp_path / "holes.csv").write_text(f"x,kind\n{lines},dog\n")
    result = ok(
        tilth("new", tmp_path / "p", "--from", tmp_path / "holes.csv", "--label", "kind", "--on-error", "quarantine")
    )
    assert "1 row refused:" in result.stdout
    assert "column 'x' is missing" in result.stdout
    assert document(tilth("status", tmp_path / "p", "--json"))["rejected"] == 1


def test_new_never_writes_over_what_is_there(project: Path) -> None:
    before = (project / "workflow.py").read_text()
    result = tilth("new", project, "--from", project.parent / "animals.csv")
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert (project / "workflow.py").read_text() == before


def test_new_needs_a_name_that_is_one(made: Path) -> None:
    result = tilth("new", ".", "--from", made.parent / "animals.csv")
    assert result.exit_code == 2
    assert "a name of its own" in result.stderr


def test_new_without_any_label_needs_classes_and_warns(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("".join(f"note {i}\n" for i in range(40)))
    refused = tilth("new", tmp_path / "notes", "--from", tmp_path / "notes.txt")
    assert refused.exit_code == 2
    assert "--classes A,B" in refused.stderr
    result = ok(tilth("new", tmp_path / "notes", "--from", tmp_path / "notes.txt", "--classes", "good, bad"))
    assert "note: no record of train has a label" in result.stdout
    assert "2 classes: good 0, bad 0" in result.stdout
    assert '# "ask": Rule(select=unlabeled' in (tmp_path / "notes" / "workflow.py").read_text()
    failed = shell("run", tmp_path / "notes", "--inline")
    assert failed.returncode == 1
    assert "no labelled record" in failed.stderr


def images(folder: Path) -> list[object]:
    chance = np.random.default_rng(0)
    for i in range(40):
        path = folder / "photos" / ("light" if i % 2 else "dark") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(100 * (i % 2), 140 + 100 * (i % 2), (16, 16, 3), np.uint8)).save(path)
    return ["--from", folder / "photos"]


def sounds(folder: Path) -> list[object]:
    for i in range(40):
        path = folder / "sounds" / ("high" if i % 2 else "low") / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = np.sin(np.arange(1600) * (0.9 if i % 2 else 0.2) * (1 + i / 200))
        wavfile.write(path, 8000, (wave * 9000).astype(np.int16))
    return ["--from", folder / "sounds"]


def texts(folder: Path) -> list[object]:
    words = {"ham": "lunch report project team", "spam": "win money prize click"}
    rows = [{"text": f"{words[kind]} {i}", "kind": kind} for i in range(40) for kind in ("ham", "spam")]
    pq.write_table(pa.Table.from_pylist(rows), folder / "mail.parquet")
    return ["--from", folder / "mail.parquet", "--label", "kind"]


def vectors(folder: Path) -> list[object]:
    chance = np.random.default_rng(0)
    x = chance.normal(size=(60, 4)).astype(np.float32)
    table = {
        "x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 4),
        "n": pa.array(range(60)),
        "kind": pa.array(np.where(x[:, 0] > 0, "up", "down").astype(str)),
    }
    pq.write_table(pa.table(table), folder / "vectors.parquet")
    return ["--from", folder / "vectors.parquet", "--label", "kind"]


def mixed(folder: Path) -> list[object]:
    chance = np.random.default_rng(0)
    towns = ["Ulm", "Bonn", "Kiel"]
    rows = [
        {
            "area": float(a) if i % 10 else None,
            "rooms": i % 5,
            "town": towns[i % 3],
            "note": f"sunny {i} quiet",
            "price": 3.0 * float(a) + i % 3 + 0.5,
        }
        for i, a in enumerate(chance.uniform(10, 90, 60))
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "houses.parquet")
    return ["--from", folder / "houses.parquet", "--label", "price", "--kind", "number", "--missing", "keep"]


def tags(folder: Path) -> list[object]:
    rows = [{"text": f"{'red ' * (i % 2)}{'blue ' * (i % 3 == 0)}thing {i}"} for i in range(60)]
    for row in rows:
        row["tags"] = [tag for tag in ("red", "blue") if tag in row["text"]]
    (folder / "tags.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--from", folder / "tags.jsonl", "--label", "tags"]


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        (images, ["ImageFeatures()", 'embed="imagefeatures"', "LogisticRegression", "duplicate(threshold=0.99)"]),
        (sounds, ["AudioFeatures()", "LogisticRegression", '"fix": Rule(']),
        (texts, ["TfidfVectorizer()", "LogisticRegression", 'relabel(by="probe")', "Gate(by=0.0)"]),
        (vectors, ["StandardScaler()", 'features="x"', "LogisticRegression"]),
        (mixed, ["make_column_transformer", "OneHotEncoder", "SimpleImputer()", "Ridge()", "-rmse()"]),
        (tags, ["OneVsRestClassifier(LogisticRegression", '"weed": Rule(']),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_new_writes_a_workflow_that_suits_the_data_and_runs(
    source: Callable[[Path], list[object]], holds: list[str], tmp_path: Path
) -> None:
    ok(tilth("new", tmp_path / "p", *source(tmp_path)))
    text = (tmp_path / "p" / "workflow.py").read_text()
    assert [part for part in holds if part not in text] == []
    found = document(tilth("run", tmp_path / "p", "--inline", "--json"))
    assert found["state"] == "done"
    assert len(found["rounds"]) >= 1


@pytest.mark.parametrize("name", PATTERNS)
def test_new_writes_a_workflow_by_a_pattern(name: str, tmp_path: Path) -> None:
    source = write_animals(tmp_path / "animals.csv")
    result = ok(tilth("new", tmp_path / "p", "--from", source, *NEW, "--pattern", name))
    assert f"tilth run {tmp_path / 'p'}" in result.stdout
    text = (tmp_path / "p" / "workflow.py").read_text()
    assert f"workflow = {name.replace('-', '_')}(" in text
    assert max(len(line) for line in text.splitlines()) <= 120
    found = document(tilth("explain", tmp_path / "p", "--json"))
    assert found["rules"] or found["tune"]
    assert [rule for rule in found["rules"].values() if rule.get("when", {"holds": True})["holds"]] or found["tune"]


def test_new_lists_the_patterns_and_tells_a_wrong_one(tmp_path: Path) -> None:
    listed = ok(tilth("new", "--pattern", "list")).stdout
    assert [name for name in PATTERNS if name not in listed] == []
    source = write_animals(tmp_path / "animals.csv")
    result = tilth("new", tmp_path / "p", "--from", source, *NEW, "--pattern", "activ-learning")
    assert result.exit_code == 2
    assert "Did you mean 'active-learning'?" in result.stderr
    assert not (tmp_path / "p").exists()


def test_a_project_without_any_label_begins_by_asking(tmp_path: Path) -> None:
    rows = write_animals(tmp_path / "animals.csv").read_text().splitlines()
    at = rows[0].split(",").index("kind")
    cells = [row.split(",") for row in rows]
    for row in cells[1:]:
        row[at] = row[at] if "train" not in row else ""
    (tmp_path / "bare.csv").write_text("\n".join(",".join(row) for row in cells))
    told = ok(tilth("new", tmp_path / "p", "--from", tmp_path / "bare.csv", *NEW, "--pattern", "active-learning"))
    assert "note: no record" not in told.stdout
    seen = ok(tilth("explain", tmp_path / "p")).stdout
    assert "go before the first training, and 'ask' then" in seen
    assert "would be asked about" in seen
    result = ok(tilth("run", tmp_path / "p", "--inline"))
    assert "start: 4 asked, 4 answers" in result.stderr


def test_tuning_shows_what_each_round_tried_and_ends_with_the_best(tmp_path: Path) -> None:
    source = write_animals(tmp_path / "animals.csv")
    ok(tilth("new", tmp_path / "p", "--from", source, *NEW, "--pattern", "model-centric"))
    file = tmp_path / "p" / "workflow.py"
    file.write_text(file.read_text().replace("trials=30", "trials=3"))
    assert "every round tries another model, suggested by Tune(OptunaSearch(space))" in (
        ok(tilth("explain", tmp_path / "p")).stdout
    )
    result = ok(tilth("run", tmp_path / "p", "--inline"))
    assert len(re.findall(r"model: C=\d", result.stderr)) == 2
    assert "model: the model given" in result.stderr
    assert "best of 3 models, in round" in result.stdout
    assert "version 0 → 0" in result.stdout


# -- run -------------------------------------------------------------------------------------------------------------


def test_run_tells_each_round_on_stderr_and_the_result_on_stdout(project: Path) -> None:
    result = ok(tilth("run", project / "workflow.py", "--inline"))
    rounds = [line for line in result.stderr.splitlines() if re.match(r"round \d+: version", line)]
    assert len(rounds) >= 2
    assert "accuracy()" in rounds[0]
    assert re.search(r"ask: \d+ asked, \d+ answers", rounds[0])
    assert "run-1 ended after" in result.stdout
    assert "labels spent" in result.stdout
    assert "round 0" not in result.stdout


def test_run_json_is_one_document_whatever_the_workflow_prints(project: Path) -> None:
    file = project / "workflow.py"
    file.write_text(file.read_text() + '\nprint("hello from my file")\n')
    result = tilth("run", project, "--inline", "--json")
    found = document(result)
    assert (found["run"], found["state"]) == ("run-1", "done")
    assert found["rounds"][-1]["labels_spent"] > 0
    assert "hello from my file" in result.stderr


def test_run_in_a_process_of_its_own_with_a_training_child(project: Path) -> None:
    result = shell("run", "workflow.py", cwd=project)
    assert result.returncode == 0, result.stderr
    assert "ended after" in result.stdout
    assert "\x1b" not in result.stdout + result.stderr


def test_metrics_that_are_not_known_are_null_in_json(tmp_path: Path) -> None:
    rows = [{"x": float(i % 7), "kind": "ab"[i % 2], "part": "train"} for i in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    made = ok(tilth("new", tmp_path / "p", "--from", tmp_path / "t.parquet", "--label", "kind", "--split", "part"))
    assert "valid has no labelled record" in made.stdout
    found = document(tilth("run", tmp_path / "p", "--inline", "--json"))
    assert found["rounds"][0]["metrics"]["accuracy()"] is None


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("x = (\n", 1, "mine.py, line 1: '(' was never closed"),
        ("a = 1\nb = a / 0\n", 1, "mine.py, line 2: ZeroDivisionError: division by zero"),
        ("from tilth import Rule\n\nRule(select=3, do=4)\n", 2, "mine.py, line 3: Rule(select=3)"),
        ("x = 1\n", 2, "has no Workflow at its top level"),
        (
            "from workflow import workflow\nfrom dataclasses import replace\nb = replace(workflow, seed=2)\n",
            2,
            "--name",
        ),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_line(project: Path, text: str, code: int, said: str) -> None:
    (project / "mine.py").write_text(text)
    result = tilth("run", project / "mine.py")
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_one_of_several_workflows_is_chosen_by_name(project: Path) -> None:
    text = "from dataclasses import replace\nfrom workflow import workflow\nother = replace(workflow, seed=2)\n"
    (project / "mine.py").write_text(text)
    assert "Did you mean 'other'?" in tilth("explain", project / "mine.py", "--name", "othr").stderr
    assert document(tilth("explain", project / "mine.py", "--name", "other", "--json"))["version"] == 0


BROKEN = """
from dataclasses import replace
from tilth import Record, Rule, augment, records
from workflow import workflow as base

def grow(record: Record) -> Record:
    raise RuntimeError(f"no good: {record.key}")

mine = replace(base, rules={"grow": Rule(select=records.sample(3), do=augment(grow))})
del base
"""


def test_a_rule_that_fails_is_told_without_a_traceback_and_can_be_mended(project: Path) -> None:
    file = project / "mine.py"
    file.write_text(BROKEN)
    failed = shell("run", file, "--inline")
    assert failed.returncode == 1
    assert "Rule 'grow'" in failed.stderr
    assert "no good: animal-" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert document(tilth("status", project, "--json"))["run"]["state"] == "failed"
    said = ok(tilth("status", project)).stdout
    assert "mend what failed, then tilth run" in said
    assert "Traceback" in tilth("run", file, "--inline", "--traceback").stderr
    assert "Traceback" in CliRunner().invoke(app, ["run", str(file)], env={"TILTH_TRACEBACK": "1"}).stderr
    file.write_text(BROKEN.replace('raise RuntimeError(f"no good: {record.key}")', "return record.change(size=1.0)"))
    mended = shell("run", file, "--inline", "--adopt")
    assert mended.returncode == 0, mended.stderr
    assert "run-1 goes on" in mended.stderr
    assert "3 added" in mended.stderr


WAITING = """
from dataclasses import replace
from tilth import Rule, Team, annotate, unlabeled
from workflow import workflow as base

mine = replace(base, rules={"ask": Rule(select=unlabeled.sample(3), do=annotate(by=Team("crowd")))})
del base
"""


def test_waiting_for_people_is_exit_code_3_and_no_error(project: Path) -> None:
    (project / "mine.py").write_text(WAITING)
    result = shell("run", project / "mine.py", "--inline", "--no-wait", "--json")
    assert result.returncode == 3
    assert json.loads(result.stdout)["state"] == "waiting"
    assert "waits for crowd: 3 questions" in result.stderr
    assert "error:" not in result.stderr
    status = document(tilth("status", project, "--json"))
    assert (status["run"]["state"], status["splits"]["train"]["pending"]) == ("waiting", 3)
    assert "withdraws 3 questions" in tilth("rollback", project, "0").stdout


def test_an_edited_workflow_is_refused_with_the_difference(project: Path) -> None:
    assert shell("run", project, "--inline", env={"TILTH_KILL": "before r1/train"}).returncode == -signal.SIGKILL
    file = project / "workflow.py"
    file.write_text(file.read_text().replace(" < 0.3", " < 0.2"))
    refused = tilth("run", project, "--inline")
    assert refused.exit_code == 2
    assert "rule 'fix'" in refused.stderr
    assert "--adopt" in refused.stderr
    assert document(tilth("run", project, "--inline", "--adopt", "--json"))["state"] == "done"


def test_a_run_whose_process_is_gone_rests_and_goes_on(project: Path) -> None:
    killed = shell("run", project, "--inline", env={"TILTH_KILL": "before r1/train"})
    assert killed.returncode == -signal.SIGKILL
    assert document(tilth("status", project, "--json"))["run"]["state"] == "resting"
    assert "its process is gone" in ok(tilth("status", project)).stdout
    with FileLock(project / "runs" / "lock"):
        (project / "runs" / "holder").write_text(f"{os.getpid()} run-1")
        assert document(tilth("status", project, "--json"))["run"]["state"] == "running"
        busy = tilth("run", project, "--inline")
        assert busy.exit_code == 1
        assert "running" in busy.stderr
    again = ok(tilth("run", project, "--inline"))
    assert "run-1 goes on where it was" in again.stderr
    assert document(tilth("status", project, "--json"))["run"]["state"] == "done"


@pytest.mark.slow
def test_ctrl_c_leaves_everything_safe_and_says_how_to_go_on(project: Path) -> None:
    file = project / "workflow.py"
    slow = "RandomForestClassifier(n_estimators=300)"
    text = file.read_text().replace("LogisticRegression(max_iter=1000)", slow)
    file.write_text(
        text.replace("sklearn.linear_model import LogisticRegression", "sklearn.ensemble import RandomForestClassifier")
    )
    command = [sys.executable, "-m", "tilth.cli", "run", project]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        process.send_signal(signal.SIGINT)
        said = process.communicate()[1]
    assert "training" in first
    assert process.returncode == 130
    assert "Version 0 and all before it are safe" in said
    assert f"Go on: tilth run {project}" in said
    assert "Traceback" not in said
    assert len(children) == 1
    assert not Path(f"/proc/{children[0]}").exists()
    assert document(tilth("status", project, "--json"))["run"]["state"] == "paused"


def on_terminal(*args: object, columns: int = 80, env: dict[str, str] | None = None) -> str:
    """Return what a command writes to a terminal of that width."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tilth.cli", *map(str, args)],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env=os.environ | {"COLUMNS": str(columns), "TERM": "xterm-256color"} | (env or {}),
    )  # fmt: skip
    os.close(theirs)
    out = io.BytesIO()
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the terminal is gone with the process
            break
        if not chunk:
            break
        out.write(chunk)
    os.close(ours)
    assert process.wait() == 0
    return out.getvalue().decode()


COLOUR = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-7]|9[0-7]|38;[0-9;]+)m")
STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_on_a_terminal_the_rounds_are_a_table_that_fits_its_width(project: Path) -> None:
    shown = on_terminal("run", project, "--inline", columns=80)
    plain = STEERING.sub("", shown).replace("\r", "\n")
    assert re.search(r"\nround +version +labels +valid +test +rules", plain)
    assert re.search(r"\n +0 +0 +0 +[01]\.\d{4} +[01]\.\d{4} +fix", plain)
    assert "run-1 ended after" in plain
    assert max(len(line) for line in plain.partition("run-1 ended")[0].split("\n")) <= 80
    assert COLOUR.search(shown)


def test_no_color_is_honoured(done: Path) -> None:
    assert "\x1b[1mversion" in on_terminal("log", done)
    assert "\x1b[1mversion" not in on_terminal("log", done, env={"NO_COLOR": "1"})
    assert not COLOUR.search(on_terminal("explain", done, env={"NO_COLOR": "1"}))


# -- explain ---------------------------------------------------------------------------------------------------------


def test_explain_changes_nothing_and_fills_the_numbers_in(project: Path) -> None:
    found = document(tilth("explain", project, "--json"))
    dataset = Dataset.open(project)
    assert (dataset.version, found["version"], found["trained"]) == (0, 0, True)
    assert found["until"]["now"] == "rounds() = 0 >= 2"
    ask = found["rules"]["ask"]
    assert ask["changes"] == min(ask["chosen"], 10)
    assert len(ask["first"]) == 5
    assert {row["change"] for row in ask["first"]} == {"asked of oracle"}
    scores = [row["score"] for row in ask["first"]]
    assert scores == sorted(scores, reverse=True)
    assert (dataset.ids([row["key"] for row in ask["first"]]) >= 0).all()
    assert found["rules"]["fix"]["gate"]["improves"] == "accuracy()"
    again = document(tilth("explain", project, "--json"))
    assert again["trained"] is False
    assert again["rules"] == found["rules"]
    assert not (project / "runs").exists()


def test_explain_in_words(project: Path) -> None:
    text = (project / "workflow.py").read_text()
    text = text.replace('"fix": Rule(', '"fix": Rule(when=accuracy() < 0.01,')
    (project / "workflow.py").write_text(text.replace("from tilth import", "from tilth import accuracy,", 1))
    result = ok(tilth("explain", project))
    assert re.search(r"when +accuracy\(\) = [01]\.?\d* < 0.01: does not hold, so nothing is done", result.stdout)
    assert "10 records would be asked about" in result.stdout
    assert "Nothing was changed." in result.stdout
    assert "training the model on version 0 first" in result.stderr


def test_explain_tells_each_kind_of_change(project: Path) -> None:
    (project / "mine.py").write_text(
        """
from dataclasses import replace
from tilth import Record, Rule, augment, labeled, modify, records, relabel, remove, reweight
from workflow import workflow as base

def louder(record: Record) -> Record:
    return record.change(noise=record["noise"] + 1)

rules = {"relabel": relabel(by="model"), "remove": remove(), "reweight": reweight(0.5)}
rules |= {"grow": augment(louder), "edit": modify(louder)}
mine = replace(base, rules={name: Rule(select=labeled.sample(40), do=do) for name, do in rules.items()})
del base
"""
    )
    rules = document(tilth("explain", project / "mine.py", "--json"))["rules"]
    change = {name: rule["first"][0]["change"] for name, rule in rules.items()}
    assert change["relabel"] in ("cat → dog", "dog → cat")
    assert (change["remove"], change["reweight"], change["edit"]) == ("removed", "weight 1 → 0.5", "new content")
    assert change["grow"].startswith("makes animal-")
    assert rules["grow"]["changes"] == 40


# -- status, log, diff, why ------------------------------------------------------------------------------------------


def test_status_before_any_run_changes_nothing(project: Path) -> None:
    found = document(tilth("status", project, "--json"))
    assert found["run"] is None
    assert found["splits"]["train"] == {"records": 72, "labelled": 54, "pending": 0}
    assert f"tilth run {project / 'workflow.py'}" in found["next"]
    assert not (project / "runs").exists()


@pytest.mark.parametrize("place", [".", "dataset", "workflow.py"])
def test_a_project_is_named_by_its_folder_its_dataset_or_its_file(done: Path, place: str) -> None:
    found = document(tilth("status", done / place, "--json"))
    assert found["run"]["state"] == "done"
    assert found["labels_spent"] > 0


def test_status_in_words(done: Path) -> None:
    said = ok(tilth("status", done)).stdout
    assert re.search(r"run-1 is done: (rounds\(\) = 2 >= 2|no rule has anything left)", said)
    assert re.search(r"\d+ answers so far", said)
    assert "tilth export" in said


def test_log_tells_each_version(done: Path) -> None:
    dataset = Dataset.open(done)
    found = document(tilth("log", done, "--json"))
    assert [v["version"] for v in found["versions"]] == list(range(dataset.version + 1))
    assert found["versions"][0]["changes"] == {"added": 120}
    assert {v["rule"] for v in found["versions"]} >= {"", "fix", "ask"}
    lines = ok(tilth("log", done)).stdout.splitlines()
    assert len(lines) == dataset.version + 2
    assert "+120 added" in lines[1]
    assert any(re.search(r"ask .*\d+ answered", line) for line in lines)
    assert tilth("log", done, "--branch", "dev").exit_code == 1


def test_diff_counts_and_lists(done: Path) -> None:
    dataset = Dataset.open(done)
    found = document(tilth("diff", done, 0, dataset.version, "--json", "--limit", "3"))
    assert sum(part["records"] for part in found["summary"]) == found["total"]
    assert len(found["rows"]) == 3
    text = ok(tilth("diff", done, 0, "--limit", "3")).stdout
    assert f"from version 0 to {dataset.version}:" in text
    assert f"--limit {found['total']}" in text
    assert "rule ask" in text
    whole = ok(tilth("diff", done, 0, "--limit", "0")).stdout
    assert "more;" not in whole
    assert "hold the same data" in ok(tilth("diff", done, 2, 2)).stdout
    assert tilth("diff", done, 0, 999).exit_code == 1


def test_why_tells_the_history_of_a_record_in_sentences(done: Path) -> None:
    dataset = Dataset.open(done)
    rows = document(tilth("diff", done, 0, "--json", "--limit", "0"))["rows"]
    asked = next(row for row in rows if row["what"] == "answered")["key"]
    said = ok(tilth("why", done, asked)).stdout
    assert re.search(r"version 0, .*: imported without a label", said)
    assert re.search(r"rule 'ask' asked oracle; margin\(\) = 0\.\d+", said)
    assert re.search(r"oracle answered (cat|dog)", said)
    assert re.search(r"now: in train; label (cat|dog); an annotator answered", said)
    fixed = next(row for row in rows if row["rule"] == "fix" and row["what"] == "label")
    said = ok(tilth("why", done, fixed["key"])).stdout
    assert f"rule 'fix' set its label {fixed['before']} → {fixed['after']}" in said
    found = document(tilth("why", done, fixed["key"], "--json"))
    assert found["now"]["label"] == dataset.labels(dataset.ids([fixed["key"]]))[0]
    assert found["history"][0]["version"] == 0


def test_why_of_an_unknown_record_suggests_one(done: Path) -> None:
    result = tilth("why", done, "animl-007")
    assert result.exit_code == 1
    assert "Did you mean 'animal-" in result.stderr


def test_what_stands_in_the_data_cannot_steer_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07[red]"
    rows = [{"key": f"{evil}{i}", "x": float(i), "kind": f"{evil}{i % 2}"} for i in range(30)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    told = ok(tilth("new", tmp_path / "p", "--from", tmp_path / "t.parquet", "--label", "kind", "--key", "key")).stdout
    told += ok(tilth("why", tmp_path / "p", f"{evil}3")).stdout
    told += tilth("why", tmp_path / "p", "x").stderr
    told += ok(tilth("explain", tmp_path / "p")).stdout
    assert "\x1b" not in told
    assert "\x07" not in told
    assert r"\x1b]0;owned\x07[red]3" in told


# -- rollback and export ---------------------------------------------------------------------------------------------


def test_rollback_says_what_it_will_do_and_needs_a_yes(after: Path) -> None:
    dataset = Dataset.open(after)
    head = dataset.version
    asked = tilth("rollback", after, "0")
    assert asked.exit_code == 2
    assert "--yes" in asked.stderr
    assert Dataset.open(after).version == head
    expected = dataset.would_roll_back(0)
    assert expected["kept"] > 0
    result = ok(tilth("rollback", after, "0", "--yes"))
    assert f"sets {expected['labels']} label" in result.stdout
    assert f"{expected['kept']} labels that people gave stay" in result.stdout
    commit = Dataset.open(after).log()[-1]
    assert commit.version == head + 1
    assert dict(commit.meta) == expected
    assert "nothing to do" in ok(tilth("rollback", after, "0", "--yes")).stdout


def test_rollback_to_no_version(after: Path) -> None:
    result = tilth("rollback", after, "99", "--yes")
    assert result.exit_code == 1
    assert "versions 0 to" in result.stderr


def test_export_writes_a_version_or_the_history(done: Path, tmp_path: Path) -> None:
    assert "120 records" in ok(tilth("export", done, tmp_path / "all.parquet", "--version", "0")).stdout
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.num_rows == 120
    assert None in table["label"].to_pylist()
    ok(tilth("export", done, tmp_path / "history", "--history"))
    assert (tmp_path / "history" / "events.parquet").exists()
    again = tilth("export", done, tmp_path / "all.parquet")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert tilth("export", done, tmp_path / "all.xlsx").exit_code == 2


def test_the_written_workflow_is_a_value_that_can_be_stored(done: Path) -> None:
    workflow = load_file(done / "workflow.py").workflow
    assert isinstance(workflow, Workflow)
    assert Workflow.from_json(json.loads(json.dumps(workflow.to_json()))).spec_hash() == workflow.spec_hash()
