"""`Selector`: State -> the records to change, each with a score and a reason. A value that prints as it was written."""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from tilth.algebra import Condition, Quantity, Value
from tilth.dataset.schema import HELD_OUT, SPLITS
from tilth.dataset.view import ANSWERED
from tilth.errors import HeldOut, NotData, UsageError, did_you_mean
from tilth.selectors.picked import Chosen, Picked
from tilth.selectors.steps import Diverse, Per, Sample, Step, Top, Where
from tilth.signals.making import count
from tilth.state import State

__all__ = ["BASES", "Combined", "Selector"]

BASES = ("records", "unlabeled", "labeled", "answered", "removed", "quarantined")


@dataclass(frozen=True, repr=False)
class Combined(Value, tag="combined"):
    """Two selectors put together by & or |, or one turned round by ~."""

    op: str
    left: "Selector"
    right: "Selector | None" = None

    def pick(self, state: State) -> Picked:
        """Return the records of both, of either, or of neither."""
        first = self.left.pick(state)
        if self.right is None:
            return Picked.all_of(state.view.train & ~first.flags(state), repr(self))
        second = self.right.pick(state)
        over = first.passed_over + second.passed_over
        if self.op == "&":
            both = first.only(second.flags(state), repr(self), "", second.passed_over)
            return replace(both, reason=f"{self!r} ({len(both):,})")
        either = first.flags(state) | second.flags(state)
        if first.ids is None and second.ids is None:
            return replace(Picked.all_of(either, repr(self)), passed_over=over)
        rest = second.only(~first.flags(state), "", "")
        ids = np.concatenate([first.ordered(state), rest.ordered(state)])
        score = None
        if first.score is not None and rest.score is not None and first.signal == second.signal:
            score = np.concatenate([first.score, rest.score])
        return Picked(
            None, ids, repr(self), f"{self!r} ({len(ids):,})", score, first.signal if score is not None else None, over
        )

    def __repr__(self) -> str:
        if self.right is None:
            return f"~{_bracketed(self.left)}"
        return f"{_bracketed(self.left)} {self.op} {_bracketed(self.right)}"


@dataclass(frozen=True, repr=False)
class Selector(Value, tag="selector"):
    """Which records: a set to begin with, and steps that apply in the order in which they are written.

    >>> unlabeled = Selector("unlabeled")
    >>> unlabeled.where(predicted="cat").sample(100)
    unlabeled.where(predicted="cat").sample(100)

    It never chooses a record outside the train split, nor one of which the signal is not known (NaN). Equal scores are
    decided by the records' keys. `a & b`: in both, in the order of a; `a | b`: those of a, then those of b; `~a`: all
    living training records that are not in a.
    """

    base: str | Combined
    steps: tuple[Step, ...] = ()

    def choose(self, state: State) -> Chosen:
        """Return the records that it chooses on a state."""
        return self.pick(state).chosen(state)

    def pick(self, state: State) -> Picked:
        """Return them without settling their order."""
        picked = self.base.pick(state) if isinstance(self.base, Combined) else _start(self.base, state)
        for i, step in enumerate(self.steps):
            picked = step.apply(picked, state, repr(replace(self, steps=self.steps[: i + 1])))
        return picked

    def where(self, *conditions: Condition, **equals: Any) -> "Selector":
        """Keep those for which all conditions hold and all fields have the value given, or one of several.

        >>> Selector("records").where(label=["cat", "dog"])
        records.where(label=("cat", "dog"))

        Conditions are per record, such as `entropy() > 0.5`. Fields: `label`, `predicted` (class names; `label=None` =
        without one), `key`, and any text or number column. UsageError for a condition on the whole state, which belongs
        into `when=`; HeldOut for `split="valid"` and `split="test"`.
        """
        if not conditions and not equals:
            raise UsageError('where() needs a condition (where(entropy() > 0.5)) or a value (where(label="cat"))')
        for condition in conditions:
            _per_record(condition)
        return self._then(Where(conditions, tuple((field, _values(field, value)) for field, value in equals.items())))

    def top(self, k: int, *, by: Quantity) -> "Selector":
        """Keep the k of the highest value of a signal, highest first.

        >>> from tilth.signals import margin
        >>> Selector("unlabeled").top(100, by=margin())
        unlabeled.top(100, by=margin())
        """
        return self._then(Top(count("top(k)", k), _ranking(by, "top")))

    def bottom(self, k: int, *, by: Quantity) -> "Selector":
        """Keep the k of the lowest value of a signal, lowest first.

        >>> from tilth.signals import label_quality
        >>> Selector("records").bottom(50, by=label_quality())
        records.bottom(50, by=label_quality())
        """
        return self._then(Top(count("bottom(k)", k), _ranking(by, "bottom"), lowest=True))

    def sample(self, k: int) -> "Selector":
        """Keep k, drawn from the records' keys, this selector's text, the run's seed and the round.

        >>> Selector("unlabeled").sample(100)
        unlabeled.sample(100)
        """
        return self._then(Sample(count("sample(k)", k)))

    def per(self, field: str, k: int, *, by: Quantity | None = None) -> "Selector":
        """Keep at most k of each `"label"`, `"predicted"` class, or value of a text or number column.

        >>> from tilth.signals import margin
        >>> Selector("unlabeled").per("predicted", 10, by=margin())
        unlabeled.per("predicted", 10, by=margin())

        The first k in the order so far, or with `by` the k of the highest value of a signal. They come in turns: the
        first of each, then the second of each. Records without a value of the field are left out.
        """
        if field in ("split", "key"):
            raise UsageError(
                f'per({field!r}, ...) would be one group or one a record; group by "label", "predicted" or a column'
            )
        return self._then(Per(field, count("per(field, k)", k), None if by is None else _ranking(by, "per")))

    def diverse(self, k: int, *, within: int | None = None, by: str = "embeddings") -> "Selector":
        """Keep k that are far apart and far from what is labelled: each next one is the farthest from all of these.

        >>> from tilth.signals import margin
        >>> Selector("unlabeled").top(1000, by=margin()).diverse(100)
        unlabeled.top(1000, by=margin()).diverse(100)

        `within`: look at the first that many only. `by`: the model's embeddings, or a vector column. Euclidean
        distance, exact in float32: k passes over the vectors. Sener and Savarese 2018, A Core-Set Approach.
        """
        return self._then(
            Diverse(count("diverse(k)", k), None if within is None else count("diverse(within=...)", within), by)
        )

    def _then(self, step: Step) -> "Selector":
        return replace(self, steps=(*self.steps, step))

    def __and__(self, other: Any) -> "Selector":
        return Selector(Combined("&", self, _selector(other)))

    def __or__(self, other: Any) -> "Selector":
        return Selector(Combined("|", self, _selector(other)))

    def __invert__(self) -> "Selector":
        if self.base in ("removed", "quarantined"):
            raise UsageError(f"~{self!r}: {self.base} records have no complement; all that are there are `records`")
        return Selector(Combined("~", self))

    def __repr__(self) -> str:
        base = (
            _bracketed(Selector(self.base))
            if self.steps
            else repr(self.base)
            if isinstance(self.base, Combined)
            else self.base
        )
        return base + "".join(repr(step) for step in self.steps)


def _start(base: str, state: State) -> Picked:
    view = state.view
    match base:
        case "records":
            mask = view.train
        case "unlabeled":
            mask = view.pool
        case "labeled":
            mask = view.train & view.labeled
        case "answered":
            mask = view.train & (view.asked == ANSWERED)
        case "removed" | "quarantined":
            mask = view.known & ~view.alive & (view.split == SPLITS.index("train"))
            mask &= view.quarantined if base == "quarantined" else ~view.quarantined
        case _:
            raise UsageError(f"no selector {base!r}. {did_you_mean(base, BASES)}")
    return Picked.all_of(mask, base)


def _bracketed(selector: Selector) -> str:
    return f"({selector!r})" if isinstance(selector.base, Combined) and not selector.steps else repr(selector)


def _selector(other: Any) -> Selector:
    if isinstance(other, Selector):
        return other
    hint = "; put the condition into where(...)" if isinstance(other, Condition) else ""
    raise NotData(f"selectors go together with selectors; got {other!r} ({type(other).__name__}){hint}")


def _values(field: str, value: Any) -> Any:
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


def _per_record(condition: Any) -> None:
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


def _ranking(by: Any, verb: str) -> Quantity:
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
