"""The values that decisions are written in: signals, metrics, arithmetic on them, comparisons, and their logic.

A value is frozen, prints as it was written, says what it `needs` of the model's state, and goes to JSON and back. A
*quantity* is a number per record (`Signal`) or one number (`Metric`); compared with another it is a *condition*, per
record or for the whole state.
"""

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Concatenate, ParamSpec, cast

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from tilth.errors import NotData, UsageError, did_you_mean
from tilth.functions import find, source_hash, where
from tilth.outputs import KINDS
from tilth.protocols import Annotator, Model
from tilth.state import State

__all__ = [
    "Arithmetic",
    "Comparison",
    "Condition",
    "Function",
    "Logic",
    "Metric",
    "Quantity",
    "Signal",
    "Value",
    "from_json",
    "metric",
    "show",
    "signal",
    "to_json",
]

P = ParamSpec("P")
Array = npt.NDArray[Any]

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

    def __init_subclass__(cls, tag: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if tag:
            cls.tag = tag
            _VALUES[tag] = cls

    def children(self) -> Iterator["Value"]:
        """Yield the values that this one is made of."""
        for item in fields(cast(Any, self)):
            yield from _values(getattr(self, item.name))

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
        return {"$": self.tag} | {item.name: to_json(getattr(self, item.name)) for item in fields(cast(Any, self))}

    @classmethod
    def restore(cls, data: Mapping[str, Any]) -> "Value":
        """Rebuild it from the parts of its JSON, which are values again."""
        return cls(**data)

    def __bool__(self) -> bool:
        raise NotData(
            f"{self!r} is a value that is looked at later, in every round, so it is neither true nor false now. "
            "Combine conditions with & | ~ instead of and, or, not; write a < b and b < c as (a < b) & (b < c)"
        )


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
    if isinstance(item, (Model, Annotator)):
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
        kind = next(spec[k] for k in ("model", "annotator") if k in spec)
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
    tilth.errors.UsageError: a lambda cannot be found again after a restart; define the function at the top level of a
    file
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


class Quantity(Value):
    """A number per record, or one number; + - * / make others, < <= > >= make conditions."""

    def value(self, state: State) -> Array | float:
        """Compute it on a state: float64 or float32 [n], or a float; once a state."""
        text = repr(self)
        if text not in state.memo:
            state.memo[text] = self.compute(state)
        return state.memo[text]

    def compute(self, state: State) -> Array | float:
        """Compute it anew."""
        raise NotImplementedError(type(self).__name__)  # pragma: no cover  (abstract)

    @property
    def per_record(self) -> bool:
        """Whether it is a number per record."""
        return any(child.per_record for child in self.children() if isinstance(child, Quantity))

    def __add__(self, other: Any) -> "Arithmetic":
        return Arithmetic("+", self, _operand(other))

    def __radd__(self, other: Any) -> "Arithmetic":
        return Arithmetic("+", _operand(other), self)

    def __sub__(self, other: Any) -> "Arithmetic":
        return Arithmetic("-", self, _operand(other))

    def __rsub__(self, other: Any) -> "Arithmetic":
        return Arithmetic("-", _operand(other), self)

    def __mul__(self, other: Any) -> "Arithmetic":
        return Arithmetic("*", self, _operand(other))

    def __rmul__(self, other: Any) -> "Arithmetic":
        return Arithmetic("*", _operand(other), self)

    def __truediv__(self, other: Any) -> "Arithmetic":
        return Arithmetic("/", self, _operand(other))

    def __rtruediv__(self, other: Any) -> "Arithmetic":
        return Arithmetic("/", _operand(other), self)

    def __neg__(self) -> "Arithmetic":
        return Arithmetic("*", -1, self)

    def __lt__(self, other: Any) -> "Comparison":
        return Comparison("<", self, _operand(other))

    def __le__(self, other: Any) -> "Comparison":
        return Comparison("<=", self, _operand(other))

    def __gt__(self, other: Any) -> "Comparison":
        return Comparison(">", self, _operand(other))

    def __ge__(self, other: Any) -> "Comparison":
        return Comparison(">=", self, _operand(other))


def _operand(other: Any) -> "Quantity | float":
    if isinstance(other, Quantity) or (isinstance(other, (int, float)) and not isinstance(other, bool)):
        return other
    raise NotData(
        f"a signal or metric goes with numbers, signals and metrics; got {other!r} ({type(other).__name__}). For "
        "equality write where(label=...)"
    )


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass(frozen=True, repr=False)
class _Named(Quantity):
    """A signal or metric by name and arguments."""

    function: Function
    args: Mapping[str, Any]
    wants: frozenset[str]
    tasks: frozenset[str]

    def __hash__(self) -> int:
        return hash(repr(self))

    def compute(self, state: State) -> Array | float:
        return self.function.load()(state, **self.args)

    @property
    def name(self) -> str:
        """Its name, as it is called."""
        return self.function.name

    @property
    def needs(self) -> frozenset[str]:
        return self.wants | super().needs

    def to_json(self) -> dict[str, Any]:
        return {
            "$": self.tag,
            "function": self.function.to_json(),
            "args": {k: to_json(v) for k, v in self.args.items()},
            "needs": sorted(self.wants),
            "tasks": sorted(self.tasks),
        }

    @classmethod
    def restore(cls, data: Mapping[str, Any]) -> "_Named":
        """Rebuild it from JSON."""
        return cls(data["function"], data["args"], frozenset(data["needs"]), frozenset(data["tasks"]))

    def __repr__(self) -> str:
        parameters = list(inspect.signature(self.function.load()).parameters.values())[1:]
        given = [
            p for p in parameters if p.name in self.args and (p.default is p.empty or self.args[p.name] != p.default)
        ]
        texts = [
            show(self.args[p.name]) if p.kind is not p.KEYWORD_ONLY else f"{p.name}={show(self.args[p.name])}"
            for p in given
        ]
        return f"{self.name}({', '.join(texts)})"


@dataclass(frozen=True, repr=False)
class Signal(_Named, tag="signal"):
    """A number per record: State -> float[n], NaN where there is none. Made by calling a `@signal` function."""

    @override
    def compute(self, state: State) -> Array:
        found = np.asarray(super().compute(state))
        if found.shape != (len(state),) or found.dtype.kind not in "fiub":
            raise UsageError(
                f"signal {self!r} returned {found.dtype}{list(found.shape)}; a signal returns float[n], one number a "
                f"record, here n = {len(state)}"
            )
        return found if found.dtype.kind == "f" else found.astype(np.float64)

    @property
    @override
    def per_record(self) -> bool:
        return True

    __hash__ = _Named.__hash__


@dataclass(frozen=True, repr=False)
class Metric(_Named, tag="metric"):
    """One number of a state, on the valid split. Made by calling a `@metric` function."""

    @override
    def compute(self, state: State) -> float:
        return self.on(state, "valid")

    def on(self, state: State, split: str) -> float:
        """Return its value on another split, for reports."""
        call = self.function.load()
        split_aware = "split" in inspect.signature(call).parameters
        found = call(state, **self.args, **({"split": split} if split_aware else {}))
        if not isinstance(found, (int, float, np.number)):
            raise UsageError(f"metric {self!r} returned {type(found).__name__}; a metric returns one number")
        return float(found)

    @property
    @override
    def per_record(self) -> bool:
        return False

    __hash__ = _Named.__hash__


@dataclass(frozen=True, repr=False)
class Arithmetic(Quantity, tag="arithmetic"):
    """Two quantities, or one and a number, put together by + - * or /."""

    op: str
    left: Quantity | float
    right: Quantity | float

    @override
    def compute(self, state: State) -> Array | float:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = _OPERATORS[self.op](_of(self.left, state), _of(self.right, state))
        return found if self.per_record else float(found)

    def __repr__(self) -> str:
        return f"{_bracketed(self.left)} {self.op} {_bracketed(self.right)}"


def _of(side: Quantity | float, state: State) -> Any:
    return side.value(state) if isinstance(side, Quantity) else side


def _bracketed(side: Any) -> str:
    return f"({side!r})" if isinstance(side, (Arithmetic, Comparison, Logic)) else show(side)


class Condition(Value):
    """Yes or no, per record or for the whole state; & | ~ combine."""

    def decide(self, state: State) -> tuple[Any, Any]:
        """Return (yes, known): bool, or bool[n]; neither what rests on NaN nor its negation holds."""
        raise NotImplementedError(type(self).__name__)  # pragma: no cover  (abstract)

    def explain(self, state: State) -> str:
        """Return it with the numbers filled in, such as `recall("cat") = 0.82 < 0.9`."""
        raise NotImplementedError(type(self).__name__)  # pragma: no cover  (abstract)

    def holds(self, state: State) -> bool:
        """Whether it holds for the whole state."""
        if self.per_record:
            raise NotData(f"{self!r} is yes or no for each record, not for the whole state; put it into where(...)")
        yes, known = self.decide(state)
        return bool(yes) and bool(known)

    def mask(self, state: State) -> npt.NDArray[np.bool_]:
        """bool[n]: the records for which it holds."""
        yes, known = self.decide(state)
        return np.broadcast_to(np.asarray(yes) & np.asarray(known), (len(state),))

    @property
    def per_record(self) -> bool:
        """Whether it is a yes or no per record."""
        return any(child.per_record for child in self.children() if isinstance(child, (Quantity, Condition)))

    def __and__(self, other: Any) -> "Logic":
        return Logic("&", self, _condition(other))

    def __or__(self, other: Any) -> "Logic":
        return Logic("|", self, _condition(other))

    def __invert__(self) -> "Logic":
        return Logic("~", self, None)


def _condition(other: Any) -> Condition:
    if isinstance(other, Condition):
        return other
    raise NotData(
        f"conditions go together with conditions; got {other!r} ({type(other).__name__}). Put each comparison into "
        "brackets: (a < 1) & (b < 2)"
    )


@dataclass(frozen=True, repr=False)
class Comparison(Condition, tag="comparison"):
    """A quantity against another, or a number."""

    op: str
    left: Quantity | float
    right: Quantity | float

    @override
    def decide(self, state: State) -> tuple[Any, Any]:
        left, right = _of(self.left, state), _of(self.right, state)
        return _OPERATORS[self.op](left, right), ~(np.isnan(left) | np.isnan(right))

    @override
    def explain(self, state: State) -> str:
        sides = [
            f"{side!r} = {_of(side, state):.4g}" if isinstance(side, Quantity) and not side.per_record else show(side)
            for side in (self.left, self.right)
        ]
        return f"{sides[0]} {self.op} {sides[1]}"

    def __repr__(self) -> str:
        return f"{_bracketed(self.left)} {self.op} {_bracketed(self.right)}"


@dataclass(frozen=True, repr=False)
class Logic(Condition, tag="logic"):
    """Conditions put together by & or |, or turned round by ~."""

    op: str
    left: Condition
    right: Condition | None

    @override
    def decide(self, state: State) -> tuple[Any, Any]:
        yes, known = self.left.decide(state)
        if self.right is None:
            return np.logical_not(yes), known
        yes2, known2 = self.right.decide(state)
        if self.op == "&":  # a known no decides, whatever the other side is
            return np.logical_and(yes, yes2), (known & known2) | (known & ~np.asarray(yes)) | (
                known2 & ~np.asarray(yes2)
            )
        sure = (known & np.asarray(yes)) | (known2 & np.asarray(yes2))
        return np.logical_or(np.asarray(yes) & known, np.asarray(yes2) & known2), (known & known2) | sure

    @override
    def explain(self, state: State) -> str:
        texts = [side.explain(state) for side in (self.left, self.right) if side is not None]
        return f"not ({texts[0]})" if self.right is None else f"({texts[0]}) {self.op} ({texts[1]})"

    def __repr__(self) -> str:
        return (
            f"~{_bracketed(self.left)}"
            if self.right is None
            else f"{_bracketed(self.left)} {self.op} {_bracketed(self.right)}"
        )


def signal(
    *, needs: Iterable[str] = (), tasks: Iterable[str] = ("class",)
) -> Callable[[Callable[Concatenate[State, P], Array]], Callable[P, Signal]]:
    """Make a function State -> float[n] a signal; calling it with the remaining arguments gives a `Signal` value.

    >>> @signal(needs={"probabilities"})
    ... def doubt(state: State) -> Array:
    ...     return 1 - state.probabilities.max(axis=0)

    `needs`: what it reads of the model's state, out of the kinds in `tilth.outputs.KINDS`; `tasks`: the label kinds it
    fits. The function must be pure: the same state gives the same numbers.
    """
    return _maker(Signal, needs, tasks)


def metric(
    *, needs: Iterable[str] = (), tasks: Iterable[str] = ("class",)
) -> Callable[[Callable[Concatenate[State, P], float]], Callable[P, Metric]]:
    """Make a function State -> number a metric; one that takes `split` is also reported on the test split.

    >>> @metric(needs={"probabilities"})
    ... def share_unsure(state: State, *, split: str = "valid") -> float:
    ...     return float((state.probabilities[:, state.judged(split)].max(axis=0) < 0.5).mean())
    """
    return _maker(Metric, needs, tasks)


def _maker(
    cls: type[Any], needs: Iterable[str], tasks: Iterable[str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    wants, fits = frozenset(needs), frozenset(tasks)
    unknown = sorted(wants - set(KINDS))
    if unknown:
        raise UsageError(f"needs={unknown}: no such output. {did_you_mean(unknown[0], KINDS)}")

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        parameters = list(inspect.signature(call).parameters.values())[1:]
        offered = [p for p in parameters if not (cls is Metric and p.name == "split")]
        own = inspect.Signature(offered)

        @functools.wraps(call)
        def make(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = own.bind(*args, **kwargs)
            except TypeError as why:
                raise UsageError(f"{call.__name__}{own}: {why}") from why
            return cls(Function.of(call), dict(bound.arguments), wants, fits)

        make.__signature__ = own  # pyright: ignore[reportAttributeAccessIssue]  (what help() and repr read)
        return make

    return wrap
