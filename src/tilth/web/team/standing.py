"""How each annotator does: answers, pace, agreement with the others, gold questions, the pull of suggestions."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilth.labeling.agreement import cohen_kappa, krippendorff_alpha
from tilth.labeling.inbox import Inbox, Member, Said
from tilth.labeling.judging import wilson
from tilth.web.label.pull import Pull, pulls

__all__ = ["Standing", "alpha", "standings"]


@dataclass(frozen=True)
class Standing:
    """One annotator: what the inbox counts, and what their latest answers show.

    `kappa`: Cohen's kappa with what most of the others said of the `shared` records, None = not known; `low`, `high`:
    the 95 % interval of the share of right answers to gold questions.
    """

    member: Member
    kappa: float | None
    shared: int
    low: float
    high: float
    pull: Pull


def standings(inbox: Inbox, said: Sequence[Said]) -> list[Standing]:
    """Return how everybody does who ever answered, by name."""
    tasks = _by_task(said)
    shift = pulls(said)
    out: list[Standing] = []
    for member in inbox.annotators():
        mine, theirs = _with_others(member.name, tasks)
        kappa = cohen_kappa(mine, theirs) if len(mine) else float("nan")
        low, high = wilson(member.gold_right, member.gold)
        known = None if kappa != kappa else kappa
        out.append(Standing(member, known, len(mine), low, high, shift.get(member.name, Pull())))
    return out


def alpha(said: Sequence[Said]) -> float:
    """Return Krippendorff's alpha of all answers that name a class; NaN where nothing was answered twice."""
    told = [s for s in said if _names_class(s)]
    codes = np.unique([s.value or "" for s in told], return_inverse=True)[1] if told else np.empty(0)
    return krippendorff_alpha(np.array([s.task for s in told], np.int64), codes.astype(np.float64))


def _by_task(said: Sequence[Said]) -> Mapping[int, Mapping[str, str]]:
    tasks: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for one in said:
        if _names_class(one):
            tasks[one.task][one.annotator] = one.value or ""
    return tasks


def _names_class(said: Said) -> bool:
    return said.value is not None and isinstance(json.loads(said.value), str)


def _with_others(name: str, tasks: Mapping[int, Mapping[str, str]]) -> tuple[Any, Any]:
    """Return this annotator's answers and what most others said of the same tasks, as codes."""
    pairs: list[tuple[str, str]] = []
    for votes in tasks.values():
        others = Counter(value for who, value in votes.items() if who != name)
        if name in votes and others:
            # of several that are as frequent the first by name: nobody's agreement hangs on the order of answers
            pairs.append((votes[name], min(others, key=lambda v: (-others[v], v))))
    codes = {value: i for i, value in enumerate(sorted({v for pair in pairs for v in pair}))}
    mine, theirs = (np.array([codes[pair[i]] for pair in pairs], np.int32) for i in (0, 1))
    return mine, theirs
