"""The steps of a selector: each takes the records chosen so far and returns fewer, or the same in an order."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.algebra import Condition, Quantity, Value, show
from tilth.dataset.splits import draw
from tilth.selectors.clusters import ranks
from tilth.selectors.fields import groups, matches, needs_of
from tilth.selectors.picked import Above, Picked, highest, nothing, short, ties
from tilth.signals.kernels import chunks
from tilth.state import State

__all__ = ["First", "Per", "Quota", "Sample", "Step", "Top", "Where", "valued"]


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
        ids, score, over = highest(valued(self.by, state, lowest=self.lowest), picked, self.k, state)
        what = f"{word} {self.k:,} {picked.what} by {self.by!r}"
        reason = f"{self.by!r} among {word} {self.k:,} of {picked.counted()}{short(len(ids), self.k)}"
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
            f"sample of {self.k:,} of {picked.counted()}{short(len(at), self.k)}" if len(ids) else nothing(picked.what)
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
        rank = ranks(group)
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
class First(Step, tag="first"):
    """The first k in their order, or in one drawn from their keys where they have none."""

    k: int

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep the first k."""
        ids = picked.ordered(state)[: self.k]
        about = f"the first {self.k:,} of {picked.counted()}{short(len(ids), self.k)}"
        return replace(
            picked,
            mask=None,
            ids=ids,
            what=f"first {self.k:,} {picked.what}",
            reason=about if len(ids) else nothing(picked.what),
            score=None if picked.score is None else picked.score[: self.k],
        )

    def __repr__(self) -> str:
        return f".first({self.k})"


@dataclass(frozen=True, repr=False)
class Quota(Step, tag="quota"):
    """So many records of each of some values of a field: the first in their order."""

    field: str
    counts: tuple[tuple[Any, int], ...]

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state."""
        return needs_of([self.field])

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep the first of each value, in turns; a record that has several of them counts for the first."""
        ids = picked.ordered(state)
        group = np.full(len(ids), -1)
        missing: list[str] = []
        for i, (value, k) in enumerate(self.counts):
            hits = np.flatnonzero(matches(state, self.field, (value,), picked)[ids] & (group < 0))[:k]
            group[hits] = i
            if len(hits) < k:
                missing.append(f"{len(hits):,} of {show(value)}")
        rank = ranks(group)
        at = np.flatnonzero(group >= 0)
        at = at[np.lexsort((group[at], rank[at]))]
        said = f"{self.field} {', '.join(f'{show(value)} {k:,}' for value, k in self.counts)} of {picked.counted()}"
        reason = said + (f", of which there are only {', '.join(missing)}" if missing else "")
        what = f"{self.field} quota of {picked.what}"
        score = None if picked.score is None else picked.score[at]
        return replace(
            picked, mask=None, ids=ids[at], what=what, reason=reason if len(at) else nothing(said), score=score
        )

    def __repr__(self) -> str:
        counts = ", ".join(f"{show(value)}: {k}" for value, k in self.counts)
        return f".quota({show(self.field)}, {{{counts}}})"


def valued(by: Quantity, state: State, *, lowest: bool = False) -> Iterator[tuple[slice, Above]]:
    """Yield for part after part of the records what finds the high values of a signal, or those of its negative.

    Computed part by part where that can be, so that no more is in memory.
    """
    if by.pointwise:
        for ids, part in state.parts():
            yield ids, partial((-by if lowest else by).above, part)
        return
    value = -np.asarray(by.value(state)) if lowest else np.asarray(by.value(state))
    for ids in chunks(len(value)):
        yield ids, partial(_of_these, value[ids])


def _of_these(value: npt.NDArray[Any], bar: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    at = np.flatnonzero(~(value < bar))
    return at, value[at]
