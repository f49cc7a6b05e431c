"""From the columns as they came to the canonical ones: the kind is told or inferred, every value is checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.dataset.readers.media import Media, faults, guess
from tilth.dataset.readers.problems import Problems, refuse
from tilth.dataset.readers.raw import Raw, Request, is_text, is_unicode
from tilth.dataset.schema import Column, ColumnKind

__all__ = ["convert", "is_binary", "is_list", "is_number", "numbers_of_text", "plain", "texts_of"]


@dataclass(frozen=True)
class _Task:
    """One column to convert; `size` is the length that a vector must have (0: whatever most have)."""

    name: str
    values: pa.ChunkedArray
    raw: Raw
    request: Request
    problems: Problems
    size: int
    settled: bool  # the dataset exists, so the kind may not change

    def bad(self, mask: npt.NDArray[np.bool_], reason: str) -> None:
        if mask.any():
            self.problems.add(np.flatnonzero(mask), f"column {self.name!r} {reason}")

    def cannot_be(self, kind: str, hint: str = "; convert it first") -> Exception:
        return refuse(
            self.raw.name, f"column {self.name!r} is {self.values.type}, which cannot be read as {kind}{hint}"
        )


_Converted = tuple[Column, pa.ChunkedArray]


def convert(raw: Raw, name: str, request: Request, problems: Problems) -> _Converted:
    """Return one column of `raw` as the store wants it, and note in `problems` which rows cannot enter.

    Rows with a problem hold any value of the right type. Raises DataError where no value of the column could be used.
    """
    values = plain(raw.table[name])
    known = request.schema.column(name) if request.schema is not None else None
    kind = known.kind if known else request.kinds.get(name) or raw.kinds.get(name) or _infer(values, name, raw.name)
    size = known.size if known else 0
    return _CONVERT[kind](_Task(name, values, raw, request, problems, size, known is not None))


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return values without dictionaries, run-ends, views and extension types."""
    # A period of pandas is stored as the number of months, days... since 1970: no number that anybody means.
    if isinstance(values.type, pa.BaseExtensionType) and values.type.extension_name != "pandas.period":
        values = pa.chunked_array([c.storage for c in values.chunks], type=values.type.storage_type)
    kind = values.type
    if pa.types.is_dictionary(kind):
        return values.cast(pa.large_string() if is_text(kind.value_type) else kind.value_type)
    if pa.types.is_run_end_encoded(kind):
        return pc.run_end_decode(values)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.chunked_array([_unviewed(c) for c in values.chunks], type=pa.large_list(kind.value_type))
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return values.cast(pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary())
    return values


def _unviewed(views: pa.Array) -> pa.Array:
    """Return views of lists as lists; Arrow's own cast (seen in 26.0) makes wrong offsets, mostly without an error."""
    lengths = pc.list_value_length(views).fill_null(0).to_numpy().astype(np.int64)
    offsets = pa.array(np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]))
    return pa.LargeListArray.from_arrays(offsets, views.flatten(), mask=views.is_null())


def is_list(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type is a list of any sort."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_binary(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type is bytes of any sort."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _is_file(kind: pa.DataType) -> bool:
    """Tell whether it is Hugging Face's struct of a file: its bytes, its path, or both."""
    return pa.types.is_struct(kind) and {kind.field(i).name for i in range(kind.num_fields)} == {"bytes", "path"}


def is_number(kind: pa.DataType) -> bool:
    """Tell whether an Arrow type is a number of any sort, or a bool."""
    return (
        pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
    )


def _infer(values: pa.ChunkedArray, name: str, source: str) -> ColumnKind:
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "integer"
    if is_number(kind):
        return "number"
    if is_text(kind):
        return "text"
    if is_list(kind) and is_number(kind.value_type):
        return "vector"
    if is_binary(kind) or _is_file(kind):
        found = guess(pc.struct_field(values, "bytes") if _is_file(kind) else values)
        if found is not None:
            return found
        say = f'kinds={{"{name}": ...}}: "image", "audio" (encoded files), "text", or "vector" (its bytes as numbers)'
        raise refuse(
            source, f"column {name!r} holds bytes that are neither images nor wav files; say what they are by {say}"
        )
    if pa.types.is_temporal(kind):
        by_kinds = f'kinds={{"{name}": "text"}} for text as it is written'
        raise refuse(
            source, f"column {name!r} is a time ({kind}); convert it to a number or text first, or pass {by_kinds}"
        )
    if pa.types.is_null(kind):
        raise refuse(
            source, f"column {name!r} has no value in any row; leave it out by columns=[...], or say its kind by kinds="
        )
    hint = "one dimension a record is all that a vector has: flatten it" if is_list(kind) else "take its parts apart"
    raise refuse(
        source, f"column {name!r} is {kind}, which no kind of column can hold; {hint}, or leave it out by columns=[...]"
    )


def _number(task: _Task) -> _Converted:
    kind = task.values.type
    if is_text(kind):
        floats, wrong = numbers_of_text(task.values)
        task.bad(wrong, "is not a number")
    elif is_number(kind) or pa.types.is_null(kind):
        floats = task.values.cast(pa.float64(), safe=False).to_numpy()
    else:
        raise task.cannot_be("a number")
    task.bad(np.isinf(floats), "is infinite")
    if task.request.missing != "keep":
        task.bad(np.isnan(floats), 'is missing (null or NaN); missing="keep" would let it pass')
    return Column(task.name, "number"), pa.chunked_array([pa.array(floats)])


def _integer(task: _Task) -> _Converted:
    kind = task.values.type
    if not (is_number(kind) or pa.types.is_null(kind) or is_text(kind)):
        raise task.cannot_be("an integer")
    nulls = task.values.null_count > 0
    if nulls and task.request.missing == "keep" and not task.settled and task.name not in task.request.kinds:
        return _number(task)
    task.bad(_numpy(task.values.is_null()), "is missing (null)")
    if pa.types.is_boolean(kind) or (pa.types.is_integer(kind) and not pa.types.is_uint64(kind)):
        whole = task.values.cast(pa.int64())
        return Column(task.name, "integer"), whole.fill_null(0) if nulls else whole
    if pa.types.is_uint64(kind):
        wide = task.values.fill_null(0).to_numpy()
        task.bad(wide > np.uint64(2**63 - 1), "is beyond 64-bit integers")
        return Column(task.name, "integer"), pa.chunked_array([pa.array(wide.view(np.int64))])
    if is_text(kind):
        floats, wrong = numbers_of_text(task.values)
        task.bad(wrong, "is not a number")
    else:
        floats = task.values.cast(pa.float64(), safe=False).to_numpy()
    fits = np.isfinite(floats) & (np.abs(floats) < 2.0**63)
    task.bad(~fits, "is no 64-bit integer")
    floats = np.where(fits, floats, 0.0)
    task.bad(floats != np.floor(floats), "is not a whole number")
    return Column(task.name, "integer"), pa.chunked_array([pa.array(floats.astype(np.int64))])


def _text(task: _Task) -> _Converted:
    kind = task.values.type
    task.bad(_numpy(task.values.is_null()), "is missing (null); fill it in, an empty text is a text as well")
    if is_text(kind) or is_binary(kind):
        _check_lengths(task, task.values)
        texts, wrong = texts_of(task.values)
        task.bad(wrong, "is not valid UTF-8")
    elif is_number(kind) or pa.types.is_temporal(kind) or pa.types.is_null(kind):
        texts = task.values.cast(pa.large_string())
    else:
        raise task.cannot_be("text")
    return Column(task.name, "text"), texts.fill_null("") if texts.null_count else texts


def _image(task: _Task) -> _Converted:
    return _media(task, "image")


def _audio(task: _Task) -> _Converted:
    return _media(task, "audio")


def _media(task: _Task, kind: Media) -> _Converted:
    values = task.values
    if _is_file(values.type):
        values = pc.struct_field(values, "bytes")
        task.bad(
            _numpy(values.is_null()),
            f"holds no bytes of an {kind}, only a path or nothing; read the files into it first",
        )
    if pa.types.is_null(values.type):
        values = values.cast(pa.large_binary())
    if not is_binary(values.type):
        raise task.cannot_be(kind, "; it takes the bytes of an encoded file each")
    task.bad(_numpy(values.is_null()), "is missing (null)")
    too_long = _check_lengths(task, values)
    values = values.cast(pa.large_binary())
    if task.name not in task.raw.checked:
        looked_at = pc.if_else(pa.array(too_long), None, values) if too_long.any() else values
        for position, reason in faults(looked_at, kind, task.request.progress).items():
            task.problems.add([position], f"column {task.name!r} holds {reason}")
    return Column(task.name, kind), values.fill_null(b"") if values.null_count else values


def _vector(task: _Task) -> _Converted:
    values, kind = task.values, task.values.type
    if is_binary(kind):
        lengths = _numpy(pc.binary_length(values).fill_null(-1))
    elif is_list(kind) and is_number(kind.value_type):
        lengths = _numpy(pc.list_value_length(values).fill_null(-1))
    else:
        raise task.cannot_be("a vector", "; it takes lists of numbers, all of one length")
    there = lengths[lengths >= 0]
    # The length that most have is the right one, and of two such the longer.
    size = task.size or (int(np.flatnonzero((n := np.bincount(there)) == n.max())[-1]) if len(there) else 0)
    if size == 0:
        raise refuse(task.raw.name, f"column {task.name!r} holds vectors without any number")
    task.bad(lengths < 0, "is missing (null)")
    for length in np.unique(lengths[(lengths >= 0) & (lengths != size)]):
        task.bad(lengths == length, f"has {length} numbers, the others have {size}")
    fits = lengths == size
    flat = _flat(values if fits.all() else values.filter(pa.array(fits)))
    matrix = flat.reshape(-1, size)
    if not fits.all():
        matrix = np.zeros((len(fits), size), dtype=np.float32)
        matrix[fits] = flat.reshape(-1, size)
    finite = np.isfinite(matrix)
    if not finite.all():
        holes: npt.NDArray[np.bool_] = np.asarray(~finite.all(axis=1))
        task.bad(holes, "holds a number that is missing, infinite or too large for float32")
    return Column(task.name, "vector", size), pa.chunked_array(
        [pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), size)]
    )


def _flat(values: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """Return the numbers of lists (or the bytes of binaries) of equal length, end to end."""
    if is_binary(values.type):
        parts = [
            np.frombuffer(b"".join(chunk.to_pylist()), dtype=np.uint8).astype(np.float32) for chunk in values.chunks
        ]
    else:
        flattened = [chunk.flatten() for chunk in values.chunks]
        parts = [p.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False) for p in flattened]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype=np.float32), *parts])


def numbers_of_text(values: pa.ChunkedArray) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return texts as `float64[n]` (null is NaN) and `bool[n]`: which are no numbers.

    >>> floats, wrong = numbers_of_text(pa.chunked_array([["1.5", "two", None]]))
    >>> wrong.tolist()
    [False, True, False]
    """
    try:
        return values.cast(pa.float64()).to_numpy(), np.zeros(len(values), dtype=np.bool_)
    except pa.ArrowInvalid:
        floats, wrong = np.full(len(values), np.nan), np.zeros(len(values), dtype=np.bool_)
    cells: Sequence[str | None] = values.to_pylist()
    for i, cell in enumerate(cells):
        try:
            floats[i] = np.nan if cell is None else float(cell)
        except ValueError:
            wrong[i] = True
    return floats, wrong


def texts_of(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, npt.NDArray[np.bool_]]:
    r"""Return texts or bytes as valid texts (null stays null) and `bool[n]`: which are not valid UTF-8.

    A string column of a file need not be valid UTF-8: Arrow checks it only here, where bytes are cast to text.

    >>> texts, wrong = texts_of(pa.chunked_array([[b"a", b"\xff"]]))
    >>> texts.to_pylist(), wrong.tolist()
    (['a', None], [False, True])
    """
    large = values.cast(pa.large_binary())
    try:
        return large.cast(pa.large_string()), np.zeros(len(values), dtype=np.bool_)
    except pa.ArrowInvalid:
        cells: Sequence[bytes | None] = large.to_pylist()
    decoded = ["" if cell is None else cell.decode("utf-8", errors="surrogateescape") for cell in cells]
    wrong = [not is_unicode(text) for text in decoded]
    kept = [None if bad or cell is None else text for text, cell, bad in zip(decoded, cells, wrong, strict=True)]
    return pa.chunked_array([pa.array(kept, pa.large_string())]), np.array(wrong)


def _check_lengths(task: _Task, values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Note the cells at or over the limit, by their lengths alone: nothing is copied."""
    lengths = _numpy(pc.binary_length(values).fill_null(0))
    too_long = lengths >= task.request.limit
    task.bad(
        too_long,
        f"has a cell of {task.request.limit:,} bytes or more; keep such a thing in a file and its path as text",
    )
    return too_long


def _numpy(values: Any) -> npt.NDArray[Any]:
    return np.asarray(values.to_numpy())


_CONVERT: Mapping[ColumnKind, Callable[[_Task], _Converted]] = {
    "number": _number,
    "integer": _integer,
    "text": _text,
    "image": _image,
    "audio": _audio,
    "vector": _vector,
}
