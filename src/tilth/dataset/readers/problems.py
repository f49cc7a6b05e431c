"""What is wrong with a source, row by row, and how it is told: one error, or a list beside the good rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.errors import DataError

__all__ = ["Place", "Problems", "Rejected", "refuse"]

_SHOW_ALL = 20  # up to so many problems are all in the message; of more, the first _SHOW_FIRST and the count
_SHOW_FIRST = 5


class Rejected(NamedTuple):
    """One row that did not enter: where it came from, its key where it has one, and why.

    >>> Rejected("pets.csv", 4, None, "3 fields, the header has 2").row
    4

    `row` is a line number in a text file, a row counted from 1 in a table or Parquet file, and 0 where `source` is a
    file that would have been one record (or a whole file that could not be read).
    """

    source: str
    row: int
    key: str | None
    reason: str


@dataclass(frozen=True)
class Place:
    """Where a row came from.

    >>> str(Place("pets.csv", 4, "line"))
    'pets.csv, line 4'
    >>> str(Place("pets/cat/1.png", 0, "file"))
    'pets/cat/1.png'
    """

    source: str
    row: int
    unit: Literal["row", "line", "file"]

    def __str__(self) -> str:
        return self.source if self.unit == "file" else f"{self.source}, {self.unit} {self.row}"


class Problems:
    """Gathers the first reason why each row cannot enter.

    >>> problems = Problems(3)
    >>> problems.add([1], "column 'x' is missing")
    >>> problems.good.tolist()
    [True, False, True]
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.reasons: dict[int, str] = {}
        self.lost: list[tuple[Place, str | None, str]] = []

    def add(self, positions: Sequence[int] | npt.NDArray[np.int64], reason: str) -> None:
        """Note one reason for several rows; a row that already has a reason keeps it."""
        for position in positions:
            self.reasons.setdefault(int(position), reason)

    def lose(self, place: Place, reason: str, key: str | None = None) -> None:
        """Note a row that could not be read at all, so that it has no position in the table."""
        self.lost.append((place, key, reason))

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """`bool[rows]`: which rows have no problem."""
        good = np.ones(self.rows, dtype=np.bool_)
        good[list(self.reasons)] = False
        return good

    def settle(
        self,
        places: Sequence[Place],
        keys: Sequence[str | None],
        *,
        name: str,
        on_error: Literal["raise", "quarantine"],
    ) -> pa.Table:
        """Return the table of rejected rows, or raise DataError if that is asked for or no good row is left.

        `places` and `keys` belong to the rows of `reasons`, in rising order of position.
        """
        found = [*self.lost]
        found += [(p, k, self.reasons[i]) for i, p, k in zip(sorted(self.reasons), places, keys, strict=True)]
        found.sort(key=lambda f: (f[0].source, f[0].row))
        everything = len(found) >= self.rows + len(self.lost)
        if found and (on_error == "raise" or everything):
            raise self._error(found, name, everything)
        return pa.table(
            {
                "source": pa.array([f[0].source for f in found], pa.string()),
                "row": pa.array([f[0].row for f in found], pa.int64()),
                "key": pa.array([f[1] for f in found], pa.string()),
                "reason": pa.array([f[2] for f in found], pa.string()),
            }
        )

    def _error(self, found: list[tuple[Place, str | None, str]], name: str, everything: bool) -> DataError:
        unit = found[0][0].unit
        total, what = self.rows + len(self.lost), "file" if unit == "file" else "row"
        counted = " (rows are counted from 1)" if unit == "row" else ""
        head = f"{name}: {len(found):,} of {total:,} {what}s cannot be imported{counted}:"
        shown = found if len(found) <= _SHOW_ALL else found[:_SHOW_FIRST]
        lines = [f"  {place}: {reason}" for place, _, reason in shown]
        if len(shown) < len(found):
            lines.append(
                f"  ... and {len(found) - len(shown):,} more; `problems` of this error lists all {len(found):,}"
            )
        tail = 'Mend them, or pass on_error="quarantine" to import the others and get these as a list.'
        end = "None is left to import." if everything else tail
        return DataError("\n".join([head, *lines, end]), [(p.source, p.row, reason) for p, _, reason in found])


def refuse(source: str, reason: str) -> DataError:
    """Return the error for a source that cannot be used as a whole.

    >>> str(refuse("pets.csv", "the file is empty"))
    'pets.csv: the file is empty'
    """
    return DataError(f"{source}: {reason}", [(source, 0, reason)])
