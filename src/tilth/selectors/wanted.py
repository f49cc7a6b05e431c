"""`Wanted`: State -> which records should exist that do not yet: how many, of which class and slice; and examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from tilth.algebra import Value, show
from tilth.errors import UsageError, did_you_mean
from tilth.protocols import Want
from tilth.selectors.picked import Chosen, shuffled, ties
from tilth.selectors.selector import Selector
from tilth.signals.kernels import best
from tilth.signals.making import count, one_of
from tilth.signals.slices import find_slices, in_slice
from tilth.state import State

__all__ = ["Wanted", "wanted"]

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MOST = 10_000
"""Examples of one want: all of them are compared with each other when records are made from them."""
SHOWN = 3
"""Wants that are named in the reason; each new record says in its history which it was made for."""
SLICES = 5
"""Slices among which `per="slice"` shares, the worst ones."""


def wanted(
    n: "int | Mapping[str, int] | None" = None,
    *,
    label: str | None = None,
    within: str = "",
    per: "str | Sequence[str] | None" = None,
    share: str = "errors",
    up_to: int | None = None,
    like: "str | Selector | None" = None,
) -> "Wanted":
    """Say which records should exist that do not yet: how many, of which class, in which part of the data.

    >>> wanted(100, label="cat")
    wanted(100, label="cat")
    >>> wanted({"cat": 100, "dog": 50}, within="age < 1")
    wanted({"cat": 100, "dog": 50}, within="age < 1")
    >>> wanted(200, per="label")                           # where the model is wrong more often, more of them
    wanted(200, per="label")
    >>> wanted(label="cat", up_to=500), wanted(100, up_to=500)   # fill up; at most 100 a round, of all classes
    (wanted(label="cat", up_to=500), wanted(100, up_to=500))

    It stands where a selector does in a rule whose action brings new records: `synthesise(by=...)` makes them,
    `collect(by=team)` asks people for them. All other actions refuse it.

    `n`: how many each time, or how many of each class. `label`: of that class; `within`: in that slice (a text as for
    `in_slice`). `per`: share n over the classes (`"label"`), the worst slices of the model (`"slice"`, as `find_slices`
    finds them in the columns) or these slices (a list of texts); `share`: in proportion to the model's error rate there
    (`"errors"`: labelled training records, out of fold), to how far it is above that of all of these together
    (`"excess"`), or `"evenly"`. `up_to`: no more than make up so many living
    training records of each class (and slice), those made earlier counted; `n` is then the most at a time. `like`: the
    examples, best first: those that the model gets most wrong (`"errors"`, the default where n is shared by errors),
    what a selector chooses (`labeled.top(50, by=...)`), or any (drawn by key).

    Examples are labelled training records that were not made from others, at most 10,000 a want. UsageError where the
    words do not go together, or there is no such class; a count that no example is found for is told in the reason.
    """
    quotas = tuple((str(k), v) for k, v in n.items()) if isinstance(n, Mapping) else ()
    total = None if n is None or isinstance(n, Mapping) else n
    slices = per if per is None or isinstance(per, str) else tuple(per)
    return Wanted(total, quotas, label, within, slices, share, up_to, like)


@dataclass(frozen=True, repr=False)
class Wanted(Value, tag="wanted"):
    """See `wanted`."""

    n: int | None = None
    quotas: tuple[tuple[str, int], ...] = ()
    label: str | None = None
    within: str = ""
    per: str | tuple[str, ...] | None = None
    share: str = "errors"
    up_to: int | None = None
    like: str | Selector | None = None

    def __post_init__(self) -> None:
        for what, value in (("n", self.n), ("up_to", self.up_to)):
            if value is not None:
                count(f"wanted({what})", value)
        for name, value in self.quotas:
            count(f"wanted({{{name!r}: ...}})", value)
        if self.n is None and not self.quotas and self.up_to is None:
            raise UsageError('wanted() does not say how many: wanted(100, label="cat"), or wanted(up_to=500)')
        if self.quotas and (self.label is not None or self.per is not None or self.up_to is not None):
            raise UsageError(f"{self!r}: how many of each class is said already; leave label, per and up_to out")
        self._check_share()
        for text in (self.within, *(self.per if isinstance(self.per, tuple) else ())):
            if text or not isinstance(text, str):
                in_slice(text)
        good = self.like is None or isinstance(self.like, Selector) or self.like == "errors"
        if not good:
            raise UsageError(
                f'wanted(like={self.like!r}): "errors", or a selector such as labeled.top(50, by=entropy()), got '
                f"{type(self.like).__name__}"
            )

    def _check_share(self) -> None:
        one_of("wanted(share=...)", self.share, ("errors", "excess", "evenly"))
        if self.per is None:
            if self.share != "errors":
                raise UsageError(f'{self!r}: share= says how n is shared, over what is said by per="label" or "slice"')
            return
        if self.up_to is not None or self.n is None:
            raise UsageError(f"{self!r}: per= shares a number n, such as wanted(200, per=...); up_to fills each class")
        if isinstance(self.per, str) and self.per not in ("label", "slice"):
            raise UsageError(
                f"wanted(per={self.per!r}). {did_you_mean(self.per, ('label', 'slice'))} Slices of your own are a "
                f"list, such as per=[{show(self.per)}]"
            )
        if self.per == "label" and self.label is not None:
            raise UsageError(f'{self!r}: per="label" shares over all classes; leave label out')
        if self.per == ():
            raise UsageError(f"{self!r}: per=[] names no slice")

    @property
    def by_errors(self) -> bool:
        """Whether the model's errors decide how many of which."""
        return self.per is not None and self.share != "evenly"

    @property
    @override
    def needs(self) -> frozenset[str]:
        errors = self.by_errors or self.per == "slice" or self.like == "errors"
        texts = (self.within, *(self.per if isinstance(self.per, tuple) else ()))
        slices = frozenset[str]().union(*(in_slice(text).needs for text in texts if text))
        return super().needs | slices | (frozenset({"out_of_fold_probabilities"}) if errors else frozenset())

    def choose(self, state: State) -> Chosen:
        """Return what is wanted on a state, and the examples of it."""
        if state.dataset.schema.label.kind != "class" and self._reads_classes:
            raise UsageError(
                f"{self!r}: label, quotas, per and errors are about classes, and these labels are no class"
            )
        wants = [(want, mask) for want, mask in self._wants(state) if want.count]
        order = self._order(state)
        told = [self._examples(want, mask, order, state) for want, mask in wants]
        most = sorted((want for want, _ in wants), key=lambda want: -want.count)
        reason = f"{self!r}: " + (", ".join(_said(w) for w in most[:SHOWN]) or self._nothing(state))
        if len(wants) > SHOWN:
            reason += f", {sum(w.count for w in most[SHOWN:]):,} of {len(wants) - SHOWN} other kinds"
        return Chosen(
            np.concatenate([np.empty(0, np.int64), *told]),
            None,
            None,
            reason,
            wants=tuple(want for want, _ in wants),
            of=np.repeat(np.arange(len(wants)), [len(ids) for ids in told]),
        )

    @property
    def _reads_classes(self) -> bool:
        return bool(self.quotas) or self.label is not None or bool(self.needs) or self.up_to is not None

    def _wants(self, state: State) -> list[tuple[Want, Flags]]:
        """Return each want with the records that are like it."""
        view = state.view
        every = view.train & view.labeled & (view.weight > 0)
        if self.within:
            every &= in_slice(self.within).mask(state)
        if self.quotas or self.label is not None:
            for name in [name for name, _ in self.quotas] or [str(self.label)]:
                if name not in state.classes:
                    raise UsageError(f"{self!r}: no class {name!r}. {did_you_mean(name, state.classes)}")
        if self.quotas:
            return [(Want(k, name, self.within), self._of(state, every, name)) for name, k in self.quotas]
        if self.up_to is not None:
            return self._filling(state, every)
        if self.label is not None:
            every = self._of(state, every, self.label)
        if self.per is None:
            return [(Want(cast(int, self.n), self.label, self.within), every)]
        return self._shared(state, every)

    def _of(self, state: State, every: Flags, name: str) -> Flags:
        return every & (state.view.label == state.classes.index(name))

    def _filling(self, state: State, every: Flags) -> list[tuple[Want, Flags]]:
        names = state.classes if self.label is None else (self.label,)
        masks = [self._of(state, every, name) for name in names]
        there = [int(mask.sum()) for mask in masks]
        lacking = np.array([max(0, cast(int, self.up_to) - k) for k in there])
        if self.n is not None and lacking.sum() > self.n:
            lacking = _apportioned(self.n, lacking.astype(np.float64))
        return [
            (Want(int(k), name, self.within, f"there are {n:,} of {self.up_to:,}"), mask)
            for k, name, n, mask in zip(lacking, names, there, masks, strict=True)
        ]

    def _shared(self, state: State, every: Flags) -> list[tuple[Want, Flags]]:
        parts: list[tuple[str | None, str, Flags]] = []
        if self.per == "label":
            parts = [(name, self.within, self._of(state, every, name)) for name in state.classes]
            parts = [part for part in parts if part[2].any()]
        else:
            found = [one.text for one in find_slices(state, clusters=0, most=SLICES)] if self.per == "slice" else []
            for text in found if self.per == "slice" else cast("tuple[str, ...]", self.per):
                within = f"({self.within}) & ({text})" if self.within else text
                parts.append((self.label, within, every & in_slice(text).mask(state)))
        if not parts:
            return []
        shares, why = np.ones(len(parts)), [""] * len(parts)
        if self.by_errors:
            rates = [_error_rate(state, mask) for _, _, mask in parts]
            shares = np.array(rates)
            if self.share == "excess":
                shares = np.maximum(shares - _error_rate(state, np.logical_or.reduce([mask for *_, mask in parts])), 0)
            why = [f"the model is wrong in {rate:.1%}" for rate in rates]
        counts = _apportioned(cast(int, self.n), shares)
        return [
            (Want(int(k), name, within, reason), mask)
            for k, (name, within, mask), reason in zip(counts, parts, why, strict=True)
        ]

    def _nothing(self, state: State) -> str:
        if self.up_to is not None:
            return f"nothing: there are {self.up_to:,} of each"
        return "nothing: the model is wrong nowhere, out of fold" if state.outputs is not None else "nothing"

    def _order(self, state: State) -> Ids | None:
        """Return all records that may be examples, best first; None where any order will do."""
        if isinstance(self.like, Selector):
            return self.like.choose(state).ids
        if self.like is None and not self.by_errors:
            return None
        p, view = state.output("out_of_fold_probabilities"), state.view
        ids = np.flatnonzero(view.train & view.labeled)
        own = np.asarray(p)[view.label[ids], ids]
        return ids[np.lexsort((ties(ids, state), own))]  # NaN, of which nothing is known, comes last

    def _examples(self, want: Want, mask: Flags, order: Ids | None, state: State) -> Ids:
        own = mask & (state.dataset.parent < 0)
        ids = shuffled(np.flatnonzero(own), state) if order is None else order[own[order]]
        return ids[:MOST]

    def __repr__(self) -> str:
        said: list[str] = []
        if self.quotas:
            said.append("{" + ", ".join(f"{show(name)}: {k}" for name, k in self.quotas) + "}")
        elif self.n is not None:
            said.append(str(self.n))
        for name, value, default in (
            ("label", self.label, None),
            ("within", self.within, ""),
            ("per", list(self.per) if isinstance(self.per, tuple) else self.per, None),
            ("share", self.share, "errors"),
            ("up_to", self.up_to, None),
            ("like", self.like, None),
        ):
            if value != default:
                said.append(f"{name}={_written(value)}")
        return f"wanted({', '.join(said)})"


def _written(value: Any) -> str:
    return f"[{', '.join(show(v) for v in cast('list[Any]', value))}]" if isinstance(value, list) else show(value)


def _said(want: Want) -> str:
    return f"{want.text} ({want.reason})" if want.reason else want.text


def _error_rate(state: State, mask: Flags) -> float:
    """Return the share of records that the model, not having seen them, takes for another class; 0 where none is."""
    p = state.output("out_of_fold_probabilities")
    ids = np.flatnonzero(mask & ~np.isnan(np.asarray(p[0])))
    return float((best(p)[0][ids] != state.view.label[ids]).mean()) if len(ids) else 0.0


def _apportioned(n: int, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Share n out: whole numbers, the largest remainders rounded up, of equal ones the first (Hamilton 1792)."""
    if not shares.sum():
        return np.zeros(len(shares), np.int64)
    exact = n * shares / shares.sum()
    whole = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - whole), kind="stable")
    whole[order[: n - int(whole.sum())]] += 1
    return whole
