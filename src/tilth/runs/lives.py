"""The life of a run: begun, gone on with, changed, paused, cancelled, forked, deleted."""

import json
from collections.abc import Mapping
from typing import Any

from tilth.algebra import from_json
from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.runs.journal import Journal
from tilth.workflow import Workflow

__all__ = ["OVER", "differences", "enter"]

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
        journal.adopt(run, spec, text)
        if last["state"] == "failed":
            # the round cannot end as it is: what is left of it runs by the new workflow
            starts = [s for s in journal.steps(run) if s["key"].endswith("/start")]
            if starts:
                journal.finish(run, starts[-1]["key"], {**starts[-1]["result"], "spec": spec}, starts[-1]["seconds"])
    journal.set_state(run, "running")
    return journal.run(run)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return what differs between two workflows, a line for each part; empty where only the place of the data does."""
    lines = [
        _line(part, old.get(part), new[part]) for part in new if part not in _PLACE and old.get(part) != new[part]
    ]
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
