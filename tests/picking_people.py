"""People for tests who pick at once, by the end of a record's key."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.dataset import Dataset
from tilth.protocols import Answers

__all__ = ["Likes"]


@dataclass(frozen=True)
class Likes:
    """Says yes to records whose key ends in one of some digits, and to the others something else."""

    digits: str
    otherwise: str = "no"
    name: str = "likes"

    @property
    def at_once(self) -> bool:
        return True

    @property
    def spec(self) -> Mapping[str, Any]:
        return {"annotator": "tests.picking_people:Likes", **asdict(self)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Likes":
        return cls(**{k: v for k, v in spec.items() if k != "annotator"})

    def answer(
        self, dataset: Dataset, records: npt.NDArray[np.int64], *, question: str, votes: int, earlier: int = 0
    ) -> Answers:
        said = ["yes" if key[-1] in self.digits else self.otherwise for key in dataset.keys(records)]
        return Answers(records, said, [self.name] * len(said), np.ones(len(said)))
