"""What is shown of texts from the data: made harmless, and as static, escaped HTML for notebooks without a script."""

from collections.abc import Sequence
from html import escape
from typing import Any

__all__ = ["clean", "table"]


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
