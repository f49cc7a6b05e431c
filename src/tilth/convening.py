"""How a panel works: first answers, a check, a second look, an expert; the label is what the answers add up to."""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.asking import Sitting, ask
from tilth.changes import Changes, Field, Op, events
from tilth.context import Context
from tilth.dataset import Dataset
from tilth.dataset.splits import draw
from tilth.dataset.view import ANSWERED
from tilth.labeling.consensus import answered, consensus
from tilth.labeling.judging import coded, wilson
from tilth.labeling.panel import Panel
from tilth.protocols import Annotator, Answers
from tilth.questions import Question
from tilth.state import Round, State
from tilth.workflow import Workflow

__all__ = ["convene"]

Ids = npt.NDArray[np.int64]


async def convene(
    ctx: Context,
    workflow: Workflow,
    key: str,
    panel: Panel,
    load: Any,
    *,
    base: int,
    model: str,
    rounds: tuple[Round, ...],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Ask a panel; return the version with the labels that it settled on, and what each stage came to."""
    about = {**about, "actor": panel.name}
    folder = ctx.folder / "changes"

    def place(stage: str) -> Path:
        return folder / f"{key}/{stage}".replace("/", "-")

    opening = await ctx.step(f"{key}/first/plan", lambda: _open(workflow, panel, load(), base, place("first")))
    if opening["n"] == 0:
        return {"version": base, "n": 0, "why": opening["why"]}
    settle = partial(_settle, workflow, panel, base)
    watch = partial(_watch, ctx, panel)
    stages: dict[str, dict[str, Any]] = {}
    version, total = base, 0
    for name, by in (("first", _members(panel)), ("second", _members(panel)), ("expert", panel.disputed_by)):
        if by is None or (name == "second" and panel.check is None):
            continue
        if name == "first":
            plan = opening
        else:
            state = workflow.state(version, model, rounds)
            reach = partial(_flagged if name == "second" else _undecided, panel, base, state)
            plan = await ctx.step(
                f"{key}/{name}/plan",
                lambda r=reach, n=name: _next(r(load()), panel, n, place(n)),
            )
        if plan["n"] == 0:
            stages[name] = {"n": 0}
            continue
        sitting = Sitting(
            workflow,
            f"{key}/{name}",
            by,
            partial(Question.load, place(name), plan, by),
            version,
            about,
            settle=partial(settle, expert=name == "expert"),
            earlier=panel.votes if name == "second" else 0,
            gold=partial(_truth, workflow, base) if name == "first" else None,
            watch=watch,
            more_of=f"{key}/first" if name == "second" else None,
        )
        done = await ask(ctx, sitting, plan)
        version, total = done["version"], total + done["n"]
        stages[name] = {
            "n": plan["n"],
            "answers": done["n"],
            **({"waited": done["waited"]} if "waited" in done else {}),
        }
    return {"version": version, "n": total, "stages": stages}


class _Rota:
    """Several annotators that answer at once, in turns: which of them look at a record depends on its key."""

    def __init__(self, name: str, members: tuple[Annotator, ...]) -> None:
        self.name = name
        self.members = members
        self.at_once = True
        self.spec: Mapping[str, Any] = {}

    def answer(self, dataset: Dataset, records: Ids, *, question: str, votes: int, earlier: int = 0) -> Answers:
        """Return the answers of those whose turn it is, each member asked once about all of its records."""
        turn = draw(dataset.key_hash[records], "rota", self.name)
        parts: list[Answers] = []
        for i, member in enumerate(self.members):
            nth = (np.uint64(i) + np.uint64(len(self.members)) - turn % np.uint64(len(self.members))) % np.uint64(
                len(self.members)
            )
            mine = records[(nth >= earlier) & (nth < earlier + votes)]
            found = member.answer(dataset, mine, question=question, votes=1) if len(mine) else None
            if found is not None:
                parts.append(found)
        return Answers(
            np.concatenate([p.records for p in parts]) if parts else np.empty(0, np.int64),
            [label for p in parts for label in p.labels],
            [name for p in parts for name in p.annotators],
            np.concatenate([p.costs for p in parts]) if parts else np.empty(0),
        )


def _members(panel: Panel) -> Any:
    members = panel.members
    return members[0] if len(members) == 1 else _Rota(panel.name, members)


# -- what each stage asks: pure functions of the state
# --------------------------------------------------------------------------------


def _open(workflow: Workflow, panel: Panel, question: Question, base: int, folder: Path) -> dict[str, Any]:
    """Choose what the first stage asks: the records within the budget, and gold questions among them."""
    dataset = workflow.dataset.at(base)
    ids, score = question.records, question.score
    if panel.budget is not None:
        left = panel.budget - _spent(dataset, panel)
        fits = max(0, int(left / (panel.votes * (1 + panel.gold))))
        if fits < len(ids):
            ids, score = ids[:fits], None if score is None else score[:fits]
        if len(ids) == 0:
            return {"n": 0, "why": f"the budget of {panel.name!r} is spent: {panel.budget:,} answers"}
    gold = _gold(dataset, workflow.seed, int(np.ceil(panel.gold * len(ids))), ids)
    every = np.concatenate([ids, gold])
    if len(gold):  # hidden among the others: an annotator must not tell them by their place
        order = np.argsort(draw(dataset.key_hash[every], "gold place", workflow.seed))
        every = every[order]
        padded = None if score is None else np.concatenate([score, np.full(len(gold), np.nan)])[order]
    else:
        padded = score
    asked = replace(
        question, by=_members(panel), records=every, score=padded, votes=panel.votes, enough=panel.enough,
        patience=panel.patience,
    )  # fmt: skip
    asked.save(folder)
    return asked.plan() | {"gold": len(gold)}


def _next(ids: Ids, panel: Panel, stage: str, folder: Path) -> dict[str, Any]:
    why = f"panel {panel.name!r}: " + ("a second look" if stage == "second" else "disputed")
    asked = Question(_members(panel), ids, reason=why, enough=panel.enough, patience=panel.patience)
    asked.save(folder)
    return asked.plan()


def _gold(dataset: Dataset, seed: int, n: int, but: Ids) -> Ids:
    """Return records whose label is verified, to see who answers right; drawn by key, new ones in every question."""
    view = dataset.view
    known = np.flatnonzero(view.train & view.labeled & (view.asked == ANSWERED))
    known = known[~np.isin(known, but)]
    return known[np.argsort(draw(dataset.key_hash[known], "gold", seed, dataset.version))[:n]]


def _spent(dataset: Dataset, panel: Panel) -> int:
    versions = [c.version for c in dataset.log() if c.actor == panel.name]
    return int(np.isin(dataset.answers()["version"].to_numpy(), versions).sum())


def _flagged(panel: Panel, base: int, state: State, question: Question) -> Ids:
    """Return the records whose label the check doubts, as far as the budget goes."""
    ids = question.records[_is_answered(state.dataset, base, question.records)]
    if panel.check is None:
        return ids[:0]
    return _within(panel, state.dataset, ids[panel.check.mask(state)[ids]])


def _undecided(panel: Panel, base: int, state: State, question: Question) -> Ids:
    """Return the records that were answered and on which the answers agree on no label, as far as the budget goes."""
    now = state.dataset
    ids = question.records[_is_answered(now, base, question.records)]
    ids = ids[now.view.alive[ids]]
    records, codes, who = _given(now, base, ids)
    found = consensus(records, who, codes, n_classes=len(now.schema.label.classes), method=panel.consensus)
    decided = found.records[(found.label >= 0) & (found.confidence >= _sure(panel))]
    return _within(panel, now, ids[~np.isin(ids, decided)])


def _within(panel: Panel, dataset: Dataset, ids: Ids) -> Ids:
    return ids if panel.budget is None else ids[: max(0, panel.budget - _spent(dataset, panel))]


def _is_answered(dataset: Dataset, base: int, ids: Ids) -> npt.NDArray[np.bool_]:
    return np.isin(ids, _given(dataset, base, ids)[0])


def _sure(panel: Panel) -> float:
    return panel.sure if panel.consensus == "dawid_skene" else 0.0


# -- what the answers add up to
# -------------------------------------------------------------------------------------------------------


def _given(dataset: Dataset, after: int, ids: Ids) -> tuple[Ids, npt.NDArray[np.int32], list[str]]:
    """Return (record, class code or -1, annotator) of the answers about records since a version, gold ones left out."""
    table = dataset.answers()
    keep = (table["version"].to_numpy() > after) & np.isin(table["record_id"].to_numpy(), ids)
    keep &= table["field"].to_numpy() == Field.NONE
    table = table.filter(pa.array(keep))
    codes = coded(dataset, table["label"].to_pylist())
    return table["record_id"].to_numpy(), codes, table["annotator"].to_pylist()


def _settle(
    workflow: Workflow, panel: Panel, base: int, dataset: Dataset, question: Question, answers: Answers, *, expert: bool
) -> Changes:
    """Return answers as events, and the label that all answers about a record add up to; an expert's word counts.

    Where they add up to none, the label is what it was before anybody was asked.
    """
    before = workflow.dataset.at(base)
    was_gold = before.view.asked[answers.records] == ANSWERED
    answers = replace(answers, gold=was_gold)
    events_of = answered(dataset, answers, reason=question.reason).events
    is_label = (events_of["op"].to_numpy() == Op.SET) & (events_of["field"].to_numpy() == Field.LABEL)
    said = events_of.filter(pa.array(~is_label))
    new = np.asarray(answers.records)[~was_gold]
    codes = coded(dataset, [json.dumps(label) for label, g in zip(answers.labels, was_gold, strict=True) if not g])
    who = [name for name, g in zip(answers.annotators, was_gold, strict=True) if not g]
    ids = np.unique(new)
    if not expert:
        # how right an annotator is shows in all that was ever answered; a majority is one of this question's answers
        old = _given(dataset, base, ids) if panel.consensus == "majority" else _given(dataset, -1, _ever(dataset))
        new, codes, who = np.concatenate([old[0], new]), np.concatenate([old[1], codes]), [*old[2], *who]
    k = len(dataset.schema.label.classes)
    found = consensus(new, who, codes, n_classes=k, method="majority" if expert else panel.consensus)
    sure = (found.label >= 0) & (found.confidence >= (0.0 if expert else _sure(panel)))
    label = np.asarray(before.view.label[ids]).copy()
    at = np.searchsorted(ids, found.records)
    inside = (at < len(ids)) & (ids[np.minimum(at, len(ids) - 1)] == found.records) & sure
    label[at[inside]] = found.label[inside]
    gone = said["record_id"].to_numpy()[said["op"].to_numpy() == Op.QUARANTINE]
    hit = (label != dataset.view.label[ids]) & ~np.isin(ids, gone)
    word = question.by.name if expert else f"{panel.consensus.replace('_', '-')} of {panel.name}"
    labels = events(
        Op.SET, ids[hit], field=Field.LABEL, num=label[hit], actor=word, reason=f"{question.reason}; {word}"
    )
    return Changes(pa.concat_tables([said, labels]))


def _ever(dataset: Dataset) -> Ids:
    return np.unique(dataset.answers()["record_id"].to_numpy())


def _truth(workflow: Workflow, base: int, question: Question) -> list[str | None]:
    """Return the known labels of gold questions as JSON texts, None for the others."""
    dataset = workflow.dataset.at(base)
    gold = dataset.view.asked[question.records] == ANSWERED
    known = dataset.labels(question.records[gold])
    out: list[str | None] = [None] * len(gold)
    for i, label in zip(np.flatnonzero(gold), known, strict=True):
        out[i] = json.dumps(label)
    return out


def _watch(ctx: Context, panel: Panel) -> None:
    """Give no more tasks to an annotator who is wrong on gold questions too often for it to be bad luck."""
    for who in ctx.inbox.annotators():
        if who.gold >= 10 and not who.suspended and wilson(who.gold_right, who.gold)[1] < panel.least:
            ctx.inbox.suspend(
                who.name,
                f"right on {who.gold_right} of {who.gold} gold questions; panel {panel.name!r} wants {panel.least:g}",
            )
