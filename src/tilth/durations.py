"""Lengths of time as people write them: "90s", "30min", "6h", "3d", "2w"."""

import re

from tilth.errors import UsageError

__all__ = ["seconds", "spoken"]

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_WORDS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "w": "week"}


def seconds(text: str, *, what: str) -> float:
    """Return the seconds of a length of time; `what` names the argument it was given for.

    >>> seconds("3d", what="patience"), seconds("1.5h", what="every")
    (259200.0, 5400.0)
    >>> seconds("soon", what="patience")
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: patience="soon" is no length of time: a number above 0 with s, min, h, d or w, such as "3d"
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*", text) if isinstance(text, str) else None
    if found is None or float(found[1]) <= 0:
        shown = f'"{text}"' if isinstance(text, str) else repr(text)
        raise UsageError(f'{what}={shown} is no length of time: a number above 0 with s, min, h, d or w, such as "3d"')
    return float(found[1]) * _UNITS[found[2]]


def spoken(text: str) -> str:
    """Return a length of time in words.

    >>> spoken("3d"), spoken("1h"), spoken("1.5h")
    ('3 days', '1 hour', '1.5 hours')
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d|w)\s*", text)
    if found is None:
        return text
    return f"{float(found[1]):g} {_WORDS[found[2]]}{'' if float(found[1]) == 1 else 's'}"
