"""How things are said on a terminal: numbers, times, counts, and texts from the data made harmless."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tilth.html import clean, number

__all__ = ["as_json", "clean", "count", "duration", "number", "options", "rows"]


def count(n: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "record"), count(1200, "record"), count(2, "class", "classes")
    ('1 record', '1,200 records', '2 classes')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


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


def options(message: str) -> str:
    """Return an error message with the arguments that it names written as options of `tilth new`.

    >>> options('pass on_error="quarantine", or label="..." and classes=[...]')
    'pass --on-error quarantine, or --label COLUMN and --classes A,B'
    """
    message = re.sub(r'label_kind="(\w+)"', r"--kind \1", message)
    message = re.sub(r'(?<!\w)on_error="(\w+)"', r"--on-error \1", message)
    message = re.sub(r'(?<!\w)missing="(\w+)"', r"--missing \1", message)
    message = re.sub(r'(?<!\w)(label|key|split)="\.\.\."', r"--\1 COLUMN", message)
    return re.sub(r"(?<!\w)classes=\[\.\.\.\]", "--classes A,B", message)


def as_json(data: Any) -> str:
    """Return data as one JSON document that every reader takes: no NaN, numpy numbers as plain ones.

    >>> as_json({"accuracy()": float("nan"), "classes": ("cat", "dog")})
    '{"accuracy()": null, "classes": ["cat", "dog"]}'
    """
    return json.dumps(_plain(data), ensure_ascii=False, allow_nan=False)


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(k): _plain(v) for k, v in cast(Mapping[Any, Any], data).items()}
    if isinstance(data, (list, tuple)):
        return [_plain(v) for v in cast(Sequence[Any], data)]
    if data is None or isinstance(data, (str, bool, int)):
        return data
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    return _plain(data.item()) if hasattr(data, "item") else str(data)


def rows(n: int, limit: int) -> str:
    """Return the last line of a table that was cut, empty where it was not.

    >>> rows(100, 20)
    '... and 80 more; --limit 100 shows them, --limit 0 always all'
    """
    return f"... and {n - limit:,} more; --limit {n} shows them, --limit 0 always all" if 0 < limit < n else ""
