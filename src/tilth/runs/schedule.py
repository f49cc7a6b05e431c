"""When a finished project is entered again: by its schedule (`every=`), where its trigger holds on what came in."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tilth.actions.ingest import Ingest
from tilth.algebra import Metric
from tilth.durations import seconds, spoken
from tilth.loop import commit, propose
from tilth.points import reach
from tilth.runs.base import Run
from tilth.runs.home import journal_of
from tilth.state import Round
from tilth.training import extend
from tilth.tuning import best
from tilth.workflow import Workflow

__all__ = ["Tick", "repeat", "tick"]

TICKS = "schedule"
"""The name under which ticks stand in the journal, as steps of no run."""

_LOOK = 0.5

Tick = Mapping[str, Any]


def tick(workflow: Workflow, *, engine: str | None = None) -> Tick | None:
    """Look whether a finished project is to be entered again now; None while the next look is not due.

    First the rules that `ingest` bring what is new in their sources, a batch each. Then the trigger is looked at, and
    the look written down, with the version it was taken at: `version`, `model`, `holds`, `why`, `at`, `brought`. It
    trains nothing: the trigger reads the data, and what the last model says, also of new records. Where neither the
    data nor the model changed since the last look, that look's answer stands; a source that cannot be reached is tried
    again at the next. A run that is not over goes on without a look. Killed in between, the next look goes on behind
    the rows that were committed.
    """
    with contextlib.closing(journal_of(workflow.dataset.path, engine)) as journal:
        runs = [r for r in journal.runs() if r["branch"] == workflow.dataset.branch_name]
        if not runs or runs[-1]["state"] not in ("done", "cancelled"):
            return {"holds": True, "why": "a run that is not over goes on" if runs else "there was no run yet"}
        ticks = [s["result"] for s in journal.steps(TICKS) if s["result"]["branch"] == workflow.dataset.branch_name]
        last = ticks[-1] if ticks else {"at": runs[-1]["started"]}
        if workflow.every is not None and time.time() < last["at"] + seconds(workflow.every, what="every"):
            return None
        found = _looked(workflow, runs[-1]["run"], engine, last)
        number = len(journal.steps(TICKS))
        journal.finish(TICKS, f"tick/{number}", found, 0.0)
        return found


def _looked(workflow: Workflow, run: str, engine: str | None, last: Tick) -> dict[str, Any]:
    rounds = tuple(Run(workflow.dataset, run, engine=engine).rounds)
    model = rounds[best(rounds)].model if rounds else ""
    brought = _ingested(workflow, model, rounds)
    version = workflow.dataset.version
    found: dict[str, Any] = {"at": time.time(), "branch": workflow.dataset.branch_name, "version": version}
    found |= {"brought": brought} if brought else {}
    if workflow.trigger is None:
        return found | {"holds": True, "why": f"every {spoken(workflow.every or '')}", "model": ""}
    found |= {"model": model}
    told = ("holds", "why", "metrics")
    if all(k in last for k in told) and (last["version"], last["model"]) == (version, model):
        return found | {k: last[k] for k in told}
    state = workflow.state(version, model, rounds)
    if state.outputs is not None:
        needs = workflow.trigger.needs
        state = replace(state, outputs=extend(state.dataset, state.outputs, needs=needs))
    metrics = {repr(q): float(np.asarray(q.value(state))) for q in workflow.trigger.walk() if isinstance(q, Metric)}
    return found | {"holds": workflow.trigger.holds(state), "why": workflow.trigger.explain(state), "metrics": metrics}


def _ingested(workflow: Workflow, model: str, rounds: tuple[Round, ...]) -> dict[str, Any]:
    """Let each rule that ingests bring a batch; the batch's place in its source is what keeps it from coming twice."""
    brought: dict[str, Any] = {}
    for name, rule in workflow.rules.items():
        if not isinstance(rule.do, Ingest):
            continue
        with tempfile.TemporaryDirectory() as folder:
            base, place = workflow.dataset.version, Path(folder) / "batch"
            try:
                plan = propose(workflow, name, base, model, rounds, place)
            except OSError as why:  # a database that is away for an hour is no reason to stop looking
                brought[name] = {"n": 0, "why": f"{type(why).__name__}: {why}"}
                continue
            reach(f"read {name}")
            if plan["n"]:
                said = {"message": plan["why"], "rule": name, "model": model}
                done = commit(workflow, place, key=None, base=base, **said)
                brought[name] = {"n": plan["n"], "why": plan["why"], "version": done["version"]}
            reach(f"brought {name}")
    return brought


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
