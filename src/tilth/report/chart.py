"""A line chart as a small SVG: two lines over one axis, light or dark as the page around it, no script."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from tilth.html import clean

__all__ = ["chart", "ticks"]

_WIDTH, _HEIGHT = 720.0, 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 14.0, 46.0

Values = Sequence[float | None]


def chart(title: str, over: str, x: Sequence[float], lines: Mapping[str, Values], *, marks: Sequence[str]) -> str:
    """Return an SVG of some lines over the same places, whole numbers; what is not finite leaves a gap.

    >>> text = chart("accuracy()", "labels spent", [0, 20], {"valid": [0.8, 0.9]}, marks=["version 0", "version 3"])
    >>> text.count("<circle"), "version 3: 0.9000" in text
    (2, True)

    `marks`: what is said of each place when it is pointed at. Colours come from the classes `line-0`, `line-1`, ... and
    `soft`, `grid` of the page. All texts are escaped.
    """
    known = [v for values in lines.values() for v in values if v is not None and math.isfinite(v)]
    if not known or not x:
        return ""
    low, high = min(known), max(known)
    room = (high - low) * 0.08 or abs(high) * 0.01 or 0.5
    ys, xs = ticks(low - room, high + room), ticks(min(x), max(x) if max(x) > min(x) else min(x) + 1)
    y_range, x_range = (min(ys[0], low - room), max(ys[-1], high + room)), (min(x), max(*x, xs[-1]))

    def place(value: float, at: float) -> tuple[float, float]:
        across = (at - x_range[0]) / (x_range[1] - x_range[0] or 1)
        up = (value - y_range[0]) / (y_range[1] - y_range[0])
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    named = f'role="img" aria-label="{_safe(title)} over {_safe(over)}"'
    parts = [f'<svg class="chart" {named} viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}">']
    for tick in ys:
        _, y = place(tick, x_range[0])
        parts.append(f'<path class="grid" d="M{_LEFT:g} {y:.1f}H{_WIDTH - _RIGHT:g}"/>')
        parts.append(f'<text class="soft" x="{_LEFT - 8:g}" y="{y + 4:.1f}" text-anchor="end">{tick:.6g}</text>')
    for tick in (t for t in xs if t.is_integer()):  # rounds and labels are counted
        across, _ = place(ys[0], tick)
        parts.append(f'<text class="soft" x="{across:.1f}" y="{_HEIGHT - 26:g}" text-anchor="middle">{tick:.6g}</text>')
    parts.append(
        f'<text class="soft" x="{(_LEFT + _WIDTH) / 2:g}" y="{_HEIGHT - 6:g}" text-anchor="middle">{_safe(over)}</text>'
    )
    for n, (name, values) in enumerate(lines.items()):
        there = [
            (place(v, at), mark, v)
            for v, at, mark in zip(values, x, marks, strict=True)
            if v is not None and math.isfinite(v)
        ]
        points = " ".join(f"{px:.1f},{py:.1f}" for (px, py), _, _ in there)
        parts.append(f'<polyline class="line-{n}" points="{points}"/>')
        parts += [
            f'<circle class="line-{n}" cx="{px:.1f}" cy="{py:.1f}" r="4">'
            f"<title>{_safe(name)}, {_safe(mark)}: {v:.4f}</title></circle>"
            for (px, py), mark, v in there
        ]
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, *, about: int = 6) -> list[float]:
    """Return round numbers between two, about so many.

    >>> ticks(0.83, 0.97), ticks(0, 163)
    ([0.85, 0.9, 0.95], [0.0, 50.0, 100.0, 150.0])
    """
    rough = (high - low) / about or 1.0
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(n * size for n in (1, 2, 5, 10) if n * size >= rough * 0.999)
    return [round(float(n * step), 12) for n in range(math.ceil(low / step), math.floor(high / step) + 1)] or [low]


def _safe(text: str) -> str:
    return escape(clean(text))
