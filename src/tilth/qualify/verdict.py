"""`Verdict`: what a workflow is found to be, the path that proves it, and what would make it qualify."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from tilth.qualify.reading import Part

__all__ = [
    "DATA_CENTRIC",
    "DATA_ONLY",
    "MODEL_CENTRIC",
    "ONCE",
    "PEOPLE_CHOOSE",
    "REPLACED",
    "VERDICTS",
    "WHEN_NOT_WHICH",
    "Verdict",
]

DATA_CENTRIC = "data-centric"
ONCE = "not: one pass"
PEOPLE_CHOOSE = "not: people choose"
DATA_ONLY = "not: data only"
MODEL_CENTRIC = "model-centric"
REPLACED = "borderline: whole dataset replaced"
WHEN_NOT_WHICH = "borderline: model decides when, people decide which"

VERDICTS = (DATA_CENTRIC, ONCE, PEOPLE_CHOOSE, DATA_ONLY, MODEL_CENTRIC, REPLACED, WHEN_NOT_WHICH)
"""All that `qualify` may say."""


@dataclass(frozen=True)
class Verdict:
    """What a workflow is found to be, and why.

    `verdict`: one of `VERDICTS`. `path`: from what is read to the training that follows, step by step. `reasons`: why,
    in sentences. `would`: what would make it data-centric, empty where it is. `parts`: what each part of it reads.
    """

    verdict: str
    path: tuple[str, ...]
    reasons: tuple[str, ...]
    would: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        would = [f"It would be data-centric: {text}" for text in self.would]
        return "\n".join([self.verdict, " -> ".join(self.path), *self.reasons, *would])
