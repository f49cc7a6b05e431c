"""The one loop: train, evaluate, and for each rule propose, commit, judge; every engine runs this and nothing else."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tilth.algebra import Metric, Quantity, from_json, to_json
from tilth.asking import Sitting, ask, take_late, wind_up
from tilth.changes import Changes
from tilth.context import Context
from tilth.convening import convene
from tilth.errors import TilthError
from tilth.judging import gated, judge
from tilth.labeling.panel import Panel
from tilth.picking import pick, picked
from tilth.protocols import Model, Trial
from tilth.questions import Question
from tilth.rules import Gate, Rule
from tilth.state import Round, State
from tilth.tuning import best, model_of
from tilth.workflow import Workflow

__all__ = ["Outcome", "commit", "evaluate", "judge", "loop", "propose"]


# -- the verbs: each works on JSON-sized values and is safe to run again
# ------------------------------------------------


def evaluate(
    workflow: Workflow, version: int, model: str, rounds: tuple[Round, ...], *, said: str = ""
) -> dict[str, Any]:
    """Return the metrics of a trained model, and whether the workflow is done; `said`: what a tuner chose."""
    state = workflow.state(version, model, rounds)
    yes = workflow.until.holds(state)
    shown = {q for _, value in workflow.parts() for q in value.walk() if isinstance(q, Metric)} | set(workflow.report)
    tuned = {} if workflow.tune is None else _tried(workflow, workflow.tune.improves, state, said)
    return tuned | {
        "metrics": {repr(q): float(np.asarray(q.value(state))) for q in sorted(shown, key=repr)},
        "test": {repr(q): q.on(state, "test") for q in workflow.report if isinstance(q, Metric)},
        "labels_spent": state.view.labels_spent,
        "cost": state.view.cost,
        "done": yes,
        "why": workflow.until.explain(state),
    }


def _tried(workflow: Workflow, improves: Quantity, state: State, said: str) -> dict[str, Any]:
    value = float(np.asarray(improves.value(state)))
    return {"tuned": {"model": repr(workflow.model), "said": said or "the model given", "value": value}}


def propose(
    workflow: Workflow,
    name: str,
    version: int,
    model: str,
    rounds: tuple[Round, ...],
    folder: Path,
    *,
    shown: int | None = None,
) -> dict[str, Any]:
    """Let a rule choose records and say what it would change; the changes go to `folder`, nothing else is written.

    `shown`: the version at which people were shown what to pick from, where they were.
    """
    rule = workflow.rules[name]
    state = workflow.state(version, model, rounds)
    try:
        if shown is not None:
            chosen = picked(rule, workflow.state(shown, model, rounds), state.dataset)
        elif rule.when is not None and not rule.when.holds(state):
            return {"n": 0, "why": f"not when {rule.when.explain(state)}"}
        else:
            chosen = rule.choose(state)
        found = rule.do.propose(chosen, state)
    except TilthError as error:
        error.args = (f"Rule {name!r}: {error}", *error.args[1:])
        raise
    if isinstance(found, Question):
        if len(found.records) == 0:
            return {"n": 0, "why": f"nothing to ask: {chosen.reason}"}
        found.save(folder)
        return found.plan() | {"by": to_json(found.by)}
    why = f"{chosen.reason}; {found.note}" if found.note else chosen.reason
    if found.count == 0 and found.batch is None:
        return {"n": 0, "why": f"nothing to change: {why}"}
    found.save(folder)
    if found.batch is not None:
        return {"n": found.batch.rows, "why": str(found.batch)}
    return {"n": found.count, "why": why}


def commit(workflow: Workflow, folder: Path, *, key: str | None, base: int, **about: Any) -> dict[str, Any]:
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
    tried: list[Trial] = []
    models: list[Model] = []
    evaluated: list[dict[str, Any]] = []
    suggested: dict[str, Any] | None = None
    spec = given.spec_hash()
    while True:
        began = time.perf_counter()
        r = len(rounds)
        if given.asks_people:  # what came too late for the round in which it was asked
            await ctx.step(f"r{r}/late", lambda n=r: take_late(ctx, given.dataset, f"r{n}/late", n, every=False))

        def pin() -> dict[str, Any]:
            return {"spec": spec, "version": given.dataset.version}

        start = await ctx.step(f"r{r}/start", pin)
        workflow = ctx.workflow(start["spec"])
        if suggested is not None and workflow.tune is not None:
            workflow = replace(workflow, model=model_of(suggested))
        note: Mapping[str, Any] = suggested["note"] if suggested is not None else {}
        version: int = start["version"]
        ctx.tell({"what": "round", "round": r, "version": version})
        did, version = await _cold(ctx, workflow, version) if r == 0 else ({}, version)
        # The first is saved too: a model that cannot be stored is refused now, not after months of labelling.
        trained = await ctx.train(f"r{r}/train", workflow, version, needs=workflow.needs, keep=r == 0)
        model: str = trained["ref"]
        found = await ctx.step(
            f"r{r}/evaluate", partial(evaluate, workflow, version, model, rounds, said=note.get("said", ""))
        )
        this = Round(
            r,
            version,
            model,
            found["metrics"],
            found["test"],
            found["labels_spent"],
            found["cost"],
            tuned=found.get("tuned", {}),
        )
        models.append(workflow.model)
        evaluated.append(found)
        if workflow.tune is not None:
            tried.append(Trial(workflow.model, found["tuned"]["value"], note))
        ctx.tell({"what": "evaluated", "round": r, "version": version, **found})
        if found["done"]:
            return await _ended(ctx, workflow, (*rounds, this), models, evaluated, found["why"])
        base, before = version, frozenset(did)
        for name, rule in workflow.rules.items():
            if name in before:  # it had its turn before there was a model
                continue
            if resting.get(name, -1) >= r:
                did[name] = {"n": 0, "why": f"rests until round {resting[name] + 1}: its changes were rejected"}
            else:
                did[name] = await _apply(ctx, workflow, name, rule, r, model, base, rounds, dict(did), refused)
            base = did[name].pop("base", base)
            if did[name].get("kept") is False and rule.gate is not None and not did[name].get("again"):
                resting[name] = r + rule.gate.cooldown
            ctx.tell({"what": "rule", "round": r, "rule": name, **did[name]})
        if workflow.gate is not None and base != version:
            for name in await _together(ctx, workflow, workflow.gate, this, base, rounds, did, before, refused):
                resting[name] = r + workflow.gate.cooldown
        rounds = (*rounds, replace(this, rules=did, seconds=time.perf_counter() - began))
        ctx.tell({"what": "rounded", **asdict(rounds[-1])})
        suggested = None
        if workflow.tune is not None:
            suggested = await ctx.step(f"r{r}/tune", partial(workflow.tune.suggest, tuple(tried), seed=workflow.seed))
        progress = suggested is not None or any(
            d.get("answers") or (d["n"] and (d.get("kept") is not False or "answers" in d)) for d in did.values()
        )
        if not progress and not any(end >= r for end in resting.values()):  # after a rest it is tried again
            return await _ended(ctx, workflow, rounds, models, evaluated, "no rule has anything left to change")


async def _ended(
    ctx: Context,
    workflow: Workflow,
    rounds: tuple[Round, ...],
    models: Sequence[Model],
    evaluated: Sequence[Mapping[str, Any]],
    why: str,
) -> Outcome:
    """Save the model that the run stands for, and return the outcome; of the others, only what they said is kept."""
    at = best(rounds)
    if rounds[at].tuned:
        workflow = replace(workflow, model=models[at])
        why += f"; best of {len(rounds):,} models, in round {at}: {rounds[at].tuned['said']}"
    await ctx.train(f"r{len(rounds) - 1}/keep", workflow, rounds[at].version, needs=frozenset(), keep=True)
    return Outcome(rounds[-1].version, rounds[at].model, rounds, why, evaluated[at])


async def _cold(ctx: Context, workflow: Workflow, version: int) -> tuple[dict[str, dict[str, Any]], int]:
    """Let the rules go that come before the first training; return what they did, and the version then."""
    did: dict[str, dict[str, Any]] = {}
    for name in workflow.opening(version):
        did[name] = await _apply(ctx, workflow, name, workflow.rules[name], 0, "", version, (), {}, set())
        version = did[name].pop("base", version)
        ctx.tell({"what": "rule", "round": 0, "rule": name, **did[name]})
    return did, version


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
    asked: dict[str, Any] = {}
    shown = None
    if rule.picker is not None:
        asked = await pick(ctx, workflow, name, key, base=version, model=model, rounds=rounds, about=about)
        if not asked["any"]:
            return {"n": 0, "why": asked["why"]}
        shown, version = version, asked["version"]
    plan = await ctx.step(
        f"{key}/propose", lambda: propose(workflow, name, version, model, rounds, folder, shown=shown)
    )
    if plan["n"] == 0:  # that somebody said no to all of them is progress: what is shown next is something else
        told = {"answers": asked["answers"]} if asked.get("answers") else {}
        return {"n": 0, "why": plan["why"], "base": version, **told}
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
    before: frozenset[str],
    refused: set[str],
) -> list[str]:
    """Judge what the rules of a round changed together; each bears the verdict. Return the rules that have to rest."""
    changed = [name for name, one in did.items() if one["n"] and one.get("kept") is not False and "version" in one]
    joint = [name for name in changed if name not in before]
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
