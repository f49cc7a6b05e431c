"""`Oracle`: an annotator that knows the truth, with a settable error rate and price, for simulations and tests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.dataset import Dataset
from tilth.dataset.splits import draw, uniform
from tilth.errors import UsageError
from tilth.protocols import Answers

__all__ = ["Oracle"]


@dataclass(frozen=True)
class Oracle:
    """An annotator that answers at once with the value of a (hidden) column, wrong at a set rate, at a set price.

    >>> Oracle("truth", error=0.05)
    Oracle("truth", error=0.05)

    `column`: where the truth stands, as class names (or their codes) for classes, numbers for numbers. A wrong answer
    is one of the other classes, each as likely; a wrong number is off by up to its own size. Errors are drawn from the
    record's key, the vote and `seed`: asked again, it says the same. Votes of one record come from `name-1`, `name-2`,
    ... and err independently.
    """

    column: str
    error: float = 0.0
    cost: float = 1.0
    name: str = "oracle"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.error <= 1:
            raise UsageError(f"Oracle error={self.error}: a rate from 0 (always right) to 1 (never right)")
        if self.cost < 0:
            raise UsageError(f"Oracle cost={self.cost}: what an answer costs, 0 or more")

    @property
    def at_once(self) -> bool:
        """True: it knows."""
        return True

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it."""
        return {"annotator": "tilth.labeling.oracle:Oracle", **asdict(self)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Oracle":
        """Rebuild it from `spec`."""
        return cls(**{k: v for k, v in spec.items() if k != "annotator"})

    def answer(
        self, dataset: Dataset, records: npt.NDArray[np.int64], *, question: str, votes: int, earlier: int = 0
    ) -> Answers:
        """Return `votes` answers a record; a record whose truth is empty gets "could not tell"."""
        del question  # errors belong to the record and the vote, so that a question asked again is answered alike
        truth = dataset.features(records, [self.column])[self.column].to_pylist()
        keys = dataset.key_hash[records]
        labels: list[Any] = []
        for vote in range(earlier, earlier + votes):
            wrong = uniform(keys, "oracle", self.seed, vote) < self.error
            pick = draw(keys, "oracle says", self.seed, vote)
            labels += [self._say(dataset, t, bool(w), int(p)) for t, w, p in zip(truth, wrong, pick, strict=True)]
        alone = votes == 1 and not earlier
        names = [
            self.name if alone else f"{self.name}-{v + 1}" for v in range(earlier, earlier + votes) for _ in records
        ]
        return Answers(np.tile(records, votes), labels, names, np.full(len(labels), self.cost))

    def _say(self, dataset: Dataset, truth: Any, wrong: bool, pick: int) -> Any:
        kind = dataset.schema.label
        if truth is None or truth == "":
            return None
        if kind.kind == "number":
            return float(truth) * (1 + ((pick % 2001) / 1000 - 1 if wrong else 0))
        if kind.kind == "classes":
            right = str(truth).split("|")
            if not wrong:
                return right
            flipped = kind.classes[pick % len(kind.classes)]
            return sorted(set(right) ^ {flipped}, key=kind.classes.index)
        name = kind.classes[truth] if isinstance(truth, int) and str(truth) not in kind.classes else str(truth)
        code = kind.code(name)
        if wrong and len(kind.classes) > 1:
            code = (code + 1 + pick % (len(kind.classes) - 1)) % len(kind.classes)
        return kind.classes[code]

    def __repr__(self) -> str:
        defaults = {"error": 0.0, "cost": 1.0, "name": "oracle", "seed": 0}
        said = [f"{k}={_quoted(getattr(self, k))}" for k, v in defaults.items() if getattr(self, k) != v]
        return f"Oracle({', '.join([_quoted(self.column), *said])})"


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
