"""`tilth retry`: send a quarantined record through its rule again, alone."""

import secrets
from pathlib import Path

import numpy as np

from tilth.actions.approval import Approved
from tilth.actions.grow import Augment, Modify
from tilth.actions.label import Annotate
from tilth.asking import put_alone
from tilth.changes import Changes, Op, events
from tilth.cli.loading import workflow_in
from tilth.cli.opening import open_dataset
from tilth.cli.terminal import say
from tilth.cli.words import clean, count
from tilth.dataset import Dataset
from tilth.errors import NotFound, UsageError
from tilth.rules import Rule
from tilth.runs.base import newest_run
from tilth.runs.detaching import workflow_of
from tilth.runs.lives import desk
from tilth.selectors import Chosen
from tilth.state import State

__all__ = ["retry"]


def retry(project: Path, key: str, *, engine: str | None) -> None:
    """Bring a quarantined record back through the rule that it failed in; where it fails again, it stays away."""
    dataset = open_dataset(project)
    record = int(dataset.ids([key])[0])
    if not dataset.view.quarantined[record]:
        raise UsageError(f"record {key!r} is not quarantined; tilth why {project} {key} tells how it is")
    event = [e for e in dataset.history(record) if e.what == "quarantined"][-1]
    rule = _rule(dataset, event.rule, engine)
    reason = f"retried; it was quarantined in version {event.version}: {event.reason}"
    back = events(Op.ADD, np.array([record]), reason=reason)
    action = rule.do.action if isinstance(rule.do, Approved) else rule.do
    if isinstance(action, Annotate) and not action.by.at_once:
        done = dataset.commit(Changes(back), message=reason, rule=event.rule)
        with desk(dataset, f"retry-{secrets.token_hex(4)}", engine) as place:
            put_alone(place, dataset.at(done.version), record, action, rule=event.rule, reason=reason)
        say(clean(f"{key} is back and asked about again; answer by tilth label {project} --as NAME"))
        return
    changes = Changes(back)
    if isinstance(action, (Augment, Modify)):
        chosen = Chosen(np.array([record]), None, None, reason)
        changes = Changes.join([changes, action.propose(chosen, State(dataset.at(dataset.version)))])
    done = dataset.commit(changes, message=reason, rule=event.rule)
    made = 0 if changes.added is None else changes.added.num_rows
    said = f", and {count(made, 'record')} made of it" if made else ", with new content" if changes.revised else ""
    say(clean(f"{key} is back in version {done.version}{said}"))


def _rule(dataset: Dataset, name: str, engine: str | None) -> Rule:
    run = newest_run(dataset, engine=engine)
    file = workflow_of(dataset, "" if run is None else run.source)
    if file is None:
        raise NotFound(f"the file of the workflow with rule {name!r} is gone; put it back")
    _, workflow = workflow_in(file, None)
    if name not in workflow.rules:
        raise NotFound(f"{file} has no rule {name!r} any more, in which the record failed; restore() brings it back")
    return workflow.rules[name]
