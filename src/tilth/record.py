"""One record as an object, for the functions that a user writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

__all__ = ["Record"]


@dataclass(frozen=True)
class Record:
    """One row of a dataset as an object; the core never loops over these, only a user's function sees them.

    >>> cat = Record(key="cat/1.png", values={"image": b"..."}, label="cat")
    >>> cat["image"]
    b'...'
    >>> cat.change(image=b"flipped").values["image"]
    b'flipped'

    `values` maps a column's name to its value: text `str`, numbers `float` or `int`, images and audio
    `bytes` as they were imported, vectors `float32[size]`. `label` is a class name, a list of class names, a number,
    or None where the record has no label yet.
    """

    key: str
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    label: Any = None
    split: str = "train"
    weight: float = 1.0
    id: int = -1

    def __getitem__(self, column: str) -> Any:
        try:
            return self.values[column]
        except KeyError:
            raise KeyError(f"record {self.key!r} has no column {column!r}; it has {', '.join(self.values)}") from None

    def change(self, **values: Any) -> "Record":
        """Return a copy with some columns replaced; an unknown column is a KeyError."""
        for name in values:
            self[name]  # an unknown name is reported, with the names there are
        return replace(self, values=MappingProxyType({**self.values, **values}))
