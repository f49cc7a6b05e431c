"""The tables as Markdown, for docs/how-to/choose-a-selector.md."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.label_efficiency.arms import BASE, Case
from bench.label_efficiency.report import SHARE, results, start_results

__all__ = ["markdown"]


def markdown(case: Case, trials: Mapping[str, Any]) -> str:
    """Return the table of a case, best first; bold where a selector differs from random at p < .05."""
    full = np.mean([trials[s]["full"] for s in trials])
    n = len(trials)
    rare = f" recall of {case.rare} |" if case.rare else ""
    told = f"{case.start} to {case.most:,} labels, {n} seeds; all labels of the pool give {100 * full:.1f} %"
    lines = [
        f"**{case.title}**: {told}, so the target is {100 * SHARE * full:.1f} %.",
        "",
        f"| selector | labels to target | saved against random | area | gain in area |{rare} ms |",
        f"|---|---|---|---|---|{'---|' if rare else ''}---|",
    ]
    for r in results(case, trials):
        least = f"> {r.labels:,.0f} ({r.reached} of {n})" if r.reached < n else f"{r.labels:,.0f}"
        saved = gain = ""
        if r.arm != BASE:
            saved = _bold(f"{r.saved[0]:+,.0f} ± {r.saved[1]:,.0f}", r.p_saved)
            gain = _bold(f"{100 * r.area_gain[0]:+.1f} ± {100 * r.area_gain[1]:.1f}", r.p_area)
        last = f" {100 * r.rare:.0f} |" if case.rare else ""
        lines.append(f"| {r.arm} | {least} | {saved} | {100 * r.area:.1f} | {gain} |{last} {1e3 * r.choosing:.0f} |")
    if case.sizes:
        names = list(next(iter(trials.values()))["starts"][str(case.sizes[0])])
        lines += ["", f"| first labels | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
        for size in case.sizes:
            cells = [
                f"{100 * right:.1f}" if name == BASE else _bold(f"{100 * right:.1f}", p)
                for name, right, _, p in start_results(trials, str(size))
            ]
            lines.append(f"| {size} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _bold(text: str, p: float) -> str:
    return f"**{text}**" if p < 0.05 else text
