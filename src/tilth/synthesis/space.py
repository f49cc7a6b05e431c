"""Rows of a table as points: numbers each in its own spread, vectors as they are, categories as corners."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.errors import UsageError
from tilth.integrations.inputs import cells, column_kind

__all__ = ["Block", "Space", "closest"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

FEW = 10
"""Values of a text column that may be categories in however few rows."""
LONG = 64
"""Characters of a category at most."""
SPARE = 8
"""Candidates whose distance is taken again in float64."""
PART = 1024
"""Points compared with all others at once."""


@dataclass(frozen=True, eq=False)
class Block:
    """A column of numbers or a vector: `values` float64[m, d], `middle` and `spread` float64[d]; whether `whole`."""

    name: str
    values: Doubles
    middle: Doubles
    spread: Doubles
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Space:
    """How far rows are apart: Euclidean, a number in units of its standard deviation, another category counts 1.

    So in SMOTE-NC (Chawla et al. 2002, section 6.1), where another category counts as much as the median standard
    deviation. The components of a vector keep their proportions; together they count like as many numbers. What is
    missing (NaN) stands in the middle.
    """

    blocks: tuple[Block, ...]
    categories: tuple[tuple[str, npt.NDArray[Any]], ...]

    @staticmethod
    def of(rows: pa.Table, who: str) -> "Space":
        """Return the space that rows span; UsageError where a column holds neither numbers nor categories."""
        blocks: list[Block] = []
        categories: list[tuple[str, npt.NDArray[Any]]] = []
        for name in rows.column_names:
            kind = column_kind(rows, name)
            if kind == "text":
                values = cells(rows, name, nothing="")
                distinct = np.unique(values)
                if len(distinct) > max(FEW, len(values) // 2) or max(map(len, distinct), default=0) > LONG:
                    raise UsageError(f"{who}: column {name!r} is free text; {_CAN}")
                categories.append((name, distinct))
            elif kind == "bytes":
                raise UsageError(f"{who}: column {name!r} holds files; {_CAN}")
            else:
                blocks.append(_block(rows, name, vector=kind == "vector"))
        if not blocks and not categories:
            raise UsageError(f"{who}: there is no column to go by; {_CAN}")
        return Space(tuple(blocks), tuple(categories))

    def numbers(self, rows: pa.Table) -> Doubles:
        """Return the numbers of rows in this space, float64[n, d]: middle 0, spread 1; NaN becomes 0."""
        parts = [np.empty((rows.num_rows, 0))]
        for block in self.blocks:
            values = np.asarray(cells(rows, block.name), np.float64).reshape(rows.num_rows, -1)
            parts.append(np.nan_to_num((values - block.middle) / block.spread, nan=0.0))
        return np.concatenate(parts, axis=1)

    @property
    def middle(self) -> Doubles:
        """float64[d]: where the numbers have 0."""
        return np.concatenate([np.empty(0), *(block.middle for block in self.blocks)])

    @property
    def spread(self) -> Doubles:
        """float64[d]: what is 1 in each."""
        return np.concatenate([np.empty(0), *(block.spread for block in self.blocks)])

    def table(self, rows: pa.Table, parent: Ids, numbers: Doubles) -> pa.Table:
        """Return new rows that have these numbers, and otherwise what their parents among `rows` have."""
        columns: dict[str, Any] = {}
        start = 0
        for block in self.blocks:
            new = numbers[:, start : start + block.values.shape[1]]
            start += block.values.shape[1]
            new = np.where(np.isnan(block.values[parent]), np.nan, new)  # what its parent lacks it lacks
            kind = rows.schema.field(block.name).type
            if pa.types.is_fixed_size_list(kind):
                columns[block.name] = pa.FixedSizeListArray.from_arrays(
                    pa.array(new.ravel(), kind.value_type), kind.list_size
                )
            else:
                columns[block.name] = pa.array((np.rint(new).astype(np.int64) if block.whole else new).ravel(), kind)
        given = rows.take(pa.array(parent))
        told = {name: columns.get(name, given[name]) for name in rows.column_names}
        return pa.table(told | {"parent": pa.array(parent, pa.int64())})

    def points(self, rows: pa.Table) -> Floats:
        """Return rows as points, float32[n, d]: their numbers and a corner a category."""
        parts: list[npt.NDArray[Any]] = [self.numbers(rows)]
        for name, distinct in self.categories:
            values = cells(rows, name, nothing="")
            # two corners lie sqrt(2) apart
            parts.append((values[:, None] == distinct[None, :]) / np.sqrt(2))
        return np.concatenate(parts, axis=1).astype(np.float32)


_CAN = (
    "numbers, vectors and categories (text with few different values) can be gone by. For texts, images and sounds "
    "there are Transforms([...]), for texts ChatEndpoint(...) too"
)


def _block(rows: pa.Table, name: str, *, vector: bool) -> Block:
    values = np.asarray(cells(rows, name), np.float64).reshape(rows.num_rows, -1)
    there = np.isfinite(values)
    size = np.maximum(there.sum(axis=0), 1)
    middle = np.where(there, values, 0).sum(axis=0) / size
    square = (np.where(there, values - middle, 0) ** 2).sum(axis=0) / size
    spread = np.sqrt(np.full_like(square, square.mean()) if vector else square)
    whole = not vector and not pa.types.is_floating(rows.schema.field(name).type)
    return Block(name, values, middle, np.where(spread > 0, spread, 1.0), whole)


def closest(points: Floats, among: Floats) -> tuple[npt.NDArray[np.int64], Doubles]:
    """Return (row int64[n], distance float64[n]): of the rows in `among` the one that each point lies closest to.

    >>> closest(np.array([[1.0], [8.0]], np.float32), np.array([[0.0], [9.0]], np.float32))
    (array([0, 1]), array([1., 1.]))

    The first of equals. Products of float32 say which may be closest, their distances are taken in float64.
    """
    n, keep = len(points), min(SPARE, len(among))
    row, far = np.empty(n, np.int64), np.empty(n)
    half = np.einsum("ij,ij->i", among, among, dtype=np.float64).astype(np.float32) / 2
    for start in range(0, n, PART):
        part = slice(start, min(start + PART, n))
        score = points[part] @ among.T - half
        found = np.sort(np.argpartition(-score, keep - 1, axis=1)[:, :keep], axis=1)
        apart = points[part][:, None].astype(np.float64) - among[found]
        distance = np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
        best = distance.argmin(axis=1)
        row[part] = found[np.arange(len(best)), best]
        far[part] = distance[np.arange(len(best)), best]
    return row, far
