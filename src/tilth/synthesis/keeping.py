"""Which of the made records are kept: those the model agrees with, and that are neither copies nor far from all."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from typing_extensions import override

from tilth.algebra import Value, show
from tilth.errors import UsageError
from tilth.protocols import Fitted, Model
from tilth.signals.making import one_of
from tilth.signals.nearest import nearest
from tilth.state import State
from tilth.synthesis.space import Space, closest
from tilth.training import embeddings, fitted_model

__all__ = ["Agrees", "Apart", "Keep", "Made", "agrees", "apart"]

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

WORST = 0.1
"""Share of the examples that a record may be worse than."""
_READ = 16_384
"""Real records that are compared at once."""


@dataclass(frozen=True, eq=False)
class Made:
    """Records that were made, and what they can be compared with.

    `rows`: n rows of the columns that models see; `parent` int64[n]: the record that each is made from; `examples`:
    records that are as wanted.
    """

    state: State
    rows: pa.Table
    parent: Ids
    examples: Ids

    @cached_property
    def label(self) -> npt.NDArray[Any]:
        """The label of each: its parent's."""
        return self.state.view.label[self.parent]

    @cached_property
    def probability(self) -> npt.NDArray[np.float64]:
        """float64[n]: what the round's model gives to the label of each."""
        kind = self.state.dataset.schema.label.kind
        if kind != "class":
            raise UsageError(f"agrees() looks at the probability of a class, and these labels are of kind {kind!r}")
        told = self.model[1].predict(self.rows)
        return np.asarray(told, np.float64)[np.arange(self.rows.num_rows), self.label]

    @property
    def model(self) -> tuple[Model, Fitted]:
        """The round's model, trained; read once a state."""
        memo = self.state.memo
        if "fitted" not in memo:
            if self.state.outputs is None:
                raise UsageError("no model has been trained yet that could judge made records; train first")
            memo["fitted"] = fitted_model(self.state.dataset, self.state.outputs)
        return memo["fitted"]


class Keep(Value, ABC):
    """Which of made records are kept."""

    checks: ClassVar[bool] = True

    @abstractmethod
    def faults(self, made: Made) -> Mapping[str, Flags]:
        """Return for each thing that may be wrong, bool[n]: with which records it is."""


@dataclass(frozen=True, repr=False)
class Agrees(Keep, tag="agrees"):
    """See `agrees`."""

    p: float | None = None

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({"probabilities"} | (set() if self.p is not None else {"out_of_fold_probabilities"}))

    @override
    def faults(self, made: Made) -> Mapping[str, Flags]:
        if self.p is not None:
            return {"the model disagreed": made.probability < self.p}
        bar = np.zeros(made.rows.num_rows)
        said, own = made.state.output("out_of_fold_probabilities"), made.state.view.label[made.examples]
        for code in np.unique(made.label):
            p = np.asarray(said[code])[made.examples[own == code]]
            bar[made.label == code] = np.quantile(p[~np.isnan(p)], WORST) if not np.isnan(p).all() else 0.0
        return {"the model disagreed": made.probability < bar}

    def __repr__(self) -> str:
        return f"agrees({'' if self.p is None else show(self.p)})"


def agrees(p: float | None = None) -> Agrees:
    """Keep a made record if the round's model gives its label a probability of p or more.

    >>> agrees(), agrees(0.5)
    (agrees(), agrees(0.5))

    Default: what it gives, out of fold, to nine tenths of the real examples of that label, so that nothing is kept that
    looks less like its label than real records do, and a class that the model does not know yet is not shut out. A
    high p keeps what the model is sure of and so knows already; a low one keeps what it may learn from, and more that
    is wrong.
    """
    if p is not None and (isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 < p <= 1):
        raise UsageError(f"agrees({p!r}): a probability above 0 and up to 1, such as agrees(0.5)")
    return Agrees(p)


@dataclass(frozen=True, repr=False)
class Apart(Keep, tag="apart"):
    """See `apart`."""

    copy: float = 0.05
    outlier: float = 0.99
    by: str = "features"

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({"embeddings"}) if self.by == "embeddings" else frozenset()

    @override
    def faults(self, made: Made) -> Mapping[str, Flags]:
        n = made.rows.num_rows
        none = {"copies": np.zeros(n, bool), "far from all examples": np.zeros(n, bool)}
        if n == 0 or len(made.examples) < 2:
            return none
        found = self._embedded(made) if self.by == "embeddings" else _laid_out(made)
        if found is None:
            return none
        points, real = found
        examples = real(made.examples)
        gaps = nearest(examples, 1)[1][:, 0]
        far = closest(points, examples)[1] > np.quantile(gaps, self.outlier)
        near = np.full(n, np.inf)
        view = made.state.view
        every = np.flatnonzero(view.train & view.labeled & (made.state.dataset.parent < 0))
        for start in range(0, len(every), _READ):
            near = np.minimum(near, closest(points, real(every[start : start + _READ]))[1])
        return {"copies": near <= self.copy * np.median(gaps), "far from all examples": far}

    def _embedded(self, made: Made) -> tuple[Floats, Callable[[Ids], Floats]]:
        said = made.state.output("embeddings")
        return embeddings(*made.model, made.rows), lambda ids: np.asarray(said[ids], np.float32)

    def __repr__(self) -> str:
        given = (("copy", self.copy, 0.05), ("outlier", self.outlier, 0.99), ("by", self.by, "features"))
        return f"apart({', '.join(f'{k}={show(v)}' for k, v, default in given if v != default)})"


def apart(*, copy: float = 0.05, outlier: float = 0.99, by: str = "features") -> Apart:
    """Keep a made record if it is no copy of a real one, and not farther from the examples than they are apart.

    >>> apart(), apart(copy=0.1, by="embeddings")
    (apart(), apart(copy=0.1, by="embeddings"))

    Of each example the distance to the nearest other is taken. A copy is what lies nearer to any labelled training
    record than `copy` times the median of these; far is what lies farther from all examples than the share `outlier`
    of them do from theirs. `by`: the columns (`"features"`: numbers, vectors and categories, see `Space`; free texts,
    images and sounds have no distance there, and pass), or the model's `"embeddings"`. What is equal to a record that
    there is, in whichever split, is never kept.
    """
    one_of("apart(by=...)", by, ("features", "embeddings"))
    if isinstance(copy, bool) or not isinstance(copy, (int, float)) or not 0 <= copy < 1:
        raise UsageError(f"apart(copy={copy!r}): a share of the usual distance between neighbours, from 0 to below 1")
    if isinstance(outlier, bool) or not isinstance(outlier, (int, float)) or not 0 < outlier <= 1:
        raise UsageError(f"apart(outlier={outlier!r}): a share of the examples above 0 and up to 1, such as 0.99")
    return Apart(float(copy), float(outlier), by)


def _laid_out(made: Made) -> "tuple[Floats, Callable[[Ids], Floats]] | None":
    dataset = made.state.dataset
    names = dataset.schema.features
    try:
        space = Space.of(dataset.features(made.examples, names), "apart()")
    except UsageError:  # free text, images or sounds: only what is equal is a copy
        return None
    return space.points(made.rows), lambda ids: space.points(dataset.features(ids, names))
