"""`Action`: what to do with chosen records; pure, it proposes `Changes` or asks a `Question`."""

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Concatenate, ParamSpec

from typing_extensions import override

from tilth.algebra import Function, Value, show, to_json
from tilth.changes import Changes
from tilth.errors import UsageError
from tilth.questions import Question
from tilth.selectors import Chosen, Selector, Wanted
from tilth.state import State

__all__ = ["Action", "Custom", "action"]

P = ParamSpec("P")


class Action(Value, ABC):
    """What to do with chosen records: (Chosen, State) -> Changes or a Question."""

    asks: ClassVar[bool] = False
    """Whether somebody has to answer before there are changes."""
    chooses: ClassVar[bool] = True
    """Whether it is done to records that a selector chose; one that brings records by itself needs none."""

    @property
    def waits(self) -> bool:
        """Whether people may have to answer, in their own time."""
        return False

    def fits(self, select: Selector | Wanted) -> None:
        """Raise UsageError where it cannot be done with what `select` chooses."""
        if isinstance(select, Wanted):
            raise UsageError(
                f"{self!r} is done with records that are there, and {select!r} speaks of records that do not exist "
                "yet; synthesise(by=...) makes them, collect(by=team) asks people for them"
            )

    @abstractmethod
    def propose(self, chosen: Chosen, state: State) -> Changes | Question:
        """Return what it would change, without changing anything."""


@dataclass(frozen=True, repr=False)
class Custom(Action, tag="custom action"):
    """A user's own action: an `@action` function with its arguments."""

    function: Function
    args: Mapping[str, Any]

    def __hash__(self) -> int:
        return hash(repr(self))

    @property
    @override
    def waits(self) -> bool:
        return True  # its function may ask anybody

    @override
    def propose(self, chosen: Chosen, state: State) -> Changes | Question:
        found = self.function.load()(chosen, state, **self.args)
        if not isinstance(found, (Changes, Question)):
            raise UsageError(
                f"action {self!r} returned {type(found).__name__}; an action returns Changes or a Question "
                "(Changes.none() for nothing)"
            )
        return found

    @override
    def to_json(self) -> dict[str, Any]:
        return {
            "$": self.tag,
            "function": self.function.to_json(),
            "args": {k: to_json(v) for k, v in self.args.items()},
        }

    def __repr__(self) -> str:
        return f"{self.function.name}({', '.join(f'{k}={show(v)}' for k, v in self.args.items())})"


def action(call: Callable[Concatenate[Chosen, State, P], Changes | Question]) -> Callable[P, Custom]:
    """Make a function (Chosen, State) -> Changes an action; called with the rest it gives a value.

    >>> from tilth.changes import Op, events
    >>> @action
    ... def forget(chosen: Chosen, state: State) -> Changes:
    ...     return Changes(events(Op.REMOVE, chosen.ids, reason=chosen.reason))
    """
    own = inspect.Signature(list(inspect.signature(call).parameters.values())[2:])

    @functools.wraps(call)
    def make(*args: P.args, **kwargs: P.kwargs) -> Custom:
        try:
            bound = own.bind(*args, **kwargs)
        except TypeError as why:
            raise UsageError(f"{call.__name__}{own}: {why}") from why
        return Custom(Function.of(call), dict(bound.arguments))

    return make
