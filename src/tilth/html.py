"""What is shown of texts and numbers: made harmless, short, and as static, escaped HTML for notebooks."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

__all__ = ["clean", "number", "table"]


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]], *, note: str = "") -> str:
    """Return a titled HTML table; every cell is escaped, numbers stand to the right.

    >>> table("<t>", ["a"], [["b"]])
    '<div><strong>&lt;t&gt;</strong>...<td style="text-align:left">b</td></tr></table></div>'
    """

    def cell(value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return f'<td style="text-align:left">{escape(str(value))}</td>'
        return (
            f'<td style="text-align:right">{value:,}</td>'
            if isinstance(value, int)
            else f'<td style="text-align:right">{value:.4g}</td>'
        )

    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(f"<tr>{''.join(cell(v) for v in row)}</tr>" for row in rows)
    tail = f"<p>{escape(note)}</p>" if note else ""
    return f"<div><strong>{escape(title)}</strong><table><tr>{top}</tr>{body}</table>{tail}</div>"


def clean(text: str, *, lines: bool = False) -> str:
    r"""Return a text with control characters written out, so that a key or label cannot steer what shows it.

    >>> clean("cat\x1b[2J")
    'cat\\x1b[2J'

    `lines=True` keeps line breaks. Characters that turn the direction of writing are written out too.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or (lines and c == "\n") else repr(c)[1:-1] for c in text)


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
