"""What comes into a model: Arrow columns as arrays, and labels and weights that fit the task."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.errors import DataError, UsageError, did_you_mean
from tilth.protocols import Task

__all__ = ["cells", "column_kind", "inputs", "taught"]


def column_kind(table: pa.Table, name: str) -> Literal["vector", "number", "text", "bytes"]:
    """Return what a column holds, as far as models care.

    >>> column_kind(pa.table({"age": [31, 44]}), "age")
    'number'
    """
    if name not in table.column_names:
        raise UsageError(f"features: no column {name!r}. {did_you_mean(name, table.column_names)}")
    held = table.schema.field(name).type
    if pa.types.is_dictionary(held):
        held = held.value_type
    if pa.types.is_fixed_size_list(held):
        return "vector"
    if pa.types.is_integer(held) or pa.types.is_floating(held) or pa.types.is_boolean(held):
        return "number"
    if pa.types.is_string(held) or pa.types.is_large_string(held):
        return "text"
    if pa.types.is_binary(held) or pa.types.is_large_binary(held):
        return "bytes"
    raise UsageError(
        f"column {name!r} holds {held}, from which no model learns; numbers, text, bytes and vectors of one length do"
    )


def cells(table: pa.Table, name: str, *, nothing: Any = None) -> npt.NDArray[Any]:
    """Return one column as an array: float32 [n, d] (vectors), float64 or int64 [n] (numbers), or objects [n].

    >>> cells(pa.table({"age": [31, None]}), "age")
    array([31., nan])

    Where nothing is there, numbers and vectors have NaN, text and bytes have `nothing`. A vector column in one piece
    is not copied; the array is then read-only.
    """
    kind = column_kind(table, name)
    pieces = table.column(name)
    column = pieces.chunk(0) if pieces.num_chunks == 1 else pieces.combine_chunks()  # which copies even one piece
    if isinstance(column, pa.ChunkedArray):  # a table without rows has no piece at all
        column = pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if kind == "vector":
        size = column.type.list_size
        values = column.cast(pa.list_(pa.float32(), size)) if column.type.value_type != pa.float32() else column
        if values.null_count:
            dense = np.full((len(values), size), np.nan, np.float32)
            there = values.is_valid().to_numpy(zero_copy_only=False)
            dense[there] = values.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
            return dense
        return values.flatten().to_numpy(zero_copy_only=False).reshape(-1, size)
    if kind == "number":
        if pa.types.is_boolean(column.type) and column.null_count:
            column = column.cast(pa.int8())  # for only among numbers does nothing there become NaN
        return column.to_numpy(zero_copy_only=False)
    out = np.empty(len(column), dtype=object)
    out[:] = column.to_pylist()
    if column.null_count:
        out[~column.is_valid().to_numpy(zero_copy_only=False)] = nothing
    return out


def inputs(table: pa.Table, columns: Sequence[str]) -> Any:
    """Return the X of scikit-learn that the columns make.

    >>> inputs(pa.table({"text": ["good", None]}), ["text"]).tolist()
    ['good', '']
    >>> inputs(pa.table({"age": [31.0, 44.0], "job": ["smith", None]}), ["age", "job"])
        age    job
    0  31.0  smith
    1  44.0    NaN

    One vector column: `float32[n, d]`. One text column: n texts (nothing there is the empty text, as no vectoriser
    takes None). One column of bytes: n objects. Otherwise a DataFrame: numbers as they are, text and bytes as objects
    with NaN for nothing there, as imputers and encoders expect. Vectors beside other columns are a UsageError.
    """
    kinds = {name: column_kind(table, name) for name in columns}
    if len(columns) == 1 and kinds[columns[0]] != "number":
        return cells(table, columns[0], nothing="" if kinds[columns[0]] == "text" else None)
    vectors = [name for name, kind in kinds.items() if kind == "vector"]
    if vectors:
        raise UsageError(
            f"the columns {', '.join(columns)} go into one table, where the vector column {vectors[0]!r} cannot stand; "
            f"take it alone (features={vectors[0]!r}), or name the columns without it"
        )
    import pandas as pd  # here: half a second that models of one column need not pay

    series: dict[str, Any] = {}
    for name, kind in kinds.items():
        series[name] = pd.Series(cells(table, name, nothing=np.nan), dtype=None if kind == "number" else object)
    return pd.DataFrame(series)


def taught(
    features: pa.Table, y: npt.NDArray[Any], weight: npt.NDArray[Any], task: Task
) -> tuple[pa.Table, npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Return the records that teach (weight above 0), with labels and weights, all checked against the task.

    >>> task = Task("class", ("cat", "dog"))
    >>> table, y, weight = taught(pa.table({"x": [1, 2, 3]}), np.array([0, 1, 1]), np.array([1.0, 0.0, 2.0]), task)
    >>> y.tolist(), weight.tolist()
    ([0, 1], [1.0, 2.0])

    UsageError for labels and weights of a wrong shape or range, DataError where no record is left.
    """
    n, k = features.num_rows, task.outputs
    y, weight = np.asarray(y), np.asarray(weight, dtype=np.float64)
    shape = (n, k) if task.kind == "classes" else (n,)
    if y.shape != shape or weight.shape != (n,):
        raise UsageError(
            f"{n} records need labels of shape {shape} and weights of shape {(n,)}; got {y.shape} and {weight.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(weight) | (weight < 0))
    if len(bad):
        raise UsageError(f"row {bad[0]}: weight {weight[bad[0]]:g}; weights are 0 or more")
    if task.kind == "class":
        bad = np.flatnonzero((y < 0) | (y >= k))
        expected = f"a code of the {k} classes {', '.join(task.classes[:8])}"
    else:
        okay = np.isfinite(y) if task.kind == "number" else ((y == 0) | (y == 1)).all(axis=1)
        bad = np.flatnonzero(~okay)
        expected = "a finite number" if task.kind == "number" else f"0 or 1 for each of the {k} classes"
    if len(bad):
        raise UsageError(f"row {bad[0]}: label {y[bad[0]]}; expected {expected}")
    keep = weight > 0
    if not keep.any():
        raise DataError(
            f"none of {n} records has a weight above 0, so there is nothing to learn from; label or reweight some"
        )
    if keep.all():
        return features, y, weight
    return features.filter(pa.array(keep)), y[keep], weight[keep]
