"""What a labelled record is worth to the others: does it help to tell their labels, or does it mislead?

All three ask nearest neighbours among the labelled training records themselves. Held-out labels are not read: a record
chosen for what it does on `valid` would make the gate that judges the choice there believe it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilth.algebra import Signal, signal
from tilth.dataset.splits import draw
from tilth.signals.graph import METRICS, embedded, graph, in_key_order
from tilth.signals.making import count, one_of, refined
from tilth.signals.valuing import bagged_votes, leave_one_out_values, shapley_values, unrelated
from tilth.state import State

__all__ = ["data_oob", "leave_one_out", "shapley"]

Ids = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def _judged(made: Signal) -> Signal:
    count(f"{made.name}(k=...)", made.args.get("k", 1))
    count(f"{made.name}(reference=...)", made.args.get("reference", 1))
    one_of(f"{made.name}(metric=...)", made.args.get("metric", "cosine"), tuple(METRICS))
    return made


@refined(_judged)
@signal(needs={"embeddings"})
def shapley(state: State, *, k: int = 5, reference: int = 1000, metric: str = "cosine") -> Doubles:
    """What a record's label adds to the nearest-neighbour vote on other training records: below 0 it misleads.

    >>> shapley() < 0
    shapley() < 0

    float64[n], exact Shapley values: each record's gain in right votes of the k nearest (by `metric`, of the
    embeddings), averaged over all orders in which records could have come. Small numbers: together they are the share
    of right votes. Asked about are `reference` labelled training records drawn by key and seed (all where there are no
    more); none votes on itself or on what derives from the same source. NaN for all but living labelled training
    records of a weight above 0 with an embedding. Jia et al. 2019, Efficient Task-Specific Data Valuation for Nearest
    Neighbor Algorithms. Cost: a sort of the l labelled records for each reference, 0.6 s for 50,000 and 500. Use it to
    find labels that harm and records to drop first. Do not use it to choose what to keep among near copies, which share
    one value, or where the reference labels themselves are mostly wrong.
    """
    known = _labelled(state, metric)
    out = np.full(len(state), np.nan)
    if len(known.ids) > 1:
        chance = draw(state.dataset.key_hash[known.ids], "shapley", state.seed)
        asked = np.sort(np.argsort(chance, kind="stable")[:reference])
        out[known.ids] = shapley_values(
            known.rows,
            known.label,
            known.rows[asked],
            known.label[asked],
            k,
            family=known.family,
            reference_family=known.family[asked],
        )
    return out


@refined(_judged)
@signal(needs={"embeddings"})
def leave_one_out(state: State, *, k: int = 5, metric: str = "cosine") -> Doubles:
    """What the nearest-neighbour vote on all other labelled training records loses without a record.

    >>> leave_one_out() < 0
    leave_one_out() < 0

    float64[n]: the change in the share of right votes of the k nearest, mean over all labelled training records that do
    not derive from the same source; 0 for a record that is among the k nearest of none, below 0 where the next in line
    would do better. NaN as in `shapley`. Cook 1977, Detection of Influential Observation in Linear Regression (there
    for least squares; the vote is that of Jia et al. 2019). Cost: the neighbour graph of the l labelled records, l x l
    x d multiplications, once a model. Use it to see which labels act on others right now. Do not use it to rank all
    records: most are worth exactly 0, and a copy hides what the other is worth; `shapley` shares it out.
    """
    known = _labelled(state, metric)
    out = np.full(len(state), np.nan)
    if len(known.ids) > 1:
        near = unrelated(known.neighbours(k + 1), known.family)
        out[known.ids] = leave_one_out_values(near, known.label, k, family=known.family)
    return out


@refined(_judged)
@signal(needs={"embeddings"})
def data_oob(state: State, *, k: int = 1, metric: str = "cosine") -> Doubles:
    """How often bagged neighbours that have not seen a record give it its label: low is suspicious.

    >>> data_oob() < 0.2
    data_oob() < 0.2

    float64[n] in [0, 1]: the out-of-bag value of a record where the weak learners are votes of the k nearest (by
    `metric`, of the embeddings), each in a bag drawn with replacement from the labelled training records; the expected
    share of right votes over all bags without the record and what derives from the same source. That limit has a closed
    form, so nothing is drawn and no number of bags has to be chosen. NaN as in `shapley`, and where nothing else could
    vote. Kwon and Zou 2023, Data-OOB: Out-of-bag Estimate as a Simple and Efficient Data Value (there mostly with
    trees). Cost: the neighbour graph of the l labelled records, l x l x d multiplications, once a model. Use it to find
    wrong labels where no out-of-fold probabilities are at hand. Do not use it as a measure of how useful a right label
    is: a record in the middle of its class has 1 whether it is needed or not.
    """
    known = _labelled(state, metric)
    out = np.full(len(state), np.nan)
    for size in np.unique(known.relatives):  # itself among them
        voters = len(known.ids) - int(size)
        some = np.flatnonzero(known.relatives == size)
        if voters > 0:
            share = bagged_votes(k, voters, len(known.ids))
            near = unrelated(known.neighbours(len(share)), known.family)[some, : len(share)]
            right = (known.label[near] == known.label[some, None]) & (near >= 0)
            out[known.ids[some]] = right @ share[: near.shape[1]]
    return out


@dataclass(frozen=True)
class _Labelled:
    """The living labelled training records that teach, by key hash: ids, rows, codes, the source each derives from."""

    state: State
    metric: str
    ids: Ids
    rows: npt.NDArray[np.float32]
    label: Ids
    family: Ids

    @property
    def relatives(self) -> Ids:
        """int64[n]: how many derive from the same source, the record itself among them."""
        _, family, size = np.unique(self.family, return_inverse=True, return_counts=True)
        return size[family]

    def neighbours(self, k: int) -> npt.NDArray[np.int32]:
        """Return enough of the nearest of each that k are left without relatives, where there are k."""
        mask = np.zeros(len(self.state), bool)
        mask[self.ids] = True
        return graph(self.state, mask, k + int(self.relatives.max(initial=1)) - 1, metric=self.metric).row


def _labelled(state: State, metric: str) -> _Labelled:
    view, parent = state.view, state.dataset.parent
    ids, rows = embedded(state, in_key_order(state, view.train & view.labeled & (view.weight > 0)), metric)
    family = ids.copy()
    while (further := parent[family] >= 0).any():
        family = np.where(further, parent[family], family)
    return _Labelled(state, metric, ids, rows, view.label[ids].astype(np.int64), family)
