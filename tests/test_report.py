"""The report of a run: one file that opens offline, in which everything is told and nothing can run."""

import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from tilth.actions import relabel, remove
from tilth.cli.app import app
from tilth.dataset import Dataset
from tilth.errors import Exists
from tilth.integrations.sklearn import SklearnModel
from tilth.labeling import Oracle
from tilth.metrics import rounds
from tilth.report import render, report
from tilth.report.examples import examples
from tilth.report.worth import changes
from tilth.rules import Gate, Rule
from tilth.runs import Run, run
from tilth.selectors import labeled
from tilth.workflow import Workflow

EVIL = "<img src=x onerror=alert(1)>"
CLASSES = ("cat", "<script>alert(2)<\u2215script>")
CHROMIUM = Path("/usr/bin/chromium")


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (12, 8), shade).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Run:
    rng = np.random.default_rng(0)
    images = [png(4 * i) for i in range(60)]
    table = pa.table(
        {
            "name": [f"{EVIL}{i}" for i in range(60)],
            "note": [f"</p><script>alert({i})</script> " + "long " * 80 for i in range(60)],
            "legs": pa.array([0] * 60, pa.int64()),
            "picture": pa.array(images, pa.large_binary()),
            "x": pa.array(rng.normal(size=(60, 2)).astype(np.float32).tolist(), pa.list_(pa.float32(), 2)),
            "kind": [CLASSES[i % 2] for i in range(60)],
            "truth": [CLASSES[i % 3 == 0] for i in range(60)],
        }
    )
    dataset = Dataset.create(
        tmp_path_factory.mktemp("report") / "dataset", table, key="name", label="kind", hidden=["truth"]
    )
    rules = {
        EVIL: Rule(select=labeled.sample(4), do=remove(), gate=Gate(by=-1.0)),
        "turn": Rule(select=labeled.sample(2), do=relabel(by=Oracle("truth"))),
    }
    model = SklearnModel(LogisticRegression(), features=["x"])
    return run(Workflow(dataset, model, rules, until=rounds() >= 2, name=EVIL), inline=True)


def test_what_each_change_was_worth_is_told_apart_by_who_measured_it(done):
    made = changes(done)
    judged = [c for c in made if c.rule == EVIL]
    assert [c.alone for c in judged] == [True, True]
    verdict = done.rounds[0].rules[EVIL]
    assert judged[0].gain == verdict["after"] - verdict["before"]
    shared = [c for c in made if c.rule == "turn"]
    between = done.rounds[1].metrics["accuracy()"] - done.rounds[0].metrics["accuracy()"]
    assert not any(c.alone for c in shared)
    assert all(c.gain == between for c in shared if c.round == 0)


def test_examples_show_what_was_there_before_and_after(done):
    found = examples(done.dataset, done)
    gone = [e for e in found if e.what == "removed"]
    assert 0 < len(gone) <= 3
    by = {shown.column: shown for shown in gone[0].content}
    assert by["picture"].image.startswith("data:image/png;base64,")
    assert by["note"].text.endswith("…")
    assert by["legs"].text == "0"


class Tags(HTMLParser):
    """All tags of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_hostile_names_stay_text(done):
    found = Tags(render(done)).found
    assert {tag for tag, _ in found}.isdisjoint(
        {"script", "iframe", "object", "embed", "form", "base", "foreignobject"}
    )
    assert not [attrs for _, attrs in found if any(name.startswith("on") for name in attrs)]
    reached = [attrs[name] for _, attrs in found for name in ("src", "href", "xlink:href") if name in attrs]
    assert reached
    assert all(address is not None and address.startswith("data:") for address in reached)


def test_it_says_how_to_repeat_it(done):
    text = render(done)
    assert done.dataset.at(done.version).digest() in text
    assert "seed" in text


def test_a_run_without_a_round_has_a_report(tmp_path):
    table = {"x": np.eye(8, dtype=np.float32), "kind": np.array(["cat", "dog"] * 4)}
    dataset = Dataset.create(tmp_path / "dataset", table, label="kind")
    with pytest.raises(Exception, match="failed"):
        run(Workflow(dataset, SklearnModel(LogisticRegression(C=-1.0)), {}, until=rounds() >= 1), inline=True)
    text = render(Run(dataset))
    assert "No model has been evaluated yet" in text
    assert "failed" in text


def test_a_file_that_is_there_stays(done, tmp_path):
    path = tmp_path / "out.html"
    path.write_text("mine")
    with pytest.raises(Exists, match="--force"):
        report(done, path)
    assert path.read_text() == "mine"
    assert report(done, path, overwrite=True) == path
    assert path.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(("words", "code"), [(["run-1"], 0), ([], 0), (["--run", "run-1"], 0), (["run-9"], 1)])
def test_the_command_finds_the_run(done, tmp_path, words, code):
    project = done.dataset.path.parent
    what = [str(project / words[0])] if words and not words[0].startswith("-") else [str(project), *words]
    out = tmp_path / "report.html"
    said = CliRunner().invoke(app, ["report", *what, "-o", str(out)])
    assert said.exit_code == code, said.output
    assert out.exists() == (code == 0)


@pytest.mark.browser
def test_it_opens_offline_without_a_request_or_a_complaint(done, tmp_path):
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    path = report(done, tmp_path / "report.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(offline=True).new_page()
        told: list[str] = []
        asked: list[str] = []
        page.on("console", lambda m: told.append(m.text))
        page.on("pageerror", lambda e: told.append(str(e)))
        page.on("dialog", lambda d: told.append(d.message))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(path.as_uri())
        assert page.inner_text("h1") == f"run-1: {EVIL}"
        assert page.locator("svg.chart circle").count() == 2 * len(done.rounds)
        assert page.evaluate("Array.from(document.images).every(i => i.naturalWidth > 0)")
        browser.close()
    assert [u for u in asked if not u.startswith("data:")] == [path.as_uri()]
    assert told == []
