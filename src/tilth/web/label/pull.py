"""How far suggestions pull: do people agree with a suggestion more often where they see it?"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tilth.labeling.inbox import Said, Task
from tilth.web.label.desk import Desk

__all__ = ["Pull", "agreed_so_far", "note_of", "pulls"]

_RECENT = 200
_ENOUGH = 10


@dataclass(frozen=True)
class Pull:
    """How often somebody says what was suggested: where they saw it, and where it was kept back.

    >>> Pull(seen=40, seen_agreed=36, blind=10, blind_agreed=7).shift
    0.2
    """

    seen: int = 0
    seen_agreed: int = 0
    blind: int = 0
    blind_agreed: int = 0

    @property
    def shift(self) -> float | None:
        """How much more often they agree where they see it: the share seen less the share blind.

        None before there are ten of each: of fewer it would be chance.
        """
        if min(self.seen, self.blind) < _ENOUGH:
            return None
        return self.seen_agreed / self.seen - self.blind_agreed / self.blind


def note_of(task: Task, sent: Mapping[str, Any], *, hidden: bool) -> str:
    """Return what is noted with an answer to a task that has a suggestion, as JSON; "" where it has none.

    `shown`: the person saw it; `blind`: it was kept back by lot (else they had switched it off); `agreed`: they said
    the same.
    """
    if task.suggestion is None or sent.get("verdict") != "answer":
        return ""
    agreed = sent.get("value") == json.loads(task.suggestion)
    return json.dumps({"shown": not hidden and sent.get("shown") is True, "blind": hidden, "agreed": agreed})


def pulls(said: Iterable[Said]) -> dict[str, Pull]:
    """Return the pull of suggestions on each annotator, of answers that were given on the page.

    Records that were blind by lot stand for those without a suggestion: what somebody hides is no fair draw.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for one in said:
        note = _noted(one.note)
        if note is None or not (note["shown"] or note["blind"]):
            continue
        where = "seen" if note["shown"] else "blind"
        counts[one.annotator, where] += 1
        counts[one.annotator, f"{where}_agreed"] += bool(note["agreed"])
    names = {name for name, _ in counts}
    kinds = tuple(Pull.__dataclass_fields__)
    return {name: Pull(**{kind: counts[name, kind] for kind in kinds}) for name in names}


def agreed_so_far(desk: Desk) -> str:
    """Say how often a person's last answers are what most others said, "" before there are enough of them.

    Only answers that a run has taken count: what others said of a record that is still open stays unknown.
    """
    if desk.site.inbox is None:
        return ""
    taken = [s for s in desk.inbox.said(annotator=desk.person.name, last=_RECENT) if s.taken and s.value is not None]
    others: dict[int, Counter[str]] = {}
    for one in desk.inbox.said(tasks=[s.task for s in taken]) if taken else []:
        if one.annotator != desk.person.name and one.value is not None:
            others.setdefault(one.task, Counter())[one.value] += 1
    judged = [s.value == others[s.task].most_common(1)[0][0] for s in taken if s.task in others]
    if len(judged) < _ENOUGH:
        return ""
    return f"{sum(judged) / len(judged):.0%} of your last {len(judged)} answers are what most others said"


def _noted(note: str) -> dict[str, Any] | None:
    try:
        found = json.loads(note) if note.startswith("{") else None
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"shown", "blind", "agreed"} <= found.keys() else None
