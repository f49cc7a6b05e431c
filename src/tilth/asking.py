"""How a run asks: at once where an annotator can, else through the inbox, with a wait that may take days.

Asking, waiting and taking the answers are steps with keys of their own; each has its effect once.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth import taking
from tilth.actions.label import Annotate
from tilth.changes import Changes, Op, events
from tilth.context import Context, Desk
from tilth.dataset import Dataset
from tilth.dataset.view import PENDING
from tilth.durations import seconds, spoken
from tilth.errors import NotFound, UsageError
from tilth.labeling.inbox import Drained, Inbox, Posted, Tasks
from tilth.labeling.panel import Panel
from tilth.labeling.team import Team
from tilth.points import reach
from tilth.protocols import Annotator, Answers
from tilth.questions import Question
from tilth.workflow import Workflow

__all__ = ["Sitting", "ask", "due", "put_alone", "take_late", "wind_up"]

Ids = npt.NDArray[np.int64]
Settle = Callable[[Dataset, Question, Answers], Changes]


@dataclass(frozen=True)
class Sitting:
    """One question of a run: where it stands in the run, what its commits say of themselves, how answers settle it.

    `load` reads the question back from disk. `settle` makes changes of answers to a "label" question. `earlier`: votes
    that its records had before. `gold`: which of its tasks have a known truth, as JSON texts. `watch` is called while
    it waits. `more_of`: the key of the question whose annotators are asked for more votes, so that others answer.
    """

    workflow: Workflow
    key: str
    by: Annotator
    load: Callable[[], Question]
    base: int
    about: Mapping[str, Any]
    settle: Settle = taking.labels
    earlier: int = 0
    gold: Callable[[Question], list[str | None]] | None = None
    watch: Callable[[], None] | None = None
    more_of: str | None = None


async def ask(ctx: Context, sitting: Sitting, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Ask, wait where need be, and commit what was answered; return the version and the number of answers."""
    key = sitting.key
    if plan["kind"] in ("label", "pick") and sitting.by.at_once:
        return await ctx.step(f"{key}/answers", lambda: _at_once(ctx, sitting))
    name = f"{ctx.scope}{ctx.run}/{sitting.more_of or key}"
    asked = await ctx.step(f"{key}/ask", lambda: _post(ctx, sitting, name))
    found = await ctx.wait(
        f"{key}/wait",
        lambda: _look(ctx, sitting, plan, name),
        said=f"waits for {asked['by']}: {plan['n']:,} questions ({plan['kind']}) of rule {sitting.about['rule']!r}",
        ticket=lambda: _ticket(ctx.inbox, plan, name),
    )
    done = await ctx.step(f"{key}/take", lambda: _take(ctx, sitting, name, asked["version"], found))
    return done | {"waited": found["why"]}


def _commit(sitting: Sitting, changes: Changes, *, key: str, base: int, message: str) -> dict[str, Any]:
    done = sitting.workflow.dataset.commit(
        changes, key=key, base=base, on_conflict="skip", message=message, **sitting.about
    )
    return {"version": done.version, "conflicts": done.meta.get("conflicts", 0)}


def _at_once(ctx: Context, sitting: Sitting) -> dict[str, Any]:
    """Let an annotator that can answer at once do so: what was asked and answered is one version."""
    question = sitting.load()
    dataset = sitting.workflow.dataset.at(sitting.base)
    found = sitting.by.answer(
        dataset, question.records, question=sitting.key, votes=question.votes, earlier=sitting.earlier
    )
    if found is None:
        raise UsageError(f"{sitting.by!r} says that it answers at once, and returned no answers; return Answers")
    changes = sitting.settle(dataset, question, found)
    if question.kind == "label":
        changes = Changes.join([taking.asked(question), changes])
    done = _commit(sitting, changes, key=f"{ctx.run}/{sitting.key}/answers", base=sitting.base, message=question.reason)
    return done | {"n": len(found.labels)}


def _post(ctx: Context, sitting: Sitting, name: str) -> dict[str, Any]:
    """Write down that the records were asked about, then put the tasks into the inbox; each happens once."""
    question = sitting.load()
    workflow, by = sitting.workflow, sitting.by
    version = sitting.base
    if question.kind == "label":
        done = _commit(
            sitting,
            taking.asked(question),
            key=f"{ctx.run}/{sitting.key}/ask",
            base=version,
            message=f"asked {by.name}: {question.reason}",
        )
        version = done["version"]
    reach(f"asked {sitting.key}")
    if sitting.more_of is not None:
        ctx.inbox.set_votes(name, question.records, sitting.earlier + question.votes)
        return {"version": version, "by": by.name}
    gold = None if sitting.gold is None else sitting.gold(question)
    panel = sitting.about.get("actor", "")
    said = _suggestions(workflow, version, sitting.about["model"], question)
    dataset, rule = workflow.dataset.at(version), sitting.about["rule"]
    _publish(ctx, dataset, name, question, by, rule=rule, panel=panel, gold=gold, suggestions=said)
    return {"version": version, "by": by.name}


def put_alone(ctx: Desk, dataset: Dataset, record: int, action: Annotate, *, rule: str, reason: str) -> None:
    """Ask about one record beside the rules; its answers are taken at the start of the next round."""
    by = action.by.members[0] if isinstance(action.by, Panel) else action.by
    question = Question(by, np.array([record]), votes=action.votes, reason=reason)
    _publish(ctx, dataset, f"{ctx.scope}{ctx.run}/{rule}", question, by, rule=rule)


def _publish(
    ctx: Desk,
    dataset: Dataset,
    name: str,
    question: Question,
    by: Annotator,
    *,
    rule: str,
    panel: str = "",
    gold: list[str | None] | None = None,
    suggestions: list[str | None] | None = None,
) -> None:
    label = dataset.schema.label
    posted = Posted(
        id=name,
        kind=question.kind,
        team=by.name,
        dataset=str(dataset.path.resolve()),
        branch=dataset.branch_name,
        version=dataset.version,
        run=f"{ctx.scope}{ctx.run}",
        rule=rule,
        panel=panel,
        guide=by.guidelines(dataset.path.parent) if isinstance(by, Team) else "",
        reason=question.reason,
        signal=question.signal,
        votes=question.votes,
        form={"label": label.kind, "classes": list(label.classes), "wanted": question.wanted},
    )
    tasks = Tasks(
        records=question.records,
        keys=_keys(dataset, question),
        scores=question.score,
        suggestions=suggestions,
        details=None if question.details is None else list(question.details),
        gold=gold,
    )
    ctx.inbox.publish(posted, tasks)


def _suggestions(workflow: Workflow, version: int, model: str, question: Question) -> list[str | None] | None:
    """Return the class that the model finds most probable for each record, for people to accept or not."""
    if not model or question.kind != "label" or workflow.dataset.schema.label.kind != "class":
        return None
    state = workflow.state(version, model)
    codes = state.predicted[question.records].tolist()
    return [json.dumps(state.classes[code]) if code >= 0 else None for code in codes]


def _keys(dataset: Dataset, question: Question) -> list[str]:
    known = question.records >= 0
    keys = np.full(len(known), "", object)
    keys[known] = dataset.keys(question.records[known])
    added = question.changes.added["key"].to_pylist() if question.changes and question.changes.added else []
    for i in np.flatnonzero(~known):
        new = -int(question.records[i]) - 1
        keys[i] = added[new] if new < len(added) else f"new-{new + 1}"
    return keys.tolist()


def _look(ctx: Context, sitting: Sitting, plan: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return how the wait ended, and take the answers for this run; None while it goes on."""
    if sitting.watch is not None:
        sitting.watch()
    now = ctx.inbox.progress(name)
    n, patience = plan["n"], plan["patience"]
    complete = now.complete if sitting.more_of is None else ctx.inbox.complete(name, sitting.load().records)
    told = f"{complete:,} of {n:,} answered"
    enough = complete >= math.ceil(plan["enough"] * n)
    if enough:
        why = told if complete == n else f"{told}: enough={plan['enough']:g}"
    elif patience is not None and time.time() - now.opened >= seconds(patience, what="patience"):
        why = f"patience of {spoken(patience)} ran out with {told}: goes on with these"
    else:
        return None
    # while the question goes on, records with some of their votes wait for the others; without patience they count, and
    # so they do where who picks is asked anew
    taken = ctx.inbox.claim(name, _part(ctx, sitting), complete=enough and plan["kind"] != "pick")
    reach(f"claimed {sitting.key}")
    return {"why": why, "n": len(taken.records), "closed": now.complete == now.tasks}


def _part(ctx: Context, sitting: Sitting) -> str:
    return f"{ctx.scope}{ctx.run}/{sitting.key}/take"


def _ticket(inbox: Inbox, plan: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what has to be so before it is worth to look again, for whoever watches over runs that nobody carries."""
    now = inbox.progress(name)
    n, patience = plan["n"], plan["patience"]
    return {
        "question": name,
        "complete": now.tasks - n + math.ceil(plan["enough"] * n),
        # where others of its tasks lack votes too: as many answers more as are asked for at most
        "answers": now.answers + n * plan["votes"],
        "until": None if patience is None else now.opened + seconds(patience, what="patience"),
    }


def due(inbox: Inbox, ticket: Mapping[str, Any]) -> bool:
    """Whether what a run waits for may have come: then it is carried again, and looks for itself."""
    try:
        now = inbox.progress(ticket["question"])
    except NotFound:  # its question was deleted: the run finds that out
        return True
    if now.complete >= ticket["complete"] or now.answers >= ticket["answers"]:
        return True
    return ticket["until"] is not None and time.time() >= ticket["until"]


def _take(ctx: Context, sitting: Sitting, name: str, base: int, found: Mapping[str, Any]) -> dict[str, Any]:
    question = sitting.load()
    drained = ctx.inbox.claim(name, _part(ctx, sitting))
    dataset = sitting.workflow.dataset.at(base)
    changes, refused = _changes(dataset, question, drained, sitting.settle)
    message = f"{question.reason}; {found['why']}"
    done = _commit(sitting, changes, key=f"{ctx.run}/{sitting.key}/take", base=base, message=message)
    if found["closed"] or question.kind == "pick":  # who was not shown in time is shown again, in another question
        ctx.inbox.close_question(name, found["why"])
    return done | {"n": len(drained.records), **({"refused": refused[:20]} if refused else {})}


def _changes(dataset: Dataset, question: Question, drained: Drained, settle: Settle) -> tuple[Changes, list[str]]:
    match question.kind:
        case "label":
            return settle(dataset, question, taking.as_answers(drained, cost=getattr(question.by, "cost", 0.0))), []
        case "pick":
            return taking.picks(
                dataset, question, taking.as_answers(drained, cost=getattr(question.by, "cost", 0.0))
            ), []
        case "approve":
            return taking.approvals(question, drained), []
        case "edit":
            return taking.edited(dataset, question, drained), []
        case "collect":
            return taking.collected(dataset, question, drained)


# -- answers that come late
# --------------------------------------------------------------------------------------------------------------


def take_late(ctx: Desk, dataset: Dataset, part: str, round: int, *, every: bool) -> dict[str, Any]:
    """Commit answers that came after their question was taken; `every`: of records that still lack votes too."""
    n, conflicts = 0, 0
    mine = f"{ctx.scope}{ctx.run}/{part}"
    for asked in ctx.inbox.undrained(ctx.scope, branch=dataset.branch_name, part=mine):
        drained = ctx.inbox.claim(asked.id, mine, complete=not every and asked.kind != "pick")
        if len(drained.records) == 0:
            continue
        reach(f"claimed {part}")
        run, _, key = asked.id.removeprefix(ctx.scope).partition("/")
        folder = ctx.folder.parent / run / "changes"
        now = dataset.at(dataset.version)
        question = _asked_before(folder, key, asked, Team(asked.team))
        changes, _ = _changes(now, question, drained, taking.labels)
        done = dataset.commit(
            taking.late(now, changes),
            key=f"{ctx.run}/{part}/{asked.id}",
            base=now.version,
            on_conflict="skip",
            message=f"late answers of {asked.team}: {asked.reason}",
            actor=asked.panel,
            run=ctx.run,
            round=round,
            rule=asked.rule,
        )
        n += len(drained.records)
        conflicts += done.meta.get("conflicts", 0)
    return {"n": n, "conflicts": conflicts, "version": dataset.version}


def _asked_before(folder: Path, key: str, asked: Posted, by: Team) -> Question:
    if asked.kind in ("label", "pick"):
        wanted = asked.form.get("wanted", "")
        none = np.empty(0, np.int64)
        return Question(by, none, reason=asked.reason, signal=asked.signal, kind=asked.kind, wanted=wanted)
    plan = {
        "votes": asked.votes,
        "why": asked.reason,
        "signal": asked.signal,
        "kind": asked.kind,
        "enough": 1.0,
        "patience": None,
        "wanted": asked.form.get("wanted", ""),
    }
    return Question.load(folder / key.replace("/", "-"), plan, by)


def wind_up(ctx: Desk, dataset: Dataset, round: int, why: str) -> dict[str, Any]:
    """At the end of a run: take the last answers, close its questions, and free the records that still wait for one."""
    done = take_late(ctx, dataset, "last", round, every=True)
    reach("drained last")
    for asked in ctx.inbox.questions(run=f"{ctx.scope}{ctx.run}"):
        ctx.inbox.close_question(asked.id, why)
    now = dataset.at(dataset.version)
    pending = np.flatnonzero(now.view.asked == PENDING)
    if len(pending):
        reason = f"{ctx.run} ended before they were answered"
        dataset.commit(
            Changes(events(Op.WITHDRAW, pending, reason=reason)),
            key=f"{ctx.run}/withdraw",
            base=now.version,
            on_conflict="skip",
            message=reason,
            run=ctx.run,
            round=round,
        )
    return done | {"withdrawn": len(pending), "version": dataset.version}
