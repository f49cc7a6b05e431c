"""How much each gate keeps, by the size of the valid split."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.gates.judges import GATES, OURS, Verdicts
from bench.gates.worlds import KINDS, Edit

__all__ = ["LOOKS", "WORTH", "Count", "report"]

LOOKS = 50
WORTH = 0.01
COLUMNS = ("harmful or null", "worth nothing", "worth a point", "1 to 2 points")


@dataclass
class Count:
    """How many of some edits a gate kept."""

    kept: float = 0
    of: float = 0
    edits: int = 0
    """How many different edits these are: the interval counts no edit twice."""

    def add(self, verdicts: Verdicts, which: npt.NDArray[np.bool_]) -> None:
        """Count those of some edits that a gate kept."""
        self.kept += float(verdicts[which].sum())
        self.of += float(which.sum())

    @property
    def share(self) -> float:
        """How many were kept, of those there were."""
        return self.kept / self.of if self.of else float("nan")

    def __str__(self) -> str:
        low, high = wilson(self.share * self.edits, self.edits)
        return f"{self.share:6.1%} [{low:5.1%}, {high:6.1%}]"


def wilson(kept: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927)."""
    if n == 0:
        return float("nan"), float("nan")
    z, p = 1.959964, kept / n
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def compare(edits: list[Edit], size: int, repeats: int) -> dict[str, dict[str, Count]]:
    """Let every gate judge the edits in runs of 50 looks, on `repeats` draws of the valid split and of the order."""
    kind, worth = np.array([e.kind for e in edits]), np.array([e.worth for e in edits])
    every = np.array([e.change for e in edits])
    idle = np.flatnonzero((kind == "null") & (worth <= 0))
    groups = {
        "harmful": kind == "harmful",
        "null": kind == "null",
        "harmful or null": kind != "helpful",
        "worth nothing": worth <= 0,
        "worth a point": worth >= WORTH,
        "1 to 2 points": (worth >= WORTH) & (worth < 2 * WORTH),
    }
    out = {gate: {g: Count(edits=int(m.sum())) for g, m in groups.items()} for gate in GATES}
    for gate in GATES:
        out[gate]["runs with a worthless one kept"] = Count()
        out[gate]["runs of 50 worthless that keep one"] = Count()
    for repeat in range(repeats):
        chance = np.random.default_rng([repeat, 5])
        order = chance.permutation(len(edits))
        drawn = chance.choice(every.shape[1], size, replace=False)
        streams = [order[i : i + LOOKS] for i in range(0, len(order) - LOOKS + 1, LOOKS)]
        for gate, judge in GATES.items():
            for stream in streams:
                verdicts = judge([every[e, drawn].astype(np.int64) for e in stream], chance)
                for group, mask in groups.items():
                    out[gate][group].add(verdicts, mask[stream])
                some = out[gate]["runs with a worthless one kept"]
                some.kept, some.of = some.kept + bool(verdicts[worth[stream] <= 0].any()), some.of + 1
            none = out[gate]["runs of 50 worthless that keep one"]
            looks = [every[e, drawn].astype(np.int64) for e in chance.choice(idle, LOOKS)]
            none.kept, none.of = none.kept + bool(judge(looks, chance).any()), none.of + 1
            none.edits = some.edits = 0
    return out


def report(world: str, edits: list[Edit], repeats: int, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Print and return what the gates kept, by the size of the valid split."""
    worth = {k: np.array([e.worth for e in edits if e.kind == k]) for k in KINDS}
    print(f"\n{world}: {len(edits)} edits, {LOOKS} looks a run, {repeats} draws of the valid split")
    for k in KINDS:
        moved = np.median([np.count_nonzero(e.change) / len(e.change) for e in edits if e.kind == k])
        low, middle, high = np.percentile(worth[k], [10, 50, 90])
        points = int((worth[k] >= WORTH).sum())
        print(
            f"  {k:8} true worth {100 * low:+.2f} / {100 * middle:+.2f} / {100 * high:+.2f} points (10, 50, 90 %); "
            f"{points} of {len(worth[k])} are worth a point or more; being right changes on {moved:.1%} of the records"
        )
    rows: list[dict[str, Any]] = []
    enough: int | None = None
    for size in sizes:
        found = compare(edits, size, repeats)
        print(f"  valid {size:,}")
        head = "".join(f" {title:>23}" for title in COLUMNS)
        print(f"    {'kept, of those that are':30}{head}   runs that keep a worthless one (of 50 such)")
        for gate, of in found.items():
            shares = "".join(f" {of[g]!s:>23}" for g in COLUMNS)
            any_, null = (of[g].share for g in ("runs with a worthless one kept", "runs of 50 worthless that keep one"))
            print(f"    {gate:30}{shares}   {any_:4.0%} ({null:.0%})")
            rows.append({"world": world, "valid": size, "gate": gate} | {g: asdict(c) for g, c in of.items()})
        ours = found[OURS]
        if enough is None and ours["worth nothing"].share <= 0.05 and ours["worth a point"].share >= 0.9:
            enough = size
    told = f"{enough:,} valid records are enough" if enough else f"not even {sizes[-1]:,} valid records are enough"
    print(f"  {told} for {OURS} to keep 90 % of what is worth a point, and at most 5 % of what is not")
    return rows
