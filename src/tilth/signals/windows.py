"""What drift compares: a reference window and a current one, as columns or as rows of numbers.

Gretton et al. and whoever else compares two samples take rows of numbers; the classical tests look at one column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.dataset.splits import draw
from tilth.errors import UsageError
from tilth.outputs import LEARNED
from tilth.state import State

__all__ = [
    "EMBEDDINGS",
    "REFERENCES",
    "SMALLEST",
    "Window",
    "columns_of",
    "current",
    "reference",
    "some",
    "values",
    "wide",
]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

EMBEDDINGS = "embeddings"
"""The name that stands for the model's embedding, where a column could be named."""
REFERENCES = ("trained", "valid")
SMALLEST = 20
"""Records that a window needs: below, the smallest p-value of most tests is no news."""
LEVELS = 50
"""Different texts up to which a column of texts is a category; of more, it is free text."""

SINGLE = ("number", "integer", "text")
TESTED = (*SINGLE, "vector")


@dataclass(frozen=True)
class Window:
    """Two sets of records of one dataset: those that are the measure, and those that are looked at."""

    reference: Ids
    current: Ids

    @property
    def small(self) -> bool:
        """Whether one of them is too small to tell anything."""
        return min(len(self.reference), len(self.current)) < SMALLEST


def reference(state: State, which: str) -> Ids:
    """Return the records that are the measure: what the model was trained on, or those of valid, labelled or not."""
    original = state.dataset.parent < 0
    if which == "trained":
        return np.flatnonzero(state.learned & original)
    there = state.lesson > 0  # those of valid that came in since then are no measure for what came in since then
    return np.flatnonzero(state.view.among("valid") & original & there)


def current(state: State, window: int | None) -> Ids:
    """Return the training records that are looked at, oldest first, by the order in which they came in.

    All that came since the model was trained, or the last `window` of those that it did not learn from.
    """
    if window is not None:
        return unlearned(state, window)
    return np.flatnonzero(state.view.train & (state.dataset.parent < 0) & (state.lesson == 0))


def unlearned(state: State, window: int | None) -> Ids:
    """Return the training records that the model did not learn from, oldest first; the last `window` of them."""
    mine = state.view.train & (state.dataset.parent < 0) & (state.lesson != LEARNED)
    return np.flatnonzero(mine)[0 if window is None else -window :]


def some(state: State, ids: Ids, most: int) -> Ids:
    """Return at most so many of the records, drawn by their keys and in the order of the draw, wherever they stand."""
    return ids[np.argsort(draw(state.dataset.key_hash[ids], "window", state.seed), kind="stable")[:most]]


def columns_of(state: State, column: str | None, what: str) -> tuple[str, ...]:
    """Return the columns that are compared: the one that is named, or all that models see and that can be compared."""
    schema = state.dataset.schema
    if column is not None:
        kind = schema.column(column).kind
        if kind not in TESTED:
            raise UsageError(
                f'{what}: column {column!r} holds {kind}; compare what the model makes of it: "embeddings"'
            )
        return (column,)
    names = tuple(c.name for c in schema.columns if not c.hidden and c.kind in TESTED)
    if not names:
        kinds = ", ".join(sorted({c.kind for c in schema.columns}))
        raise UsageError(f'{what}: the columns are {kinds}, which are not compared as they are; write "embeddings"')
    return names


def values(state: State, ids: Ids, names: Sequence[str], what: str) -> dict[str, npt.NDArray[np.generic]]:
    """Return each column as float64[n], as int64[n] codes of categories, or (a vector) as float64[n, d].

    Free texts are left out; UsageError where nothing is left. Nulls are a category, and NaN a number above all others.
    """
    found: dict[str, npt.NDArray[np.generic]] = {}
    table = state.dataset.features(ids, list(names))
    for name in names:
        cells = table[name].combine_chunks()
        if pa.types.is_fixed_size_list(cells.type):
            size = cells.type.list_size
            rows = np.asarray(cells.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(-1, size)
            found[name] = rows
        elif pa.types.is_large_string(cells.type):
            if pc.count_distinct(cells).as_py() <= LEVELS:
                codes = cells.dictionary_encode(null_encoding="encode").indices
                found[name] = codes.to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            found[name] = cells.to_numpy(zero_copy_only=False).astype(np.float64)
    if not found:
        raise UsageError(
            f"{what}: {', '.join(names)} holds more than {LEVELS} different texts, which is no category; write "
            '"embeddings"'
        )
    return found


def wide(state: State, ids: Ids, column: str | None, what: str, *, measure: npt.NDArray[np.bool_]) -> Floats:
    """Return records as rows of numbers, float64[n, d]: the model's embeddings, or the columns.

    Columns are scaled so that those in `measure` (bool[n]) have mean 0 and variance 1; a category becomes a column a
    level, with the same weight in all as a number has.
    """
    if column == EMBEDDINGS:
        return np.asarray(state.output(EMBEDDINGS)[ids], np.float64)
    parts: list[Floats] = []
    for cells in values(state, ids, columns_of(state, column, what), what).values():
        if cells.dtype == np.int64:
            codes = np.asarray(cells, np.int64)
            parts.append((codes[:, None] == np.arange(codes.max() + 1)) / np.sqrt(2.0))
        else:
            columns = np.asarray(cells, np.float64).reshape(len(ids), -1)
            parts += [_scaled(column, measure)[:, None] for column in columns.T]
    return np.concatenate(parts, axis=1)


def _scaled(cells: Floats, measure: npt.NDArray[np.bool_]) -> Floats:
    """Return numbers with mean 0 and variance 1 over `measure`; NaN becomes 0, the mean."""
    told = cells[measure]
    told = told[np.isfinite(told)]
    if len(told) == 0:
        return np.zeros(len(cells))
    spread = told.std()
    return np.where(np.isfinite(cells), (cells - told.mean()) / (spread if spread > 0 else 1.0), 0.0)
