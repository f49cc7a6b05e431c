"""Do gates keep what helps, and nothing else? Planted edits, 50 looks a run."""

from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from bench.evidence.figures import Figure
from bench.gates.judges import OURS
from bench.gates.tables import report, wilson
from bench.gates.worlds import adult, digits, planted

__all__ = ["SEEDS", "TITLE", "measure"]

TITLE = "e. 100 harmful, 100 null and 100 helpful edits, 50 looks a run: share kept (interval of Wilson over edits)"
SEEDS = 5
NAIVE = "valid rose (naive)"


def measure(data: Path, seeds: int) -> list[Figure]:
    """Plant the edits and let every gate judge them; `seeds`: draws of the valid split and of the order."""
    out: list[Figure] = []
    with threadpool_limits(1):
        edits = [e for seed in range(2) for e in planted(digits(seed), 50, seed)]
        out += _told("digits, 2,000 valid", report("digits, redrawn", edits, seeds, (2000,)), seeds)
        if (data / "adult" / "adult.parquet").exists():
            edits = [e for seed in range(2) for e in planted(adult(data, seed), 50, seed)]
            out += _told("adult, 4,000 valid", report("adult", edits, seeds, (4000,)), seeds)
    return out


def _told(world: str, rows: list[dict[str, Any]], draws: int) -> list[Figure]:
    out: list[Figure] = []
    for gate in (OURS, NAIVE):
        row = next(r for r in rows if r["gate"] == gate)
        for group, target, most in (("harmful or null", 0.05, True), ("worth a point", 0.9, False)):
            count = row[group]
            share = count["kept"] / count["of"] if count["of"] else float("nan")
            low, high = wilson(share * count["edits"], count["edits"])
            over = f"{count['edits']} edits, {draws} draws"
            wanted = target if gate == OURS else None
            out.append(Figure(f"{world}: {gate}, {group}", share, low, high, over, wanted, most))
    return out
