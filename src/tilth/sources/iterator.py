"""A source that is a function of the user's: a generator of records."""

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa

from tilth.errors import DataError, UsageError
from tilth.functions import find, source_hash, where

__all__ = ["FromIterator"]

Records = Callable[[int], Iterable[Mapping[str, Any]]]


class FromIterator:
    """What a generator function yields: a record each, as a mapping from column to value.

    >>> def readings(start):
    ...     for i in range(start, 5):
    ...         yield {"celsius": 20.0 + i}
    >>> rows, cursor = FromIterator(readings).read(3, 10)
    >>> rows["celsius"].to_pylist(), cursor
    ([23.0, 24.0], 5)

    `function(start)` yields the records from number `start` on (0 = the first that there ever was) and ends where there
    is nothing new now. It stands at the top level of a file, so that another process finds it. Cursor: how many were
    read. What it raises comes through.
    """

    def __init__(self, function: Records, *, name: str = "") -> None:
        if not callable(function):
            raise UsageError(f"FromIterator({function!r}): a function start -> records, got {type(function).__name__}")
        self.function = function
        self._place = where(function)
        self._name = name or self._place.split(":")[1]

    @property
    def name(self) -> str:
        """Its name in the history: that of the function, unless another was given."""
        return self._name

    @property
    def spec(self) -> Mapping[str, Any]:
        """Where the function stands, as JSON, with a hash of its text, so that an edit is noticed."""
        kind = f"{__name__}:FromIterator"
        return {"source": kind, "function": self._place, "text": source_hash(self.function), "name": self._name}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "FromIterator":
        """Rebuild it from JSON; NotFound where the function is gone."""
        return cls(find(spec["function"]), name=spec["name"])

    def read(self, cursor: Any, limit: int) -> tuple[pa.Table, Any]:
        """Return what the function yields from where the cursor stands, up to `limit` records."""
        start = int(cursor or 0)
        found = list(islice(self.function(start), limit))
        if not found:
            return pa.table({}), cursor
        for i, record in enumerate(found):
            if not isinstance(record, Mapping) or list(record) != list(found[0]):
                shown = f"has {', '.join(map(str, record))}" if isinstance(record, Mapping) else f"is {record!r}"
                raise DataError(
                    f"{self!r}: record {start + i} {shown}; each is a mapping with the columns of the first: "
                    f"{', '.join(map(str, found[0])) if isinstance(found[0], Mapping) else '{column: value}'}"
                )
        try:
            table = pa.table({str(name): [record[name] for record in found] for name in found[0]})
        except (pa.ArrowInvalid, pa.ArrowTypeError) as why:
            raise DataError(f"{self!r}: records {start} to {start + len(found) - 1} are no columns: {why}") from why
        return table, start + len(found)

    def __repr__(self) -> str:
        named = "" if self._name == self._place.split(":")[1] else f", name={json.dumps(self._name)}"
        return f"FromIterator({self._place.split(':')[1]}{named})"

    def __hash__(self) -> int:
        return hash(repr(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FromIterator) and dict(other.spec) == dict(self.spec)
