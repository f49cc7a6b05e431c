"""`Team`: people who answer questions, in their own time, by way of the inbox."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.algebra import show
from tilth.errors import NotFound, UsageError

__all__ = ["Team"]


@dataclass(frozen=True)
class Team:
    """People who answer questions in their own time; the run waits for them, for days if need be.

    >>> Team("pet-friends", guide="labelling.md")
    Team("pet-friends", guide="labelling.md")

    Whoever labels for the team (`tilth label PROJECT --team pet-friends --as ann`) is an annotator of it. `guide`: the
    guidelines, as the path of a .md or .txt file (from the project's folder or the working directory) or as a text.
    `cost`: what an answer costs, in whatever unit annotators are paid.
    """

    name: str
    guide: str = ""
    cost: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable() or "/" in self.name:
            raise UsageError(f"Team({self.name!r}): a printable name without '/', such as \"pet-friends\"")
        if isinstance(self.cost, bool) or not isinstance(self.cost, (int, float)) or not 0 <= self.cost < np.inf:
            raise UsageError(f"Team({self.name!r}, cost={self.cost!r}): what an answer costs, 0 or more")

    @property
    def at_once(self) -> bool:
        """False: people answer in their own time."""
        return False

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it."""
        return {"annotator": "tilth.labeling.team:Team", **asdict(self)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Team":
        """Rebuild it from `spec`."""
        return cls(**{k: v for k, v in spec.items() if k != "annotator"})

    def answer(
        self, dataset: Any, records: npt.NDArray[np.int64], *, question: str, votes: int, earlier: int = 0
    ) -> None:
        """Return None: people answer later, and the question goes to the inbox."""
        return

    def guidelines(self, folder: Path) -> str:
        """Return the guidelines; NotFound where they are a file that is neither in `folder` nor where one stands."""
        if not self.guide.endswith((".md", ".txt")) or "\n" in self.guide:
            return self.guide
        for path in (folder / self.guide, Path(self.guide)):
            if path.is_file():
                return path.read_text(encoding="utf-8")
        raise NotFound(
            f"{self!r}: there is no file {self.guide} in {folder} or the working directory; write the guidelines "
            "there, or give them as text"
        )

    def __repr__(self) -> str:
        said = [show(self.name), *([f"guide={show(self.guide)}"] if self.guide else [])]
        return f"Team({', '.join([*said, *([f'cost={show(self.cost)}'] if self.cost != 1 else [])])})"
