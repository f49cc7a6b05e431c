"""Every error that Tilth raises on purpose, drawn as a tree.

```
TilthError
├── UsageError (ValueError)     what was written cannot mean anything: a wrong name, type or range
│   ├── HeldOut                 a held-out split (valid, test) was named where training data is chosen
│   └── NotData                 a condition, selector or rule was used as if it were a bool or a number
├── DataError                   what was read is not usable: names the file and the row
├── NotFound (LookupError)      no such dataset, version, branch, record, run or class
├── Exists                      something of that name is already there
├── Conflict                    another writer changed the same records first
├── Damaged                     files on disk contradict each other
├── Busy                        another process holds this project
├── MissingExtra (ImportError)  an optional dependency is not installed
└── RunFailed                   a step of a run failed; says which step and what to do next

Parked (BaseException)          not an error: a run stopped in a safe place and can go on from there
```

A message says what came, what was expected and the next step.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "Busy",
    "Conflict",
    "Damaged",
    "DataError",
    "Exists",
    "HeldOut",
    "MissingExtra",
    "NotData",
    "NotFound",
    "Parked",
    "RunFailed",
    "TilthError",
    "UsageError",
    "did_you_mean",
]


class TilthError(Exception):
    """The root of all errors that Tilth raises on purpose."""


class UsageError(TilthError, ValueError):
    """What was written cannot mean anything: a wrong name, type, range or combination."""


class HeldOut(UsageError):
    """A held-out split was named where only training data may be chosen."""


class NotData(UsageError, TypeError):
    """A condition, selector or rule was used as if it were a bool or a number."""


class DataError(TilthError):
    """What was read cannot be used; `problems` lists each as (source, row, reason)."""

    def __init__(self, message: str, problems: Iterable[tuple[str, int, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class NotFound(TilthError, LookupError):
    """No dataset, version, branch, record, run or class of that name."""

    def __str__(self) -> str:
        # LookupError has KeyError's habit of printing the repr of a single argument.
        return str(self.args[0]) if self.args else ""


class Exists(TilthError):
    """Something of that name is already there, and is left as it is."""


class Conflict(TilthError):
    """Another writer changed the same records first; `records` holds their ids."""

    def __init__(self, message: str, records: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.records = tuple(records)


class Damaged(TilthError):
    """Files on disk contradict each other; nothing was changed."""


class Busy(TilthError):
    """Another process holds this project; says which."""


class MissingExtra(TilthError, ImportError):
    """An optional dependency is not installed; the message is the line that installs it.

    >>> raise MissingExtra("run.plot()", "matplotlib", extra="plot")
    Traceback (most recent call last):
        ...
    tilth.errors.MissingExtra: run.plot() needs matplotlib: pip install "tilth[plot]"
    """

    def __init__(self, what: str, package: str, *, extra: str) -> None:
        super().__init__(f'{what} needs {package}: pip install "tilth[{extra}]"')


class RunFailed(TilthError):
    """A step of a run failed; the message says which step, why, and what to do next."""


class Parked(BaseException):
    """A run stopped in a safe place; `state` is `waiting`, `failed`, `paused` or `cancelled`.

    It is no `Exception`, so that a step's own error handling cannot swallow it. `ticket`: where it waits for people,
    what has to happen before it can go on (see `tilth.asking.due`).
    """

    def __init__(self, message: str, *, state: str = "paused", ticket: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.state = state
        self.ticket = ticket


def did_you_mean(name: str, known: Iterable[str], *, limit: int = 12) -> str:
    """Return the tail of an error message: what exists, and the likely intention.

    >>> did_you_mean("cta", ["cat", "dog"])
    "There is: cat, dog. Did you mean 'cat'?"
    >>> did_you_mean("x", [])
    'There is none.'
    """
    names = [str(k) for k in known]
    if not names:
        return "There is none."
    shown = ", ".join(names[:limit]) + (f", ... ({len(names)} in all)" if len(names) > limit else "")
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"There is: {shown}." + (f" Did you mean {close[0]!r}?" if close else "")
