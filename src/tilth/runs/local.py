"""The local engine: one machine, one process a project, a journal; the loop goes on where it was."""

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tilth.asking import wind_up
from tilth.dataset import Dataset
from tilth.errors import Busy, Parked, RunFailed
from tilth.loop import Outcome, loop
from tilth.runs.base import Run
from tilth.runs.home import highest_run, home_of, inbox_of
from tilth.runs.journal import Journal
from tilth.runs.lives import enter
from tilth.runs.steps import Listener, Steps
from tilth.runs.trainer import Child, Inline, Trainer
from tilth.workflow import Workflow

__all__ = ["drive", "run"]


def run(
    workflow: Workflow,
    *,
    name: str | None = None,
    source: str | Path | None = None,
    listen: Listener | None = None,
    inline: bool = False,
    adopt: bool = False,
    wait: bool = True,
) -> Run:
    """Run a workflow until it is done, or go on with the run that is not: a step that has finished is not repeated.

    `name`: the run to go on with (a fork has a branch of its own), default the newest of the workflow's branch.
    `source`: the file that the workflow comes from, for its own functions in the training process. `listen` is told
    what is going on. `inline=True` trains in this process. A workflow that was edited since its run began is refused,
    with the difference, unless `adopt=True`: then it counts from the next round. Where people have to answer, it waits
    for them; with `wait=False` it stops there instead. Raises `Busy` where another process runs this project,
    `RunFailed` where a step failed (mend it and run again), `Parked` where it waits for people, or was paused or
    cancelled.
    """
    home = home_of(workflow.dataset.path)
    home.mkdir(parents=True, exist_ok=True)
    with _holding(home, workflow.dataset.name):
        journal = Journal(home / "journal.sqlite", above=highest_run(workflow.dataset))
        trainer: Trainer = Inline() if inline else Child(Path(source).resolve() if source else None)
        steps: Steps | None = None
        try:
            about = enter(journal, workflow, str(source or ""), name=name, adopt=adopt)
            (home / "holder").write_text(f"{os.getpid()} {about['run']}", encoding="utf-8")
            if about["branch"] != workflow.dataset.branch_name:
                there = workflow.dataset
                workflow = workflow.on(Dataset.open(there.path, branch=about["branch"], durability=there.durability))
            steps = Steps(
                journal,
                about["run"],
                home / about["run"],
                workflow,
                trainer,
                listen or (lambda _: None),
                inbox=inbox_of(workflow.dataset.path),
                wait=wait,
            )
            asyncio.run(drive(journal, steps, workflow))
            return Run(workflow.dataset, about["run"])
        finally:
            if steps is not None:
                steps.close()
            trainer.close()
            journal.close()


async def drive(journal: Journal, steps: Steps, workflow: Workflow) -> None:
    """Run the loop on what an engine gives, and note how it ended; a failed step is a RunFailed."""
    name = steps.run
    watch = asyncio.ensure_future(steps.heed())
    try:
        outcome = await _stopped_by_ctrl_c(journal, name, loop(workflow, steps))
    except Parked as parked:
        if parked.state == "cancelled":
            await asyncio.to_thread(wind_up, steps, workflow.dataset, -1, f"{name} was cancelled")
        journal.set_state(name, parked.state, str(parked), parked.ticket)
        if parked.state == "failed":
            raise RunFailed(f"{parked}. Mend it and run again: it goes on at this step") from parked.__cause__
        raise
    finally:
        steps.rest()
        await watch
    journal.finish(name, "outcome", _outcome(outcome), 0.0)
    journal.set_state(name, "done", outcome.why)


async def _stopped_by_ctrl_c(journal: Journal, name: str, work: Coroutine[Any, Any, Outcome]) -> Outcome:
    try:
        return await work
    except asyncio.CancelledError:
        journal.set_state(name, "paused", "stopped by Ctrl-C")
        raise


@contextlib.contextmanager
def _holding(home: Path, name: str) -> Any:
    lock = FileLock(home / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as why:
        holder = (
            (home / "holder").read_text(encoding="utf-8").split(" ")[0] if (home / "holder").exists() else "unknown"
        )
        raise Busy(f"process {holder} is running {name!r} already; wait for it, or stop it") from why
    try:
        (home / "holder").write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "version": outcome.version,
        "model": outcome.model,
        "why": outcome.why,
        "rounds": [dict(r.__dict__) for r in outcome.rounds],
        "final": dict(outcome.final),
    }
