"""Actions that take away, bring back or weigh records."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.actions.approval import approved
from tilth.actions.base import Action
from tilth.algebra import Quantity, show
from tilth.changes import Changes, Field, Op, events
from tilth.errors import UsageError
from tilth.protocols import Annotator
from tilth.selectors import Chosen
from tilth.state import State

__all__ = ["remove", "restore", "reweight"]


def evidence(chosen: Chosen, state: State, keep: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Return why records were chosen, as arguments of `events`."""
    score = chosen.score if chosen.score is None or keep is None else chosen.score[keep]
    return {
        "reason": chosen.reason,
        "signal": chosen.signal,
        "score": score,
        "model": state.outputs.ref if state.outputs is not None else None,
    }


def remove(*, approve: Annotator | None = None) -> Action:
    """Take the chosen records out of the training data; their history stays, `restore` brings them back.

    >>> from tilth.labeling import Team
    >>> remove(), remove(approve=Team("lead"))
    (remove(), remove(approve=Team("lead")))

    With `approve`, the run waits until a `Team` has said yes or no of each; what was refused is not asked again.
    """
    return approved(Remove(), approve)


def restore(*, approve: Annotator | None = None) -> Action:
    """Bring chosen records back that were removed or quarantined (select them from `removed` or `quarantined`).

    >>> restore()
    restore()

    `approve` as for `remove`.
    """
    return approved(Restore(), approve)


def reweight(weight: float | Quantity, *, approve: Annotator | None = None) -> Action:
    """Set the weight of the chosen records in training: a number of 0 or more, or a signal.

    >>> reweight(0.5)
    reweight(0.5)

    `approve` as for `remove`.
    """
    if isinstance(weight, Quantity):
        if not weight.per_record:
            raise UsageError(f"reweight({weight!r}): a signal (a number per record) or a number, not a metric")
        return approved(Reweight(weight), approve)
    if isinstance(weight, bool) or not np.isfinite(weight) or weight < 0:
        raise UsageError(f"reweight({weight!r}): a weight is a finite number of 0 or more")
    return approved(Reweight(float(weight)), approve)


@dataclass(frozen=True, repr=False)
class Remove(Action, tag="remove"):
    """See `remove`."""

    def propose(self, chosen: Chosen, state: State) -> Changes:
        return Changes(events(Op.REMOVE, chosen.ids, **evidence(chosen, state)))

    def __repr__(self) -> str:
        return "remove()"


@dataclass(frozen=True, repr=False)
class Restore(Action, tag="restore"):
    """See `restore`."""

    def propose(self, chosen: Chosen, state: State) -> Changes:
        gone = ~state.view.alive[chosen.ids]
        return Changes(events(Op.ADD, chosen.ids[gone], **evidence(chosen, state, gone)))

    def __repr__(self) -> str:
        return "restore()"


@dataclass(frozen=True, repr=False)
class Reweight(Action, tag="reweight"):
    """See `reweight`."""

    weight: float | Quantity

    def propose(self, chosen: Chosen, state: State) -> Changes:
        if isinstance(self.weight, Quantity):
            new = np.asarray(self.weight.value(state), np.float64)[chosen.ids]
            if (new[~np.isnan(new)] < 0).any():
                raise UsageError(
                    f"reweight({self.weight!r}) gives negative weights (lowest {np.nanmin(new):.4g}); weights are 0 or "
                    "more"
                )
        else:
            new = np.full(len(chosen.ids), self.weight)
        differs = ~np.isnan(new) & (new.astype(np.float32) != state.view.weight[chosen.ids])
        ids = chosen.ids[differs]
        return Changes(events(Op.SET, ids, field=Field.WEIGHT, num=new[differs], **evidence(chosen, state, differs)))

    def __repr__(self) -> str:
        return f"reweight({show(self.weight)})"
