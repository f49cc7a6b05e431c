"""Records on their way through a selector, and what comes out of it: `Chosen`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tilth.dataset.splits import draw
from tilth.protocols import Want
from tilth.state import State

__all__ = ["Above", "Best", "Chosen", "Picked", "highest", "shuffled"]

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Above = Callable[[float], tuple[Ids, Floats]]

_ROOM = 256
"""Candidates beyond k, or a quarter of k, before the bar is raised: to look through so few costs little of a part."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """The records that a selector chose, most wanted first, and why.

    `ids`: int64[k]; `score`: float64[k], the value of `signal` (its text) for each, or None where no signal ranked
    them; `reason`: one text for all of them; `passed_over`: how many were left out because what was asked of them is
    not known (NaN). Where records are wanted that do not exist yet, `wants` says which, and `ids` are the examples of
    the first want, then of the next; `of` int64[k]: which want each is an example of.
    """

    ids: Ids
    score: npt.NDArray[np.float64] | None
    signal: str | None
    reason: str
    passed_over: int = 0
    wants: tuple[Want, ...] = ()
    of: Ids | None = None

    def examples(self, want: int) -> Ids:
        """Return the examples of one of the wants, best first."""
        return self.ids if self.of is None else self.ids[self.of == want]

    @staticmethod
    def none(reason: str) -> "Chosen":
        """Return no records, and why."""
        return Chosen(np.empty(0, np.int64), None, None, reason)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        over = f", {self.passed_over:,} passed over" if self.passed_over else ""
        return f"Chosen({len(self):,} records: {self.reason}{over})"


class Best(NamedTuple):
    """The highest: `ids` int64[k], `score` float64[k], and of how many among the picked the score is `unknown`."""

    ids: Ids
    score: npt.NDArray[np.float64]
    unknown: int


@dataclass(frozen=True, eq=False)
class Picked:
    """Records chosen so far: a set (`mask`, bool[n]) until a step puts them in an order (`ids`), with their scores."""

    mask: Flags | None
    ids: Ids | None
    what: str
    reason: str
    score: npt.NDArray[np.float64] | None = None
    signal: str | None = None
    passed_over: int = 0

    @staticmethod
    def all_of(mask: Flags, what: str) -> "Picked":
        """Start with a set of records."""
        n = int(np.count_nonzero(mask))
        return Picked(mask, None, what, f"all {n:,} {what}" if n else nothing(what))

    def __len__(self) -> int:
        return len(self.ids) if self.ids is not None else int(np.count_nonzero(np.asarray(self.mask)))

    def counted(self) -> str:
        """Return how many of what these are, for a reason; what is in an order was counted when it was put there."""
        return f"{len(self):,} {self.what}" if self.mask is not None else f"the {self.what}"

    def members(self) -> Ids:
        """Return the ids, in their order, or ascending where they have none: only for what does not depend on it."""
        return self.ids if self.ids is not None else np.flatnonzero(np.asarray(self.mask))

    def ordered(self, state: State) -> Ids:
        """Return the ids in their order, or in one drawn from their keys."""
        return self.ids if self.ids is not None else shuffled(self.members(), state)

    def flags(self, state: State) -> Flags:
        """Return bool[n]: which records these are."""
        if self.mask is not None:
            return self.mask
        found = np.zeros(len(state), bool)
        found[self.members()] = True
        return found

    def only(self, keep: Flags, what: str, reason: str, passed_over: int = 0) -> "Picked":
        """Keep those for which bool[n] `keep` holds; order and scores stay."""
        about = {"what": what, "reason": reason, "passed_over": self.passed_over + passed_over}
        if self.ids is None:
            return replace(self, mask=np.asarray(self.mask) & keep, **about)
        hit = keep[self.ids]
        return replace(self, ids=self.ids[hit], score=None if self.score is None else self.score[hit], **about)

    def chosen(self, state: State) -> Chosen:
        """Return it as the answer of a selector."""
        return Chosen(self.ordered(state), self.score, self.signal, self.reason, self.passed_over)


def nothing(what: str) -> str:
    """Return the reason of an empty choice."""
    return f"nothing to choose from: {what} is empty"


def short(found: int, k: int) -> str:
    """Return the end of a reason where fewer than k were found."""
    return f", of which there are {found:,}" if found < k else ""


def ties(ids: Ids, state: State) -> npt.NDArray[np.uint64]:
    """Return what decides between equals: 64 bits of each record's key, never its id, which shifts after a crash."""
    return draw(state.dataset.key_hash[ids], "ties")


def shuffled(ids: Ids, state: State) -> Ids:
    """Return ids in the order that ties are decided by."""
    return ids[np.argsort(ties(ids, state))]


def highest(parts: Iterable[tuple[slice, Above]], picked: Picked, k: int, state: State) -> Best:
    """Return the k highest scores among the picked, highest first, ties by key; NaN is never among them.

    `parts`: slices of records, in order, and what returns (places in the slice, scores) of all that are a bar or more
    and of all that are not known. One pass: the k-th best so far is the bar for what comes, so of n records in any
    order about k log(n / k) are looked at twice, and what is kept never grows beyond k and a part.
    """
    flags = picked.flags(state)
    best, score, bar, unknown = np.empty(0, np.int64), np.empty(0), -np.inf, 0
    for part, above in parts:
        at, found = above(bar)
        among = flags[part][at]
        nan = np.isnan(found)
        if nan.any():
            unknown += int(np.count_nonzero(nan & among))
            among &= ~nan
        if not among.any():
            continue
        best = np.concatenate([best, at[among] + part.start])
        score = np.concatenate([score, found[among].astype(np.float64)])
        if len(best) > k + max(k // 4, _ROOM):
            best, score = _best(best, score, k, state)
            bar = score.min()
    best, score = _best(best, score, k, state)
    order = np.lexsort((ties(best, state), -score))
    return Best(best[order], score[order], unknown)


def _best(ids: Ids, score: npt.NDArray[np.float64], k: int, state: State) -> tuple[Ids, npt.NDArray[np.float64]]:
    """Return the k highest, ties by key, in no order."""
    if len(ids) <= k:
        return ids, score
    bar = np.partition(score, len(ids) - k)[len(ids) - k]
    above, equal = np.flatnonzero(score > bar), np.flatnonzero(score == bar)
    if len(above) + len(equal) > k:
        equal = equal[np.argsort(ties(ids[equal], state), kind="stable")[: k - len(above)]]
    kept = np.concatenate([above, equal])
    return ids[kept], score[kept]
