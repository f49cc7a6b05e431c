"""Signals that read the data alone: they need no model."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.algebra import signal
from tilth.dataset.splits import uniform
from tilth.errors import UsageError
from tilth.state import State

__all__ = ["age", "column", "random", "weight"]

Floats = npt.NDArray[np.float64]

ALL = ("class", "classes", "number")


@signal(tasks=ALL)
def age(state: State) -> Floats:
    """How long a record has been in the dataset, in versions.

    >>> age() >= 20
    age() >= 20

    float64[n], 0 = it came with this version. NaN for what is no record.
    Cost: one look at each version's commit. Use it to let records rest before they are looked at again, or to drop old
    ones from a stream. Do not use it as a measure of time where versions come at no steady pace: put the date into a
    column.
    """
    out = np.full(len(state), np.nan)
    for commit in state.dataset.log():
        out[commit.payload_start : commit.payload_start + commit.n_added] = state.view.version - commit.version
    out[~state.view.known] = np.nan
    return out


@signal(tasks=ALL, pointwise=True)
def weight(state: State) -> npt.NDArray[np.float32]:
    """How much a record counts in training.

    >>> weight() < 1
    weight() < 1

    float32[n] of 0 or more; 1 unless somebody changed it.
    Cost: none, it is in memory. Use it to find what a rule before has weighed down or up. Do not use it as a measure of
    worth: it says what was decided, not whether that was right.
    """
    return np.asarray(state.view.weight)


@signal(tasks=ALL)
def column(state: State, name: str) -> Floats:
    """The value of a numeric column of the user's own.

    >>> column("price") > 100
    column("price") > 100

    float64[n], in the column's unit; NaN where it is missing and for what is no living record. NotFound for a column
    that there is not, UsageError for one that holds no numbers.
    Cost: reads the column once a state. Use it to rank or compare by what you know better than any model (price, date,
    a score of your own). Do not use it for what must be equal: that is where(name=...).
    """
    kind = state.dataset.schema.column(name).kind
    if kind not in ("number", "integer"):
        raise UsageError(
            f"column({name!r}) holds {kind}; a signal is a number per record. For text use where({name}=...)"
        )
    out = np.full(len(state), np.nan)
    for rows in state.dataset.stream(columns=[name]):
        out[rows["record_id"].to_numpy()] = rows[name].cast(pa.float64()).to_numpy()
    return out


@signal(tasks=ALL)
def random(state: State) -> Floats:
    """A number drawn for each record from its key, the run's seed and the round: the baseline of every comparison.

    >>> random()
    random()

    float64[n], uniform in [0, 1). A new draw in each round, the same one when a round is run again.
    Cost: a hash of each key. Use it as the arm that every other selection has to beat, and as a part of a mixture. Do
    not use it to draw records, for which sample(k) is shorter.
    """
    return uniform(state.dataset.key_hash, "random", state.seed, state.round)
