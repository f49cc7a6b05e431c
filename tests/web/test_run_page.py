"""The page of a run: live as its steps finish, what can be done about it, and what it shows of hostile names.

One file, for one project, server and browser serve all of it.
"""

import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.web.entering import link
from tilth.actions import action, annotate, remove
from tilth.changes import Changes
from tilth.dataset import Dataset
from tilth.errors import DataError, Parked, RunFailed
from tilth.integrations.sklearn import SklearnModel
from tilth.labeling import Team
from tilth.metrics import rounds
from tilth.rules import Gate, Rule
from tilth.runs import run
from tilth.runs.home import journal_of
from tilth.runs.journal import Journal
from tilth.selectors import labeled, unlabeled
from tilth.web import Site
from tilth.workflow import Workflow

EVIL = "<img src=x onerror=alert(1)>"
CLASSES = ("cat", "<script>alert(2)<\u2215script>")


@action
def stumble(chosen: Any, state: Any) -> Changes:
    """Fail as a rule of a user's does."""
    raise DataError(f"record {state.dataset.keys(chosen.ids[:1])[0]} cannot be read")


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A project with a run that is done, one that waits for people, and on another branch one that failed."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    label = np.array([CLASSES[i % 2] for i in range(90)], dtype=object)
    label[60:] = None
    x = rng.normal(size=(90, 2)).astype(np.float32) + np.arange(90)[:, None] % 2
    table = {"name": [f"{EVIL}{i}" for i in range(90)], "x": x, "kind": label}
    dataset = Dataset.create(folder / "dataset", table, key="name", label="kind", classes=CLASSES)
    common = {"dataset": dataset, "model": SklearnModel(LogisticRegression()), "name": EVIL}
    weed = Rule(select=labeled.sample(4), do=remove(), gate=Gate(by=-1.0))
    run(Workflow(**common, rules={EVIL: weed}, until=rounds() >= 2), inline=True)
    ask = Rule(select=unlabeled.sample(5), do=annotate(by=Team("crew")))
    with pytest.raises(Parked, match="waits for crew"):
        run(Workflow(**common, rules={"weed": weed, "ask": ask}, until=rounds() >= 2), inline=True, wait=False)
    broken = Workflow(**common, rules={"fix": Rule(select=labeled.sample(1), do=stumble())}, until=rounds() >= 2)
    with pytest.raises(RunFailed, match="cannot be read"):
        run(broken.on(dataset.branch("other")), inline=True)
    return folder


@pytest.fixture(scope="module")
def served(project, serve):
    return serve(project)


@pytest.fixture(scope="module")
def owner(project, served):
    site = Site(project)
    token = site.people.invite("olga", "owner")
    site.close()
    with httpx.Client(base_url=served.address, headers={"sec-fetch-site": "same-origin"}, timeout=60) as client:
        client.get("/enter", params={"token": token})
        yield client


@pytest.fixture
def begun(project):
    """A run that only the journal knows: the test finishes its steps, as an engine would."""
    dataset = Dataset.open(project)
    spec = Workflow(dataset, SklearnModel(LogisticRegression()), {}, until=rounds() >= 9).to_json()
    weed = Rule(select=labeled.sample(4), do=remove(), gate=Gate(by=-1.0))
    journal = journal_of(dataset.path)
    name = journal.begin("5f2c", json.dumps(spec | {"rules": {"weed": weed.to_json()}}), "pets.py", branch="main")
    yield journal, name
    journal.delete(name)
    journal.close()


def finish(journal: Journal, name: str, key: str, **result: Any) -> None:
    journal.finish(name, key, result, seconds=0.1)


def adopted(journal: Journal, name: str, dataset: Dataset) -> None:
    """Let a run go on with another workflow, as `tilth run --adopt` does."""
    rules = {"rake": Rule(select=labeled.sample(2), do=remove())}
    edited = Workflow(dataset, SklearnModel(LogisticRegression()), rules, until=rounds() >= 3, gate=Gate())
    journal.adopt(name, "6a3d", json.dumps(edited.to_json()))


def evaluated(accuracy: float) -> dict[str, Any]:
    metrics = {"accuracy()": accuracy}
    return {"metrics": metrics, "test": metrics, "labels_spent": 0, "cost": 0.0, "done": False, "why": ""}


def confirmed(client: httpx.Client, address: str) -> dict[str, str]:
    """Return the hidden fields of a page that asks whether to do something."""
    said = client.get(address)
    assert said.status_code == 200, said.text
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', said.text.split("<h1>")[1]))


def told(stream: Any, wanted: str) -> list[tuple[str, str, str]]:
    """Read server-sent events up to the first of a name: (event, id, data) each."""
    out: list[tuple[str, str, str]] = []
    fields: dict[str, str] = {}
    for line in stream:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = fields.get(name, "") + value
        elif fields:
            out.append((fields.get("event", ""), fields.get("id", ""), fields.get("data", "")))
            fields = {}
            if out[-1][0] == wanted:
                return out
    raise AssertionError(f"the stream ended before {wanted!r}")


# -- live --------------------------------------------------------------------------------------------------------------


def test_a_page_that_was_away_is_told_each_step_that_it_missed_once(owner, begun):
    journal, name = begun
    finish(journal, name, "r0/start", version=0, spec="5f2c")
    finish(journal, name, "r0/train", ref="1f")
    with owner.stream("GET", f"/runs/{name}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        first = told(answer.iter_lines(), "picture")
    assert [json.loads(data)["key"] for event, _, data in first if event == "step"] == ["r0/start", "r0/train"]
    finish(journal, name, "r0/evaluate", **evaluated(0.8))
    for known in ({"headers": {"last-event-id": first[-1][1]}}, {"params": {"after": first[-1][1]}}):
        with owner.stream("GET", f"/runs/{name}/events", **known) as answer:
            then = told(answer.iter_lines(), "picture")
        assert [json.loads(data)["key"] for event, _, data in then if event == "step"] == ["r0/evaluate"]
    picture = json.loads(then[-1][2])
    assert (picture["states"]["evaluate"], picture["states"]["dataset"]) == ("done", "idle")
    assert picture["curve"]["valid"] == {"accuracy()": [0.8]}


def test_several_pages_hear_of_one_step(owner, begun):
    journal, name = begun
    finish(journal, name, "r0/start", version=0, spec="5f2c")
    listening = threading.Barrier(5)

    def hear(_: int) -> list[str]:
        with owner.stream("GET", f"/runs/{name}/events") as answer:
            lines = answer.iter_lines()
            told(lines, "picture")
            listening.wait(timeout=30)
            return [json.loads(data)["key"] for event, _, data in told(lines, "picture") if event == "step"]

    with ThreadPoolExecutor(4) as pool:
        heard = [pool.submit(hear, i) for i in range(4)]
        listening.wait(timeout=30)
        finish(journal, name, "r0/train", ref="1f")
        assert [h.result(timeout=30) for h in heard] == [["r0/train"]] * 4


@pytest.mark.parametrize("ends", ["revoked", "annotator"])
def test_who_is_let_in_no_more_hears_nothing_more(served, project, begun, ends):
    journal, name = begun
    site = Site(project)
    token = site.people.invite("nina", "reviewer")
    with httpx.Client(base_url=served.address, timeout=60) as client:
        client.get("/enter", params={"token": token})
        with client.stream("GET", f"/runs/{name}/events") as answer:
            lines = answer.iter_lines()
            told(lines, "")
            site.people.revoke("nina") if ends == "revoked" else site.people.invite("nina", "annotator")
            finish(journal, name, "r0/start", version=0, spec="5f2c")
            assert next((line for line in lines if line), "") == ""
    site.close()


def test_a_run_that_is_deleted_tells_its_pages(owner, project):
    dataset = Dataset.open(project)
    journal = journal_of(dataset.path)
    spec = Workflow(dataset, SklearnModel(LogisticRegression()), {}, until=rounds() >= 9).to_json()
    name = journal.begin("6f2c", json.dumps(spec), "pets.py", branch="main")
    with owner.stream("GET", f"/runs/{name}/events") as answer:
        lines = answer.iter_lines()
        told(lines, "picture")
        journal.delete(name)
        assert told(lines, "gone")[-1][0] == "gone"
    journal.close()
    assert owner.get(f"/runs/{name}").status_code == 404


def test_a_page_is_sent_another_drawing_where_its_own_is_an_old_one(owner, begun, project):
    journal, name = begun
    drawn = re.search(r"after=(\d+)&amp;drawn=(\w+)", owner.get(f"/runs/{name}").text)
    address = f"/runs/{name}/events?after={drawn[1]}&drawn={drawn[2]}"
    with owner.stream("GET", address) as answer:
        lines = answer.iter_lines()
        assert "<svg" not in told(lines, "")[-1][2]
        adopted(journal, name, Dataset.open(project))
        assert 'data-node="rule:rake"' in told(lines, "")[-1][2]
    with owner.stream("GET", address) as answer:  # one that was away meanwhile
        assert 'data-node="gate"' in told(answer.iter_lines(), "")[-1][2]


@pytest.mark.browser
def test_a_page_shows_the_workflow_that_was_adopted_without_a_reload(served, project, begun, visit):
    journal, name = begun
    page = visit(served, link(served, project, "ada", "owner"))
    finish(journal, name, "r0/start", version=0, spec="5f2c")
    page.goto(f"{served.address}/runs/{name}")
    page.wait_for_selector('.wide [data-node="rule:weed"]')
    adopted(journal, name, Dataset.open(project))
    page.wait_for_selector('.wide [data-node="rule:rake"]')
    assert page.locator('.wide [data-node="rule:weed"]').count() == 0
    finish(journal, name, "r0/train", ref="1f")
    page.wait_for_selector('.wide [data-node="train"][data-state="done"]')
    assert page.locator("svg [data-node=gate]").count() == 2


@pytest.mark.browser
def test_the_picture_the_curve_and_the_rounds_follow_the_run(served, project, begun, visit):
    journal, name = begun
    page = visit(served, link(served, project, "eva", "owner"))
    finish(journal, name, "r0/start", version=0, spec="5f2c")
    page.goto(f"{served.address}/runs/{name}")
    assert page.locator("#curve").is_hidden()
    assert "No model has been evaluated yet" in page.inner_text("#course")
    finish(journal, name, "r0/train", ref="1f")
    finish(journal, name, "r0/evaluate", **evaluated(0.8125))
    page.wait_for_selector('.wide [data-node="until"][data-state="done"]')
    page.wait_for_selector("#round-0")
    assert "0.8125" in page.inner_text("#round-0")
    page.wait_for_selector("#curve canvas")
    finish(journal, name, "r0/weed/propose", n=4, why="four of them")
    finish(journal, name, "r0/weed/commit", version=1, conflicts=0)
    verdict = {"kept": False, "before": 0.8125, "after": 0.75, "gain": -0.0625, "margin": 0.0, "looks": 1}
    finish(journal, name, "r0/weed/gate/judge", **verdict)
    finish(journal, name, "r0/weed/gate/revert", version=2)
    page.wait_for_selector('.wide [data-node="gate:weed"][data-state="rolled-back"]')
    page.wait_for_selector(".did.rejected")
    assert page.inner_text("#last") == "round 0, weed: taking its changes back"
    journal.set_state(name, "failed", "step r1/train of run failed: no memory")
    page.wait_for_selector('[data-standing="failed"]')
    assert "round 1: training failed" in page.inner_text("#live")


@pytest.mark.browser
def test_the_page_keeps_up_also_where_its_parts_come_late_over_a_slow_line(served, project, begun, visit):
    journal, name = begun
    page = visit(served, link(served, project, "lea", "owner"))

    def late(route):
        """Hold a script back until those before it have run, and what they put off for later has too."""
        page.wait_for_function("() => window.htmx")
        page.evaluate("new Promise((go) => setTimeout(() => setTimeout(go)))")
        route.continue_()

    page.route("**/hx-sse*", late)
    page.goto(f"{served.address}/runs/{name}")
    finish(journal, name, "r0/start", version=0, spec="5f2c")
    page.wait_for_selector('#last:not([data-at="0"])')


@pytest.mark.browser
def test_the_page_tries_again_where_its_first_connection_came_to_nothing(served, project, begun, visit):
    journal, name = begun
    page = visit(served, link(served, project, "tia", "owner"))
    page.route("**/events*", lambda route: route.fulfill(status=204), times=1)
    page.goto(f"{served.address}/runs/{name}")
    finish(journal, name, "r0/start", version=0, spec="5f2c")
    page.wait_for_selector('#last:not([data-at="0"])')


# -- what it shows -----------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_a_finished_run_is_shown_and_hostile_names_stay_text(served, project, visit):
    page = visit(served, link(served, project, "rea", "reviewer"))
    page.goto(f"{served.address}/runs/run-1?version=1#version")
    assert page.inner_text("h1") == f"run-1: {EVIL}"
    assert EVIL in page.inner_text("#version")
    assert page.locator("main img, main script").count() == 0
    assert "4 removed, kept" in page.inner_text("#round-0")
    assert page.locator("text=Undo this version").count() == 0  # a reviewer looks
    page.select_option("select[name=x]", "minutes")
    assert "x=minutes" in page.url
    page.reload()
    assert page.input_value("select[name=x]") == "minutes"
    page.locator("#versions + ol a").first.press("Enter")
    page.wait_for_selector("#version-head")
    assert page.inner_text("#version-head").startswith("Version 2")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_used_by_everybody_on_a_phone(served, project, visit, scheme):
    from axe_playwright_python.sync_playwright import Axe

    here = link(served, project, f"ann {scheme}", "owner")
    page = visit(served, here, viewport={"width": 360, "height": 780}, color_scheme=scheme)
    for path in ("/runs/run-1?version=1", "/runs/run-2", "/runs/run-3", "/runs/run-1/do/rollback?version=0"):
        page.goto(f"{served.address}{path}")
        found = Axe().run(page)
        assert not found.response["violations"], (path, found.generate_report())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_a_run_that_waits_says_for_whom_and_how_far_it_is(owner):
    text = owner.get("/runs/run-2").text
    assert "crew" in text
    assert "0 of 5 done" in text
    assert 'href="/label?team=crew"' in text


def test_a_run_that_failed_says_which_step_which_record_and_what_next(owner):
    text = owner.get("/runs/run-3").text
    assert "round 0, fix: choosing records failed" in text
    assert "cannot be read" in text
    assert "Mend what it names, then resume" in text
    assert "branch other" in text
    assert 'data-node="rule:fix" data-state="failed"' in text


def test_a_workflow_is_drawn_whose_functions_are_gone(owner):
    assert "stumble()" in owner.get("/runs/run-3").text  # the server has never seen this file


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/run-99", 404),
        ("/runs/<script>", 404),
        ("/runs/run-1%00", 404),
        ("/runs/run-1?version=99", 404),
        ("/runs/run-1?version=999999999999999999", 404),
        ("/runs/run-1?version=9999999999999999999999", 400),
        ("/runs/run-1?version=-1", 400),
        ("/runs/run-1?version=%D9%A3", 400),
        ("/runs/run-1?version=<script>alert(3)</script>", 400),
        ("/runs/run-1?metric=nothing", 404),
        ("/runs/run-1?x=javascript:alert(4)", 404),
        ("/runs/run-99/events", 404),
        ("/runs/run-1/events?after=x", 400),
        ("/runs/run-99/report", 404),
        ("/runs/run-1/do/explode", 404),
        ("/runs/run-1/do/pause", 400),
        ("/runs/run-1/do/cancel", 400),
        ("/runs/run-1/do/resume", 400),
        ("/runs/run-1/do/fork?round=99", 404),
        ("/runs/run-1/do/fork", 400),
        ("/runs/run-1/do/rollback?version=99", 404),
        ("/runs/run-1/do/rollback?version=-1", 400),
        ("/runs/run-1/do/revert?version=0", 400),
        ("/runs/run-1/do/revert?version=99", 404),
        ("/runs/run-3/do/rollback?version=99", 404),
    ],
)
def test_an_address_that_means_nothing_is_refused(owner, path, status):
    said = owner.get(path)
    assert said.status_code == status, said.text
    assert "<script>" not in said.text


# -- what is done ------------------------------------------------------------------------------------------------------


def test_going_back_says_in_numbers_what_it_does_then_does_it_once(owner, project):
    dataset = Dataset.open(project)
    before, records = dataset.version, len(dataset)
    address = "/runs/run-1/do/rollback"
    fields = confirmed(owner, f"{address}?version=0")
    page = owner.get(f"{address}?version=0").text
    assert f"restores {90 - records} records" in page
    assert f"version {before}" in page
    assert Dataset.open(project).version == before
    with ThreadPoolExecutor(2) as pool:
        two = list(pool.map(lambda _: owner.post(address, data=fields), range(2)))
    assert sorted(r.status_code for r in two) == [303, 409]
    assert "nothing was done" in next(r.text for r in two if r.status_code == 409)
    now = Dataset.open(project)
    assert (now.version, len(now)) == (before + 1, 90)
    assert now.log()[-1].actor == "olga"
    site = Site(project)
    assert "Go back to version 0" in site.people.audit()[0]["what"]
    site.close()


def test_undoing_one_version_and_what_is_not_confirmed(owner, project):
    address = "/runs/run-1/do/revert"
    assert owner.post(address, data={"version": "1"}).status_code == 409
    before = Dataset.open(project).version
    fields = confirmed(owner, f"{address}?version={before}")
    assert owner.post(address, data=fields | {"on": "version 0"}).status_code == 409
    assert owner.post(address, data=fields | {"version": "77"}).status_code == 404
    assert Dataset.open(project).version == before
    assert owner.post(address, data=fields).status_code == 303
    assert Dataset.open(project).version == before + 1


def test_a_fork_is_a_run_of_its_own(owner):
    fields = confirmed(owner, "/runs/run-1/do/fork?round=1")
    with ThreadPoolExecutor(2) as pool:  # a button that is pressed twice
        two = list(pool.map(lambda _: owner.post("/runs/run-1/do/fork", data=fields), range(2)))
    made, again = sorted(two, key=lambda r: r.status_code)
    assert (made.status_code, again.status_code) == (303, 409)
    text = owner.get(made.headers["location"]).text
    assert "forked from round 1 of run-1" in text
    assert "branch run-1-fork-1" in text


def test_a_run_is_paused_and_cancelled_and_then_left_alone(owner, begun):
    _, name = begun
    fields = confirmed(owner, f"/runs/{name}/do/pause")
    assert owner.post(f"/runs/{name}/do/pause", data=fields).status_code == 303
    assert owner.post(f"/runs/{name}/do/pause", data=fields).status_code == 400  # it is paused by now
    assert "paused" in owner.get(f"/runs/{name}").text
    fields = confirmed(owner, f"/runs/{name}/do/cancel")
    assert owner.post(f"/runs/{name}/do/cancel", data=fields).status_code == 303
    assert owner.get(f"/runs/{name}/do/cancel").status_code == 400
    assert owner.get(f"/runs/{name}/do/resume").status_code == 400


def test_resuming_says_where_the_file_is_missing(owner, project):
    said = owner.get("/runs/run-2/do/resume")
    assert said.status_code == 404
    assert "is gone" in said.text


def test_a_reviewer_may_look_and_not_act(served, project):
    site = Site(project)
    token = site.people.invite("ray", "reviewer")
    site.close()
    with httpx.Client(base_url=served.address, headers={"sec-fetch-site": "same-origin"}) as client:
        client.get("/enter", params={"token": token})
        assert client.get("/runs/run-2").status_code == 200
        assert "/do/" not in client.get("/runs/run-2").text
        assert client.get("/runs/run-1/report").status_code == 200
        assert client.get("/runs/run-1/do/rollback?version=0").status_code == 403
        assert client.post("/runs/run-1/do/rollback", data={"version": "0"}).status_code == 403


def test_the_report_is_sent_as_a_file_that_can_do_nothing(owner):
    said = owner.get("/runs/run-1/report")
    assert said.headers["content-disposition"] == 'attachment; filename="run-1.html"'
    assert said.headers["content-security-policy"].startswith("sandbox;")
    assert "<img src=x" not in said.text
