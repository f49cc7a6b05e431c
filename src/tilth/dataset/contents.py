"""What records hold, read from the payload; what was read of most records last is held in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.dataset.store import Store

__all__ = ["Contents"]

Rows = npt.NDArray[np.int64]

_MOST = 64 << 20
"""Bytes that are held at most: those of some ten thousand records of numbers or text, but not of images."""
_SMALL = 1 << 20
"""Bytes of columns that are read whole for the sake of a few rows: it takes about as long as to look up these."""


@dataclass(frozen=True)
class _Held:
    names: tuple[str, ...]
    rows: Rows
    table: pa.Table


class Contents:
    """Columns of payload rows. A row never changes, so one that is held is not read again.

    Each training of a run reads what most records hold, and few of them change from one to the next: to read 1,800
    records took 2 ms. Others ask for a few records at a time, but again and again for the same columns, as an `Oracle`
    does: 1 ms each time. Where these are small, they are held too.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._most: _Held | None = None
        self._few: _Held | None = None

    def of(self, rows: Rows, columns: Sequence[str], *, n: int) -> pa.Table:
        """Return columns of payload rows, in their order; `n`: how many rows there are."""
        names = tuple(columns)
        held = next((h for h in (self._most, self._few) if h is not None and set(names) <= set(h.names)), None)
        table = self._store.payload.take(rows, names) if held is None else self._joined(rows, names, held)
        if 2 * len(rows) > n:
            if 0 < table.nbytes <= _MOST:
                self._most = _Held(names, rows, table)
        elif held is None and len(rows) and table.nbytes * n <= _SMALL * len(rows):
            every = np.arange(n)
            self._few = _Held(names, every, self._store.payload.take(every, names))
        return table

    def _joined(self, rows: Rows, names: tuple[str, ...], held: _Held) -> pa.Table:
        """Return what is held of these rows, and of the others what is read."""
        there = held.rows
        if held.names == names and np.array_equal(rows, there):
            return held.table
        order = np.argsort(there, kind="stable")
        place = order[np.searchsorted(there, rows, sorter=order).clip(max=len(there) - 1)]
        known = there[place] == rows
        if not known.any():
            return self._store.payload.take(rows, names)
        found = held.table.select(names).take(pa.array(place[known]))
        if known.all():
            return found
        new = self._store.payload.take(rows[~known], names)
        return pa.concat_tables([found, new]).take(pa.array(np.argsort(np.argsort(~known, kind="stable"))))
