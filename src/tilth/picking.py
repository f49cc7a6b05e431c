"""How people pick: what a rule selects is put to them, and what they say yes to is what the rule works on."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tilth.algebra import from_json, to_json
from tilth.asking import Sitting, ask
from tilth.context import Context
from tilth.dataset import Dataset
from tilth.errors import TilthError
from tilth.questions import Question
from tilth.rules import Rule
from tilth.selectors import Chosen, Selector
from tilth.selectors.picking import said
from tilth.state import Round, State
from tilth.taking import picks
from tilth.workflow import Workflow

__all__ = ["candidates", "pick", "picked"]


async def pick(
    ctx: Context,
    workflow: Workflow,
    name: str,
    key: str,
    *,
    base: int,
    model: str,
    rounds: tuple[Round, ...],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Show somebody what a rule selects; return the version with what they said, and whether there is `any` to pick."""
    key = f"{key}/pick"
    folder = ctx.folder / "changes" / key.replace("/", "-")
    plan = await ctx.step(f"{key}/plan", lambda: _plan(workflow, name, base, model, rounds, folder))
    if plan["n"] == 0:
        return {"version": base, "any": plan["any"], "why": plan["why"]}
    ctx.tell({"what": "proposed", "round": about["round"], "rule": name, **plan})
    by = from_json(plan["by"])
    load = partial(Question.load, folder, plan, by)
    done = await ask(ctx, Sitting(workflow, key, by, load, base, about, settle=picks), plan)
    return {"version": done["version"], "any": True, "why": plan["why"], "answers": done["n"]}


def candidates(rule: Rule, state: State) -> Chosen:
    """Return what is put forward: what the rule selects among all that nobody has left out when it was shown."""
    _, no = said(state.dataset, _wanted(rule))
    return rule.select.without(no).choose(state) if isinstance(rule.select, Selector) else rule.choose(state)


def picked(rule: Rule, shown: State, now: Dataset) -> Chosen:
    """Return those of the candidates of a state to which somebody has said yes by now."""
    chosen = candidates(rule, shown)
    yes, _ = said(now, _wanted(rule))
    keep = np.isin(chosen.ids, yes)
    who = "" if rule.picker is None else rule.picker.by.name
    return replace(
        chosen,
        ids=chosen.ids[keep],
        score=None if chosen.score is None else chosen.score[keep],
        reason=f"{chosen.reason}; {who} picked {int(keep.sum()):,} of {len(chosen):,}",
    )


def _wanted(rule: Rule) -> str:
    """Return what is asked, as a text: who has said something to it is not asked again."""
    return f"{rule.do!r} for some of {rule.select!r}"


def _plan(
    workflow: Workflow, name: str, version: int, model: str, rounds: tuple[Round, ...], folder: Path
) -> dict[str, Any]:
    rule, state = workflow.rules[name], workflow.state(version, model, rounds)
    try:
        if rule.when is not None and not rule.when.holds(state):
            return {"n": 0, "any": False, "why": f"not when {rule.when.explain(state)}"}
        chosen = candidates(rule, state)
    except TilthError as error:
        error.args = (f"Rule {name!r}: {error}", *error.args[1:])
        raise
    yes, _ = said(state.dataset, _wanted(rule))
    new = ~np.isin(chosen.ids, yes)
    if rule.picker is None or not new.any():
        return {"n": 0, "any": len(chosen) > 0, "why": f"nothing to pick from: {chosen.reason}"}
    question = Question(
        rule.picker.by,
        chosen.ids[new],
        votes=rule.picker.votes,
        reason=chosen.reason,
        signal=chosen.signal,
        score=None if chosen.score is None else chosen.score[new],
        kind="pick",
        enough=rule.picker.enough,
        patience=rule.picker.patience,
        details=[json.dumps({"do": repr(rule.do)}, ensure_ascii=False)] * int(new.sum()),
        wanted=_wanted(rule),
    )
    question.save(folder)
    return question.plan() | {"by": to_json(rule.picker.by)}
