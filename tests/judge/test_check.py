"""`tilth check`: the verdict on a workflow in a file, as people and as CI read it."""

from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import document, ok, shell, tilth
from tilth.dataset import Dataset
from tilth.demo.data import digits

FILE = """
from pathlib import Path

from tilth import Dataset, Oracle, Rule, Team, Workflow, accuracy, annotate, labeled, margin, remove, rounds, unlabeled
from tilth.demo.arms import base_model
from tilth.integrations.sklearn import SklearnModel

print("a user's file may print")
ORACLE = Oracle("truth")


def flow(**rules):
    dataset = Dataset.open(Path(__file__).parent / "digits")
    until = (accuracy() >= 0.99) | (rounds() >= 9)
    return Workflow(dataset=dataset, model=SklearnModel(base_model()), rules=rules, until=until)


asked = flow(ask=Rule(select=unlabeled.top(20, by=margin()), do=annotate(by=ORACLE)))
drawn = flow(ask=Rule(select=unlabeled.sample(20), do=annotate(by=ORACLE)))
picked = flow(weed=Rule(select=labeled.picked_by(Team("lead")), do=remove()))
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check")
    digits(folder / "digits", seed=0)
    path = folder / "judged.py"
    path.write_text(FILE)
    return path


def check(file: Path, name: str, *more: object) -> Any:
    return tilth("check", file, "--name", name, *more)


def test_it_says_the_verdict_the_path_and_what_each_part_reads(file: Path) -> None:
    lines = ok(check(file, "asked")).stdout.splitlines()
    assert lines[:2] == ["data-centric", "  probabilities -> margin() -> rule 'ask' -> annotate -> train"]
    assert "  select  unlabeled.top(20, by=margin())" in lines
    assert "          reads probabilities of the trained model, by margin(): this triggers" in lines
    assert "It would be data-centric if you" not in lines
    assert not any("a user's file may print" in line for line in lines)


def test_it_says_what_would_make_it_qualify(file: Path) -> None:
    out = ok(check(file, "drawn")).stdout
    assert out.startswith("not: data only\n  data -> unlabeled.sample(20) -> rule 'ask' -> annotate -> train\n")
    assert "It would be data-centric if you\n  - rank records by what the model says" in out
    out = ok(check(file, "picked")).stdout
    assert out.startswith("not: people choose\n")
    assert "lead picks among these" in out


def test_as_json(file: Path) -> None:
    found = document(check(file, "drawn", "--json"))
    assert found["verdict"] == "not: data only"
    assert found["parts"][0] == {
        "rule": "ask",
        "part": "select",
        "text": "unlabeled.sample(20)",
        "reads": "nothing of a model",
        "listens": False,
        "triggers": False,
    }


def test_ci_can_insist_on_a_verdict(file: Path) -> None:
    assert check(file, "asked", "--expect", "data-centric").exit_code == 0
    other = check(file, "drawn", "--expect", "data-centric")
    assert other.exit_code == 1
    assert "expected 'data-centric', found 'not: data only'" in other.stderr
    wrong = check(file, "drawn", "--expect", "data-centered")
    assert wrong.exit_code == 2
    assert "Did you mean 'data-centric'?" in wrong.stderr


def test_it_confirms_by_running_and_leaves_the_data_as_they_were(file: Path) -> None:
    dataset = Dataset.open(file.parent / "digits")
    before = (dataset.version, dataset.digest())
    out = ok(check(file, "asked", "--scramble", "--expect", "data-centric")).stdout
    assert "rule 'ask' select" in out
    assert out.rstrip().endswith("This agrees with the verdict: data-centric.")
    found = document(check(file, "drawn", "--scramble", "--json"))["scramble"]
    assert found["agrees"] is True
    assert found["compared"][0]["permuted"] == [1.0] * 5
    again = Dataset.open(file.parent / "digits")
    assert (again.version, again.digest()) == before


def test_a_verdict_that_running_contradicts_is_no_pass(file: Path) -> None:
    (file.parent / "hidden.py").write_text(
        FILE.replace("ORACLE =", "from tilth import signal\n\n\n@signal()\ndef hides(state):\n"
                     "    return state.probabilities.max(axis=0)\n\n\nORACLE =").replace("margin()", "hides()")
    )  # fmt: skip
    seen = check(file.parent / "hidden.py", "asked", "--scramble", "--expect", "not: data only")
    assert seen.exit_code == 1
    assert "mend its needs=" in seen.stdout
    assert "contradicts" in seen.stderr


def test_what_cannot_be_judged_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    assert tilth("check", tmp_path / "empty.py").exit_code == 2
    assert "no Workflow" in tilth("check", tmp_path / "empty.py").stderr
    assert tilth("check", tmp_path / "missing.py").exit_code != 0


def test_as_a_process_of_its_own(file: Path) -> None:
    done = shell("check", file, "--name", "asked")
    assert (done.returncode, done.stderr) == (0, "a user's file may print\n")
    assert done.stdout.startswith("data-centric\n")
