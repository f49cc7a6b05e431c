"""Templates: every text escaped, one base for all pages, and how numbers, times and states are said."""

import time
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from tilth.html import clean
from tilth.words import number

__all__ = ["THEMES", "ago", "amount", "environment", "fragment", "page", "words"]

THEMES = ("auto", "light", "dark")

_STATES = {
    "running": ("running", "▶"),
    "queued": ("waiting for a worker", "…"),
    "waiting": ("waiting for people", "●"),
    "paused": ("paused", "‖"),
    "resting": ("resting: no process is at work on it", "○"),
    "failed": ("failed", "✕"),
    "done": ("done", "✓"),
    "cancelled": ("cancelled", "⊘"),
}


def words(state: str) -> tuple[str, str]:
    """Return how a state is said, and its sign.

    >>> words("waiting")
    ('waiting for people', '●')
    """
    return _STATES.get(state, (state, "·"))


def ago(at: float, now: float | None = None) -> str:
    """Return how long ago a unix time was.

    >>> ago(0.0, now=7300.0), ago(0.0, now=4.0)
    ('2 h ago', 'just now')
    """
    passed = (time.time() if now is None else now) - at
    for seconds, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (5, "s")):
        if passed >= seconds:
            return f"{int(passed // (seconds if unit != 's' else 1))} {unit} ago"
    return "just now"


def amount(value: Any) -> str:
    """Return a number as pages show it: counts with commas, others with four digits, what is unknown as "?".

    >>> amount(12345), amount(0.98765), amount(None), amount(float("nan"))
    ('12,345', '0.9877', '?', '?')
    """
    if value is None or value != value:
        return "?"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


@cache
def environment() -> Environment:
    """Return the templates."""
    made = Environment(
        loader=PackageLoader("tilth.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {"words": words, "ago": ago, "amount": amount, "clean": clean, "short": number}
    made.filters.update(filters)
    return made


def page(request: Request, template: str, *, title: str, status: int = 200, **shown: Any) -> HTMLResponse:
    """Return a whole page: `template` fills the base."""
    theme = request.cookies.get("tilth_theme", "auto")
    frame = {
        "title": title,
        "person": request.state.person,
        "site": request.app.state.site,
        "theme": theme if theme in THEMES else "auto",
        "here": request.url.path,
        "address": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
    }
    return HTMLResponse(environment().get_template(template).render(**frame, **shown), status_code=status)


def fragment(template: str, **shown: Any) -> str:
    """Return a piece of a page, for htmx to put in its place."""
    return environment().get_template(template).render(**shown)
