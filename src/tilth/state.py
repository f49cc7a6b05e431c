"""`State`: all that a decision may look at. Everything in Tilth is a function of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.dataset import Dataset
from tilth.dataset.schema import SPLITS
from tilth.dataset.view import View
from tilth.errors import UsageError
from tilth.outputs import LEARNED, Outputs

__all__ = ["Round", "State"]

_PART = 65_536
"""Records of a part: their scores stay in the cache, and what a part costs by itself (50 us) is little beside that."""
_FIRST = 8192
"""Records of the first part, of which none can be ruled out by those before; each next one is twice as large."""


@dataclass(frozen=True)
class Round:
    """What one finished round was: the version and model it judged, its metrics, and what each rule did.

    `metrics` are on the valid split, `test` on the test split (reported, never read by a decision). `tuned`: where the
    model is being tuned, which one this round tried (`model`, and what was chosen, `said`) and its `value`.
    """

    round: int
    version: int
    model: str
    metrics: Mapping[str, float]
    test: Mapping[str, float]
    labels_spent: int
    cost: float
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    seconds: float = 0.0
    tuned: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, eq=False)
class State:
    """A dataset at a version, what the trained model said of it, the rounds so far, and a seed.

    It is five small values (branch, version, model ref, rounds, seed) and rebuilds the rest from disk. Arrays are
    aligned to the dataset's view: position i is record i. A record that the model has not seen yet has NaN, which no
    selector ever chooses.
    """

    dataset: Dataset
    outputs: Outputs | None = None
    rounds: tuple[Round, ...] = ()
    seed: int = 0
    memo: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """Quantities that were computed on this state, by their text, so that none is computed twice."""
    only: slice | None = None
    """Where it is a part of a state (see `parts`): the ids of its records; position 0 is the first of these."""

    @cached_property
    def view(self) -> View:
        """The columns of the dataset's version."""
        return self.dataset.view if self.only is None else self.dataset.view.part(self.only)

    def parts(self) -> Iterator[tuple[slice, "State"]]:
        """Yield (ids, the state of these records alone) in order: what a pointwise signal is computed on.

        Of outputs no more than a part is looked at, so that they need not fit in memory (see `Outputs.part`); what a
        part has of the dataset beside `view` is that of all records.
        """
        start, size = 0, _FIRST
        while start < len(self):
            ids = slice(start, min(start + size, len(self)))
            yield ids, replace(self, only=ids, memo={})
            start, size = ids.stop, min(2 * size, _PART)

    @property
    def round(self) -> int:
        """The number of finished rounds."""
        return len(self.rounds)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class list, empty for numbers."""
        return self.dataset.schema.label.classes

    def __len__(self) -> int:
        return len(self.view)

    def output(self, kind: str) -> npt.NDArray[np.float32]:
        """Return an output of the model aligned to the view, NaN = none.

        float32 [k, n]; what is said several times of a record (draws, epochs) [d, k, n]; embeddings [n, d].
        """
        found = self.memo.get(f"output:{kind}")
        if found is None:
            if self.outputs is None:
                raise UsageError(
                    f"no model has been trained yet, so there are no {kind}; train first, or use data-only signals"
                )
            if self.only is not None:
                found = self.outputs.part(kind, self.only)
            else:
                found = _aligned(self.outputs, kind, len(self.view))
            self.memo[f"output:{kind}"] = found
        return found

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """float32 [k, n]: `output("probabilities")`."""
        return self.output("probabilities")

    @cached_property
    def lesson(self) -> npt.NDArray[np.int8]:
        """int8 [n]: what part each record had in the model's training: 2 it learned from it, 1 it was there, 0 neither.

        The reference that drift is measured from; it is no output of the model. Without a model all are 0.
        """
        full = np.zeros(len(self.dataset.view), np.int8)
        if self.outputs is None:
            return full if self.only is None else full[self.only]
        ids = np.asarray(self.outputs.ids)
        keep = ids < len(full)
        full[ids[keep]] = self.outputs.lesson[keep]
        return full if self.only is None else full[self.only]

    @property
    def learned(self) -> npt.NDArray[np.bool_]:
        """The records that the model learned from, as bool [n]."""
        return self.lesson == LEARNED

    @cached_property
    def predicted(self) -> npt.NDArray[np.int32]:
        """int32 [n]: the most probable class, -1 where the model said nothing; ties go to the first class."""
        p = self.probabilities
        best = np.zeros(p.shape[1], np.int32)
        top = np.array(p[0])
        for k in range(1, len(p)):
            better = p[k] > top
            best[better] = k
            np.copyto(top, p[k], where=better)
        best[np.isnan(top)] = -1
        return best

    def judged(self, split: str) -> npt.NDArray[np.int64]:
        """int64: the labelled living records of a split that the model has spoken of; metrics are computed on these."""
        if split not in SPLITS:
            raise UsageError(f"no split {split!r}; there is {', '.join(SPLITS)}")
        mask = self.view.among(split) & self.view.labeled
        if self.outputs is not None:
            mask &= ~np.isnan(self.probabilities[0])
        return np.flatnonzero(mask)


def _aligned(outputs: Outputs, kind: str, n: int) -> npt.NDArray[np.float32]:
    array, ids = outputs.get(kind), outputs.ids
    if len(ids) == n and (n == 0 or int(ids[-1]) == n - 1):
        return array
    ids = np.asarray(ids)
    keep = ids < n
    if kind == "embeddings":
        full = np.full((n, array.shape[1]), np.nan, np.float32)
        full[ids[keep]] = array[keep]
        return full
    full = np.full((*array.shape[:-1], n), np.nan, np.float32)
    for row in np.ndindex(array.shape[:-1]):
        full[row][ids[keep]] = array[row][keep]
    return full
