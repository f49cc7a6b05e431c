"""`Tune`: the other arm, a loop in which the model changes and the data stand still."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilth.algebra import Condition, Quantity, Value, from_json, show, to_json
from tilth.errors import UsageError
from tilth.metrics import accuracy
from tilth.protocols import Model, Trial, Tuner
from tilth.state import Round

__all__ = ["Tune", "best", "model_of"]


@dataclass(frozen=True, repr=False)
class Tune(Value, tag="tune"):
    """Choose the model of each round by how earlier ones did on valid; a run ends with the best.

    >>> from tilth.integrations.optuna import OptunaSearch
    >>> from tilth.integrations.optuna import example
    >>> Tune(OptunaSearch(example))
    Tune(OptunaSearch(example))

    `by`: who suggests the next model. `improves`: the metric that it is to raise (higher is better; give `-rmse()` for
    an error). The first round trains the workflow's own model, so tuning never ends below it on valid. Ties go to the
    earlier. UsageError for anything else.
    """

    by: Tuner
    improves: Quantity = field(default_factory=accuracy)

    def __post_init__(self) -> None:
        if not isinstance(self.by, Tuner):
            raise UsageError(
                f"Tune(by={show(self.by)}): who suggests the next model, such as OptunaSearch(space) of "
                "tilth.integrations.optuna"
            )
        if not isinstance(self.improves, Quantity) or self.improves.per_record or isinstance(self.improves, Condition):
            raise UsageError(f"Tune(improves={show(self.improves)}): a metric such as accuracy(), or -rmse()")

    def suggest(self, tried: Sequence[Trial], *, seed: int) -> dict[str, Any] | None:
        """Return the next model with the tuner's note as JSON; None where nothing is left to try."""
        found = self.by.suggest(tried, seed=seed)
        return None if found is None else {"model": to_json(found[0]), "note": dict(found[1])}

    def __repr__(self) -> str:
        said = "" if repr(self.improves) == repr(accuracy()) else f", improves={self.improves!r}"
        return f"Tune({self.by!r}{said})"


def best(rounds: Sequence[Round]) -> int:
    """Return the place of the round that a run stands for: the last, or where models were tried that of the best one.

    Ties go to the earlier; a value that is not defined (NaN) is worse than any.
    """
    if not any(r.tuned for r in rounds):
        return len(rounds) - 1
    return int(np.argmax(np.nan_to_num([r.tuned.get("value", np.nan) for r in rounds], nan=-np.inf)))


def model_of(suggested: dict[str, Any]) -> Model:
    """Return the model that was suggested."""
    return from_json(suggested["model"])
