"""`Selector`: State -> the records to change, each with a score and a reason. A value that prints as it was written."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.algebra import Condition, Value
from tilth.dataset.schema import SPLITS
from tilth.dataset.view import ANSWERED
from tilth.errors import NotData, UsageError, did_you_mean
from tilth.selectors.batching import Batching
from tilth.selectors.checks import number
from tilth.selectors.narrowing import Narrowing
from tilth.selectors.picked import Chosen, Picked, nothing
from tilth.selectors.picking import PickedBy, Without
from tilth.selectors.steps import Step
from tilth.signals.making import count
from tilth.state import State

__all__ = ["BASES", "Combined", "Selector"]

BASES = ("records", "unlabeled", "labeled", "answered", "removed", "quarantined")


@dataclass(frozen=True, repr=False)
class Combined(Value, tag="combined"):
    """Two selectors put together by & or |, or one turned round by ~."""

    op: str
    left: "Selector"
    right: "Selector | None" = None

    def pick(self, state: State) -> Picked:
        """Return the records of both, of either, or of neither."""
        first = self.left.pick(state)
        if self.right is None:
            return Picked.all_of(state.view.train & ~first.flags(state), repr(self))
        second = self.right.pick(state)
        over = first.passed_over + second.passed_over
        if self.op == "&":
            both = first.only(second.flags(state), repr(self), "", second.passed_over)
            return replace(both, reason=f"{self!r} ({len(both):,})")
        either = first.flags(state) | second.flags(state)
        if first.ids is None and second.ids is None:
            return replace(Picked.all_of(either, repr(self)), passed_over=over)
        rest = second.only(~first.flags(state), "", "")
        ids = np.concatenate([first.ordered(state), rest.ordered(state)])
        score = None
        if first.score is not None and rest.score is not None and first.signal == second.signal:
            score = np.concatenate([first.score, rest.score])
        return Picked(
            None, ids, repr(self), f"{self!r} ({len(ids):,})", score, first.signal if score is not None else None, over
        )

    def __repr__(self) -> str:
        if self.right is None:
            return f"~{_bracketed(self.left)}"
        return f"{_bracketed(self.left)} {self.op} {_bracketed(self.right)}"


@dataclass(frozen=True, repr=False)
class Selector(Value, Narrowing, Batching, tag="selector"):
    """Which records: a set to begin with, and steps that apply in the order in which they are written.

    >>> unlabeled = Selector("unlabeled")
    >>> unlabeled.where(predicted="cat").sample(100)
    unlabeled.where(predicted="cat").sample(100)

    It never chooses a record outside the train split, nor one of which the signal is not known (NaN). Equal scores are
    decided by the records' keys. `a & b`: in both, in the order of a; `a | b`: those of a, then those of b; `~a`: all
    living training records that are not in a. `0.7 * a | 0.3 * b`: a mixture, of which `first(k)` takes k.
    """

    base: "str | Combined | Mixed"
    steps: tuple[Step, ...] = ()

    @property
    def picker(self) -> PickedBy | None:
        """Who picks from what it chooses, as its last step."""
        last = self.steps[-1] if self.steps else None
        return last if isinstance(last, PickedBy) else None

    def without(self, ids: npt.NDArray[np.int64]) -> "Selector":
        """Return this selector, choosing from all but some records."""
        return replace(self, steps=(Without(tuple(ids.tolist())), *self.steps)) if len(ids) else self

    def choose(self, state: State) -> Chosen:
        """Return the records that it chooses on a state."""
        return self.pick(state).chosen(state)

    def pick(self, state: State) -> Picked:
        """Return them without settling their order."""
        picked = self.base.pick(state) if isinstance(self.base, (Combined, Mixed)) else _start(self.base, state)
        for i, step in enumerate(self.steps):
            picked = step.apply(picked, state, repr(replace(self, steps=self.steps[: i + 1])))
        return picked

    def then(self, step: Step) -> "Selector":
        """Return this selector with one more step."""
        _goes_on(self, repr(step))
        return replace(self, steps=(*self.steps, step))

    def __and__(self, other: Any) -> "Selector":
        return Selector(Combined("&", _goes_on(self, "&"), _selector(other)))

    def __or__(self, other: Any) -> "Selector":
        return Selector(Combined("|", _goes_on(self, "|"), _selector(other)))

    def __rmul__(self, share: Any) -> "Mixture":
        _goes_on(self, "*")
        return Mixture(((number(f"the share of {self!r}", share), self),))

    __mul__ = __rmul__

    def __invert__(self) -> "Selector":
        if self.base in ("removed", "quarantined"):
            raise UsageError(f"~{self!r}: {self.base} records have no complement; all that are there are `records`")
        return Selector(Combined("~", _goes_on(self, "~")))

    def __repr__(self) -> str:
        base = (
            _bracketed(Selector(self.base))
            if self.steps
            else repr(self.base)
            if isinstance(self.base, (Combined, Mixed))
            else self.base
        )
        return base + "".join(repr(step) for step in self.steps)


@dataclass(frozen=True, repr=False)
class Mixture(Value, tag="mixture"):
    """Selectors with a share each, of which `first(k)` takes k records.

    >>> from tilth.selectors import unlabeled
    >>> from tilth.signals import margin
    >>> (0.8 * unlabeled.top(500, by=margin()) | 0.2 * unlabeled.sample(500)).first(100)
    (0.8 * unlabeled.top(500, by=margin()) | 0.2 * unlabeled.sample(500)).first(100)

    Only the ratio of shares counts. Records come one by one: the next is that of the part for which (taken + 1/2) /
    share is lowest, the first of equals, so any beginning has the shares to less than a record where two are mixed, and
    whole shares of k are met exactly (Webster 1832, Sainte-Lague 1910). A part gives its records in its order and skips
    one that was taken already; when it has no more, the others fill up. No part is asked for more than it chooses: give
    each at least k. UsageError for a share that is not above 0.

    Use it to keep some chance in a batch, or to serve two aims in known shares. Do not use it for records of both:
    that is `a & b`.
    """

    parts: tuple[tuple[float, "Selector"], ...]

    def first(self, k: int) -> "Selector":
        """Return the selector that takes k records by these shares."""
        return Selector(Mixed(self, count("first(k)", k)))

    def __or__(self, other: Any) -> "Mixture":
        if not isinstance(other, Mixture):
            raise NotData(f"a mixture needs a share for every part, such as {self!r} | 0.5 * b; got {other!r}")
        return Mixture((*self.parts, *other.parts))

    def __repr__(self) -> str:
        return " | ".join(f"{share!r} * {_bracketed(part)}" for share, part in self.parts)


@dataclass(frozen=True, repr=False)
class Mixed(Value, tag="mixed"):
    """The first k records of a mixture."""

    mixture: Mixture
    k: int

    def pick(self, state: State) -> Picked:
        """Return records of the parts in turns, as their shares have it."""
        parts = [part.pick(state) for _, part in self.mixture.parts]
        orders = [part.ordered(state).tolist() for part in parts]
        place, taken = [0] * len(parts), [0] * len(parts)
        seen: set[int] = set()
        ids: list[int] = []
        left = list(range(len(parts)))
        while left and len(ids) < self.k:
            i = min(left, key=lambda j: (taken[j] + 0.5) / self.mixture.parts[j][0])
            while place[i] < len(orders[i]) and orders[i][place[i]] in seen:
                place[i] += 1
            if place[i] == len(orders[i]):
                left.remove(i)
                continue
            seen.add(orders[i][place[i]])
            ids.append(orders[i][place[i]])
            taken[i] += 1
        said = ", ".join(f"{n:,} of {part.what}" for n, part in zip(taken, parts, strict=True))
        reason = f"{self!r} ({said})" if ids else nothing(repr(self))
        return Picked(
            None, np.array(ids, np.int64), repr(self), reason, passed_over=sum(part.passed_over for part in parts)
        )

    def __repr__(self) -> str:
        return f"({self.mixture!r}).first({self.k})"


def _start(base: str, state: State) -> Picked:
    view = state.view
    match base:
        case "records":
            mask = view.train
        case "unlabeled":
            mask = view.pool
        case "labeled":
            mask = view.train & view.labeled
        case "answered":
            mask = view.train & (view.asked == ANSWERED)
        case "removed" | "quarantined":
            mask = view.known & ~view.alive & (view.split == SPLITS.index("train"))
            mask &= view.quarantined if base == "quarantined" else ~view.quarantined
        case _:
            raise UsageError(f"no selector {base!r}. {did_you_mean(base, BASES)}")
    return Picked.all_of(mask, base)


def _goes_on(selector: Selector, what: str) -> Selector:
    """Return a selector that something may follow; after people have picked, nothing is left to choose."""
    if selector.picker is not None:
        raise UsageError(
            f"{selector!r} ends with picked_by, behind which nothing can stand; write {what} before it, or a rule of "
            "its own"
        )
    return selector


def _bracketed(selector: Selector) -> str:
    return f"({selector!r})" if isinstance(selector.base, Combined) and not selector.steps else repr(selector)


def _selector(other: Any) -> Selector:
    if isinstance(other, Selector):
        return _goes_on(other, "& and |")
    if isinstance(other, Mixture):
        raise NotData(
            f"{other!r} has a share and the selector beside it has none: give both one (0.5 * a | 0.5 * b), or take "
            "so many of the mixture by .first(k)"
        )
    hint = "; put the condition into where(...)" if isinstance(other, Condition) else ""
    raise NotData(f"selectors go together with selectors; got {other!r} ({type(other).__name__}){hint}")
