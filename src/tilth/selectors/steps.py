"""The steps of a selector: each takes the records chosen so far and returns fewer, or the same in an order."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.algebra import Condition, Quantity, Value, show
from tilth.dataset.splits import draw
from tilth.errors import UsageError, did_you_mean
from tilth.selectors.fields import groups, matches, needs_of
from tilth.selectors.picked import Picked, highest, nothing, shuffled, ties
from tilth.selectors.spread import farthest
from tilth.signals.kernels import chunks
from tilth.state import State

__all__ = ["Diverse", "Per", "Sample", "Step", "Top", "Where"]

Ids = npt.NDArray[np.int64]


class Step(Value, ABC):
    """One step of a selector."""

    @abstractmethod
    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Return what is left of the records; `text` is the selector up to this step, as it was written."""


@dataclass(frozen=True, repr=False)
class Where(Step, tag="where"):
    """Those for which all conditions hold and all fields have one of the values."""

    conditions: tuple[Condition, ...]
    equals: tuple[tuple[str, Any], ...]

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state."""
        return super().needs | needs_of([field for field, _ in self.equals])

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep what fits; a condition that is not known of a record does not fit."""
        n, over = len(picked), 0
        left = picked
        for field, value in self.equals:
            left = left.only(matches(state, field, value if isinstance(value, tuple) else (value,), left), "", "")
        for condition in self.conditions:
            yes, known = (np.broadcast_to(np.asarray(part), (len(state),)) for part in condition.decide(state))
            if not known.all():
                over += len(left.only(~known, "", ""))
            left = left.only(yes & known, "", "")
        what = f"{picked.what}{' and' if ' where ' in picked.what else ' where'} {self._said(' and ')}"
        reason = f"{what} ({len(left):,} of {n:,})" if len(left) else nothing(what)
        return replace(left, what=what, reason=reason, passed_over=left.passed_over + over)

    def _said(self, between: str) -> str:
        return between.join(
            [*(repr(c) for c in self.conditions), *(f"{field}={show(value)}" for field, value in self.equals)]
        )

    def __repr__(self) -> str:
        return f".where({self._said(', ')})"


@dataclass(frozen=True, repr=False)
class Top(Step, tag="top"):
    """The k records of the highest, or lowest, value of a signal, best first."""

    k: int
    by: Quantity
    lowest: bool = False

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep the first k by the signal."""
        n = len(picked)
        word = "bottom" if self.lowest else "top"
        sign = -1 if self.lowest else 1
        ids, score, over = highest(((part, sign * said) for part, said in _said(self.by, state)), picked, self.k, state)
        what = f"{word} {self.k:,} {picked.what} by {self.by!r}"
        reason = f"{self.by!r} among {word} {self.k:,} of {picked.counted()}{_all(len(ids), self.k)}"
        if not len(ids):
            reason = (
                f"nothing to choose from: {self.by!r} is not known of any of {picked.counted()}"
                if n
                else nothing(picked.what)
            )
        return Picked(None, ids, what, reason, sign * score, repr(self.by), picked.passed_over + over)

    def __repr__(self) -> str:
        return f".{'bottom' if self.lowest else 'top'}({self.k}, by={self.by!r})"


@dataclass(frozen=True, repr=False)
class Sample(Step, tag="sample"):
    """k records drawn by key, seed and round, each as likely as any other."""

    k: int

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep the first k by the draw."""
        ids = picked.members()
        drawn = draw(state.dataset.key_hash[ids], "sample", text, state.seed, state.round)
        at = np.argpartition(drawn, self.k)[: self.k] if self.k < len(ids) else np.arange(len(ids))
        at = at[np.argsort(drawn[at])]
        score = None if picked.score is None else picked.score[at]
        reason = (
            f"sample of {self.k:,} of {picked.counted()}{_all(len(at), self.k)}" if len(ids) else nothing(picked.what)
        )
        return Picked(
            None, ids[at], f"sample of {self.k:,} {picked.what}", reason, score, picked.signal, picked.passed_over
        )

    def __repr__(self) -> str:
        return f".sample({self.k})"


@dataclass(frozen=True, repr=False)
class Per(Step, tag="per"):
    """At most k records of each value of a field: the first in their order, or those of the highest signal."""

    field: str
    k: int
    by: Quantity | None = None

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state."""
        return super().needs | needs_of([self.field])

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep k of each, in turns."""
        ids = picked.ordered(state)
        score, signal = picked.score, picked.signal
        n, over = len(ids), 0
        if self.by is not None:
            value = np.asarray(self.by.value(state))[ids]
            order = np.lexsort((ties(ids, state), -value))  # NaN comes last
            order = order[: len(order) - int(np.isnan(value).sum())]
            over = n - len(order)
            ids, score, signal = ids[order], value[order].astype(np.float64), repr(self.by)
        group = groups(state, self.field, ids)
        rank = _rank(group)
        at = np.flatnonzero((group >= 0) & (rank < self.k))
        # the first of each group, then the second of each: any beginning is balanced
        at = at[np.argsort(rank[at], kind="stable")]
        by = f" by {self.by!r}" if self.by is not None else ""
        what = f"up to {self.k:,} of each {self.field} of {picked.what}{by}"
        reason = f"up to {self.k:,} of each {self.field} of {picked.counted()}{by}" if len(at) else nothing(what)
        return Picked(
            None, ids[at], what, reason, None if score is None else score[at], signal, picked.passed_over + over
        )

    def __repr__(self) -> str:
        return f".per({show(self.field)}, {self.k}{f', by={self.by!r}' if self.by is not None else ''})"


@dataclass(frozen=True, repr=False)
class Diverse(Step, tag="diverse"):
    """k records far apart, and far from what is labelled, in the model's embeddings or in a vector column."""

    k: int
    within: int | None = None
    by: str = "embeddings"

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state."""
        return frozenset({"embeddings"}) if self.by == "embeddings" else frozenset[str]()

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep k by farthest-first traversal."""
        ids = picked.ordered(state)[: self.within]
        # in an order that ids have no part in: the last digits of a matrix product depend on it
        labelled = _rows(state, shuffled(np.flatnonzero(state.view.train & state.view.labeled), state), self.by)
        rows = _rows(state, ids, self.by)
        usable = np.flatnonzero(~np.isnan(rows).any(axis=1))
        over = len(ids) - len(usable)
        first = f"the first {self.within:,} of " if self.within is not None else ""
        about = f"{self.k:,} that differ most by {self.by} of {first}{picked.counted()}"
        if not len(usable):
            why = f"none of {picked.counted()} has {self.by}" if len(ids) else f"{picked.what} is empty"
            why = f"nothing to choose from: {why}"
            return Picked(None, ids[:0], about, why, passed_over=picked.passed_over + over)
        labelled = labelled[~np.isnan(labelled).any(axis=1)]
        at, distance = farthest(rows[usable], labelled, min(self.k, len(usable)), first=0)
        at = usable[at]
        if picked.score is not None:
            score, signal = picked.score[at], picked.signal
        else:  # the first of all is far from nothing
            score, signal = np.where(np.isinf(distance), np.nan, distance).astype(np.float64), f"distance by {self.by}"
        return Picked(None, ids[at], about, about + _all(len(at), self.k), score, signal, picked.passed_over + over)

    def __repr__(self) -> str:
        within = f", within={self.within}" if self.within is not None else ""
        return f".diverse({self.k}{within}{f', by={show(self.by)}' if self.by != 'embeddings' else ''})"


def _said(by: Quantity, state: State) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Yield the values of a signal part by part: computed so where it can be, so that no more is in memory."""
    if by.pointwise:
        for ids, part in state.parts():
            yield ids, np.asarray(by.compute(part))
        return
    value = np.asarray(by.value(state))
    for ids in chunks(len(value)):
        yield ids, value[ids]


def _all(found: int, k: int) -> str:
    return f", of which there are {found:,}" if found < k else ""


def _rank(group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return each element's place among those of its group, from 0."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))
    return rank


def _rows(state: State, ids: Ids, by: str) -> npt.NDArray[np.float32]:
    if by == "embeddings":
        return np.asarray(state.output("embeddings")[ids])
    schema = state.dataset.schema
    if by not in schema.names or schema.column(by).kind != "vector":
        vectors = ["embeddings", *(c.name for c in schema.columns if c.kind == "vector")]
        raise UsageError(f"diverse(by={show(by)}): no such vector. {did_you_mean(by, vectors)}")
    cells = state.dataset.features(ids, [by])[by].combine_chunks()
    return cells.flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1)
