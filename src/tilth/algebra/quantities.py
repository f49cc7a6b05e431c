"""Quantities, arithmetic on them, comparisons, and the logic of conditions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from tilth.algebra.values import Function, Value, show
from tilth.errors import NotData
from tilth.state import State

__all__ = ["Arithmetic", "Array", "Comparison", "Condition", "Logic", "Quantity"]

Array = npt.NDArray[Any]


class Quantity(Value, ABC):
    """A number per record, or one number; + - * / make others, < <= > >= make conditions."""

    def value(self, state: State) -> Array | float:
        """Compute it on a state: float64 or float32 [n], or a float; once a state."""
        # by name and place: a user's own margin() is not ours
        text = " ".join([repr(self), *(v.where for v in self.walk() if isinstance(v, Function))])
        if text not in state.memo:
            state.memo[text] = self.compute(state)
        return state.memo[text]

    @abstractmethod
    def compute(self, state: State) -> Array | float:
        """Compute it anew."""

    def above(self, state: State, bar: float) -> tuple[npt.NDArray[np.int64], Array]:
        """Return the places where it is `bar` or more, or not known, and the numbers there: for one per record."""
        found = np.asarray(self.compute(state))
        at = np.flatnonzero(~(found < bar))
        return at, found[at]

    @property
    def per_record(self) -> bool:
        """Whether it is a number per record."""
        return any(child.per_record for child in self.children() if isinstance(child, Quantity))

    @property
    def pointwise(self) -> bool:
        """Whether it can be computed part by part (`State.parts`): a record's number rests on this record alone."""
        return all(child.pointwise for child in self.children() if isinstance(child, Quantity))

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


class Condition(Value, ABC):
    """Yes or no, per record or for the whole state; & | ~ combine."""

    @abstractmethod
    def decide(self, state: State) -> tuple[Any, Any]:
        """Return (yes, known): bool, or bool[n]; neither what rests on NaN nor its negation holds."""

    @abstractmethod
    def explain(self, state: State) -> str:
        """Return it with the numbers filled in, such as `recall("cat") = 0.82 < 0.9`."""

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
