"""From a column of labels to codes, numbers or JSON; the kind and the classes are told or inferred."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.dataset.readers.columns import is_list, is_number, numbers_of_text, plain, texts_of
from tilth.dataset.readers.problems import Problems, refuse
from tilth.dataset.readers.raw import Raw, is_text
from tilth.dataset.schema import LabelKind, LabelType
from tilth.errors import UsageError, did_you_mean

__all__ = ["MANY", "read_labels"]

MANY = 1000
"""Different whole numbers up to which labels are taken for classes; more may be quantities, so the caller must say."""

_WHOLE = re.compile(r"-?(0|[1-9]\d*)")


def read_labels(
    raw: Raw, kind: LabelKind | None, classes: Sequence[str] | None, problems: Problems
) -> tuple[LabelType, pa.ChunkedArray]:
    """Return the label type and `label0` (`LabelType.arrow`, one row a record); null labels are -1, NaN or null.

    Raises DataError where the column is of no usable type, UsageError where the classes are needed and not given.
    """
    fixed = None if classes is None else tuple(classes)
    if raw.roles.label is None:
        return _unlabelled(raw, kind or "class", fixed)
    values = plain(raw.table[raw.roles.label])
    fixed = fixed if fixed is not None else raw.classes.get(raw.roles.label)
    if is_text(values.type):
        values, wrong = texts_of(values)
        problems.add(np.flatnonzero(wrong), "the label is not valid UTF-8")
        if raw.untyped:
            values = pc.if_else(pc.equal(values, ""), None, values)
    kind = kind or _infer(values, fixed, raw)
    if kind == "number":
        return LabelType("number"), _numbers(values, raw, problems)
    if kind == "classes":
        return _sets(values, fixed, raw, problems)
    return _codes(values, fixed, raw, problems)


def _unlabelled(raw: Raw, kind: LabelKind, classes: tuple[str, ...] | None) -> tuple[LabelType, pa.ChunkedArray]:
    if kind != "number" and not classes:
        raise UsageError(
            f"{raw.name}: no record has a label and no classes are given; "
            'name the column of labels by label="...", or the classes that records may get by classes=[...]'
        )
    label = LabelType(kind, classes or ())
    empty = {"class": -1, "classes": None, "number": float("nan")}[kind]
    return label, pa.chunked_array([pa.repeat(pa.scalar(empty, label.arrow), len(raw.table))])


def _infer(values: pa.ChunkedArray, classes: tuple[str, ...] | None, raw: Raw) -> LabelKind:
    name, kind = raw.roles.label, values.type
    if is_list(kind):
        return "classes"
    if classes is not None or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return "class"
    if is_text(kind):
        if not raw.untyped:
            return "class"
        floats, wrong = numbers_of_text(values.unique())
        if wrong.any() or np.isnan(floats).all():
            return "class"
    elif is_number(kind):
        floats = values.unique().cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    else:
        raise refuse(raw.name, f"label column {name!r} is {kind}; a label is a text, a number or a list of texts")
    floats = floats[~np.isnan(floats)]
    if (floats != np.floor(floats)).any() or np.isinf(floats).any():
        return "number"
    if len(floats) > MANY:
        what = f"label column {name!r} holds {len(floats):,} different whole numbers"
        raise refuse(raw.name, f'{what}: say label_kind="number" for quantities or label_kind="class" for classes')
    return "class"


def _numbers(values: pa.ChunkedArray, raw: Raw, problems: Problems) -> pa.ChunkedArray:
    if is_text(values.type):
        floats, wrong = numbers_of_text(values)
        problems.add(np.flatnonzero(wrong), "the label is not a number")
    elif is_number(values.type) or pa.types.is_null(values.type):
        floats = values.cast(pa.float64(), safe=False).to_numpy()
    else:
        raise refuse(raw.name, f"label column {raw.roles.label!r} is {values.type}, which is no number")
    problems.add(np.flatnonzero(np.isinf(floats)), "the label is infinite")
    return pa.chunked_array([pa.array(floats)])


def _codes(
    values: pa.ChunkedArray, fixed: tuple[str, ...] | None, raw: Raw, problems: Problems
) -> tuple[LabelType, pa.ChunkedArray]:
    if not (is_text(values.type) or is_number(values.type) or pa.types.is_null(values.type)):
        raise refuse(
            raw.name, f"label column {raw.roles.label!r} is {values.type}; a class is a text or a whole number"
        )
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    encoded = values.combine_chunks().dictionary_encode()
    entries: list[Any] = encoded.dictionary.to_pylist()
    at: npt.NDArray[np.int64] = encoded.indices.cast(pa.int64()).fill_null(len(entries)).to_numpy()
    names = [_name(entry, raw) for entry in entries]
    if fixed is None:
        fixed = _sorted(names)
        if not fixed:
            raise UsageError(
                f"{raw.name}: no record has a label in {raw.roles.label!r}; give the classes by classes=[...]"
            )
    code_of = _codes_of(names, entries, fixed, raw)
    codes = np.array([-1 if name is None else code_of.get(name, -2) for name in [*names, None]], dtype=np.int32)[at]
    strange = np.flatnonzero(codes == -2)
    reasons = {i: _stranger(names[i] or "", fixed) for i in np.unique(at[strange]).tolist()}
    for position in strange.tolist():
        problems.add([position], reasons[int(at[position])])
    return LabelType("class", fixed), pa.chunked_array([pa.array(codes)])


def _codes_of(
    names: Sequence[str | None], entries: Sequence[Any], classes: tuple[str, ...], raw: Raw
) -> dict[str, int]:
    """Return the code of each name that may occur: of the classes, or of whole numbers that stand for named classes."""
    numeric = raw.untyped or not any(isinstance(entry, str) for entry in entries)
    whole = all(name is None or _WHOLE.fullmatch(name) for name in names)
    if numeric and whole and raw.roles.label not in raw.classes and not any(_WHOLE.fullmatch(name) for name in classes):
        return {str(code): code for code in range(len(classes))}
    return {name: code for code, name in enumerate(classes)}


def _name(entry: Any, raw: Raw) -> str | None:
    """Return the name of the class that an entry stands for; None = no label."""
    told = raw.classes.get(raw.roles.label or "")
    if told is not None and isinstance(entry, int):
        # Hugging Face writes -1 where a record of a ClassLabel column has no label.
        return told[entry] if 0 <= entry < len(told) else None if entry == -1 else str(entry)
    if isinstance(entry, float):
        return None if entry != entry else str(int(entry)) if entry.is_integer() else str(entry)
    return None if entry is None else str(entry)


def _sorted(names: Sequence[str | None]) -> tuple[str, ...]:
    there = {name for name in names if name}
    whole = all(_WHOLE.fullmatch(name) for name in there)
    return tuple(sorted(there, key=int) if whole else sorted(there))


def _stranger(name: str, classes: tuple[str, ...]) -> str:
    if not name:
        return "the label is an empty text; a record without a label has null"
    return f"label {name!r} is not one of the classes. {did_you_mean(name, classes)}"


def _sets(
    values: pa.ChunkedArray, fixed: tuple[str, ...] | None, raw: Raw, problems: Problems
) -> tuple[LabelType, pa.ChunkedArray]:
    """Several classes a record, stored as a JSON list of names in the order of the classes."""
    rows: list[Any] = values.to_pylist()
    if is_text(values.type):
        rows = [_parsed(row) for row in rows]
    elif not (is_list(values.type) or pa.types.is_null(values.type)):
        raise refuse(
            raw.name, f"label column {raw.roles.label!r} is {values.type}; several classes are a list of texts"
        )
    for i, row in enumerate(rows):
        if row is not None and not (isinstance(row, list) and all(isinstance(e, str | int) for e in row)):
            problems.add([i], "the label is not a list of classes (in a text file: a JSON list)")
            rows[i] = None
    names = {entry: _name(entry, raw) or "" for entry in {entry for row in rows if row is not None for entry in row}}
    classes = fixed if fixed is not None else _sorted(list(names.values()))
    if not classes:
        raise UsageError(f"{raw.name}: no record has a label in {raw.roles.label!r}; give the classes by classes=[...]")
    code_of = _codes_of(list(names.values()), list(names), classes, raw)
    written: list[str | None] = []
    for i, row in enumerate(rows):
        strangers = [] if row is None else [names[entry] for entry in row if names[entry] not in code_of]
        if strangers:
            problems.add([i], _stranger(strangers[0], classes))
        held = None if row is None or strangers else sorted({code_of[names[entry]] for entry in row})
        written.append(None if held is None else json.dumps([classes[code] for code in held], ensure_ascii=False))
    return LabelType("classes", classes), pa.chunked_array([pa.array(written, pa.large_string())])


def _parsed(cell: str | None) -> Any:
    """Return what a JSON text says, or the text itself where it says nothing."""
    if cell is None:
        return None
    try:
        return json.loads(cell)
    except ValueError:
        return cell
