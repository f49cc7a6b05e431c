"""A project whose runs and questions are kept in Postgres: the page shows them, and what people answer goes there."""

import pytest

from tilth import Rule, Run, Team, Workflow, annotate, margin, rounds, unlabeled
from tilth.errors import Parked
from tilth.labeling.inbox import Inbox
from tilth.runs import durable
from tilth.runs.engines import database_of
from tilth.testing import toy

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_run_is_watched_and_answered_on_the_page(postgres_url, serve, visit, aside):
    dataset, model = toy()
    workflow = Workflow(
        dataset=dataset,
        model=model,
        rules={"ask": Rule(select=unlabeled.top(4, by=margin()), do=annotate(by=Team("crowd")))},
        until=rounds() >= 1,
    )
    with pytest.raises(Parked, match="waits"):
        aside(durable.run, workflow, engine=postgres_url, inline=True, wait=False)
    served = serve(dataset.path, "--engine", postgres_url)
    run = visit(served)
    run.goto(f"{served.address}/runs/run-1")
    run.locator("[data-standing=waiting]").wait_for()
    assert "0 of 4 done" in run.locator("#live").inner_text()

    people = run.context.new_page()
    people.goto(f"{served.address}/label")
    for _ in range(4):
        asked = people.locator("#ask").inner_text()
        people.locator("#choices .choice kbd").first.wait_for()
        people.keyboard.press(people.locator("#choices .choice kbd").first.inner_text())
        people.wait_for_function("(was) => document.getElementById('ask').textContent !== was", arg=asked)
    run.get_by_text("4 of 4 done").wait_for()
    with Inbox(database_of(postgres_url)) as inbox:
        assert len(inbox.said(annotator="owner")) == 4

    aside(durable.run, workflow, engine=postgres_url, inline=True)
    run.locator("[data-standing=done]").wait_for()
    assert Run(dataset, "run-1", engine=postgres_url).state == "done"
    assert dataset.view.labels_spent == 4
