"""The whole story in a browser: a run stops for people, two of them label, an expert decides, it goes on, is looked at.

Every page is looked at by axe, and a picture of it is kept in build/pages: light and dark, desktop and phone.
"""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.web.entering import link
from tilth import Dataset

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURES = Path(__file__).parents[2] / "build" / "pages"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}

WORKFLOW = """
from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from tilth import Dataset, Panel, Rule, Team, Workflow, annotate, labeled, margin, remove, rounds, unlabeled
from tilth.integrations.media import ImageFeatures
from tilth.integrations.sklearn import SklearnModel

panel = Panel(Team("crowd", guide="Which digit is it?"), votes=2, disputed_by=Team("expert"))
workflow = Workflow(
    dataset=Dataset.open(Path(__file__).parent / "dataset"),
    model=SklearnModel(make_pipeline(ImageFeatures(), LogisticRegression(max_iter=500)), embed="imagefeatures"),
    rules={
        "ask": Rule(select=unlabeled.top(5, by=margin()), do=annotate(by=panel)),
        "thin": Rule(select=labeled.sample(3), do=remove()),
    },
    until=rounds() >= 1,
)
"""


def png(pixels):
    file = io.BytesIO()
    Image.fromarray((pixels.reshape(8, 8) * 15).astype(np.uint8)).resize((64, 64)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def truth():
    """Return the digit that each record is, by its key."""
    return {f"d{i}": str(t) for i, t in enumerate(load_digits().target[:300])}


@pytest.fixture(scope="module")
def project(tmp_path_factory, truth):
    folder = tmp_path_factory.mktemp("story") / "digits"
    pixels = load_digits().data[:300]
    where = np.arange(300)
    split = np.where(where % 5 == 0, "valid", np.where(where % 5 == 1, "test", "train"))
    known = [t if split[i] != "train" or i % 6 == 2 else None for i, t in enumerate(truth.values())]
    table = {"key": list(truth), "image": [png(p) for p in pixels], "digit": pa.array(known), "split": split}
    Dataset.create(folder / "dataset", pa.table(table), key="key", label="digit", split="split")
    (folder / "workflow.py").write_text(WORKFLOW)
    return folder


@pytest.fixture(scope="module")
def served(project, serve):
    return serve(project)


def launch(project):
    command = [sys.executable, "-c", "from tilth.cli import main; main()", "run", str(project), "--detach"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def looked_at(page, name):
    """Keep a picture of a page in every look, and let axe search it for what keeps people out."""
    from axe_playwright_python.sync_playwright import Axe

    PICTURES.mkdir(parents=True, exist_ok=True)
    was = page.viewport_size
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=PICTURES / f"{name}-{size}-{scheme}.png", full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{name} is {wide} pixels wider than a {size}"
        found = Axe().run(page)
        assert found.violations_count == 0, f"{name}, {scheme}: {found.generate_report()}"
    page.set_viewport_size(was)
    page.emulate_media(color_scheme="light")


def label(page, truth, n, wrong=()):
    """Answer n tasks by keys, some of them wrongly."""
    for i in range(n):
        asked = page.locator("#ask").inner_text()
        key = asked.split(" · ")[0]
        said = truth[key] if i not in wrong else str((int(truth[key]) + 1) % 10)
        keys = page.locator("#choices .choice")
        keys.filter(has_text=said).locator("kbd").first.wait_for()
        page.keyboard.press(next(k for k, v in shown(page).items() if v == said))
        page.wait_for_function("(was) => document.getElementById('ask').textContent !== was", arg=asked)
    page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.includes('/out/'))")


def shown(page):
    """Return the class that each key stands for."""
    names = page.locator("#choices .choice").evaluate_all(
        "all => all.map(b => [b.querySelector('kbd').textContent, b.value])"
    )
    return dict(names)


def test_the_whole_story(project, served, visit, truth, tmp_path):
    owner = visit(served)
    looked_at(owner, "runs-empty")
    launch(project)
    owner.goto(f"{served.address}/runs/run-1")
    owner.locator("[data-standing=waiting]").wait_for(timeout=90_000)
    looked_at(owner, "run-waiting")

    # Two annotators, each in a browser of their own, differ over one record
    ann = visit(served, link(served, project, "ann", "annotator"))
    ann.goto(f"{served.address}/label")
    ann.locator("#record img").first.wait_for()
    looked_at(ann, "label")
    label(ann, truth, 5)
    ben = visit(served, link(served, project, "ben", "annotator"))
    ben.goto(f"{served.address}/label")
    ben.locator("#record img").first.wait_for()
    label(ben, truth, 5, wrong=(0,))

    # The expert sees who said what, and decides
    expert = visit(served, link(served, project, "eva", "reviewer"))
    owner.locator(".asked:has-text('expert')").first.wait_for(timeout=90_000)
    expert.goto(f"{served.address}/review")
    expert.locator("#record img").first.wait_for(timeout=60_000)
    votes = " ".join(expert.locator("#record .vote").all_inner_texts())
    assert "ann:" in votes
    assert "ben:" in votes
    looked_at(expert, "review")
    label(expert, truth, 1)

    # The run goes on by itself, and the page with it
    owner.locator("[data-standing=done]").wait_for(timeout=90_000)
    assert owner.locator("#round-1").count() == 1
    looked_at(owner, "run-done")
    dataset = Dataset.open(project / "dataset")
    asked = [k for k in dataset.table()["key"].to_pylist() if any(e.what == "answered" for e in dataset.history(k))]
    assert len(asked) == 5
    assert dict(zip(asked, dataset.labels(dataset.ids(asked)), strict=True)) == {k: truth[k] for k in asked}

    # One record's whole history
    disputed = next(k for k in asked if any(e.actor == "eva" for e in dataset.history(k)))
    owner.goto(f"{served.address}/records/{dataset.ids([disputed])[0]}")
    told = owner.locator("main").inner_text()
    assert all(name in told for name in ("ann", "ben", "eva", "ask"))
    looked_at(owner, "record")
    for path, name in (
        ("/records", "records"),
        ("/model", "model"),
        ("/compare?a=0&b=1", "compare"),
        ("/team", "team"),
    ):
        owner.goto(served.address + path)
        looked_at(owner, name)

    # Back to the first version: what people said stays
    owner.goto(f"{served.address}/runs/run-1?version=0")
    owner.get_by_role("link", name="Go back to it").click()
    assert "3 records" in owner.locator("main").inner_text()
    looked_at(owner, "confirm")
    owner.locator("main form button").click()
    owner.wait_for_url("**/runs/run-1**")
    assert len(dataset) == 300
    assert dataset.labels(dataset.ids([disputed])) == [truth[disputed]]

    # The report opens anywhere, also with no server
    owner.goto(f"{served.address}/runs/run-1")
    with owner.expect_download() as download:
        owner.get_by_role("link", name="Report").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    offline = owner.context.new_page()
    offline.goto(file.as_uri())
    assert "ask" in offline.locator("body").inner_text()
    looked_at(offline, "report")
    offline.close()
