"""`Value`: what every part of a decision is: frozen, printed as written, stored as JSON."""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, ClassVar, cast

import numpy as np

from tilth.errors import NotData, UsageError, did_you_mean
from tilth.functions import find, source_hash, where
from tilth.protocols import Annotator, Generator, Model, Source, Tuner

__all__ = ["Function", "Value", "from_json", "show", "to_json"]

_VALUES: dict[str, type["Value"]] = {}


def show(value: Any) -> str:
    """Return a value as a user would write it: strings in double quotes, functions by name.

    >>> show(("a", 1))
    '("a", 1)'
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        items = cast(tuple[Any, ...], value)
        return "(" + ", ".join(show(v) for v in items) + ("," if len(items) == 1 else "") + ")"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"{value:.1f}"
    return repr(value)


class Value:
    """A frozen value of the algebra: it has children, `needs`, a JSON form, and the text it was written as."""

    tag: ClassVar[str]
    checks: ClassVar[bool] = False
    """Whether it checks what was said or made, rather than decide what is to be done."""

    def __init_subclass__(cls, tag: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if tag:
            cls.tag = tag
            _VALUES[tag] = cls

    def children(self) -> Iterator["Value"]:
        """Yield the values that this one is made of."""
        for name in _names(type(self)):
            yield from _values(getattr(self, name))

    def walk(self) -> Iterator["Value"]:
        """Yield this value and everything inside it."""
        yield self
        for child in self.children():
            yield from child.walk()

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state: some of the kinds of outputs, or nothing."""
        return frozenset[str]().union(*(child.needs for child in self.children()))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"$": self.tag} | {name: to_json(getattr(self, name)) for name in _names(type(self))}

    @classmethod
    def restore(cls, data: Mapping[str, Any]) -> "Value":
        """Rebuild it from the parts of its JSON, which are values again."""
        return cls(**data)

    def __bool__(self) -> bool:
        raise NotData(
            f"{self!r} is a value that is looked at later, in every round, so it is neither true nor false now. "
            "Combine conditions with & | ~ instead of and, or, not; write a < b and b < c as (a < b) & (b < c)"
        )


@cache  # a run looks through its values some two hundred times a round, and a class keeps its fields
def _names(cls: type[Value]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(cast(Any, cls)))


def _values(item: Any) -> Iterator[Value]:
    if isinstance(item, Value):
        yield item
    elif isinstance(item, tuple):
        for part in cast(tuple[Any, ...], item):
            yield from _values(part)
    elif isinstance(item, Mapping):
        for part in cast(Mapping[Any, Any], item).values():
            yield from _values(part)


def to_json(item: Any) -> Any:
    """Return a value, or a tuple, mapping or plain datum that holds values, as JSON."""
    if isinstance(item, Value):
        return item.to_json()
    if isinstance(item, tuple):
        return {"$": "tuple", "items": [to_json(part) for part in cast(tuple[Any, ...], item)]}
    if isinstance(item, Mapping):
        return {str(k): to_json(v) for k, v in cast(Mapping[Any, Any], item).items()}
    if item is None or isinstance(item, (str, int, float, bool)):
        return item
    if isinstance(item, (list, set, frozenset)):
        return to_json(tuple(cast(Iterable[Any], item)))
    if isinstance(item, np.generic):
        return item.item()
    if isinstance(item, (Model, Annotator, Generator, Source, Tuner)):
        return {"$": "brought", "spec": dict(item.spec)}
    if callable(item):
        return Function.of(item).to_json()
    raise UsageError(
        f"{item!r} ({type(item).__name__}) cannot be stored with the run; use text, numbers, tuples, or a function at "
        "the top level of a file"
    )


def from_json(data: Any) -> Any:
    """Read back what `to_json` wrote; UsageError for a tag that this version does not know."""
    if not isinstance(data, dict):
        return data
    mapping = cast(dict[str, Any], data)
    if "$" not in mapping:
        return {k: from_json(v) for k, v in mapping.items()}
    tag = mapping["$"]
    if tag == "tuple":
        return tuple(from_json(part) for part in mapping["items"])
    if tag == "brought":
        spec = mapping["spec"]
        # what asks a language model says which by "model", and a tuner by "source" whether its space was edited
        kind = next(spec[k] for k in ("generator", "annotator", "tuner", "model", "source") if k in spec)
        return find(kind).from_spec(spec)
    if tag not in _VALUES:
        raise UsageError(f"{tag!r} is no value that this version of Tilth knows. {did_you_mean(tag, _VALUES)}")
    cls = _VALUES[tag]
    values = {k: from_json(v) for k, v in mapping.items() if k != "$"}
    return cls.restore(values)


@dataclass(frozen=True, repr=False)
class Function(Value, tag="function"):
    """A user's function, by where it stands and the hash of its source, so that an edit is noticed.

    >>> import posixpath
    >>> Function.of(posixpath.join)
    join
    >>> Function.of(lambda x: x)
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: a lambda cannot be found again after a restart; ...
    """

    where: str
    source: str

    @staticmethod
    def of(call: Callable[..., Any]) -> "Function":
        """Describe a function; UsageError for one that cannot be found again by name."""
        made = Function(where(call), source_hash(call))
        _loaded[made] = inspect.unwrap(call)
        return made

    def load(self) -> Callable[..., Any]:
        """Return the function itself; NotFound where it is gone."""
        if self not in _loaded:
            _loaded[self] = inspect.unwrap(find(self.where))
        return _loaded[self]

    @property
    def name(self) -> str:
        """Its name without the module."""
        return self.where.split(":")[1]

    def __repr__(self) -> str:
        return self.name


_loaded: dict[Function, Callable[..., Any]] = {}
