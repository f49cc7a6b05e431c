"""Actions that people carry out on records themselves: find more like these, or put their contents right."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tilth.actions.base import Action
from tilth.algebra import show
from tilth.errors import UsageError
from tilth.labeling.team import Team
from tilth.protocols import Want
from tilth.questions import Question, terms
from tilth.selectors import Chosen, Selector, Wanted
from tilth.signals.making import count
from tilth.state import State

__all__ = ["collect", "edit"]


def collect(
    n: int | None = None, *, by: Team, wanted: str = "", patience: str | None = None, enough: float = 1.0
) -> "Collect":
    """Ask a team for new records, n like the chosen ones or those that are wanted; what they bring is trained on.

    >>> from tilth.rules import Rule
    >>> from tilth.selectors import labeled, wanted
    >>> Rule(select=labeled.where(label="cat"), do=collect(20, by=Team("field"), wanted="cats at night"))
    Rule(select=labeled.where(label="cat"), do=collect(20, by=Team("field"), wanted="cats at night"))
    >>> Rule(select=wanted(200, per="label"), do=collect(by=Team("field")))
    Rule(select=wanted(200, per="label"), do=collect(by=Team("field")))

    Chosen records are the examples; `wanted` says in words what they have in common. Where a rule selects
    `wanted(...)`, that says how many of which, and each task names its class and slice. Each record brought is checked
    like an import (columns, label) before it enters, with who brought it in its history. `enough` and `patience` as for
    `annotate`.
    """
    n = n if n is None else count("collect(n)", n)
    return Collect(n, _team(by, "collect"), wanted, *_terms("collect", enough, patience))


def edit(*, by: Team, columns: Sequence[str] = (), enough: float = 1.0, patience: str | None = None) -> "Edit":
    """Ask a team to put the contents of the chosen records right; the old content stays in the history.

    >>> edit(by=Team("editors"), columns=["text"])
    edit(by=Team("editors"), columns=("text",))

    `columns`: those that they may change, default all that are text or numbers. `enough` and `patience` as for
    `annotate`.
    """
    if isinstance(columns, str):
        raise UsageError(f"edit(columns={columns!r}): a list of names, such as [{columns!r}]")
    return Edit(_team(by, "edit"), tuple(columns), *_terms("edit", enough, patience))


def _team(by: Any, name: str) -> Team:
    if not isinstance(by, Team):
        raise UsageError(f'{name}(by={by!r}): only people can do that: a Team, such as Team("field")')
    return by


def _terms(name: str, enough: float, patience: str | None) -> tuple[float, str | None]:
    terms(name, enough=enough, patience=patience)
    return enough, patience


@dataclass(frozen=True, repr=False)
class Collect(Action, tag="collect"):
    """See `collect`."""

    n: int | None
    by: Team
    wanted: str = ""
    enough: float = 1.0
    patience: str | None = None
    asks: ClassVar[bool] = True

    @property
    def waits(self) -> bool:
        return True

    def fits(self, select: Selector | Wanted) -> None:
        """With either, as long as one of both says how many."""
        if isinstance(select, Wanted) and self.n is not None:
            raise UsageError(f"{self!r}: {select!r} says how many already; leave {self.n} out")
        if not isinstance(select, Wanted) and self.n is None:
            raise UsageError(f"{self!r} does not say how many: collect(20, by=...), or select=wanted(20, ...)")

    def propose(self, chosen: Chosen, state: State) -> Question:
        if len(chosen) == 0 and not chosen.wants:
            return Question(self.by, np.empty(0, np.int64), reason=chosen.reason, kind="collect")
        details: list[str] = []
        for i, want in enumerate(chosen.wants or (Want(self.n or 0),)):
            like = state.dataset.keys(chosen.examples(i)[:5])
            said = "; ".join(text for text in (want.kind, self.wanted) if text)
            details += [json.dumps({"wanted": said, "like": like}, ensure_ascii=False)] * want.count
        texts = [want.text for want in chosen.wants]
        like = f"records like {', '.join(state.dataset.keys(chosen.ids[:5]))}"
        return Question(
            self.by,
            -1 - np.arange(len(details)),
            reason=chosen.reason,
            kind="collect",
            enough=self.enough,
            patience=self.patience,
            details=details,
            wanted="; ".join([*texts, *([self.wanted] if self.wanted else [])]) or like,
        )

    def __repr__(self) -> str:
        first = [] if self.n is None else [show(self.n)]
        return _written("collect", first, self, ("by", "wanted", "enough", "patience"))


@dataclass(frozen=True, repr=False)
class Edit(Action, tag="edit"):
    """See `edit`."""

    by: Team
    columns: tuple[str, ...] = ()
    enough: float = 1.0
    patience: str | None = None
    asks: ClassVar[bool] = True

    @property
    def waits(self) -> bool:
        return True

    def propose(self, chosen: Chosen, state: State) -> Question:
        schema = state.dataset.schema
        kinds = ("text", "number", "integer")
        columns = self.columns or tuple(c.name for c in schema.columns if c.kind in kinds and not c.hidden)
        for name in columns:
            if schema.column(name).kind not in kinds:
                raise UsageError(
                    f"{self!r}: column {name!r} is of kind {schema.column(name).kind}; people edit {kinds}"
                )
        if not columns:
            raise UsageError(
                f"{self!r}: no column of {state.dataset.name!r} is text or a number, which people can edit"
            )
        ids = chosen.ids[state.dataset.parent[chosen.ids] < 0]
        rows = state.dataset.features(ids, columns).to_pylist()
        return Question(
            self.by,
            ids,
            reason=chosen.reason,
            signal=chosen.signal,
            score=None if chosen.score is None else chosen.score[np.isin(chosen.ids, ids)],
            kind="edit",
            enough=self.enough,
            patience=self.patience,
            details=[json.dumps(row, ensure_ascii=False) for row in rows],
            wanted=", ".join(columns),
        )

    def __repr__(self) -> str:
        return _written("edit", [], self, ("by", "columns", "enough", "patience"))


def _written(name: str, first: list[str], value: Any, names: tuple[str, ...]) -> str:
    fields = type(value).__dataclass_fields__
    said = [f"{n}={show(getattr(value, n))}" for n in names if n == "by" or getattr(value, n) != fields[n].default]
    return f"{name}({', '.join([*first, *said])})"
