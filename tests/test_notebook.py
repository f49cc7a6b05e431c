"""What a notebook shows: static HTML in which nothing from the data can run, tables, and pictures."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from sklearn.linear_model import LogisticRegression

from tilth.actions import annotate, relabel, remove
from tilth.dataset import Dataset
from tilth.errors import NotFound
from tilth.integrations.sklearn import SklearnModel
from tilth.labeling import Oracle
from tilth.metrics import accuracy, recall, rounds
from tilth.rules import Gate, Rule
from tilth.runs import Run, run
from tilth.runs.plot import plot
from tilth.selectors import labeled, records, unlabeled
from tilth.signals import label_quality, margin
from tilth.state import Round
from tilth.workflow import Workflow

EVIL = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(2)>'


class Seen(HTMLParser):
    """Collects the tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


PLAIN = {"div", "strong", "table", "tr", "th", "td", "p"}
DRAWN = {"svg", "title", "desc", "style", "g", "rect", "path", "circle", "text"}


def shown(value: Any) -> Seen:
    """Return what a notebook gets to show, after a look that it can do nothing."""
    page = value._repr_html_()
    seen = Seen(page)
    drawn = "svg" in seen.tags
    assert seen.tags <= PLAIN | (DRAWN if drawn else set())
    assert drawn or seen.attributes <= {"style"}
    assert not any(name.startswith("on") or name.endswith(("href", "src")) for name in seen.attributes)
    assert "<script" not in page.lower()
    assert "<img" not in page.lower()
    return seen


def data(n: int = 90) -> dict[str, Any]:
    """Return records whose keys and labels would like to be code."""
    chance = np.random.default_rng(0)
    truth = np.array([EVIL, IMAGE], object)[np.arange(n) % 2]
    given = truth.copy()
    part = np.array(["train", "train", "valid", "train", "test", "train"])[np.arange(n) % 6]
    given[(part == "train") & (np.arange(n) % 4 == 1)] = None
    x = chance.normal(size=(n, 3)).astype(np.float32)
    x[:, 0] += np.arange(n) % 2 * 2
    return {"name": [f"{EVIL}{i}" for i in range(n)], "x": x, "truth": truth, "label": given, "part": part}


def dataset(folder: Path) -> Dataset:
    """Make a dataset in a folder whose own name would like to be code, too."""
    return Dataset.create(
        folder / "<img src=x onerror=alert(0)>",
        data(),
        key="name", label="label", split="part", hidden=["truth"], durability="process",
    )  # fmt: skip


def workflow(on: Dataset) -> Workflow:
    """Return a workflow whose rules' names and arguments would like to be code."""
    return Workflow(
        dataset=on,
        model=SklearnModel(LogisticRegression(), features="x"),
        rules={
            IMAGE.replace("/", ""): Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=Oracle("truth"))),
            "fix": Rule(
                when=recall(EVIL) < 2.0,
                select=labeled.where(label_quality(by="model") < 0.3),
                do=relabel(by="model"),
                gate=Gate(by=0.0),
            ),
        },
        until=rounds() >= 2,
        report=(accuracy(), recall(IMAGE)),
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(workflow(dataset(tmp_path_factory.mktemp("notebook"))), inline=True)


def test_a_dataset_shows_its_splits(tmp_path: Path) -> None:
    seen = shown(dataset(tmp_path))
    assert "<img src=x onerror=alert(0)>" in seen.text
    assert "train" in seen.text
    assert "labelled" in seen.text


def test_a_rule_shows_its_parts_and_what_it_needs() -> None:
    rule = Rule(when=recall(EVIL) < 0.9, select=records.where(label=[EVIL, IMAGE]), do=remove())
    seen = shown(rule)
    assert f'recall("{EVIL}") < 0.9' in seen.text
    assert "probabilities" in seen.text
    assert "remove()" in seen.text


def test_a_workflow_shows_its_rules(tmp_path: Path) -> None:
    made = workflow(dataset(tmp_path))
    seen = shown(made)
    assert "svg" in seen.tags
    assert "LogisticRegression()" in seen.text
    assert "rounds() >= 2" in seen.text
    for rule in made.rules.values():
        assert repr(rule) in seen.text


def test_a_run_shows_its_rounds(finished: Run) -> None:
    seen = shown(finished)
    assert "run-1" in seen.text
    assert "labels_spent" in seen.text
    assert f"rule:{IMAGE.replace('/', '')}" in seen.text


def test_a_run_as_a_frame_has_a_row_a_round(finished: Run) -> None:
    frame = finished.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame["round"].tolist() == [0, 1, 2]
    assert frame["labels_spent"].tolist() == [0, 5, 10]
    assert frame["version"].is_monotonic_increasing
    assert frame["accuracy()"].between(0, 1).all()
    assert frame["test:accuracy()"].between(0, 1).all()
    assert frame[f"rule:{IMAGE.replace('/', '')}"].tolist()[:2] == [5, 5]


def test_a_run_as_a_picture(finished: Run, tmp_path: Path) -> None:
    figure = finished.plot()
    figure.savefig(tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 10_000
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert [axis.get_xlabel() for axis in figure.axes[2:]] == ["labels spent", "round"]
    assert figure.axes[0].get_ylabel() == "accuracy()"


def test_a_picture_of_another_metric(finished: Run) -> None:
    name = repr(recall(IMAGE))
    assert finished.plot(name).axes[0].get_ylabel() == name
    with pytest.raises(NotFound, match=r"no metric 'acuracy\(\)'.*Did you mean 'accuracy\(\)'\?"):
        finished.plot("acuracy()")


def test_a_picture_leaves_the_state_of_pyplot_alone(finished: Run) -> None:
    code = (
        "import sys; from tilth.dataset import Dataset; from tilth.runs import Run\n"
        f"Run(Dataset.open({str(finished.dataset.path)!r})).plot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def history(n: int) -> list[Round]:
    """Return n rounds of a run in which labels were bought, changes kept and rejected."""
    out: list[Round] = []
    for i in range(n):
        valid, test = {"$x_1$": 1 - 0.5 ** (1 + i / 4)}, {"$x_1$": 1 - 0.55 ** (1 + i / 4)}
        rules = {"ask": {"n": 40}, "fix": {"n": 1 + i, "kept": i % 3 != 2}, "weed": {"n": 0}}
        out.append(Round(i, 3 * i, f"model-{i}", valid, test, 40 * (i // 2), 0.0, rules))
    return out


@pytest.mark.parametrize("n", [1, 2, 20, 60])
def test_texts_do_not_lie_on_one_another(n: int) -> None:
    figure = plot(history(n), "many rounds")
    figure.canvas.draw()
    for axis in figure.axes[:2]:
        boxes = [text.get_window_extent() for text in axis.texts]
        assert boxes
        assert [text.get_text() for text in axis.texts][-1] == f"v{3 * (n - 1)}"
        assert [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)] == []


def test_kept_changes_are_filled_and_rejected_ones_hollow() -> None:
    figure = plot(history(6), "six rounds")
    marks = [mark for mark in figure.axes[2].collections if isinstance(mark, PathCollection)]
    hollow = [mark for mark in marks if mark.get_facecolor()[0][:3].tolist() == [1.0, 1.0, 1.0]]
    assert len(marks) == 12
    assert len(hollow) == 2
    assert [text.get_text() for text in figure.axes[2].get_yticklabels()] == ["ask", "fix", "weed"]


def test_without_labels_spent_changed_records_are_counted() -> None:
    free = [Round(r.round, r.version, r.model, r.metrics, r.test, 0, 0.0, r.rules) for r in history(5)]
    figure = plot(free, "nobody was asked")
    assert "records changed" in figure.axes[2].get_xlabel()


def test_scores_that_are_not_known_leave_gaps() -> None:
    gaps = [Round(i, i, "m", {"accuracy()": [0.5, float("nan")][i % 2]}, {}, i, 0.0) for i in range(4)]
    plot(gaps, "gaps").canvas.draw()


def test_without_a_round_there_is_nothing_to_draw() -> None:
    with pytest.raises(NotFound, match="no evaluated round yet in a new run"):
        plot([], "a new run")
