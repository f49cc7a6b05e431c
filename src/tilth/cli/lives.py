"""`tilth list`, `watch`, `pause`, `resume`, `cancel`, `fork`, `delete`, `worker`: the lives of runs."""

import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tilth.cli.loading import known_runs, workflow_in
from tilth.cli.opening import open_dataset
from tilth.cli.running import Wish
from tilth.cli.running import run as go
from tilth.cli.terminal import interactive, note, say, table
from tilth.cli.words import as_json, clean, count, duration
from tilth.dataset import Dataset
from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.labeling.inbox import Inbox
from tilth.runs import Run, lives
from tilth.runs.base import newest_run
from tilth.runs.detaching import workflow_of
from tilth.runs.home import inbox_of
from tilth.runs.telling import step_said

__all__ = ["cancel", "delete", "fork", "list_runs", "pause", "resume", "resume_panel", "watch", "work"]

_EVERY = 0.5


def list_runs(project: Path, *, engine: str | None, json: bool) -> None:
    """List the runs of a project, oldest first."""
    dataset = open_dataset(project)
    found = [_about(run) for run in known_runs(dataset, engine=engine)]
    if json:
        say(as_json({"dataset": str(dataset.path.resolve()), "runs": found}))
        return
    if not found:
        say("no run yet; `tilth run FILE` starts one")
        return
    rows = [
        [r["run"], r["state"], f"{r['rounds']}", "" if r["branch"] == "main" else r["branch"], r["ago"], r["why"]]
        for r in found
    ]
    table(["run", "state", "rounds", "branch", "last step", "why"], rows, right=["rounds"])


def _about(run: Run) -> dict[str, Any]:
    at = run.steps[-1]["finished"] if run.steps else run.started
    return {
        "run": run.name,
        "state": run.standing,
        "why": run.why,
        "rounds": len(run.rounds),
        "branch": run.branch,
        "at": at,
        "ago": f"{duration(max(0.0, time.time() - at))} ago",
    }


def watch(project: Path, which: str | None, *, engine: str | None) -> None:
    """Show the steps of a run as they finish, until it stops."""
    dataset = open_dataset(project)
    seen, told = 0, ""
    while True:
        run = _run(dataset, which, engine)
        which = run.name
        for step in run.steps[seen:]:
            if step["key"] != "outcome":
                took = f"{duration(step['seconds'])}"
                say(f"{run.name}  {step_said(step['key'])} ({took})")
        seen = len(run.steps)
        if run.standing == "waiting" and run.why != told:
            told = run.why
            say(f"{run.name}  {clean(run.why)}; answer by tilth label {project} --as NAME")
        if not run.at_work:
            why = f": {clean(run.why, lines=True)}" if run.why else ""
            say(f"{run.name} is {run.standing}{why}")
            return
        sys.stdout.flush()
        time.sleep(_EVERY)


def pause(project: Path, which: str | None, *, panel: str | None, engine: str | None) -> None:
    """Pause a run, or only what a panel asks: no task of it is given out until that is resumed."""
    if panel is not None:
        with _inbox(open_dataset(project), panel, engine) as inbox:
            inbox.pause_panel(panel)
        say(clean(f"panel {panel} gives out no tasks; it goes on by tilth resume {project} --panel {panel}"))
        return
    say(f"{lives.pause(open_dataset(project), which, engine=engine)}. Go on: tilth resume {project}")


def resume_panel(project: Path, panel: str, *, engine: str | None) -> None:
    """Give out a panel's tasks again."""
    with _inbox(open_dataset(project), panel, engine) as inbox:
        inbox.resume_panel(panel)
    say(clean(f"panel {panel} gives out tasks again"))


@contextmanager
def _inbox(dataset: Dataset, panel: str, engine: str | None) -> Generator[Inbox]:
    """Yield the inbox of a project in which a panel has asked; NotFound names the panels that have."""
    where = inbox_of(dataset.path, engine)
    if engine is None and not Path(where).exists():
        raise NotFound(f"no panel {panel!r}: no run of {dataset.name} has asked people yet")
    with Inbox(where) as inbox:
        known = {q.panel: None for q in inbox.questions() if q.panel}
        if panel not in known:
            raise NotFound(f"no panel {panel!r} has asked anybody. {did_you_mean(panel, known)}")
        yield inbox


def resume(project: Path, wish: Wish, *, detach: bool) -> None:
    """Go on with a run from the file that it came from."""
    dataset = open_dataset(project)
    run = _run(dataset, wish.run, wish.engine)
    if run.state in lives.OVER:
        raise UsageError(f"{run.name} is {run.state}; a new run begins by tilth run")
    file = workflow_of(dataset, run.source)
    if file is None:
        raise NotFound(f"the file that {run.name} came from is gone: {run.source}. Put it back, or `tilth run FILE`")
    named = Wish(wish.name, run.name, wish.adopt, wish.inline, wish.wait, wish.engine, wish.json)
    go(file, named, detach=detach)


def cancel(project: Path, which: str | None, *, yes: bool, engine: str | None) -> None:
    """End a run for good."""
    dataset = open_dataset(project)
    run = _run(dataset, which, engine)
    _sure(f"{run.name} ends for good; what it changed and what people answered stays", yes=yes)
    say(lives.cancel(dataset, run.name, engine=engine))


def fork(
    project: Path,
    which: str | None,
    *,
    from_round: int,
    edit: Path | None,
    name: str | None,
    engine: str | None,
    json: bool,
) -> None:
    """Fork a run."""
    dataset = open_dataset(project)
    path, workflow = (None, None) if edit is None else workflow_in(edit, name)
    source = "" if path is None else str(path.resolve())
    made = lives.fork(dataset, which, from_round=from_round, workflow=workflow, source=source, engine=engine)
    if json:
        say(as_json(made.to_json()))
        return
    say(f"{made.name} shares what came before round {from_round}, on branch {made.branch}; nothing was copied")
    say(f"go on: tilth resume {project} --run {made.name}")


def delete(project: Path, name: str, *, yes: bool, engine: str | None) -> None:
    """Forget a run."""
    dataset = open_dataset(project)
    run = _run(dataset, name, engine)
    _sure(f"{run.name} is forgotten: {count(len(run.steps), 'step')}, its questions and files; the data stays", yes=yes)
    lives.delete(dataset, name, engine=engine)
    say(f"{name} is gone; the versions it made stay in tilth log {project}")


def work(engine: str | None, *, at_once: int) -> None:
    """Work on the runs of an engine."""
    if engine is None:
        raise UsageError("tilth worker needs --engine postgresql://user@host/database, or TILTH_ENGINE")
    from tilth.runs.slots import work as carry

    carry(engine, at_once=at_once, listen=_tell)


def _tell(event: Mapping[str, Any]) -> None:
    """Write what a worker's runs say of themselves, a line each."""
    said = {"took": "begins here", "left": "leaves", "stopping": "the worker stops when the steps under way have ended"}
    what = said.get(event["what"])
    if event["what"] in ("waiting", "retry") or what:
        why = f": {clean(str(event['why']), lines=True)}" if event.get("why") else ""
        note(f"{event.get('run', 'worker')} {what or event['what']}{why}")


def _run(dataset: Dataset, which: str | None, engine: str | None) -> Run:
    run = newest_run(dataset, which, engine=engine)
    if run is None:
        raise NotFound("no run yet; `tilth run FILE` starts one")
    return run


def _sure(what: str, *, yes: bool) -> None:
    if yes:
        return
    if not (sys.stdin.isatty() and interactive()):
        raise UsageError(f"{what}. Say that you are sure: --yes")
    sys.stderr.write(f"{what}. Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise KeyboardInterrupt("nothing was done")
