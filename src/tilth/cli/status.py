"""`tilth status`: how the dataset and its last run are, and what to do next."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tilth.cli.opening import open_dataset
from tilth.cli.terminal import say, table
from tilth.cli.words import as_json, clean, count, duration, number
from tilth.dataset import Dataset
from tilth.dataset.schema import SPLITS
from tilth.dataset.view import PENDING
from tilth.labeling.inbox import Inbox, Posted, Progress
from tilth.metrics.proof import allowance
from tilth.metrics.verdicts import looked
from tilth.runs import Run
from tilth.runs.base import newest_run
from tilth.runs.detaching import workflow_of
from tilth.runs.home import inbox_of, scope_of

__all__ = ["status"]


def status(project: Path, *, engine: str | None, json: bool) -> None:
    """Tell the state of a project."""
    dataset = open_dataset(project)
    run = newest_run(dataset, engine=engine)
    found: dict[str, Any] = _dataset(dataset) | {
        "run": None if run is None else _run(run),
        "questions": [] if run is None else _questions(dataset, run),
        "next": _next(dataset, run, project),
    }
    if json:
        say(as_json(found))
        return
    say(f"{clean(dataset.name)} at version {found['version']}: {count(found['records'], 'record')}")
    rows = [[name, *(f"{n:,}" for n in counts.values())] for name, counts in found["splits"].items()]
    table(["split", "records", "labelled", "pending"], rows, right=["records", "labelled", "pending"])
    if found["labels_spent"]:
        say(f"{count(found['labels_spent'], 'answer')} so far, cost {found['cost']:g}")
    if found["rejected"]:
        say(f"{count(found['rejected'], 'row')} refused at import: Dataset.open({str(project)!r}).rejected()")
    for line in _said(found["run"]):
        say(line)
    for asked in found["questions"]:
        say(
            f"  {clean(asked['team'])} ({asked['kind']}, rule {clean(asked['rule'])}): {asked['complete']:,} of "
            f"{count(asked['tasks'], 'task')} done, {count(asked['answers'], 'answer')}, {asked['leased']:,} in work"
        )
    say(f"next: {found['next']}")


def _dataset(dataset: Dataset) -> dict[str, Any]:
    view = dataset.view
    splits = {
        name: {
            "records": int(view.among(name).sum()),
            "labelled": int((view.among(name) & view.labeled).sum()),
            "pending": int((view.among(name) & (view.asked == PENDING)).sum()),
        }
        for name in SPLITS
    }
    return {
        "dataset": str(dataset.path.resolve()),
        "version": view.version,
        "branch": dataset.branch_name,
        "records": int(np.count_nonzero(view.alive)),
        "splits": splits,
        "labels_spent": view.labels_spent,
        "cost": view.cost,
        "rejected": dataset.rejected().num_rows,
    }


def _run(run: Run) -> dict[str, Any]:
    """Return how a run is."""
    state = run.standing
    rounds = run.rounds
    last = run.best if rounds else None
    shown = {} if last is None else {name: last.metrics.get(name) for name in (last.test or last.metrics)}
    return {
        "run": run.name,
        "state": state,
        "why": run.why,
        "rounds": len(rounds),
        "step": run.steps[-1]["key"] if run.steps else None,
        "at": run.steps[-1]["finished"] if run.steps else run.started,
        "metrics": shown,
        "test": {} if last is None else last.test,
        "gates": _gates(run),
    }


def _gates(run: Run) -> dict[str, Any]:
    """Return how often the run's gates have looked at valid, and how sure the next change has to be."""
    looks, rejections = looked(run.rounds, {})
    gates = [*(rule.get("gate") for rule in run.spec["rules"].values()), run.spec.get("gate")]
    asked = [gate["confidence"] for gate in gates if gate and gate.get("confidence")]
    next_at = {repr(c): 1 - allowance(c, rejections) for c in sorted(set(asked))}
    return {"looks": looks, "rejected": rejections, "next_level": next_at}


def _questions(dataset: Dataset, run: Run) -> list[dict[str, Any]]:
    """Return how far the open questions of a project are."""
    where = inbox_of(dataset.path, run.engine)
    if run.engine is None and not Path(where).exists():
        return []
    with Inbox(where) as inbox:
        asked = [q for q in inbox.questions(state="open") if q.id.startswith(scope_of(dataset.path, run.engine))]
        return [_question(q, inbox.progress(q.id)) for q in asked]


def _question(asked: Posted, now: Progress) -> dict[str, Any]:
    return {
        "question": asked.id,
        "team": asked.team,
        "kind": asked.kind,
        "rule": asked.rule,
        "panel": asked.panel,
        "tasks": now.tasks,
        "complete": now.complete,
        "answers": now.answers,
        "leased": now.leased,
        "cannot_tell": now.cannot_tell,
        "bad": now.bad,
    }


_SAYS = {
    "running": "is running",
    "resting": "rests: its process is gone, everything up to here is safe",
    "paused": "was stopped, everything up to here is safe",
    "waiting": "waits for people",
    "queued": "waits for a worker",
    "cancelled": "was cancelled, what it changed stays",
    "failed": "failed",
    "done": "is done",
}


def _said(run: dict[str, Any] | None) -> Iterator[str]:
    if run is None:
        return
    ago = duration(max(0.0, time.time() - run["at"]))
    why = f": {clean(run['why'], lines=True)}" if run["why"] and run["state"] in ("waiting", "failed", "done") else ""
    waits = clean(run["why"]) if run["state"] == "waiting" and run["why"].startswith("waits for") else ""
    yield f"{run['run']} {waits or _SAYS.get(run['state'], run['state']) + why}"
    scores = ", ".join(
        f"{clean(name)} {number(value)} (test {number(run['test'].get(name))})"
        for name, value in run["metrics"].items()
    )
    gates = run["gates"]
    bars = ", ".join(f"{level:.2%}" for level in gates["next_level"].values())
    must = f"; the next change must be better with {bars} confidence" if bars else ""
    kept = gates["looks"] - gates["rejected"]
    if gates["looks"]:
        looks = count(gates["looks"], "time")
        yield f"  the gates looked at valid {looks}: {kept:,} kept, {gates['rejected']:,} rejected{must}"
    yield f"  {count(run['rounds'], 'round')}, last step {ago} ago{f'; {scores}' if scores else ''}"


def _next(dataset: Dataset, run: Run | None, project: Path) -> str:
    file = workflow_of(dataset, "" if run is None else run.source)
    where = str(file) if file is not None else "FILE (a file with a Workflow on this dataset)"
    if run is None:
        return f"tilth explain {where}, then tilth run {where}"
    match run.state:
        case "done" | "cancelled":
            return f"tilth log {project}, tilth export {project} data.parquet, or tilth run {where} for a new run"
        case "running" if run.at_work:
            return f"wait for it, or stop it and go on later by tilth run {where}"
        case "waiting":
            return f"tilth label {project} --as NAME" + ("" if run.at_work else f", then tilth run {where}")
        case "failed":
            return f"mend what failed, then tilth run {where}: it goes on at the step that failed"
        case _:
            return f"tilth run {where}: it goes on where it was"
