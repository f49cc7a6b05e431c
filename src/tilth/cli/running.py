"""`tilth run`: run a workflow and show it, or go on with the run that was stopped."""

import contextlib
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

from tilth.cli.live import Live, Plain, Watching
from tilth.cli.loading import newest_run, workflow_in
from tilth.cli.terminal import interactive, say, working
from tilth.cli.words import as_json, clean, count, number
from tilth.errors import Parked
from tilth.runs import Run
from tilth.runs import run as go
from tilth.workflow import Workflow

__all__ = ["run"]


def run(file: Path, *, name: str | None, adopt: bool, inline: bool, json: bool) -> None:
    """Run the workflow in a file; the rounds pass on stderr, the result goes to stdout."""
    loading = working(f"loading {file}") if interactive() else contextlib.nullcontext()
    with contextlib.redirect_stdout(sys.stderr), loading:  # what the user's own functions print is not the result
        path, workflow = workflow_in(file, name)
    before = newest_run(workflow.dataset)
    opening = f"{before.name} goes on where it was" if before is not None and before.state != "done" else ""
    watching = Live(workflow, opening) if interactive() else Plain(workflow, opening)
    try:
        with contextlib.redirect_stdout(sys.stderr), _told(workflow, watching, file):
            done = go(workflow, source=path, listen=watching, inline=inline, adopt=adopt)
    except Parked:
        waiting = newest_run(workflow.dataset)
        if json and waiting is not None:
            say(as_json(waiting.to_json()))
        raise
    if json:
        say(as_json(done.to_json()))
        return
    for line in _result(workflow, done, file):
        say(line)


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
        parked.args = (f"{parked}. All that was done is safe. When there are answers, go on: tilth run {file}",)
        raise


def _result(workflow: Workflow, done: Run, file: Path) -> Iterator[str]:
    """Yield what a finished run has to say."""
    rounds = done.rounds
    first, last = rounds[0], rounds[-1]
    yield f"{done.name} ended after {count(len(rounds), 'round')}: {clean(done.why)}"
    for name in (repr(q) for q in workflow.report):
        line = f"{clean(name)} on valid: {number(first.metrics.get(name))} → {number(last.metrics.get(name))}"
        if name in last.test:
            line += f", on test: {number(first.test.get(name))} → {number(last.test[name])}"
        yield line
    dataset = workflow.dataset
    yield f"{dataset.name}: version {first.version} → {dataset.version}, {count(last.labels_spent, 'label')} spent"
    if dataset.version != first.version:
        project = file if file.is_dir() else file.parent
        yield f"what changed: tilth diff {project} {first.version} {dataset.version}"
