"""What the columns and labels of a dataset are, and which Arrow types hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pyarrow as pa

from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.protocols import Task

__all__ = ["HELD_OUT", "RESERVED", "SPLITS", "Column", "ColumnKind", "LabelKind", "LabelType", "Schema"]

ColumnKind = Literal["number", "integer", "text", "image", "audio", "vector"]
LabelKind = Literal["class", "classes", "number"]

SPLITS = ("train", "valid", "test")
"""The names of the splits; a record's split is stored as its position here (int8)."""

HELD_OUT = ("valid", "test")

RESERVED = (
    *("key", "key_hash", "content_hash", "born_txn", "revises", "parent", "recipe", "label0", "split0"),
    *("record_id", "label", "predicted", "split", "weight"),
)
"""Columns of the store itself, and words by which selectors and tables speak of records; no column has such a name."""

_ARROW: Mapping[str, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "text": pa.large_string(),
    "image": pa.large_binary(),
    "audio": pa.large_binary(),
}


@dataclass(frozen=True)
class Column:
    """One column: its name, kind, (for a vector) length, and whether it is `hidden` from models.

    Hidden is for notes, or for the truth of a simulation.

    >>> Column("image", "image").arrow
    DataType(large_binary)
    >>> Column("x", "vector", 64).arrow
    FixedSizeListType(fixed_size_list<item: float>[64])
    """

    name: str
    kind: ColumnKind
    size: int = 0
    hidden: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(ColumnKind):
            raise UsageError(
                f"column {self.name!r}: no kind {self.kind!r}. {did_you_mean(self.kind, get_args(ColumnKind))}"
            )
        if not self.name or self.name in RESERVED:
            raise UsageError(
                f"a column cannot be called {self.name!r}: the store uses {', '.join(RESERVED)}; rename it"
            )
        if (self.kind == "vector") != (self.size > 0):
            raise UsageError(
                f"column {self.name!r}: a vector has a size of 1 or more and nothing else has one, got {self.size}"
            )

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type that stores it."""
        return pa.list_(pa.float32(), self.size) if self.kind == "vector" else _ARROW[self.kind]


@dataclass(frozen=True)
class LabelType:
    """What a label is: one class, several classes, or a number.

    Codes of `class` are positions in `classes`. Several classes, and whatever structured label comes later (spans,
    boxes), are stored as JSON in the append-only `labels` table; the view then holds the row.

    >>> LabelType("class", ("cat", "dog")).code("dog")
    1
    >>> LabelType("class", ("cat", "dog")).code("cta")
    Traceback (most recent call last):
        ...
    tilth.errors.NotFound: no class 'cta'. There is: cat, dog. Did you mean 'cat'?
    """

    kind: LabelKind
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in get_args(LabelKind):
            raise UsageError(f"no label kind {self.kind!r}. {did_you_mean(self.kind, get_args(LabelKind))}")
        if (self.kind == "number") and self.classes:
            raise UsageError(f"labels are numbers, so they have no classes; got {len(self.classes)} classes")
        if len(set(self.classes)) != len(self.classes):
            twice = sorted({c for c in self.classes if self.classes.count(c) > 1})
            raise UsageError(f"classes must differ; {', '.join(twice)} came more than once")

    def code(self, name: str) -> int:
        """Return the code of a class; NotFound names the classes there are."""
        try:
            return self.classes.index(name)
        except ValueError:
            raise NotFound(f"no class {name!r}. {did_you_mean(name, self.classes)}") from None

    @property
    def task(self) -> Task:
        """The same, as models see it."""
        return Task(self.kind, self.classes)

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of `label0`: int32 code, -1 = none; float64, NaN = none; or JSON text, null = none."""
        return {"class": pa.int32(), "classes": pa.large_string(), "number": pa.float64()}[self.kind]


@dataclass(frozen=True)
class Schema:
    """The columns and the label type of a dataset; fixed when the dataset is made.

    >>> s = Schema((Column("text", "text"),), LabelType("class", ("ham", "spam")))
    >>> Schema.from_json(s.to_json()) == s
    True
    """

    columns: tuple[Column, ...]
    label: LabelType

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if not names:
            raise UsageError("a dataset needs at least one column beside key and label")
        if len(set(names)) != len(names):
            raise UsageError(f"columns must differ; got {', '.join(names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the user's columns, in order."""
        return tuple(c.name for c in self.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns that models see: all but the hidden ones."""
        return tuple(c.name for c in self.columns if not c.hidden)

    def column(self, name: str) -> Column:
        """Return one column; NotFound names the columns there are."""
        for column in self.columns:
            if column.name == name:
                return column
        raise NotFound(f"no column {name!r}. {did_you_mean(name, self.names)}")

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        columns = [
            {"name": c.name, "kind": c.kind}
            | ({"size": c.size} if c.size else {})
            | ({"hidden": True} if c.hidden else {})
            for c in self.columns
        ]
        return {"columns": columns, "label": {"kind": self.label.kind, "classes": list(self.label.classes)}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Schema":
        """Read back what `to_json` wrote."""
        label = LabelType(data["label"]["kind"], tuple(data["label"]["classes"]))
        return cls(tuple(Column(**c) for c in data["columns"]), label)
