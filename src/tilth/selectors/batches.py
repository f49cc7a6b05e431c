"""Steps that choose records for what they are worth together: far apart, drawn by gradient, one a cluster, no twins."""

from abc import ABC
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from tilth.algebra import show
from tilth.dataset.splits import uniform
from tilth.errors import UsageError
from tilth.selectors.clusters import in_turns
from tilth.selectors.cover import apart
from tilth.selectors.gradients import gradient_seeds
from tilth.selectors.kept import nearest_known
from tilth.selectors.picked import Picked, short
from tilth.selectors.spread import farthest
from tilth.selectors.steps import Step
from tilth.selectors.vectors import Spread, labelled, none_left, spread_out, wants
from tilth.signals import clusters
from tilth.signals.clusters import kmeans
from tilth.state import State

__all__ = ["Badge", "ByVectors", "Centers", "Distinct", "Diverse", "draws", "made", "trials", "written"]

Ids = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def draws(k: int, what: str, text: str, state: State) -> Doubles:
    """Return k numbers in [0, 1) that belong to a selector's text, the run's seed and the round."""
    return uniform(np.arange(k, dtype=np.uint64), what, text, state.seed, state.round)


def trials(k: int, what: str, text: str, state: State) -> Doubles:
    """Return the draws of k-means for k clusters."""
    each = clusters.trials(k)
    return draws(k * each, what, text, state).reshape(k, each)


def written(verb: str, k: int, **options: Any) -> str:
    """Return a step as it was written; options that are None were not."""
    said = [str(k), *(f"{name}={show(value)}" for name, value in options.items() if value is not None)]
    return f".{verb}({', '.join(said)})"


def made(picked: Picked, pool: Spread, at: Ids, about: str, k: int, score: Any, signal: str) -> Picked:
    """Return the chosen positions with the scores that they had, or else with these."""
    before = pool.score(picked, at)
    over = picked.passed_over + pool.passed_over
    if before is not None:
        score, signal = before, picked.signal or signal
    return Picked(None, pool.ids[at], about, about + short(len(at), k), np.asarray(score, np.float64), signal, over)


@dataclass(frozen=True, repr=False)
class ByVectors(Step, ABC):
    """A step that goes `by` vectors: the model's embeddings, or a column."""

    by: str = field(default="embeddings", kw_only=True)

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state."""
        return super().needs | wants(self.by)

    @property
    def said(self) -> str | None:
        """Which vectors, where that was said."""
        return None if self.by == "embeddings" else self.by


@dataclass(frozen=True, repr=False)
class Diverse(ByVectors, tag="diverse"):
    """k records far apart, and far from what is labelled, in the model's embeddings or in a vector column."""

    k: int
    within: int | None = None

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep k by farthest-first traversal."""
        pool = spread_out(picked, state, self.by, "diverse", self.within)
        first = f"the first {self.within:,} of " if self.within is not None else ""
        about = f"{self.k:,} that differ most by {self.by} of {first}{picked.counted()}"
        if pool.empty:
            return none_left(picked, pool, about)
        ids, rows = labelled(state, self.by, "diverse")
        hashes = state.dataset.key_hash
        near = nearest_known(
            state.dataset.path,
            f"{self.by} of {first}{picked.what}",
            (pool.rows, hashes[pool.ids]),
            (rows, hashes[ids]),
        )
        k = min(self.k, len(pool.ids))
        at, distance = farthest(pool.rows, rows, k, first=0, nearest=near)
        score = np.where(np.isinf(distance), np.nan, distance)  # the first of all is far from nothing
        return made(picked, pool, at, about, self.k, score, f"distance by {self.by}")

    def __repr__(self) -> str:
        return written("diverse", self.k, within=self.within, by=self.said)


@dataclass(frozen=True, repr=False)
class Badge(Step, tag="badge"):
    """k records drawn by k-means++ among the gradients that their predicted labels would give."""

    k: int
    tasks: ClassVar[frozenset[str]] = frozenset({"class", "classes"})

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state."""
        return frozenset({"probabilities", "embeddings"})

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep k by draws."""
        kind = state.dataset.schema.label.kind
        if kind not in self.tasks:
            raise UsageError(f"badge({self.k}) needs classes that a model is more or less sure of; labels are {kind}s")
        pool = spread_out(picked, state, "embeddings", "badge")
        about = f"{self.k:,} of {picked.counted()} by their gradients"
        p = state.probabilities[:, pool.ids]
        pool = _only(pool, np.asarray(np.isfinite(p).all(axis=0)), picked, "probabilities")
        if pool.empty:
            return none_left(picked, pool, about)
        chance = draws(min(self.k, len(pool.ids)) - 1, "badge", text, state)
        p = state.probabilities[:, pool.ids]
        at, length = gradient_seeds(p, pool.rows, chance, several=kind == "classes")
        return made(picked, pool, at, about, self.k, length, "gradient length")

    def __repr__(self) -> str:
        return written("badge", self.k)


@dataclass(frozen=True, repr=False)
class Centers(ByVectors, tag="centers"):
    """The record nearest to the centre of each of k clusters."""

    k: int

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep one a cluster, that of the largest first; more of one cluster where others are empty."""
        pool = spread_out(picked, state, self.by, "centers")
        about = f"{self.k:,} nearest to the centres of clusters by {self.by} of {picked.counted()}"
        if pool.empty:
            return none_left(picked, pool, about)
        cluster, distance = kmeans(pool.rows, trials(min(self.k, len(pool.ids)), "centers", text, state))
        size = np.bincount(cluster)
        at = in_turns(cluster, -size, np.argsort(distance, kind="stable"))[: self.k]
        return made(picked, pool, at, about, self.k, size[cluster[at]], f"cluster size by {self.by}")

    def __repr__(self) -> str:
        return written("centers", self.k, by=self.said)


@dataclass(frozen=True, repr=False)
class Distinct(ByVectors, tag="distinct"):
    """Those that are not near one that stands before them."""

    threshold: float = 0.95

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Drop what is near one that stays, in order."""
        pool = spread_out(picked, state, self.by, "distinct")
        pool = _only(pool, np.asarray(pool.rows.any(axis=1)), picked, f"{self.by} with a direction")
        about = f"{picked.what} without near duplicates by {self.by}"
        if pool.empty:
            return none_left(picked, pool, about)
        at = np.flatnonzero(apart(pool.rows, self.threshold))
        score = pool.score(picked, at)
        reason = f"{about} ({len(at):,} of {len(picked):,})"
        over = picked.passed_over + pool.passed_over
        return Picked(None, pool.ids[at], about, reason, score, picked.signal if score is not None else None, over)

    def __repr__(self) -> str:
        said: Iterable[str] = (
            *((f"threshold={show(self.threshold)}",) if self.threshold != 0.95 else ()),
            *((f"by={show(self.said)}",) if self.said else ()),
        )
        return f".distinct({', '.join(said)})"


def _only(pool: Spread, good: npt.NDArray[np.bool_], picked: Picked, what: str) -> Spread:
    """Leave out of a pool those that lack something more."""
    if good.all():
        return pool
    empty = "" if good.any() else f"nothing to choose from: none of {picked.counted()} has {what}"
    lost = int(np.count_nonzero(~good))
    return Spread(pool.at[good], pool.ids[good], pool.rows[good], pool.passed_over + lost, empty)
