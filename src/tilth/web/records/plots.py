"""Small drawings (SVG) of numbers, made on the server: bars, lines and counts; colours are those of the page."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np
from markupsafe import Markup

from tilth.html import clean
from tilth.words import number

__all__ = ["bars", "histogram", "lines", "sparkline"]

_TALL = 26


def bars(rows: Sequence[tuple[str, float, bool]]) -> Markup:
    """Return shares in [0, 1] as bars with their names; what is `True` is marked.

    >>> "cat: 0.9000" in bars([("cat", 0.9, True)])
    True
    """
    parts: list[str] = []
    for i, (name, share, marked) in enumerate(rows):
        y, long = i * _TALL, max(240 * share, 1)
        parts.append(
            f"<g><title>{_text(name)}: {number(share)}</title>"
            f'<rect class="ground" x="0" y="{y + 16}" width="240" height="6" rx="3"/>'
            f'<rect class="{"marked" if marked else "bar"}" x="0" y="{y + 16}" width="{long:.1f}" height="6" rx="3"/>'
            f'<text x="0" y="{y + 12}">{_text(name, 28)}</text>'
            f'<text x="240" y="{y + 12}" text-anchor="end">{share:.3f}</text></g>'
        )
    told = "; ".join(f"{name} {share:.3f}" for name, share, _ in rows)
    return _drawn("bars", 240, _TALL * len(rows), told, "".join(parts))


def sparkline(values: Sequence[float]) -> Markup:
    """Return numbers as a line, without axes."""
    return _drawn("spark", 240, 48, f"{len(values)} numbers", f'<path d="{_path(values, 240, 44, 2)}"/>')


def lines(name: str, values: Sequence[float], *, low: float = 0.0, high: float = 1.0) -> Markup:
    """Return one number a round as a line with its points, between two bounds; NaN leaves a gap."""
    step = 150 / max(len(values) - 1, 1)
    points = [
        (5 + i * step, 45 - 40 * (min(max(v, low), high) - low) / (high - low))
        for i, v in enumerate(values)
        if not math.isnan(v)
    ]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in points)
    ground = '<path class="ground" d="M5 45h150M5 5h150"/>'
    told = f"{name}: " + ", ".join(number(v) for v in values)
    return _drawn("line", 160, 50, told, f'{ground}<path d="{path}"/>{dots}')


def histogram(values: Sequence[float], *, bins: int = 40) -> Markup:
    """Return how often numbers come, in equal steps from the least to the most; none for no numbers."""
    found = np.asarray(values, np.float64)
    if not len(found):
        return Markup()
    counts, edges = np.histogram(found, bins=bins)
    wide = 480 / bins
    tallest = max(int(counts.max()), 1)
    parts: list[str] = []
    for i, n in enumerate(counts.tolist()):
        left, tall = i * wide + 0.5, 96 * n / tallest
        parts.append(
            f"<g><title>{number(float(edges[i]))} to {number(float(edges[i + 1]))}: {n:,}</title>"
            f'<rect class="bar" x="{left:.1f}" y="{100 - tall:.1f}" width="{wide - 1:.1f}" height="{tall:.1f}"/></g>'
        )
    low, high = number(float(edges[0])), number(float(edges[-1]))
    parts.append(f'<path class="axis" d="M0 100.5h480"/><text x="0" y="116">{low}</text>')
    parts.append(f'<text x="480" y="116" text-anchor="end">{high}</text>')
    if edges[0] < 0 < edges[-1]:
        zero = 480 * -float(edges[0]) / float(edges[-1] - edges[0])
        parts.append(f'<path class="axis" d="M{zero:.1f} 0v100"/>')
        parts.append(f'<text x="{zero:.1f}" y="116" text-anchor="middle">0</text>')
    return _drawn("histogram", 480, 120, f"{len(found):,} numbers from {low} to {high}", "".join(parts))


def _path(values: Sequence[float], wide: float, tall: float, top: float) -> str:
    found = np.nan_to_num(np.asarray(values, np.float64), posinf=0, neginf=0)
    if len(found) > wide:  # the mean of what falls on one pixel
        edges = np.linspace(0, len(found), int(wide) + 1).astype(int)[:-1]
        found = np.add.reduceat(found, edges) / np.diff([*edges, len(found)])
    low, high = float(found.min(initial=0)), float(found.max(initial=0))
    y = top + tall - (found - low) / (high - low or 1) * tall
    x = np.linspace(0, wide, len(found))
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _drawn(kind: str, wide: float, tall: float, told: str, inside: str) -> Markup:
    """Return a drawing; `inside` holds no text that was not escaped."""
    return Markup(  # noqa: S704  numbers, and texts through `_text`
        f'<svg class="plot {kind}" viewBox="0 0 {wide:g} {tall:g}" role="img" aria-label="{_text(told)}">{inside}</svg>'
    )


def _text(text: str, most: int = 400) -> str:
    cut = clean(text)
    return escape(cut if len(cut) <= most else cut[: most - 1] + "…")
