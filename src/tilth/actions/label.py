"""Actions on labels: ask for them, or set them by what the model says."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilth.actions.approval import approved
from tilth.actions.base import Action
from tilth.algebra import show
from tilth.changes import Changes, Field, Op, events
from tilth.dataset.view import ANSWERED, FREE
from tilth.errors import UsageError
from tilth.labeling.panel import Panel
from tilth.protocols import Annotator
from tilth.questions import Question, terms
from tilth.selectors import Chosen
from tilth.signals.quality import suggest
from tilth.state import State

__all__ = ["annotate", "relabel"]

Ids = npt.NDArray[np.int64]


def annotate(*, by: Annotator | Panel, votes: int = 1, enough: float = 1.0, patience: str | None = None) -> "Annotate":
    """Ask for the labels of the chosen records, `votes` answers each; the majority sets the label.

    >>> from tilth.labeling import Team
    >>> annotate(by=Team("pet-friends"), votes=2, enough=0.8, patience="3d")
    annotate(by=Team("pet-friends"), votes=2, enough=0.8, patience="3d")

    `by`: an annotator that answers at once (`Oracle`), a `Team` of people, or a `Panel` that validates their answers
    before they are used (it has terms of its own). The run goes on when the share `enough` of the records has all its
    votes, or when `patience` has run out; answers that come later join the next round. Records that are being asked
    about, or were, are left out; asking about a derived record asks about its source.
    """
    return Annotate(_annotator(by, "annotate", votes, enough, patience), votes, enough, patience)


def relabel(
    *,
    by: Annotator | Panel | str = "probe",
    votes: int = 1,
    enough: float = 1.0,
    patience: str | None = None,
    approve: Annotator | None = None,
) -> Action:
    """Replace the labels of the chosen records by an annotator's answer or by what the probe suggests.

    >>> from tilth.labeling import Oracle
    >>> relabel(by=Oracle("truth"))
    relabel(by=Oracle("truth"))
    >>> relabel(by="probe")
    relabel(by="probe")

    Verified records (an annotator answered) are left out. "probe" and "model" set the most probable class out of fold
    where it differs from the label; with `approve`, a `Team` says of each whether that is right. `votes`, `enough` and
    `patience` as for `annotate`.
    """
    if isinstance(by, str):
        if by not in ("probe", "model"):
            raise UsageError(f'relabel(by={by!r}): by is an annotator, "probe" or "model"')
        if (votes, enough, patience) != (1, 1.0, None):
            raise UsageError(f'relabel(by="{by}") asks nobody: votes, enough and patience go with an annotator')
        return approved(Relabel(by), approve)
    if approve is not None:
        raise UsageError("relabel(by=annotator, approve=...): an annotator's answer needs no approval; leave it out")
    return Annotate(_annotator(by, "relabel", votes, enough, patience), votes, enough, patience, again=True)


def _annotator(by: Any, name: str, votes: int, enough: float, patience: str | None) -> Annotator | Panel:
    if not isinstance(by, (Annotator, Panel)):
        raise UsageError(
            f"{name}(by={by!r}): by is an annotator such as Team(name) or Oracle(column), or a Panel, got "
            f"{type(by).__name__}; one of your own has name, spec, at_once and answer (tilth.protocols.Annotator)"
        )
    terms(name, votes=votes, enough=enough, patience=patience)
    if isinstance(by, Panel) and (votes, enough, patience) != (1, 1.0, None):
        raise UsageError(f"{name}(by={by!r}): votes, enough and patience are the panel's own; write them in Panel(...)")
    return by


def _sources(ids: Ids, state: State) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Return the sources of records , each once, and the position each came from."""
    parent = state.dataset.parent
    root = ids.copy()
    while len(root) and (parent[root] >= 0).any():
        root = np.where(parent[root] >= 0, parent[root], root)
    _, first = np.unique(root, return_index=True)
    first = np.sort(first)
    return root[first], first


@dataclass(frozen=True, repr=False)
class Annotate(Action, tag="annotate"):
    """See `annotate`; with `again`, `relabel`: ask about records that have a label that nobody verified."""

    by: Annotator | Panel
    votes: int = 1
    enough: float = 1.0
    patience: str | None = None
    again: bool = False
    asks: ClassVar[bool] = True

    @property
    def waits(self) -> bool:
        return not self.by.at_once

    def propose(self, chosen: Chosen, state: State) -> Question:
        ids, at = _sources(np.asarray(chosen.ids, np.int64), state)
        asked = state.view.asked[ids]
        free = state.view.alive[ids] & (asked != ANSWERED) & ((asked == FREE) | self.again)
        score = None if chosen.score is None else chosen.score[at][free]
        return Question(
            self.by,
            ids[free],
            votes=self.votes,
            reason=chosen.reason,
            signal=chosen.signal,
            score=score,
            enough=self.enough,
            patience=self.patience,
        )

    def __repr__(self) -> str:
        said = [f"by={self.by!r}"]
        said += [f"{k}={show(v)}" for k, v, d in self._terms() if v != d]
        return f"{'relabel' if self.again else 'annotate'}({', '.join(said)})"

    def _terms(self) -> list[tuple[str, Any, Any]]:
        return [("votes", self.votes, 1), ("enough", self.enough, 1.0), ("patience", self.patience, None)]


@dataclass(frozen=True, repr=False)
class Relabel(Action, tag="relabel"):
    """`relabel` by the probe or the model: set the class that it finds most probable."""

    by: str

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"probe_probabilities" if self.by == "probe" else "out_of_fold_probabilities"})

    def propose(self, chosen: Chosen, state: State) -> Changes:
        codes, confidence = suggest(state, by=self.by)
        ids, _ = _sources(np.asarray(chosen.ids, np.int64), state)
        new = codes[ids]
        free = (new >= 0) & (new != state.view.label[ids]) & (state.view.asked[ids] != ANSWERED)
        ids = ids[free]
        reason = f"{chosen.reason}; {self.by} suggests another class"
        model = state.outputs.ref if state.outputs is not None else None
        score = confidence[ids].astype(np.float64)
        return Changes(
            events(
                Op.SET,
                ids,
                field=Field.LABEL,
                num=new[free],
                reason=reason,
                actor=self.by,
                model=model,
                signal="confidence of the suggestion",
                score=score,
            )
        )

    def __repr__(self) -> str:
        return f"relabel(by={json.dumps(self.by)})"
