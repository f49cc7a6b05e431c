"""`tilth run`: run a workflow and show it, or go on with the run that was stopped."""

import contextlib
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tilth.cli.live import Live, Plain, Watching
from tilth.cli.loading import workflow_in
from tilth.cli.terminal import interactive, note, say, working
from tilth.cli.words import as_json, clean, count, number
from tilth.errors import Parked
from tilth.runs import Run, detaching
from tilth.runs import run as go
from tilth.runs.base import newest_run
from tilth.runs.schedule import repeat
from tilth.workflow import Workflow

__all__ = ["Wish", "run"]


@dataclass(frozen=True)
class Wish:
    """How a workflow is to be run: which one of its file, as which run, and whether to wait for people."""

    name: str | None
    run: str | None
    adopt: bool
    inline: bool
    wait: bool
    engine: str | None
    json: bool


def run(file: Path, wish: Wish, *, detach: bool = False) -> None:
    """Run the workflow in a file; the rounds pass on stderr, the result goes to stdout."""
    loading = working(f"loading {file}") if interactive() else contextlib.nullcontext()
    with contextlib.redirect_stdout(sys.stderr), loading:  # what the user's own functions print is not the result
        path, workflow = workflow_in(file, wish.name, run=wish.run, engine=wish.engine)
    if detach:
        _detach(path, workflow, wish)
        return
    before = newest_run(workflow.dataset, wish.run, engine=wish.engine)
    goes_on = before is not None and before.state not in ("done", "cancelled")
    opening = f"{before.name} goes on where it was" if before is not None and goes_on else ""
    watching = Live(workflow, opening) if interactive() else Plain(workflow, opening)
    try:
        with contextlib.redirect_stdout(sys.stderr), _told(workflow, watching, file):
            done = _entered(workflow, path, watching, wish)
    except Parked:
        waiting = newest_run(workflow.dataset, wish.run, engine=wish.engine)
        if wish.json and waiting is not None:
            say(as_json(waiting.to_json()))
        raise
    if wish.json:
        say(as_json(None if done is None else done.to_json()))
        return
    for line in ["nothing to do now"] if done is None else _result(workflow, done, file):
        say(line)


def _entered(workflow: Workflow, path: Path, watching: Watching, wish: Wish) -> Run | None:
    """Run it once; one that has a schedule or a trigger whenever it is due, for as long as this process lives."""
    if workflow.every is None and workflow.trigger is None:
        return _go(workflow, path, watching, wish)
    return repeat(
        workflow, lambda: _go(workflow, path, watching, wish), told=watching, engine=wish.engine, wait=wish.wait
    )


def _go(workflow: Workflow, path: Path, watching: Watching, wish: Wish) -> Run:
    options = {"inline": wish.inline, "adopt": wish.adopt, "wait": wish.wait}
    if wish.engine is None:
        return go(workflow, name=wish.run, source=path, listen=watching, **options)
    from tilth.runs import durable

    return durable.run(workflow, engine=wish.engine, name=wish.run, source=path, listen=watching, **options)


def _detach(path: Path, workflow: Workflow, wish: Wish) -> None:
    """Start the same command in a process of its own and return when it is at work; its output goes to a file."""
    options = ["--name", wish.name] if wish.name else []
    options += [flag for flag, on in (("--adopt", wish.adopt), ("--no-wait", not wish.wait)) if on]
    begun = detaching.detach(workflow.dataset, path, which=wish.run, options=options, engine=wish.engine)
    if begun.run is None:
        note(f"it is over already; what it said: {begun.log}")
        return
    note(f"{begun.run} runs in the background (process {begun.pid}); what it says: {begun.log}")
    note(f"tilth watch {path.parent} shows it, tilth pause and tilth cancel stop it")


@contextlib.contextmanager
def _told(workflow: Workflow, watching: Watching, file: Path) -> Generator[None]:
    """Show the run; where it stops before its end, say what is safe and how to go on."""
    try:
        with watching:
            yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped by Ctrl-C ({watching.doing}). Version {workflow.dataset.version} and all before it are safe; "
            f"the step that was under way starts again. Go on: tilth run {file}"
        ) from None
    except Parked as parked:
        told = {
            "waiting": f"All that was done is safe. Answer by tilth label {_project(file)} --as NAME, then go on: "
            f"tilth run {file}",
            "paused": f"All that was done is safe. Go on: tilth run {file}",
            "cancelled": "What it changed stays; a new run begins by tilth run",
        }
        parked.args = (f"{parked}. {told.get(parked.state, f'Go on: tilth run {file}')}",)
        raise


def _project(file: Path) -> Path:
    return file if file.is_dir() else file.parent


def _result(workflow: Workflow, done: Run, file: Path) -> Iterator[str]:
    """Yield what a finished run has to say."""
    rounds = done.rounds
    first, last = rounds[0], done.best
    yield f"{done.name} ended after {count(len(rounds), 'round')}: {clean(done.why)}"
    for name in (repr(q) for q in workflow.report):
        line = f"{clean(name)} on valid: {number(first.metrics.get(name))} → {number(last.metrics.get(name))}"
        if name in last.test:
            line += f", on test: {number(first.test.get(name))} → {number(last.test[name])}"
        yield line
    dataset = done.dataset
    yield f"{dataset.name}: version {first.version} → {dataset.version}, {count(last.labels_spent, 'label')} spent"
    if dataset.version != first.version:
        yield f"what changed: tilth diff {_project(file)} {first.version} {dataset.version}"
