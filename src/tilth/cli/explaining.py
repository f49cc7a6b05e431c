"""`tilth explain`: what each rule would change now, with the numbers it rests on."""

import contextlib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tilth.algebra import Comparison, Condition, Logic, Metric
from tilth.changes import Changes, Field, Op
from tilth.cli.loading import workflow_in
from tilth.cli.terminal import interactive, note, paragraph, say, table, working
from tilth.cli.words import as_json, clean, count, number
from tilth.dataset.schema import SPLITS
from tilth.errors import RunFailed, TilthError
from tilth.labeling.panel import Panel
from tilth.metrics import accuracy
from tilth.metrics.proof import allowance
from tilth.metrics.verdicts import looked
from tilth.outputs import KINDS, Outputs
from tilth.picking import candidates
from tilth.questions import Question
from tilth.rules import Gate
from tilth.runs.base import newest_run
from tilth.state import Round, State
from tilth.training import model_ref, train
from tilth.workflow import Workflow

__all__ = ["explain", "finished_rounds", "look", "trained"]

SHOWN = 5


def explain(file: Path, *, name: str | None, json: bool) -> None:
    """Tell what each rule of the workflow in a file would change now; nothing but the model's outputs is written."""
    with contextlib.redirect_stdout(sys.stderr):  # what the user's own functions print is not the result
        with working(f"loading {file}") if interactive() else contextlib.nullcontext():
            _, workflow = workflow_in(file, name)
        found = look(workflow)
    if json:
        say(as_json(found))
        return
    _tell(found)


def look(workflow: Workflow) -> dict[str, Any]:
    """Return what each rule would change on the newest version, in the round that comes next."""
    dataset = workflow.dataset.at(workflow.dataset.version)
    opening = workflow.opening(dataset.version)
    ref, new = ("", False) if opening else trained(workflow, dataset)
    state = workflow.state(dataset.version, ref, finished_rounds(workflow))
    names = opening or tuple(workflow.rules)
    until = {"condition": repr(workflow.until), "now": repr(workflow.until), "holds": False}
    if not opening:
        until |= {"now": _filled(workflow.until, state), "holds": workflow.until.holds(state)}
    shown = {q for _, value in workflow.parts() for q in value.walk() if isinstance(q, Metric)} | set(workflow.report)
    return {
        "dataset": str(dataset.path.resolve()),
        "version": dataset.version,
        "round": state.round,
        "model": ref,
        "trained": new,
        "metrics": {
            repr(q): float(np.asarray(q.value(state))) for q in sorted(shown, key=repr) if not (opening and q.needs)
        },
        "until": until,
        "tune": None if workflow.tune is None else repr(workflow.tune),
        "rules": {name: _rule(workflow, name, state) for name in names},
        "later": [name for name in workflow.rules if name not in names],
        **({} if workflow.gate is None else {"gate": _gate(workflow.gate, state)}),
    }


def trained(workflow: Workflow, dataset: Any) -> tuple[str, bool]:
    """Return the model of this version, trained now where its outputs are not there yet."""
    ref = model_ref(dataset, workflow.model, workflow.judge, seed=workflow.seed)
    wanted = workflow.needs & set(KINDS)
    if Outputs(dataset.path / "outputs" / ref).has(*wanted):
        return ref, False
    note(f"training the model on version {dataset.version} first; what it says is kept, and a run uses it again")
    with working(f"training on {count(int((dataset.view.train & dataset.view.labeled).sum()), 'record')}"):
        train(dataset, workflow.model, workflow.judge, needs=wanted, seed=workflow.seed)
    return ref, True


def finished_rounds(workflow: Workflow) -> tuple[Round, ...]:
    """Return the finished rounds of the run that would go on; none where a new one would begin."""
    run = newest_run(workflow.dataset)
    if run is None or run.state == "done":
        return ()
    begun = sum(step["key"].endswith("/start") for step in run.steps)
    return tuple(run.rounds[: max(begun - 1, 0)])


def _gate(gate: Gate, state: State) -> dict[str, Any]:
    """Return what a gate asks for; `least`: the smallest gain in accuracy that so many valid records can prove."""
    out: dict[str, Any] = {
        "gate": repr(gate),
        "improves": repr(gate.improves),
        "at_least": gate.bar,
        "protects": {repr(metric): tolerance for metric, tolerance in gate.protected},
        "seeds": gate.seeds,
    }
    if gate.confidence is None or repr(gate.improves) != repr(accuracy()):
        return out
    valid = len(state.judged("valid"))
    # where nothing is lost, each record that is gained halves the chance that it was luck
    gained = math.ceil(-math.log2(allowance(gate.confidence, looked(state.rounds, {})[1])))
    return out | {"valid": valid, "least": gained / valid if valid else None}


def _kept_if(gate: dict[str, Any]) -> str:
    also = "".join(f", and {clean(metric)} falls by {by:g} at most" for metric, by in gate["protects"].items())
    seeds = f" (mean of {gate['seeds']} training seeds)" if gate["seeds"] > 1 else ""
    can = f"; {gate['valid']:,} valid records prove no gain below {gate['least']:.4f}" if gate.get("least") else ""
    return f"kept only if {clean(gate['improves'])} on valid gains {gate['at_least']}{also}{seeds}{can}"


def _rule(workflow: Workflow, name: str, state: State) -> dict[str, Any]:
    rule = workflow.rules[name]
    out: dict[str, Any] = {"select": "" if rule.select is None else repr(rule.select), "do": repr(rule.do)}
    panels = [value for value in rule.walk() if isinstance(value, Panel)]
    if panels:
        out["panel"] = [{"panel": p.name, "stage": stage, "what": what} for p in panels for stage, what in p.stages]
    if rule.gate is not None:
        out["gate"] = _gate(rule.gate, state)
    try:
        if rule.when is not None:
            holds = rule.when.holds(state)
            out["when"] = {"condition": repr(rule.when), "now": _filled(rule.when, state), "holds": holds}
            if not holds:
                return out | {"chosen": 0, "changes": 0, "first": []}
        chosen = rule.choose(state) if rule.picker is None else candidates(rule, state)
        found = rule.do.propose(chosen, state) if rule.picker is None else None
    except TilthError as error:
        raise RunFailed(f"rule {name!r}: {error}") from error
    if found is not None:
        effects = _effects(found, state)
    else:  # what happens to a record is open until somebody has picked it
        who = rule.picker.by.name if rule.picker is not None else ""
        effects = dict.fromkeys(chosen.ids.tolist(), f"shown to {who}, who picks")
    order = {record: i for i, record in enumerate(chosen.ids.tolist())}
    first = sorted(effects, key=lambda record: order.get(record, len(order)))[:SHOWN]
    rows: list[dict[str, Any]] = []
    ids = np.array(first, np.int64)
    there = iter(state.dataset.keys(ids[ids >= 0]))
    for record in first:
        key = next(there) if record >= 0 else f"new {-record}"  # one that is to be collected
        score = None if chosen.score is None or record not in order else float(chosen.score[order[record]])
        rows.append({"key": key, "score": score, "change": effects[record], "reason": chosen.reason})
    return out | {
        "chosen": len(chosen.ids),
        "passed_over": chosen.passed_over,
        "changes": found.count if isinstance(found, Changes) else len(effects if found is None else found.records),
        "asks": not isinstance(found, Changes),
        "brings": isinstance(found, Changes) and found.batch is not None,
        "reason": chosen.reason,
        "signal": chosen.signal,
        "first": rows,
    }


def _effects(found: Changes | Question, state: State) -> dict[int, str]:
    """Return, for each record that a proposal is about, what would happen to it."""
    if isinstance(found, Question):
        times = "" if found.votes == 1 else f", {found.votes} answers"
        return dict.fromkeys(found.records.tolist(), f"asked of {found.by.name}{times}")
    said: dict[int, list[str]] = {}
    rows = found.events.select(["record_id", "op", "field", "new_num", "new_txt"]).to_pylist()
    old = state.dataset.labels(np.array([max(r["record_id"], 0) for r in rows], np.int64))
    for row, label in zip(rows, old, strict=True):
        if row["record_id"] >= 0:
            said.setdefault(row["record_id"], []).append(_effect(row, label, state))
    if found.revised is not None:
        for record in found.revised["record_id"].to_pylist():
            said.setdefault(record, []).append("new content")
    if found.added is not None:
        parents = found.added["parent"].to_pylist() if "parent" in found.added.column_names else []
        for parent, key in zip(parents, found.added["key"].to_pylist(), strict=False):
            if parent >= 0:
                said.setdefault(parent, []).append(f"makes {key}")
    return {record: ", ".join(texts) for record, texts in said.items()}


def _effect(row: Mapping[str, Any], label: Any, state: State) -> str:
    op, new = Op(row["op"]), row["new_num"]
    if op != Op.SET:
        return {Op.ADD: "brought back", Op.REMOVE: "removed"}.get(op, op.name.lower())
    match Field(row["field"]):
        case Field.LABEL if row["new_txt"] is not None:
            after = row["new_txt"]
        case Field.LABEL if state.classes:
            after = state.classes[int(new)]
        case Field.SPLIT:
            return f"moved to {SPLITS[int(new)]}"
        case Field.WEIGHT:
            return f"weight {state.view.weight[row['record_id']]:g} → {new:g}"
        case _:
            after = f"{new:g}"
    return f"{_shown(label)} → {after}"


def _shown(label: Any) -> str:
    return "no label" if label is None else f"{label:g}" if isinstance(label, float) else str(label)


def _filled(condition: Condition, state: State) -> str:
    """Return a condition with its numbers filled in, where it has any."""
    return condition.explain(state) if isinstance(condition, (Comparison, Logic)) else repr(condition)


def _tell(found: Mapping[str, Any]) -> None:
    metrics = ", ".join(f"{clean(name)} = {value:.4g}" for name, value in found["metrics"].items())
    say(f"version {found['version']}, round {found['round']}{f': {metrics}' if metrics else ''}")
    until = found["until"]
    say(
        f"until {clean(until['now'])}: {'holds, so a run ends here' if until['holds'] else 'not yet, so a run goes on'}"
    )
    if found["later"]:
        say(f"nothing is labelled yet, so these rules go before the first training, and {_listed(found['later'])} then")
    if found["tune"]:
        say(f"every round tries another model, suggested by {clean(found['tune'])}; a run ends with the best")
    for name, rule in found["rules"].items():
        say()
        say(f"rule {clean(name)}")
        when = rule.get("when")
        if when is not None:
            say(f"  when    {clean(when['now'])}: {'holds' if when['holds'] else 'does not hold, so nothing is done'}")
            if not when["holds"]:
                continue
        if rule["select"]:
            paragraph(f"select  {clean(rule['select'])}", indent=2)
        over = f", {rule['passed_over']:,} passed over because nothing is known of them" if rule["passed_over"] else ""
        paragraph(f"{count(rule['chosen'], 'record')}{over}: {clean(rule['reason'])}", indent=10)
        if not rule["changes"]:
            say(f"  do      {clean(rule['do'])}: nothing to change")
            continue
        would = "would be asked about" if rule["asks"] else "would come in" if rule["brings"] else "would change"
        say(f"  do      {clean(rule['do'])}: {count(rule['changes'], 'record')} {would}")
        for stage in rule.get("panel", ()):
            paragraph(f"{clean(stage['stage'])}: {clean(stage['what'])}", indent=10)
        if "gate" in rule:
            paragraph(f"gate    {_kept_if(rule['gate'])}", indent=2)
        if rule["first"]:
            signal = clean(rule["signal"] or "score")
            rows = [[r["key"], number(r["score"]), r["change"]] for r in rule["first"]]
            table(["key", signal, "what would happen"], rows, right=[signal], indent=10)
        if rule["changes"] > len(rule["first"]) > 0:
            say(f"          ... and {rule['changes'] - len(rule['first']):,} more")
    if "gate" in found:
        say()
        paragraph(f"gate of the round: what all rules change is {_kept_if(found['gate'])}")
    say()
    alone = " Each rule was looked at on its own; in a run it sees what the rules before it did."
    say(f"Nothing was changed.{alone if found['rules'] else ''}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(clean(repr(name)) for name in names)
