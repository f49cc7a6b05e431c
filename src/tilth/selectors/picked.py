"""Records on their way through a selector, and what comes out of it: `Chosen`."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tilth.dataset.splits import draw
from tilth.state import State

__all__ = ["Chosen", "Picked", "highest", "shuffled"]

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]

SAMPLE = 16_384
"""Records looked at to guess a bar that a little more than k records pass; a bad guess costs time, not exactness."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """The records that a selector chose, most wanted first, and why.

    `ids`: int64[k]; `score`: float64[k], the value of `signal` (its text) for each, or None where no signal ranked
    them; `reason`: one text for all of them; `passed_over`: how many were left out because what was asked of them is
    not known (NaN).
    """

    ids: Ids
    score: npt.NDArray[np.float64] | None
    signal: str | None
    reason: str
    passed_over: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        over = f", {self.passed_over:,} passed over" if self.passed_over else ""
        return f"Chosen({len(self):,} records: {self.reason}{over})"


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


def ties(ids: Ids, state: State) -> npt.NDArray[np.uint64]:
    """Return what decides between equals: 64 bits of each record's key, never its id, which shifts after a crash."""
    return draw(state.dataset.key_hash[ids], "ties")


def shuffled(ids: Ids, state: State) -> Ids:
    """Return ids in the order that ties are decided by."""
    return ids[np.argsort(ties(ids, state))]


def highest(score: Floats, picked: Picked, k: int, state: State) -> Ids:
    """Return the ids of the k highest scores among the picked, highest first, ties by key; NaN is never among them."""
    if picked.ids is not None:
        hits = picked.ids[~np.isnan(score[picked.ids])]
    else:
        hits = _passing(score, np.asarray(picked.mask), k)
    found = score[hits]
    if len(hits) > k:
        bar = np.partition(found, len(hits) - k)[len(hits) - k]
        above, equal = hits[found > bar], hits[found == bar]
        hits = np.concatenate([above, shuffled(equal, state)[: k - len(above)]])
        found = score[hits]
    return hits[np.lexsort((ties(hits, state), -found))]


def _passing(score: Floats, mask: Flags, k: int) -> Ids:
    """Return at least the k highest of the masked records (all, where there are fewer): those above a guessed bar."""
    step = max(1, len(score) // SAMPLE)
    some = score[::step][mask[::step]]
    some = some[~np.isnan(some)]
    n = int(np.count_nonzero(mask))
    share = len(some) * k / max(n, 1)
    rank = int(share + 4 * np.sqrt(share) + 8)
    if rank < len(some) // 2:
        bar = np.partition(some, len(some) - rank)[len(some) - rank]
        hits = np.flatnonzero((score >= bar) & mask)
        if len(hits) >= k:
            return hits
    return np.flatnonzero(mask & ~np.isnan(score))
