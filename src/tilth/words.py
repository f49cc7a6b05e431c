"""How numbers, times and counts are said, wherever a person reads them."""

import math

__all__ = ["count", "duration", "number"]


def count(n: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "record"), count(1200, "record"), count(2, "class", "classes")
    ('1 record', '1,200 records', '2 classes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def number(value: float | None) -> str:
    """Return a metric or score with about four digits; "-" for none.

    >>> number(0.91254), number(123456.7), number(float("nan")), number(2e-6)
    ('0.9125', '123,457', '-', '2e-06')
    """
    if value is None or math.isnan(value):
        return "-"
    if 1000 <= abs(value) < 1e8:
        return f"{value:,.0f}"
    return f"{value:.4f}" if 0.001 <= abs(value) < 10 or value == 0 else f"{value:.4g}"


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(0.42), duration(75), duration(7300)
    ('0.4 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
