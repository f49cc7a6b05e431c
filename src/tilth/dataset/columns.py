"""The columns of the payload that views need, whole and in memory."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Columns"]

_ROWS = 1 << 18
"""Rows read at once: ten million hashes take no longer so than in one go, which would need three times the memory."""
_FEW = 1 << 14
"""New rows up to which all that every view needs is read at once: it takes no longer than one column of them."""
_TOGETHER = ("key_hash", "content", "revises", "parent")


class Columns:
    """Columns of numbers by name; rows are only ever added, so what was read is read no more.

    `read(names, start, n)` returns rows of the payload. `content` is the first 8 bytes of the content hash, as uint64.
    """

    def __init__(self, types: Mapping[str, Any], read: Callable[[Sequence[str], int, int], pa.Table]) -> None:
        self._types = types
        self._read = read
        self._held: dict[str, npt.NDArray[Any]] = {}
        self._lock = threading.Lock()

    def of(self, name: str, n: int) -> npt.NDArray[Any]:
        """Return the first n rows of a column."""
        with self._lock:
            at = self._length(name)
            if at < n:
                others = _TOGETHER if n - at <= _FEW else ()
                self._extend([name, *(c for c in others if c != name and self._length(c) == at)], at, n)
            return self._held[name][:n] if name in self._held else np.empty(0, self._type(name))

    def _type(self, name: str) -> Any:
        return np.uint64 if name == "content" else self._types[name]

    def _length(self, name: str) -> int:
        return len(self._held[name]) if name in self._held else 0

    def _extend(self, names: Sequence[str], at: int, n: int) -> None:
        new = {name: np.empty(n - at, self._type(name)) for name in names}
        for start in range(at, n, _ROWS):
            some = self._read([_source(name) for name in names], start, min(_ROWS, n - start))
            for name, into in new.items():
                into[start - at : start - at + some.num_rows] = _numbers(name, some[_source(name)].combine_chunks())
        for name, more in new.items():
            self._held[name] = np.concatenate([self._held[name], more]) if at else more


def _source(name: str) -> str:
    return "content_hash" if name == "content" else name


def _numbers(name: str, values: pa.Array) -> npt.NDArray[Any]:
    if name != "content":
        return values.to_numpy(zero_copy_only=False)
    raw = np.frombuffer(values.buffers()[1] or b"", np.uint8, count=32 * (values.offset + len(values)))
    return raw.reshape(-1, 32)[values.offset :, :8].copy().view(np.uint64).ravel()
