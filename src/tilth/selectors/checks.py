"""What the words of a selector are given is judged when they are written, not rounds later."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from tilth.algebra import Condition, Quantity, Value
from tilth.dataset.schema import HELD_OUT, SPLITS
from tilth.errors import HeldOut, UsageError, did_you_mean
from tilth.signals.making import count

__all__ = ["number", "per_record", "quotas", "ranking", "values", "vector"]


def values(field: str, value: Any) -> Any:
    """Check what a field is to be equal to: one value, or a tuple of them."""
    if isinstance(value, (set, frozenset)):
        value = sorted(cast("set[Any]", value), key=repr)  # a set's own order differs from process to process
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(_plain(field, one) for one in cast("list[Any]", value))
    return _plain(field, value)


def _plain(field: str, one: Any) -> Any:
    if isinstance(one, Value):
        raise UsageError(
            f"where({field}={one!r}): give a value or a list of values; "
            "conditions stand alone, such as where(entropy() > 0.5)"
        )
    one = one.item() if isinstance(one, np.generic) else one
    if not isinstance(one, (str, int, float, bool, type(None))):
        raise UsageError(f"where({field}={one!r}): a value is text, a number, True, False or None, or a list of these")
    if field == "split" and one in HELD_OUT:
        raise HeldOut(
            f'where(split="{one}"): {one} is held out, so no selector may choose from it; only "train" may change'
        )
    if field == "split" and one != "train":
        raise UsageError(f"where(split={one!r}): no such split. {did_you_mean(str(one), SPLITS)}")
    if field in ("predicted", "key") and not isinstance(one, str):
        raise UsageError(f"where({field}={one!r}): a {'class name' if field == 'predicted' else 'key'} is text")
    return one


def per_record(condition: Any) -> None:
    """Check a condition of where(); UsageError says what it is instead."""
    if isinstance(condition, Condition) and condition.per_record:
        return
    if isinstance(condition, Condition):
        raise UsageError(
            f"where({condition!r}) holds for the whole state or not at all; it belongs into when= of the rule"
        )
    if isinstance(condition, Quantity):
        raise UsageError(f"where({condition!r}) got a number; a condition compares it, such as {condition!r} > 0.5")
    if isinstance(condition, bool):
        raise UsageError(f'where({condition}) got a plain {condition}; equality is written where(label="cat")')
    raise UsageError(
        f"where() takes conditions such as entropy() > 0.5, got {condition!r} ({type(condition).__name__})"
    )


def ranking(by: Any, verb: str) -> Quantity:
    """Check what records are to be ranked by; UsageError says what it is instead."""
    if isinstance(by, Quantity) and by.per_record:
        return by
    if isinstance(by, Quantity):
        raise UsageError(
            f"{verb}(by={by!r}): that is one number for the whole state; rank records by a signal, such as entropy()"
        )
    if isinstance(by, Condition):
        raise UsageError(
            f"{verb}(by={by!r}): that is a yes or no; records are ranked by a signal, conditions go into where(...)"
        )
    if callable(by):
        name = getattr(by, "__name__", repr(by))
        raise UsageError(f"{verb}(by={name}): that is a function, not yet a signal; call it: by={name}()")
    raise UsageError(f"{verb}(by={by!r}): records are ranked by a signal, such as entropy(); got {type(by).__name__}")


def quotas(field: str, counts: Any) -> tuple[tuple[Any, int], ...]:
    """Check how many of each value of a field there are to be; return (value, count) pairs as written."""
    if field in ("split", "key"):
        raise UsageError(f'quota({field!r}, ...): count by "label", "predicted" or a column')
    if not isinstance(counts, Mapping) or not counts:
        raise UsageError(f'quota({field!r}, {counts!r}): give how many of each value, such as {{"cat": 10, "dog": 5}}')
    pairs = cast("Mapping[Any, Any]", counts).items()
    return tuple((_plain(field, value), count(f"quota({field!r}, ...) of {value!r}", k)) for value, k in pairs)


def number(what: str, value: Any, *, most: float | None = None) -> float:
    """Return a finite number above 0 (and up to `most`); UsageError, naming the argument, for anything else."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
    if not good or (most is not None and value > most):
        raise UsageError(
            f"{what} is a number above 0{f' and up to {most:g}' if most is not None else ''}, got {value!r}"
        )
    return value


def vector(verb: str, by: Any) -> str:
    """Check the name of the vectors to go by."""
    if not isinstance(by, str):
        raise UsageError(f'{verb}(by={by!r}): "embeddings" or the name of a vector column')
    return by
