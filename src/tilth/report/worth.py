"""What the rules of a run changed, and what each change was worth: by its gate, or by the round that came after."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tilth.runs import Run
from tilth.runs.telling import did, metric_names

__all__ = ["Change", "changes"]


@dataclass(frozen=True)
class Change:
    """What one rule changed in one round: in words, at which version, and how far the metric moved by it.

    `gain` is what the rule's own gate measured on valid, or (`alone` is False) how far the metric moved from this round
    to the next, with whatever else the round changed; NaN where nothing tells. `mood`: kept, rejected, or done where no
    gate judged it.
    """

    round: int
    rule: str
    text: str
    mood: str
    records: int
    answers: int
    version: int | None
    gain: float
    alone: bool
    why: str


def changes(run: Run) -> list[Change]:
    """Return all that the rules of a run changed, in order."""
    return list(_changes(run))


def _changes(run: Run) -> Iterator[Change]:
    rounds = run.rounds
    name = next(iter(metric_names(rounds)), "")
    for i, r in enumerate(rounds):
        after = rounds[i + 1].metrics.get(name, math.nan) if i + 1 < len(rounds) else math.nan
        for rule, said in r.rules.items():
            if not said.get("n"):
                continue
            told = did(_tag(run.spec, rule), said)
            judged = "before" in said and not said.get("together")
            gain = said["after"] - said["before"] if judged else after - r.metrics.get(name, math.nan)
            about = (r.round, rule, told.text, told.mood, said["n"], said.get("answers", 0), said.get("version"))
            yield Change(*about, gain, judged, said.get("why", ""))


def _tag(spec: Mapping[str, Any], rule: str) -> str:
    return spec["rules"][rule]["do"]["$"] if rule in spec["rules"] else ""
