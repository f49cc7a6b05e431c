"""The one loop: train, evaluate, and for each rule propose, commit, judge; every engine runs this and nothing else."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tilth.algebra import Metric, from_json, to_json
from tilth.asking import Sitting, ask, take_late, wind_up
from tilth.changes import Changes
from tilth.context import Context
from tilth.convening import convene
from tilth.errors import TilthError
from tilth.judging import gated, judge
from tilth.labeling.panel import Panel
from tilth.questions import Question
from tilth.rules import Gate, Rule
from tilth.state import Round
from tilth.workflow import Workflow

__all__ = ["Outcome", "commit", "evaluate", "judge", "loop", "propose"]


# -- the verbs: each works on JSON-sized values and is safe to run again
# ------------------------------------------------


def evaluate(workflow: Workflow, version: int, model: str, rounds: tuple[Round, ...]) -> dict[str, Any]:
    """Return the metrics of a trained model, and whether the workflow is done."""
    state = workflow.state(version, model, rounds)
    yes = workflow.until.holds(state)
    shown = {q for _, value in workflow.parts() for q in value.walk() if isinstance(q, Metric)} | set(workflow.report)
    return {
        "metrics": {repr(q): float(np.asarray(q.value(state))) for q in sorted(shown, key=repr)},
        "test": {repr(q): q.on(state, "test") for q in workflow.report if isinstance(q, Metric)},
        "labels_spent": state.view.labels_spent,
        "cost": state.view.cost,
        "done": yes,
        "why": workflow.until.explain(state),
    }


def propose(
    workflow: Workflow, name: str, version: int, model: str, rounds: tuple[Round, ...], folder: Path
) -> dict[str, Any]:
    """Let a rule choose records and say what it would change; the changes go to `folder`, nothing else is written."""
    rule = workflow.rules[name]
    state = workflow.state(version, model, rounds)
    try:
        if rule.when is not None and not rule.when.holds(state):
            return {"n": 0, "why": f"not when {rule.when.explain(state)}"}
        chosen = rule.select.choose(state)
        found = rule.do.propose(chosen, state)
    except TilthError as error:
        error.args = (f"Rule {name!r}: {error}", *error.args[1:])
        raise
    if isinstance(found, Question):
        if len(found.records) == 0:
            return {"n": 0, "why": f"nothing to ask: {chosen.reason}"}
        found.save(folder)
        return found.plan() | {"by": to_json(found.by)}
    if found.count == 0:
        return {"n": 0, "why": f"nothing to change: {chosen.reason}"}
    found.save(folder)
    return {"n": found.count, "why": chosen.reason}


def commit(workflow: Workflow, folder: Path, *, key: str, base: int, **about: Any) -> dict[str, Any]:
    """Make a rule's proposed changes the next version, exactly once a key."""
    done = workflow.dataset.commit(Changes.load(folder), key=key, base=base, on_conflict="skip", **about)
    return {"version": done.version, "conflicts": done.meta.get("conflicts", 0)}


# -- the loop
# -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """How a run ended: the final version and model, every round, and why it stopped."""

    version: int
    model: str
    rounds: tuple[Round, ...]
    why: str
    final: Mapping[str, Any] = field(default_factory=dict[str, Any])


async def loop(given: Workflow, ctx: Context) -> Outcome:
    """Run a workflow: train, evaluate, until? -> each rule: when? select, do, commit, gate -> next round."""
    outcome = await _rounds(given, ctx)
    if given.asks_people:
        r = len(outcome.rounds)
        await ctx.step("last", lambda: wind_up(ctx, given.dataset, r, f"{ctx.run} is done: {outcome.why}"))
    return outcome


async def _rounds(given: Workflow, ctx: Context) -> Outcome:
    rounds: tuple[Round, ...] = ()
    resting: dict[str, int] = {}
    refused: set[str] = set()
    while True:
        began = time.perf_counter()
        r = len(rounds)
        if given.asks_people:  # what came too late for the round in which it was asked
            await ctx.step(f"r{r}/late", lambda n=r: take_late(ctx, given.dataset, f"r{n}/late", n, every=False))

        def pin() -> dict[str, Any]:
            return {"spec": given.spec_hash(), "version": given.dataset.version}

        start = await ctx.step(f"r{r}/start", pin)
        workflow = ctx.workflow(start["spec"])
        version: int = start["version"]
        ctx.tell({"what": "round", "round": r, "version": version})
        trained = await ctx.train(f"r{r}/train", workflow, version, needs=workflow.needs, keep=True)
        model: str = trained["ref"]
        found = await ctx.step(f"r{r}/evaluate", lambda v=version, m=model, w=workflow, h=rounds: evaluate(w, v, m, h))
        this = Round(r, version, model, found["metrics"], found["test"], found["labels_spent"], found["cost"])
        ctx.tell({"what": "evaluated", "round": r, "version": version, **found})
        if found["done"]:
            return Outcome(version, model, (*rounds, this), found["why"], found)
        did: dict[str, dict[str, Any]] = {}
        base = version
        for name, rule in workflow.rules.items():
            if resting.get(name, -1) >= r:
                did[name] = {"n": 0, "why": f"rests until round {resting[name] + 1}: its changes were rejected"}
            else:
                did[name] = await _apply(ctx, workflow, name, rule, r, model, base, rounds, dict(did), refused)
            base = did[name].pop("base", base)
            if did[name].get("kept") is False and rule.gate is not None and not did[name].get("again"):
                resting[name] = r + rule.gate.cooldown
            ctx.tell({"what": "rule", "round": r, "rule": name, **did[name]})
        if workflow.gate is not None and base != version:
            for name in await _together(ctx, workflow, workflow.gate, this, base, rounds, did, refused):
                resting[name] = r + workflow.gate.cooldown
        rounds = (*rounds, replace(this, rules=did, seconds=time.perf_counter() - began))
        ctx.tell({"what": "rounded", **asdict(rounds[-1])})
        progress = any(d["n"] and (d.get("kept") is not False or "answers" in d) for d in did.values())
        if not progress and not any(end >= r for end in resting.values()):  # after a rest it is tried again
            return Outcome(version, model, rounds, "no rule has anything left to change", found)


async def _apply(
    ctx: Context,
    workflow: Workflow,
    name: str,
    rule: Rule,
    r: int,
    model: str,
    version: int,
    rounds: tuple[Round, ...],
    now: Mapping[str, Mapping[str, Any]],
    refused: set[str],
) -> dict[str, Any]:
    """Run one rule in one round: propose, commit or ask, then the gate."""
    key = f"r{r}/{name}"
    folder = ctx.folder / "changes" / key.replace("/", "-")
    about: dict[str, Any] = {"run": ctx.run, "round": r, "rule": name, "model": model}
    plan = await ctx.step(f"{key}/propose", lambda: propose(workflow, name, version, model, rounds, folder))
    if plan["n"] == 0:
        return {"n": 0, "why": plan["why"]}
    ctx.tell({"what": "proposed", "round": r, "rule": name, **plan})
    out: dict[str, Any] = {"n": plan["n"], "why": plan["why"]}
    if "by" in plan:
        by = from_json(plan["by"])
        load = partial(Question.load, folder, plan, by)
        if isinstance(by, Panel):
            done = await convene(ctx, workflow, key, by, load, base=version, model=model, rounds=rounds, about=about)
        else:
            done = await ask(ctx, Sitting(workflow, key, by, load, version, about), plan)
        out["answers"] = done["n"]
        if done["n"] == 0 and done["version"] == version:
            out["n"] = 0  # nobody could be asked: that is no progress, and must not keep the run going
        out |= {k: done[k] for k in ("waited", "stages", "refused", "why") if k in done}
    else:
        done = await ctx.step(
            f"{key}/commit",
            lambda: commit(workflow, folder, key=f"{ctx.run}/{key}/commit", base=version, message=plan["why"], **about),
        )
    out |= {"version": done["version"], "base": done["version"]}
    if done.get("conflicts"):
        out["conflicts"] = done["conflicts"]
    if rule.gate is not None and done["version"] != version:
        look = partial(judge, workflow, rule.gate, rounds=rounds, now=now)
        verdict = await gated(ctx, workflow, rule.gate, f"{key}/gate", (version, done["version"]), look, refused, about)
        out |= verdict
    return out


async def _together(
    ctx: Context,
    workflow: Workflow,
    gate: Gate,
    this: Round,
    after: int,
    rounds: tuple[Round, ...],
    did: dict[str, dict[str, Any]],
    refused: set[str],
) -> list[str]:
    """Judge what the rules of a round changed together; each bears the verdict. Return the rules that have to rest."""
    joint = [name for name, one in did.items() if one["n"] and one.get("kept") is not False and "version" in one]
    if not joint:
        return []
    about: dict[str, Any] = {"run": ctx.run, "round": this.round, "model": this.model}
    look = partial(judge, workflow, gate, rounds=rounds, now=dict(did))
    key = f"r{this.round}/gate"
    verdict = await gated(ctx, workflow, gate, key, (this.version, after), look, refused, about, rules=joint)
    del verdict["base"]
    for name in joint:
        did[name] |= verdict | {"together": True}
        ctx.tell({"what": "rule", "round": this.round, "rule": name, **did[name]})
    return [] if verdict["kept"] or verdict.get("again") else joint
