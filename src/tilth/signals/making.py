"""What signals and metrics with arguments share: these are judged when they are written, not rounds later."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tilth.errors import UsageError, did_you_mean

__all__ = ["count", "one_of", "refined"]

P = ParamSpec("P")
Made = TypeVar("Made")


def refined(refine: Callable[[Made], Made]) -> Callable[[Callable[P, Made]], Callable[P, Made]]:
    """Look at each value that a `@signal` or `@metric` function makes.

    `refine` returns it, or one with other needs, or raises. Stands above `@signal(...)`.
    """

    def wrap(make: Callable[P, Made]) -> Callable[P, Made]:
        @functools.wraps(make)
        def made(*args: P.args, **kwargs: P.kwargs) -> Made:
            return refine(make(*args, **kwargs))

        return made

    return wrap


def count(what: str, value: Any) -> int:
    """Return a whole number of 1 or more; UsageError, naming the argument, for anything else.

    >>> count("novelty(k=...)", 0)
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: novelty(k=...) is a whole number of 1 or more, got 0
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise UsageError(f"{what} is a whole number of 1 or more, got {value!r}")
    return int(value)


def one_of(what: str, value: Any, known: tuple[str, ...]) -> str:
    """Return one of some names; UsageError, naming the argument, for anything else.

    >>> one_of("label_quality(by=...)", "prob", ("probe", "model"))
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: label_quality(by=...): no 'prob'. There is: probe, model. Did you mean 'probe'?
    """
    if value not in known:
        raise UsageError(f"{what}: no {value!r}. {did_you_mean(str(value), known)}")
    return value
