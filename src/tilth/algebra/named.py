"""Signals and metrics: quantities by name, made of a user's or a built-in function."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from tilth.algebra.quantities import Array, Quantity
from tilth.algebra.values import Function, show, to_json
from tilth.errors import UsageError, did_you_mean
from tilth.outputs import KINDS
from tilth.state import State

__all__ = ["Metric", "Signal", "metric", "signal"]

P = ParamSpec("P")

Above = Callable[Concatenate[State, float, P], tuple[npt.NDArray[np.int64], Array]]

_above: dict[Function, Callable[..., tuple[npt.NDArray[np.int64], Array]]] = {}
"""What finds the high numbers of a signal sooner than to compute all: by its function, not part of what is stored."""


@dataclass(frozen=True, repr=False)
class _Named(Quantity):
    """A signal or metric by name and arguments."""

    function: Function
    args: Mapping[str, Any]
    wants: frozenset[str]
    tasks: frozenset[str]
    alone: bool = False

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

    @property
    @override
    def pointwise(self) -> bool:
        return self.alone

    def to_json(self) -> dict[str, Any]:
        return {
            "$": self.tag,
            "function": self.function.to_json(),
            "args": {k: to_json(v) for k, v in self.args.items()},
            "needs": sorted(self.wants),
            "tasks": sorted(self.tasks),
        } | ({"pointwise": True} if self.alone else {})

    @classmethod
    def restore(cls, data: Mapping[str, Any]) -> "_Named":
        """Rebuild it from JSON."""
        needs, tasks = frozenset(data["needs"]), frozenset(data["tasks"])
        return cls(data["function"], data["args"], needs, tasks, data.get("pointwise", False))

    def __repr__(self) -> str:
        parameters = _parameters(self.function.load())[1:]
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

    @override
    def above(self, state: State, bar: float) -> tuple[npt.NDArray[np.int64], Array]:
        self.function.load()  # who made it says with it how it is found sooner
        quick = _above.get(self.function)
        return super().above(state, bar) if quick is None else quick(state, bar, **self.args)

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
        split_aware = any(p.name == "split" for p in _parameters(call))
        found = call(state, **self.args, **({"split": split} if split_aware else {}))
        if not isinstance(found, (int, float, np.number)):
            raise UsageError(f"metric {self!r} returned {type(found).__name__}; a metric returns one number")
        return float(found)

    @property
    @override
    def per_record(self) -> bool:
        return False

    __hash__ = _Named.__hash__


def signal(
    *,
    needs: Iterable[str] = (),
    tasks: Iterable[str] = ("class",),
    pointwise: bool = False,
    above: Above[P] | None = None,
) -> Callable[[Callable[Concatenate[State, P], Array]], Callable[P, Signal]]:
    """Make a function State -> float[n] a signal; calling it with the remaining arguments gives a `Signal` value.

    >>> @signal(needs={"probabilities"})
    ... def doubt(state: State) -> Array:
    ...     return 1 - state.probabilities.max(axis=0)

    `needs`: what it reads of the model's state, out of the kinds in `tilth.outputs.KINDS`; `tasks`: the label kinds it
    fits; `pointwise=True`: a record's number follows from what `view` and `output` say of this record, and from the
    schema, so that it can be computed part by part (`State.parts`), for a pool that need not fit in memory. `above`:
    a function (state, bar, and the remaining arguments) that returns the places, ascending, of all numbers of `bar` or
    more and of all that are not known, and exactly these numbers, for what finds them sooner than the signal computes
    all. The function must be pure: the same state gives the same numbers.
    """
    return _maker(Signal, needs, tasks, pointwise, above)


def metric(
    *, needs: Iterable[str] = (), tasks: Iterable[str] = ("class",)
) -> Callable[[Callable[Concatenate[State, P], float]], Callable[P, Metric]]:
    """Make a function State -> number a metric; one that takes `split` is also reported on the test split.

    >>> @metric(needs={"probabilities"})
    ... def share_unsure(state: State, *, split: str = "valid") -> float:
    ...     return float((state.probabilities[:, state.judged(split)].max(axis=0) < 0.5).mean())
    """
    return _maker(Metric, needs, tasks, False, None)


@functools.lru_cache(maxsize=512)  # each time it is shown or computed asks for them: 30 times for one evaluation
def _parameters(call: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(call).parameters.values())


def _maker(
    cls: type[Any],
    needs: Iterable[str],
    tasks: Iterable[str],
    pointwise: bool,
    above: Callable[..., tuple[npt.NDArray[np.int64], Array]] | None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    wants, fits = frozenset(needs), frozenset(tasks)
    unknown = sorted(wants - set(KINDS))
    if unknown:
        raise UsageError(f"needs={unknown}: no such output. {did_you_mean(unknown[0], KINDS)}")

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        parameters = _parameters(call)[1:]
        offered = [p for p in parameters if not (cls is Metric and p.name == "split")]
        own = inspect.Signature(offered)
        if above is not None:
            _above[Function.of(call)] = above

        @functools.wraps(call)
        def make(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = own.bind(*args, **kwargs)
            except TypeError as why:
                raise UsageError(f"{call.__name__}{own}: {why}") from why
            told = {k: v for k, v in bound.arguments.items() if v != own.parameters[k].default}
            return cls(Function.of(call), told, wants, fits, pointwise)

        make.__signature__ = own  # pyright: ignore[reportAttributeAccessIssue]  (what help() and repr read)
        return make

    return wrap
