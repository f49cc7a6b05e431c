"""The one loop: train, evaluate, and for each rule propose, commit, judge; every engine runs this and nothing else."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tilth.algebra import Metric, from_json, to_json
from tilth.changes import Changes, Op, Question, events
from tilth.errors import Parked, TilthError
from tilth.labeling.consensus import answered
from tilth.metrics.compare import paired
from tilth.protocols import Annotator
from tilth.rules import Gate, Rule
from tilth.state import Round
from tilth.workflow import Workflow

__all__ = ["Context", "Outcome", "answer", "commit", "evaluate", "judge", "loop", "propose"]


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
        asked = events(
            Op.ASK,
            found.records,
            actor=found.by.name,
            reason=found.reason,
            signal=found.signal,
            score=found.score,
            model=model,
        )
        Changes(asked).save(folder)
        return {"n": len(found.records), "why": found.reason, "by": to_json(found.by), "votes": found.votes}
    if found.count == 0:
        return {"n": 0, "why": f"nothing to change: {chosen.reason}"}
    found.save(folder)
    return {"n": found.count, "why": chosen.reason}


def commit(workflow: Workflow, folder: Path, *, key: str, base: int, **about: Any) -> dict[str, Any]:
    """Make a rule's proposed changes the next version, exactly once a key."""
    done = workflow.dataset.commit(Changes.load(folder), key=key, base=base, on_conflict="skip", **about)
    return {"version": done.version, "conflicts": done.meta.get("conflicts", 0)}


def answer(
    workflow: Workflow, folder: Path, plan: Mapping[str, Any], *, key: str, base: int, **about: Any
) -> dict[str, Any] | None:
    """Take the annotator's answers to a proposed question and commit them; None while there are none."""
    asked = Changes.load(folder).events
    dataset = workflow.dataset.at(base)
    annotator: Annotator = from_json(plan["by"])
    found = annotator.answer(dataset, asked["record_id"].to_numpy(), question=key, votes=plan["votes"])
    if found is None:
        return None
    changes = answered(dataset, found, reason=plan["why"])
    done = workflow.dataset.commit(changes, key=key, base=base, on_conflict="skip", message=plan["why"], **about)
    return {"version": done.version, "n": len(found.labels), "conflicts": done.meta.get("conflicts", 0)}


def judge(workflow: Workflow, gate: Gate, before: tuple[int, str], after: tuple[int, str]) -> dict[str, Any]:
    """Compare the models trained without and with a rule's changes on valid; keep where the gain reaches the margin."""
    a, b = workflow.state(*before), workflow.state(*after)
    gain, error = paired(gate.improves, a, b)
    margin = error if gate.by is None else gate.by
    old, new = float(gate.improves.value(a)), float(gate.improves.value(b))
    return {
        "before": old,
        "after": new,
        "gain": gain,
        "standard_error": error,
        "margin": margin,
        "kept": bool(gain >= margin and (gain > 0 or gate.by is not None)),
    }


# -- the loop
# -----------------------------------------------------------------------------------------------------------


class Context(Protocol):
    """What an engine gives to the loop: durable steps, training, a folder, and someone who listens."""

    run: str
    folder: Path

    async def step(self, key: str, call: Callable[[], Any]) -> Any:
        """Run `call` (returns JSON) once a key: a step that has finished before returns what it returned then."""
        ...

    async def train(
        self, key: str, workflow: Workflow, version: int, *, needs: frozenset[str], keep: bool
    ) -> dict[str, Any]:
        """Train on a version as a step; `needs`: the kinds of outputs that will be read."""
        ...

    def workflow(self, spec: str) -> Workflow:
        """Return the workflow of a spec hash: the one at hand, or an earlier one that a round was begun with."""
        ...

    def tell(self, event: Mapping[str, Any]) -> None:
        """Say what is going on; nothing may depend on it."""
        ...


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
    rounds: tuple[Round, ...] = ()
    resting: dict[str, int] = {}
    refused: set[str] = set()
    while True:
        began = time.perf_counter()
        r = len(rounds)

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
        base = (version, model)
        for name, rule in workflow.rules.items():
            if resting.get(name, -1) >= r:
                did[name] = {"n": 0, "why": f"rests until round {resting[name] + 1}: its changes were rejected"}
            else:
                did[name] = await _apply(ctx, workflow, name, rule, r, model, base, rounds, refused)
            base = did[name].pop("base", base)
            if did[name].get("kept") is False and rule.gate is not None and not did[name].get("again"):
                resting[name] = r + rule.gate.cooldown
            ctx.tell({"what": "rule", "round": r, "rule": name, **did[name]})
        rounds = (*rounds, replace(this, rules=did, seconds=time.perf_counter() - began))
        ctx.tell({"what": "rounded", **asdict(rounds[-1])})
        progress = any(d["n"] and (d.get("kept") is not False or "answers" in d) for d in did.values())
        if not progress and not any(end > r for end in resting.values()):
            return Outcome(version, model, rounds, "no rule has anything left to change", found)


async def _apply(
    ctx: Context,
    workflow: Workflow,
    name: str,
    rule: Rule,
    r: int,
    model: str,
    base: tuple[int, str],
    rounds: tuple[Round, ...],
    refused: set[str],
) -> dict[str, Any]:
    """Run one rule in one round: propose, commit or ask, then the gate."""
    key = f"r{r}/{name}"
    version = base[0]
    folder = ctx.folder / "changes" / key.replace("/", "-")
    about: dict[str, Any] = {"run": ctx.run, "round": r, "rule": name, "model": model}
    plan = await ctx.step(f"{key}/propose", lambda: propose(workflow, name, version, model, rounds, folder))
    if plan["n"] == 0:
        return {"n": 0, "why": plan["why"]}
    ctx.tell({"what": "proposed", "round": r, "rule": name, **plan})
    out: dict[str, Any] = {"n": plan["n"], "why": plan["why"]}
    if "by" in plan:
        done = await ctx.step(
            f"{key}/ask",
            lambda: commit(
                workflow, folder, key=f"{ctx.run}/{key}/ask", base=version, message=f"asked: {plan['why']}", **about
            ),
        )
        asked: int = done["version"]

        def drain() -> dict[str, Any]:
            got = answer(workflow, folder, plan, key=f"{ctx.run}/{key}/answers", base=asked, **about)
            if got is None:
                raise Parked(f"rule {name!r} waits for answers to {plan['n']} questions", state="waiting")
            return got

        done = await ctx.step(f"{key}/answers", drain)
        out["answers"] = done["n"]
    else:
        done = await ctx.step(
            f"{key}/commit",
            lambda: commit(workflow, folder, key=f"{ctx.run}/{key}/commit", base=version, message=plan["why"], **about),
        )
    out |= {"version": done["version"], "base": (done["version"], model)}
    if done.get("conflicts"):
        out["conflicts"] = done["conflicts"]
    if rule.gate is not None:
        out |= await _gate(ctx, workflow, name, rule.gate, r, base, done["version"], refused, about)
    return out


async def _gate(
    ctx: Context,
    workflow: Workflow,
    name: str,
    gate: Gate,
    r: int,
    base: tuple[int, str],
    version: int,
    refused: set[str],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Train with and without the changes, compare on valid, and undo them where they did not help enough."""
    key = f"r{r}/{name}/gate"
    needs = frozenset({"probabilities"}) | gate.needs
    without = await ctx.train(f"{key}/without", workflow, base[0], needs=needs, keep=False)
    with_it = await ctx.train(f"{key}/with", workflow, version, needs=needs, keep=False)
    verdict = await ctx.step(
        f"{key}/judge", lambda: judge(workflow, gate, (base[0], without["ref"]), (version, with_it["ref"]))
    )
    ctx.tell({"what": "judged", "round": r, "rule": name, **verdict})
    if verdict["kept"]:
        return verdict | {"base": (version, with_it["ref"])}
    verdict["again"] = (
        with_it["ref"] in refused
    )  # the same data was rejected before: to wait for better luck would never end
    refused.add(with_it["ref"])

    def undo() -> dict[str, Any]:
        said = (
            f"{gate!r} rejected it: {verdict['before']:.4f} -> {verdict['after']:.4f}, needs +{verdict['margin']:.4f}"
        )
        done = workflow.dataset.revert(
            version, key=f"{ctx.run}/{key}/revert", hold=gate.rejected == "hold", **{**about, "message": said}
        )
        return {"version": done.version}

    done = await ctx.step(f"{key}/revert", undo)
    return verdict | {"base": (done["version"], without["ref"])}
