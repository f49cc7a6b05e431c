"""The life of a run: begun, gone on with, changed, paused, cancelled, forked, deleted."""

import contextlib
import json
import shutil
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilth.algebra import from_json
from tilth.asking import wind_up
from tilth.dataset import Dataset
from tilth.errors import Busy, NotFound, UsageError, did_you_mean
from tilth.labeling.inbox import Inbox
from tilth.runs.base import Run
from tilth.runs.home import home_of, inbox_of, journal_of, scope_of
from tilth.runs.journal import Journal
from tilth.workflow import Workflow

__all__ = ["OVER", "cancel", "delete", "desk", "differences", "enter", "fork", "pause"]

OVER = ("done", "cancelled")
"""The states from which no run goes on."""


def enter(journal: Journal, workflow: Workflow, source: str, *, name: str | None, adopt: bool) -> dict[str, Any]:
    """Return the run to go on with, or a new one where there is none or the last is over.

    UsageError where the workflow was edited since it began and `adopt` is not set: it tells the difference.
    """
    spec, text = workflow.spec_hash(), json.dumps(workflow.to_json())
    branch = workflow.dataset.branch_name
    runs = journal.runs()
    own = [r for r in runs if (r["run"] == name if name else r["branch"] == branch)]
    if name and not own:
        raise NotFound(f"no run {name!r}. {did_you_mean(name, [r['run'] for r in runs])}")
    if name and own[-1]["state"] in OVER:
        raise UsageError(
            f"{name} is {own[-1]['state']}: it cannot go on. Start a new run without --run, or `tilth fork` it"
        )
    if not own or own[-1]["state"] in OVER:
        return journal.run(journal.begin(spec, text, source, branch=branch))
    last = own[-1]
    run: str = last["run"]
    changed = differences(journal.spec(last["spec"]), json.loads(text))
    if last["spec"] != spec and changed:
        if not adopt:
            raise UsageError(
                f"the workflow was edited since {run} began:\n{changed}\nGo on with the new one from the next round by "
                "--adopt, or put the old one back"
            )
        journal.adopt(run, spec, text, source)
        if last["state"] == "failed":
            # the round cannot end as it is: what is left of it runs by the new workflow
            starts = [s for s in journal.steps(run) if s["key"].endswith("/start")]
            if starts:
                journal.finish(run, starts[-1]["key"], {**starts[-1]["result"], "spec": spec}, starts[-1]["seconds"])
    journal.request(run, None)  # what was asked of a launch that is gone does not meet the next one
    journal.set_state(run, "running")
    return journal.run(run)


@dataclass(frozen=True)
class _Desk:
    run: str
    scope: str
    folder: Path
    inbox: Inbox


@contextlib.contextmanager
def desk(dataset: Dataset, run: str, engine: str | None = None) -> Generator[_Desk]:
    """Yield where a run keeps what it asked, for whoever is not the run itself."""
    with contextlib.closing(Inbox(inbox_of(dataset.path, engine))) as inbox:
        yield _Desk(run, scope_of(dataset.path, engine), home_of(dataset.path) / run, inbox)


def pause(dataset: Dataset, name: str | None = None, *, engine: str | None = None) -> str:
    """Let a run stop after the step that is under way, until it is run again; return what happens, in a sentence."""
    return _stop(dataset, name, "pause", engine)


def cancel(dataset: Dataset, name: str | None = None, *, engine: str | None = None) -> str:
    """End a run for good, in the middle of a training if need be; what it changed stays, answers are taken first."""
    return _stop(dataset, name, "cancel", engine)


def _stop(dataset: Dataset, name: str | None, what: str, engine: str | None) -> str:
    run = Run(dataset, name, engine=engine)
    if run.state in OVER:
        raise UsageError(f"{run.name} is {run.state} already; there is nothing to {what}")
    with contextlib.closing(journal_of(dataset.path, engine)) as journal:
        if run.at_work:
            journal.request(run.name, what)
            return f"{run.name} ends at once" if what == "cancel" else f"{run.name} pauses after the step under way"
        if what == "pause":
            journal.set_state(run.name, "paused", "paused while nobody ran it")
            return f"{run.name} is paused"
        own = Dataset.open(dataset.path, branch=run.branch, durability=dataset.durability)
        with desk(dataset, run.name, engine) as place:
            wind_up(place, own, len(run.rounds), f"{run.name} was cancelled")
        journal.set_state(run.name, "cancelled", "cancelled while nobody ran it")
    return f"{run.name} is cancelled"


def fork(
    dataset: Dataset,
    name: str | None = None,
    *,
    from_round: int,
    workflow: Workflow | None = None,
    source: str = "",
    engine: str | None = None,
) -> Run:
    """Make a run that shares the rounds before `from_round` with another, on a branch of its own; that one stays.

    Nothing is copied: the branch shares the versions up to the beginning of that round. `workflow`: what it goes on
    with from there, default the same. Run it by its name.
    """
    old = Run(dataset, name, engine=engine)
    starts = {s["key"]: s["result"] for s in old.steps}
    start = starts.get(f"r{from_round}/start")
    if start is None:
        last = sum(key.endswith("/start") for key in starts) - 1
        there = f"it has rounds 0 to {last}" if last >= 0 else "it has no round yet"
        raise NotFound(f"{old.name} has no round {from_round} to fork from; {there}")
    parent = Dataset.open(dataset.path, branch=old.branch, durability=dataset.durability)
    number = next(n for n in range(1, 10_000) if f"{old.name}-fork-{n}" not in dataset.branches)
    branch = f"{old.name}-fork-{number}"
    own = parent.branch(branch, at=start["version"])
    with contextlib.closing(journal_of(dataset.path, engine)) as journal:
        made = journal.fork(old.name, from_round, branch=branch)
        if workflow is not None:
            there = workflow.on(own)
            journal.adopt(made, there.spec_hash(), json.dumps(there.to_json()), source)
        journal.set_state(made, "paused", f"forked from round {from_round} of {old.name}")
    return Run(dataset, made, engine=engine)


def delete(dataset: Dataset, name: str, *, engine: str | None = None) -> None:
    """Forget a run: its steps, questions and files; what it changed in the dataset stays. Busy while it is at work."""
    run = Run(dataset, name, engine=engine)
    if run.at_work:
        raise Busy(f"{name} is at work; cancel it first: tilth cancel")
    if run.state not in OVER:
        cancel(dataset, name, engine=engine)
    with contextlib.closing(journal_of(dataset.path, engine)) as journal, desk(dataset, name, engine) as place:
        place.inbox.delete(f"{place.scope}{name}")
        journal.delete(name)
    shutil.rmtree(run.home / name, ignore_errors=True)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return what differs between two workflows, a line for each part; empty where only the place of the data does."""
    parts = [part for part in {**old, **new} if part not in _PLACE and old.get(part) != new.get(part)]
    lines = [_line(part, old.get(part), new.get(part)) for part in parts]
    rules = [*old["rules"], *(r for r in new["rules"] if r not in old["rules"])]
    lines += [
        _line(f"rule {r!r}", old["rules"].get(r), new["rules"].get(r))
        for r in rules
        if old["rules"].get(r) != new["rules"].get(r)
    ]
    if not lines and list(old["rules"]) != list(new["rules"]):
        lines.append(f"  the order of the rules: {', '.join(old['rules'])} -> {', '.join(new['rules'])}")
    return "\n".join(lines)


_PLACE = ("rules", "dataset", "name")


def _line(part: str, old: Any, new: Any) -> str:
    was, now = _shown(old), _shown(new)
    if was == now:
        return f"  {part}: the source of a function in it ({now})"
    return f"  {part}: {was} -> {now}"


def _shown(data: Any) -> str:
    if data is None:
        return "none"
    try:
        return repr(from_json(data))
    except NotFound:  # a function of the old workflow that is gone
        return json.dumps(data)
