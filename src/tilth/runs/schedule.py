"""When a finished project is entered again: by its schedule (`every=`), where its trigger holds."""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tilth.algebra import Metric
from tilth.durations import seconds, spoken
from tilth.runs.base import Run
from tilth.runs.home import journal_of
from tilth.runs.journal import Journal
from tilth.workflow import Workflow

__all__ = ["Tick", "repeat", "tick"]

TICKS = "schedule"
"""The name under which ticks stand in the journal, as steps of no run."""

_LOOK = 0.5

Tick = Mapping[str, Any]


def tick(workflow: Workflow, *, engine: str | None = None) -> Tick | None:
    """Look whether a finished project is to be entered again now; None while the next look is not due.

    A look is written down once, with the version it was taken at: `version`, `model`, `holds`, `why`, `at`. It trains
    nothing: the trigger reads the data, and what the last model said. A run that is not over goes on without one.
    """
    with contextlib.closing(journal_of(workflow.dataset.path, engine)) as journal:
        runs = [r for r in journal.runs() if r["branch"] == workflow.dataset.branch_name]
        if not runs or runs[-1]["state"] not in ("done", "cancelled"):
            return {"holds": True, "why": "a run that is not over goes on" if runs else "there was no run yet"}
        ticks = [s["result"] for s in journal.steps(TICKS) if s["result"]["branch"] == workflow.dataset.branch_name]
        last = ticks[-1] if ticks else {"at": runs[-1]["started"]}
        if workflow.every is not None and time.time() < last["at"] + seconds(workflow.every, what="every"):
            return None
        found = _looked(workflow, journal, runs[-1]["run"], engine)
        number = len(journal.steps(TICKS))
        journal.finish(TICKS, f"tick/{number}", found, 0.0)
        return found


def _looked(workflow: Workflow, journal: Journal, run: str, engine: str | None) -> dict[str, Any]:
    version = workflow.dataset.version
    found: dict[str, Any] = {"at": time.time(), "branch": workflow.dataset.branch_name, "version": version}
    if workflow.trigger is None:
        return found | {"holds": True, "why": f"every {spoken(workflow.every or '')}", "model": ""}
    done, outcome = journal.result(run, "outcome")
    model = outcome["model"] if done else None
    state = workflow.state(version, model, Run(workflow.dataset, run, engine=engine).rounds)
    metrics = {repr(q): float(np.asarray(q.value(state))) for q in workflow.trigger.walk() if isinstance(q, Metric)}
    holds = workflow.trigger.holds(state)
    return found | {"holds": holds, "why": workflow.trigger.explain(state), "model": model or "", "metrics": metrics}


def repeat(
    workflow: Workflow,
    go: Callable[[], Run],
    *,
    told: Callable[[Mapping[str, Any]], None],
    engine: str | None = None,
    wait: bool = True,
) -> Run | None:
    """Enter a project whenever it is due, for as long as the process lives; with `wait=False` once, if it is due now.

    `go` runs it; `told` hears of each look. Returns the last run, None where there was none.
    """
    done: Run | None = None
    while True:
        found = tick(workflow, engine=engine)
        if found is not None:
            told({"what": "tick", **found})
            if found["holds"]:
                done = go()
        if not wait or workflow.every is None:
            return done
        time.sleep(_LOOK)
