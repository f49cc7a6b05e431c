"""One measured row: Tilth's time beside a peer's and the floor of this machine, and whether both said the same."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench.machine import Times, timed

__all__ = ["Row", "flops", "show"]


@dataclass(frozen=True)
class Row:
    """What one piece of work took.

    `peer`: the library, "" where there is none. `floor`: seconds that this machine needs at least (bytes read once over
    the bandwidth, or multiplications over the speed of float32 matrix products), measured in the same run. `reach`: the
    ratio to the peer that is to be reached, 0 where there is none. `same`: whether both gave the same answer, and how
    that was judged.
    """

    work: str
    ours: Times
    peer: str = ""
    theirs: Times | None = None
    floor: float | None = None
    reach: float = 0
    same: bool = True
    judged: str = ""

    @property
    def ratio(self) -> float:
        """How many times longer the peer took."""
        return float("nan") if self.theirs is None else self.theirs.median / self.ours.median


def flops(size: int = 2048) -> float:
    """Return the float32 multiply-adds a second of this process's matrix products, on as many threads as it has."""
    square = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    return size**3 / timed(lambda: square @ square, repeats=5).median


def show(rows: Iterable[Row]) -> bool:
    """Print the table as rows come; return whether every answer was the same."""
    print(
        f"{'work':58} {'Tilth':>10} {'peer':>28} {'its time':>10} {'ratio':>8} {'reach':>7} {'x floor':>8}  same answer"
    )
    good = True
    for row in rows:
        theirs = f"{_time(row.theirs.median)}" if row.theirs else "-"
        ratio = f"{row.ratio:.1f}x" if row.theirs else "-"
        reach = f"{row.reach:g}x" if row.reach else "-"
        floor = f"{row.ours.median / row.floor:.1f}" if row.floor else "-"
        missed = " MISSED" if row.reach and row.ratio < row.reach else ""
        said = ("yes" if row.same else "NO") + (f" ({row.judged})" if row.judged else "")
        print(
            f"{row.work:58} {_time(row.ours.median):>10} {row.peer or 'none':>28} {theirs:>10} {ratio:>8} {reach:>7} "
            f"{floor:>8}  {said}{missed}",
            flush=True,
        )
        good &= row.same
    return good


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
