"""`tilth signals`: what it lists, what it computes, what it writes, and how it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.test_cli import document, finished_project, new_project, ok, tilth
from tilth import signals as catalogue
from tilth.algebra import Signal
from tilth.cli.signals import read_signal
from tilth.dataset import Dataset
from tilth.dataset.schema import SPLITS
from tilth.errors import UsageError
from tilth.outputs import Outputs
from tilth.runs import Run
from tilth.signals import column, entropy, label_quality, margin, novelty
from tilth.state import State


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_project(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def done(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(made, tmp_path_factory.mktemp("done"))


def last_state(project: Path) -> State:
    """The state that the command computes on, put together by hand."""
    dataset = Dataset.open(project)
    rounds = Run(dataset).rounds
    return State(dataset.at(-1), Outputs(dataset.path / "outputs" / rounds[-1].model), tuple(rounds), 0)


def test_the_file_holds_what_the_signals_say(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "some" / "signals.parquet"
    asked = [margin(), label_quality(by="model"), column("size"), entropy()]
    args = [part for signal in asked for part in ("--signal", repr(signal))]
    result = ok(tilth("signals", done, *args, "--out", out))
    assert f"{out}: key, label, split and 4 signals" in result.stdout
    found = pq.read_table(out)
    assert found.column_names == ["key", "label", "split", *map(repr, asked)]
    state = last_state(done)
    ids = np.flatnonzero(state.view.alive)
    assert found["key"].to_pylist() == state.dataset.keys(ids)
    assert found["label"].to_pylist() == state.dataset.labels(ids)
    assert found["split"].to_pylist() == [SPLITS[s] for s in state.view.split[ids]]
    for signal in asked:
        value = np.asarray(signal.value(state))[ids]
        assert found.schema.field(repr(signal)).type == pa.from_numpy_dtype(value.dtype)
        assert found[repr(signal)].null_count == np.isnan(value).sum()
        np.testing.assert_array_equal(found[repr(signal)].to_numpy(), value)
    assert found['label_quality(by="model")'].null_count > 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_without_a_choice_all_that_can_be_is_computed(done: Path, made: Path) -> None:
    listed = document(tilth("signals", done, "--list", "--json"))["signals"]
    can = {one["signal"].partition("(")[0] for one in listed if one["now"]} - {"column"}
    found = document(tilth("signals", done, "--json"))
    assert {one["signal"].partition("(")[0] for one in found["signals"]} == can
    assert {"margin", "entropy", "age", "weight"} <= can
    before = document(tilth("signals", made, "--json"))
    assert before["model"] is None
    assert before["records"] == 120
    names = {one["signal"].partition("(")[0] for one in before["signals"]}
    assert {"age", "random", "weight"} <= names
    assert "margin" not in names


def test_what_the_numbers_are_like(done: Path) -> None:
    found = document(tilth("signals", done, "--signal", "margin()", "--json"))
    value = np.asarray(margin().value(last_state(done)))
    value = value[~np.isnan(value)]
    one = found["signals"][0]
    assert one["known"] == len(value)
    assert [one["least"], one["median"], one["most"]] == pytest.approx([value.min(), np.median(value), value.max()])
    assert found["run"] == "run-1"
    assert found["out"] is None
    text = ok(tilth("signals", done, "--signal", "margin()")).stdout
    assert "the model that run-1 trained in round" in text
    assert "--out FILE.parquet writes them" in text


def test_the_list_tells_what_each_needs_and_whether_it_can_be_now(made: Path, done: Path) -> None:
    before = {one["signal"]: one for one in document(tilth("signals", made, "--list", "--json"))["signals"]}
    after = {one["signal"]: one for one in document(tilth("signals", done, "--list", "--json"))["signals"]}
    assert list(before) == list(after)
    assert before["margin()"] == {
        "signal": "margin()",
        "about": "How close the two most probable classes are: one minus the gap between them.",
        "needs": ["probabilities"],
        "now": False,
        "why": f"needs probabilities of a model, and there is none yet; tilth run {made / 'workflow.py'} trains one",
    }
    assert (after["margin()"]["now"], after["margin()"]["why"]) == (True, "")
    assert before["age()"]["now"]
    assert "which the model of run-1 was not asked for; use novelty() in a rule" in after["novelty(k=10)"]["why"]
    signals = [name for name in catalogue.__all__ if "__signature__" in vars(getattr(catalogue, name))]
    assert {"margin", "column"} <= set(signals)
    assert not {"suggest", "in_slice", "find_slices"} & set(signals)
    assert [text.partition("(")[0] for text in before] == signals
    text = ok(tilth("signals", made, "--list")).stdout
    assert all(f"\n{signal} " in text for signal in before)
    assert "cannot be computed now: " in text


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--signal", "margn()"], 2, "no signal 'margn'. There is: "),
        (["--signal", "margn()"], 2, "Did you mean 'margin'?"),
        (["--signal", "margin"], 2, "write it with brackets, margin()"),
        (["--signal", "margin("], 2, "cannot be read at character"),
        (["--signal", "margin() + 1"], 2, "more than one signal"),
        (["--signal", "margin() < 1"], 2, "more than one signal"),
        (["--signal", "margin(1)"], 2, "margin()"),
        (["--signal", "novelty(kk=3)"], 2, "kk"),
        (["--signal", "novelty(k=0)"], 2, "1 or more, got 0"),
        (["--signal", "suggest()"], 2, "no signal 'suggest'"),
        (["--signal", "__import__('os')"], 2, "no signal '__import__'"),
        (["--signal", "column(__import__('os').name)"], 2, "an argument is a text, a number"),
        (["--signal", "novelty(**{'k': 3})"], 2, "each argument by its name"),
        (["--signal", "(" * 5000], 2, "cannot be read"),
        (["--signal", "column('siz')"], 1, "no column 'siz'. There is: size, noise, truth. Did you mean 'size'?"),
        (["--signal", "novelty()"], 1, "novelty() needs embeddings, which the model of run-1 was not asked for"),
        (["--out", "signals.csv"], 2, "end the name with .parquet"),
        (["--run", "run-7"], 1, "run-7"),
    ],
)
def test_what_cannot_be_computed_is_one_line(args: list[str], code: int, said: str, done: Path) -> None:
    result = tilth("signals", done, *args)
    assert result.exit_code == code, result.stderr
    assert said in result.stderr
    assert result.stdout == ""
    assert result.stderr.removeprefix("computing ").count("\n") == 1


def test_a_file_that_is_there_is_left_alone(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "here.parquet"
    out.write_text("mine")
    result = tilth("signals", done, "--signal", "age()", "--out", out)
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert out.read_text() == "mine"


def test_a_missing_run_is_told_with_the_command_that_makes_it(made: Path) -> None:
    result = tilth("signals", made, "--signal", "margin()")
    assert result.exit_code == 1
    assert f"tilth run {made / 'workflow.py'} trains one" in result.stderr


def test_a_signal_that_does_not_fit_the_labels_is_refused(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * 0.5}\n" for i in range(40))
    (tmp_path / "prices.csv").write_text(f"x,price\n{rows}")
    ok(tilth("new", tmp_path / "p", "--from", tmp_path / "prices.csv", "--label", "price", "--kind", "number"))
    result = tilth("signals", tmp_path / "p", "--signal", "margin()")
    assert result.exit_code == 1
    assert "margin() is for labels that are one class or several classes, and these are a number" in result.stderr
    out = tmp_path / "out.parquet"
    ok(tilth("signals", tmp_path / "p", "--signal", "weight()", "--out", out))
    assert pq.read_table(out).schema.field("label").type == pa.float64()


def test_several_classes_are_written_as_lists(tmp_path: Path) -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0], "tags": pa.array([["a"], ["a", "b"], None], pa.list_(pa.string()))})
    Dataset.create(tmp_path / "d", table, label="tags", label_kind="classes", durability="process")
    ok(tilth("signals", tmp_path / "d", "--signal", "weight()", "--out", tmp_path / "out.parquet"))
    assert pq.read_table(tmp_path / "out.parquet")["label"].to_pylist() == [["a"], ["a", "b"], None]


def test_a_run_on_a_branch_is_looked_at_on_its_branch(done: Path, tmp_path: Path) -> None:
    project = shutil.copytree(done, tmp_path / "animals")
    ok(tilth("fork", project, "--from-round", "1"))
    found: Any = document(tilth("signals", project, "--signal", "margin()", "--json"))
    forked = Run(Dataset.open(project), found["run"])
    assert forked.branch != "main"
    assert found["version"] == Dataset.open(project, branch=forked.branch).version
    first = document(tilth("signals", project, "--signal", "margin()", "--run", "run-1", "--json"))
    assert (first["run"], first["version"]) == ("run-1", Dataset.open(project).version)


@pytest.mark.parametrize("signal", [margin(), label_quality(by="model"), column('a "b"'), novelty(k=3)], ids=repr)
def test_a_signal_is_read_as_it_prints(signal: Signal) -> None:
    assert read_signal(repr(signal)) == signal
    assert read_signal(f"  {signal!r} ") == signal


@pytest.mark.parametrize("text", ["", " ", "1", "'margin()'", "tilth.margin()", "margin()()", "lambda: 1", "\0"])
def test_what_names_no_signal_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--signal"):
        read_signal(text)


def test_its_help_shows_how_a_signal_is_written() -> None:
    result = ok(tilth("signals", "--help"))
    assert "--list" in result.stdout
    assert json.dumps("margin()") in result.stdout
