"""Steps that cluster or cover first: cluster-margin, typical clustering, probability coverage."""

from dataclasses import dataclass, field

import numpy as np

from tilth.algebra import Quantity
from tilth.dataset.splits import uniform
from tilth.selectors.batches import ByVectors, made, trials, written
from tilth.selectors.clusters import average_linkage, in_turns
from tilth.selectors.cover import greedy_cover, nearest_other
from tilth.selectors.picked import Picked, highest
from tilth.selectors.steps import valued
from tilth.selectors.typical import typical_first
from tilth.selectors.vectors import labelled, none_left, spread_out
from tilth.signals import margin
from tilth.signals.clusters import kmeans
from tilth.state import State

__all__ = ["ClusterMargin", "Covering", "Typical"]

CANDIDATES = 3
"""Candidates a record wanted, where none are said: of ten there is always an outlier that is a cluster of its own."""
CLUSTERS = 500
"""Clusters at most for the typical: more would hold too few records to tell which of them is typical."""
PURE = 0.95
"""The share of balls that are to hold one cluster only."""
ASKED = 2048
"""Records at which the purity of balls is measured; the share is then known to half a per cent."""


@dataclass(frozen=True, repr=False)
class ClusterMargin(ByVectors, tag="cluster_margin"):
    """The k least sure of many unsure ones, from as many clusters as there are."""

    k: int
    within: int | None = None
    clusters: int | None = None
    unsure: Quantity = field(default_factory=margin)

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep k in turns, the smallest cluster first."""
        within = self.within or CANDIDATES * self.k
        ids, value, over = highest(valued(self.unsure, state), picked, within, state)
        unsure = Picked(None, ids, picked.what, "", value, repr(self.unsure), picked.passed_over + over)
        pool = spread_out(unsure, state, self.by, "cluster_margin")
        about = (
            f"{self.k:,} from clusters by {self.by} of the {within:,} highest by {self.unsure!r} of {picked.counted()}"
        )
        if pool.empty:
            return none_left(unsure, pool, about)
        cluster = average_linkage(pool.rows, self.clusters or self.k)
        at = in_turns(cluster, np.bincount(cluster), np.arange(len(cluster)))[: self.k]
        return made(unsure, pool, at, about, self.k, at, repr(self.unsure))

    def __repr__(self) -> str:
        return written("cluster_margin", self.k, within=self.within, clusters=self.clusters, by=self.said)


@dataclass(frozen=True, repr=False)
class Typical(ByVectors, tag="typical"):
    """The most typical records of clusters in which the fewest are labelled."""

    k: int

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep k in turns: clusters of the fewest labelled first, of these the largest."""
        pool = spread_out(picked, state, self.by, "typical")
        about = f"{self.k:,} typical of clusters by {self.by} of {picked.counted()}"
        if pool.empty:
            return none_left(picked, pool, about)
        ids, rows = labelled(state, self.by, "typical")
        new = ~np.isin(ids, pool.ids)  # the picked may be labelled themselves
        rows = np.concatenate([pool.rows, rows[new]])
        known = np.concatenate([np.isin(pool.ids, ids), np.ones(int(new.sum()), bool)])
        number = min(int(known.sum()) + self.k, CLUSTERS, len(rows))
        cluster, _ = kmeans(rows, trials(number, "typical", text, state))
        at, score = typical_first(rows, cluster, known, len(pool.ids))
        at = at[: self.k]
        return made(picked, pool, at, about, self.k, score[at], f"typicality by {self.by}")

    def __repr__(self) -> str:
        return written("typical", self.k, by=self.said)


@dataclass(frozen=True, repr=False)
class Covering(ByVectors, tag="covering"):
    """The k records that have the most uncovered ones within a radius."""

    k: int
    radius: float | None = None

    def apply(self, picked: Picked, state: State, text: str) -> Picked:
        """Keep k, each of the most that is left to cover."""
        pool = spread_out(picked, state, self.by, "covering")
        about = f"{self.k:,} that cover most by {self.by} of {picked.counted()}"
        if pool.empty:
            return none_left(picked, pool, about)
        _, rows = labelled(state, self.by, "covering")
        radius = self.radius if self.radius is not None else self._pure(pool.rows, state, text)
        about += f" within {radius:.4g}"
        at, covered = greedy_cover(pool.rows, rows, min(self.k, len(pool.ids)), radius)
        return made(picked, pool, at, about, self.k, covered, f"newly covered by {self.by}")

    def _pure(self, rows: np.ndarray, state: State, text: str) -> float:
        """Return the largest radius at which 95 % of the balls hold records of one cluster only."""
        number = min(max(len(state.classes), 2), len(rows))
        cluster, _ = kmeans(rows, trials(number, "covering", text, state))
        some = np.argsort(uniform(np.arange(len(rows), dtype=np.uint64), "covering", text), kind="stable")[:ASKED]
        far = np.sort(nearest_other(rows, cluster, some))
        bar = float(far[int((1 - PURE) * len(far))])
        # just below: at the distance itself the ball would reach the other cluster
        return float(np.nextafter(np.float32(bar), np.float32(0))) if np.isfinite(bar) else 1.0  # all are equal

    def __repr__(self) -> str:
        return written("covering", self.k, radius=self.radius, by=self.said)
