"""`Interpolation`: new records between real ones and their neighbours (SMOTE)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.integrations.inputs import cells
from tilth.protocols import Want
from tilth.signals.making import count
from tilth.signals.nearest import nearest
from tilth.synthesis.space import Space

__all__ = ["Interpolation"]


@dataclass(frozen=True)
class Interpolation:
    """New records on the line from a real one to one of its k nearest of the same kind: SMOTE, and SMOTE-NC.

    >>> from tilth.protocols import Want
    >>> cats = pa.table({"age": [1.0, 2.0, 4.0], "coat": ["grey", "grey", "red"]})
    >>> Interpolation(k=1).generate(Want(3, "cat"), cats, 3, seed=0).to_pylist()[2]
    {'age': 3.918, 'coat': 'grey', 'parent': 2}

    Examples are taken in turn, the best first, so where there are more of them than records wanted, only the best are
    parents; neighbours are sought among all examples. Numbers and vectors lie anywhere between the two, whole numbers
    are rounded; a category (text with few different values) is the commonest of the k neighbours, of equals the
    parent's. Nothing is made of a single example. Where to make records is what `wanted` says, so there are no
    borderline or adaptive kinds: `like="errors"` begins with the examples that the model gets wrong. UsageError for
    columns of free text, images or sounds.

    Chawla, Bowyer, Hall and Kegelmeyer 2002, SMOTE: Synthetic Minority Over-sampling Technique.
    """

    k: int = 5

    def __post_init__(self) -> None:
        count("Interpolation(k=...)", self.k)

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it."""
        return {"generator": "tilth.synthesis.interpolation:Interpolation", **asdict(self)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Interpolation":
        """Rebuild it from `spec`."""
        return cls(k=spec["k"])

    def generate(self, want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
        """Return n new rows, none where there is only one example."""
        space = Space.of(exemplars, repr(self))
        m = exemplars.num_rows if exemplars.num_rows > 1 else 0
        chance = np.random.default_rng(seed)
        parent = np.arange(n if m else 0) % max(m, 1)
        near = nearest(space.points(exemplars), self.k)[0]
        mate = near[parent, chance.integers(max(near.shape[1], 1), size=len(parent))] if m else parent
        part = chance.random(len(parent))[:, None]
        a, b = (
            np.concatenate([x.values[y] for x in space.blocks] or [np.empty((len(y), 0))], axis=1)
            for y in (parent, mate)
        )
        # rounding must not lead outside
        new = np.clip(a + part * (b - a), np.minimum(a, b), np.maximum(a, b))
        rows = space.table(exemplars, parent, np.where(np.isnan(new), a, new))
        for name, distinct in space.categories if m else ():
            code = np.searchsorted(distinct, cells(exemplars, name, nothing=""))
            values = distinct[_commonest(code[near[parent]], code[parent], len(distinct))]
            column = pa.array(values.tolist(), exemplars.schema.field(name).type)
            rows = rows.set_column(rows.column_names.index(name), name, column)
        return rows


def _commonest(code: npt.NDArray[np.int64], own: npt.NDArray[np.int64], values: int) -> npt.NDArray[np.int64]:
    """Return the commonest code of each row of [n, k]; of equals `own`, else the first."""
    votes = np.zeros((len(code), values))
    np.add.at(votes, (np.arange(len(code))[:, None], code), 1.0)
    votes[np.arange(len(code)), own] += 0.5
    return votes.argmax(axis=1)
