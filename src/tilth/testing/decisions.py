"""Exams for annotators and actions: does what you brought keep the promises that the loop rests on?"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from tilth.actions import Action
from tilth.algebra import from_json, to_json
from tilth.changes import Changes
from tilth.errors import UsageError
from tilth.labeling.consensus import encode
from tilth.protocols import Annotator, Answers
from tilth.questions import Question
from tilth.selectors import Selector
from tilth.state import State
from tilth.testing.promise import promise

__all__ = ["check_action", "check_annotator"]


def check_annotator(annotator: Annotator, state: State, *, votes: int = 2) -> None:
    """Examine an annotator on a state's dataset; an AssertionError says in a sentence which promise is broken.

    It must answer with parallel columns, name only classes that there are, charge 0 or more, say the same when asked
    the same again in another order, and come back from JSON as it was. One that has no answers yet (None) passes as far
    as it went.
    """
    dataset = state.dataset
    ids = np.flatnonzero(state.view.train)[:20]
    promise(len(ids) > 1, "the exam needs a dataset with at least two training records")
    promise(annotator.name, f"{annotator!r} has no name; the history of a record could not say who answered")
    again: Annotator = from_json(json.loads(json.dumps(to_json(annotator))))
    promise(
        repr(again) == repr(annotator), f"{annotator!r} came back from JSON as {again!r}; its spec leaves something out"
    )
    found = annotator.answer(dataset, ids, question="exam/1", votes=votes)
    if found is None:
        return
    _check_answers(found, ids, annotator)
    encode(dataset, found.labels, who=annotator.name)
    turned = again.answer(dataset, ids[::-1].copy(), question="exam/1", votes=votes)
    if turned is None:
        raise AssertionError(f"{annotator!r} answered once and then did not; asked again, it must answer again")
    said, repeated = _by_record(found), _by_record(turned)
    odd = [i for i in said if said[i] != repeated.get(i)]
    promise(
        not odd,
        f"{annotator!r} answers differently when asked again in another order (first for record {odd[:1]}); "
        "a step that runs again after a crash must get the same answers",
    )


def _check_answers(found: Answers, ids: Any, annotator: Annotator) -> None:
    n = len(found.records)
    lengths = {len(found.labels), len(found.annotators), len(found.costs), n}
    promise(len(lengths) == 1, f"{annotator!r} returned columns of different lengths: {sorted(lengths)}")
    foreign = np.setdiff1d(found.records, ids)
    promise(len(foreign) == 0, f"{annotator!r} answered about records {foreign[:3].tolist()}, which nobody asked about")
    costs = np.asarray(found.costs, np.float64)
    promise((np.isfinite(costs) & (costs >= 0)).all(), f"{annotator!r} charges {costs.min()}; a cost is 0 or more")


def _by_record(answers: Answers) -> Mapping[int, list[str]]:
    out: dict[int, list[str]] = {}
    for record, label, who in zip(answers.records.tolist(), answers.labels, answers.annotators, strict=True):
        out.setdefault(int(record), []).append(f"{who}: {json.dumps(label)}")
    return {record: sorted(said) for record, said in out.items()}


def check_action(action: Action, state: State, select: Selector) -> Changes | Question:
    """Examine an action on what a selector chooses and return what it proposes; an AssertionError says what is broken.

    It must change nothing by itself, propose the same twice, speak only of records it was given (their sources and new
    ones included), print as written, come back from JSON, and propose what the dataset accepts (tried on a branch that
    is left behind).
    """
    chosen = select.choose(state)
    version, digest = state.dataset.version, state.dataset.digest()
    first, second = action.propose(chosen, state), action.propose(chosen, state)
    promise(state.dataset.version == version, f"{action!r} wrote to the dataset; an action only proposes")
    promise(state.dataset.digest() == digest, f"{action!r} changed the data; an action only proposes")
    again = from_json(json.loads(json.dumps(to_json(action))))
    promise(repr(again) == repr(action), f"{action!r} came back from JSON as {again!r}")
    once_more = f"{action!r} proposes something else the second time; an action must be pure"
    if isinstance(first, Question):
        same = isinstance(second, Question) and np.array_equal(first.records, second.records)
        promise(same, once_more)
        return first
    promise(isinstance(second, Changes) and first.events.equals(second.events), once_more)
    allowed = set(chosen.ids.tolist()) | {int(p) for p in state.dataset.parent[chosen.ids] if p >= 0}
    spoken = {i for i in first.events["record_id"].to_pylist() if i >= 0}
    promise(spoken <= allowed, f"{action!r} speaks of records {sorted(spoken - allowed)[:3]}, which it was not given")
    branch = state.dataset.branch(f"exam-{digest[:8]}-{len(state.dataset.branches)}")
    try:
        branch.commit(first)
    except UsageError as why:
        raise AssertionError(f"{action!r} proposes what the dataset refuses: {why}") from why
    return first
