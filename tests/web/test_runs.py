"""The list of runs: what it says of each, and that it keeps up by itself."""

import contextlib
import json

import numpy as np
import pytest

from tilth import Dataset, Rule, Team, Workflow, annotate, margin, rounds, run, unlabeled
from tilth.errors import Parked
from tilth.labeling.inbox import Given, Inbox
from tilth.runs.home import inbox_of, journal_of
from tilth.testing import toy
from tilth.web import Site


@pytest.fixture(scope="module")
def project(aside):
    """Return the dataset of a project whose run waits for two people."""
    dataset, model = toy()
    workflow = Workflow(
        dataset=dataset,
        model=model,
        rules={"ask": Rule(select=unlabeled.top(4, by=margin()), do=annotate(by=Team("crowd"), votes=2))},
        until=rounds() >= 1,
    )
    with pytest.raises(Parked, match="waits"):
        aside(run, workflow, inline=True, wait=False)
    return dataset


@pytest.fixture(scope="module")
def served(project, serve):
    return serve(project.path)


@pytest.mark.browser
def test_a_run_that_waits_says_for_what_and_keeps_up_by_itself(project, served, visit):
    page = visit(served)
    card = page.locator("[data-run=run-1]")
    assert "waiting for people" in card.inner_text()
    assert "0 of 4 answered" in card.inner_text()
    assert card.get_by_role("link", name="Answer what it asks").get_attribute("href") == "/label"
    with Inbox(inbox_of(project.path)) as inbox:
        for who in ("ann", "ben"):
            inbox.answer(
                who, [Given(t.id, "answer", t.question.form["classes"][0]) for t in inbox.lease(who, team="crowd")]
            )
    page.get_by_text("4 of 4 answered").wait_for()


def test_a_run_is_shown_as_it_is_also_when_it_was_over_already(tmp_path):
    table = {"x": np.eye(4, dtype=np.float32), "kind": np.array(["cat", "dog"] * 2)}
    dataset = Dataset.create(tmp_path / "dataset", table, label="kind", durability="process")
    spec = json.dumps({"rules": {}})
    with contextlib.closing(Site(tmp_path)) as site, contextlib.closing(journal_of(dataset.path)) as journal:
        first, second = (journal.begin("5f2c", spec, "pets.py") for _ in range(2))
        assert [(r.name, r.state) for r in site.runs()] == [(second, "running"), (first, "running")]
        journal.set_state(first, "done", "rounds() >= 1")
        for _ in range(2):
            assert [(r.name, r.state) for r in site.runs()] == [(second, "running"), (first, "done")]
        journal.finish(second, "r0/start", {"version": 0}, 0.1)
        assert [len(r.steps) for r in site.runs()] == [1, 0]
        journal.set_state(second, "cancelled")
        journal.delete(first)
        assert [(r.name, r.state) for r in site.runs()] == [(second, "cancelled")]


@pytest.mark.browser
def test_the_list_outlives_an_answer_that_is_an_error(project, served, visit):
    site = Site(project.path)
    page = visit(served, f"{served.address}/enter?token={site.people.invite('rita', 'reviewer')}")
    site.close()
    page.locator("[data-run=run-1]").wait_for()
    refused = []

    def refuse(route):
        refused.append(route)
        route.fulfill(status=503, content_type="text/html", body="<h1>Busy</h1>")

    page.route("**/runs", refuse, times=1)
    with page.expect_response(lambda answer: answer.url.endswith("/runs") and answer.ok):
        pass
    assert refused
    assert page.locator("[data-run=run-1]").count() == 1
    assert all("503" in line for line in page.told)
    page.told.clear()


@pytest.mark.browser
def test_a_project_without_a_run_says_how_to_start_one(tmp_path, serve, visit):
    table = {"x": np.eye(4, dtype=np.float32), "kind": np.array(["cat", "dog"] * 2)}
    Dataset.create(tmp_path / "pets" / "dataset", table, label="kind")
    page = visit(serve(tmp_path / "pets"))
    assert "tilth run pets/workflow.py" in page.locator("main").inner_text()
