"""Actions on labels: ask for them, or set them by what the model says."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilth.actions.base import Action
from tilth.changes import Changes, Field, Op, Question, events
from tilth.dataset.view import ANSWERED, FREE
from tilth.errors import UsageError
from tilth.protocols import Annotator
from tilth.selectors import Chosen
from tilth.signals.quality import suggest
from tilth.state import State

__all__ = ["annotate", "relabel"]

Ids = npt.NDArray[np.int64]


def annotate(*, by: Annotator, votes: int = 1) -> "Annotate":
    """Ask an annotator for the labels of the chosen records, `votes` answers each; the majority sets the label.

    >>> from tilth.labeling import Oracle
    >>> annotate(by=Oracle("truth"))
    annotate(by=Oracle("truth"))

    Records that are being asked about, or were, are left out; asking about a derived record asks about its source.
    """
    return Annotate(_annotator(by, "annotate"), _votes(votes))


def relabel(*, by: Annotator | str = "probe", votes: int = 1) -> "Relabel | Recheck":
    """Replace the labels of the chosen records by an annotator's answer or by what the probe suggests.

    >>> from tilth.labeling import Oracle
    >>> relabel(by=Oracle("truth"))
    relabel(by=Oracle("truth"))
    >>> relabel(by="probe")
    relabel(by="probe")

    Verified records (an annotator answered) are left out. "probe" and "model" set the most probable class out of fold
    where it differs from the label.
    """
    if isinstance(by, str):
        if by not in ("probe", "model"):
            raise UsageError(f'relabel(by={by!r}): by is an annotator, "probe" or "model"')
        return Relabel(by)
    return Recheck(_annotator(by, "relabel"), _votes(votes))


def _annotator(by: Any, name: str) -> Annotator:
    if not isinstance(by, Annotator):
        raise UsageError(f"{name}(by={by!r}): by is an annotator such as Oracle(column), got {type(by).__name__}")
    return by


def _votes(votes: int) -> int:
    if votes < 1:
        raise UsageError(f"votes={votes}: at least 1 answer a record")
    return votes


def _sources(ids: Ids, state: State) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Return the sources of records , each once, and the position each came from."""
    parent = state.dataset.parent
    root = ids.copy()
    while len(root) and (parent[root] >= 0).any():
        root = np.where(parent[root] >= 0, parent[root], root)
    _, first = np.unique(root, return_index=True)
    first = np.sort(first)
    return root[first], first


def _question(by: Annotator, votes: int, chosen: Chosen, state: State, *, verified_only: bool) -> Question:
    ids, at = _sources(np.asarray(chosen.ids, np.int64), state)
    free = (state.view.asked[ids] != ANSWERED) & state.view.alive[ids]
    if not verified_only:
        free &= state.view.asked[ids] == FREE
    score = None if chosen.score is None else chosen.score[at][free]
    return Question(by, ids[free], votes, chosen.reason, chosen.signal, score)


@dataclass(frozen=True, repr=False)
class Annotate(Action, tag="annotate"):
    """See `annotate`."""

    by: Annotator
    votes: int = 1
    asks: ClassVar[bool] = True

    def propose(self, chosen: Chosen, state: State) -> Question:
        return _question(self.by, self.votes, chosen, state, verified_only=False)

    def __repr__(self) -> str:
        return f"annotate(by={self.by!r}{f', votes={self.votes}' if self.votes != 1 else ''})"


@dataclass(frozen=True, repr=False)
class Recheck(Action, tag="recheck"):
    """`relabel` by an annotator: ask again about records that have a label."""

    by: Annotator
    votes: int = 1
    asks: ClassVar[bool] = True

    def propose(self, chosen: Chosen, state: State) -> Question:
        return _question(self.by, self.votes, chosen, state, verified_only=True)

    def __repr__(self) -> str:
        return f"relabel(by={self.by!r}{f', votes={self.votes}' if self.votes != 1 else ''})"


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
