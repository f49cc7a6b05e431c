"""One picture a question: every figure with its interval, and where it should be."""

from collections.abc import Sequence
from pathlib import Path

from bench.evidence.figures import Figure

__all__ = ["draw"]


def draw(title: str, figures: Sequence[Figure], path: Path) -> None:
    """Write a PNG: figures of one unit share an axis."""
    import matplotlib.pyplot as plt

    units = list(dict.fromkeys(f.unit for f in figures))
    panels = [[f for f in figures if f.unit == unit] for unit in units]
    rows = [len(some) for some in panels]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(9, 1.2 + 0.34 * sum(rows)), squeeze=False, height_ratios=rows, layout="constrained"
    )
    figure.suptitle(f"{title}\nblue: mean and 95 % interval; red: the target", fontsize=9)
    for axis, some in zip(axes[:, 0], panels, strict=True):
        axis.set_xlabel(some[0].unit, fontsize=8)
        for y, f in enumerate(some):
            axis.hlines(y, f.low, f.high, color="tab:blue", linewidth=2)
            axis.plot(f.value, y, "o", color="tab:blue")
            if f.target is not None:
                axis.plot(f.target, y, "|", markersize=16, markeredgewidth=2, color="tab:red")
        axis.set_yticks(range(len(some)), [f.what for f in some], fontsize=7)
        axis.tick_params(axis="x", labelsize=7)
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=130)
    plt.close(figure)
