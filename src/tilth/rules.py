"""`Rule`: when, which records, what to do; `Gate`: keep it only if it helped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tilth.actions import Action
from tilth.algebra import Condition, Value, show
from tilth.errors import UsageError
from tilth.html import table
from tilth.metrics import accuracy
from tilth.selectors import Chosen, Selector, Wanted
from tilth.selectors.picking import PickedBy
from tilth.state import State

__all__ = ["Gate", "Rule"]


@dataclass(frozen=True, repr=False)
class Gate(Value, tag="gate"):
    """Keep a rule's changes only if the model trained with them is better on valid than the one trained without.

    >>> Gate(by=0.0)
    Gate(by=0.0)

    Both are trained from scratch with the same seed. `improves`: the metric (higher is better; give `-rmse()` for an
    error), `by`: the least gain, default one paired standard error of the metric and more than nothing.
    `rejected="revert"` undoes the changes; `"hold"`, for rules that ask people, sets their labels back and keeps their
    answers. A rejected rule rests for `cooldown` rounds.
    """

    improves: Any = field(default_factory=accuracy)
    by: float | None = None
    rejected: Literal["revert", "hold"] = "revert"
    cooldown: int = 1

    def __post_init__(self) -> None:
        if (
            not isinstance(self.improves, Value)
            or getattr(self.improves, "per_record", True)
            or isinstance(self.improves, Condition)
        ):
            raise UsageError(f"Gate(improves={self.improves!r}): a metric such as accuracy(), or arithmetic on metrics")
        if self.rejected not in ("revert", "hold"):
            raise UsageError(f'Gate(rejected={self.rejected!r}): "revert" or "hold"')
        if self.cooldown < 0:
            raise UsageError(f"Gate(cooldown={self.cooldown}): a number of rounds, 0 or more")

    def __repr__(self) -> str:
        said: list[str] = []
        if repr(self.improves) != repr(accuracy()):
            said.append(f"improves={self.improves!r}")
        if self.by is not None:
            said.append(f"by={show(self.by)}")
        if self.rejected != "revert":
            said.append(f"rejected={show(self.rejected)}")
        if self.cooldown != 1:
            said.append(f"cooldown={self.cooldown}")
        return f"Gate({', '.join(said)})"


@dataclass(frozen=True, repr=False)
class Rule(Value, tag="rule"):
    """When a condition holds, choose records and do something with them, one version a rule and round.

    >>> from tilth.actions import remove
    >>> from tilth.selectors import records
    >>> Rule(select=records.sample(3), do=remove())
    Rule(select=records.sample(3), do=remove())

    `select` is left out where the action brings records by itself (`ingest`). Raises UsageError where a part is of the
    wrong kind, and where a gate would take back what people answered.
    """

    select: Selector | Wanted | None = None
    do: Action = field(kw_only=True)
    when: Condition | None = None
    gate: Gate | None = None

    def __post_init__(self) -> None:
        if self.select is None and isinstance(self.do, Action) and self.do.chooses:
            raise UsageError(f"Rule(do={self.do!r}): say to which records: select=records.where(...), for example")
        if self.select is not None and isinstance(self.do, Action) and not self.do.chooses:
            raise UsageError(f"Rule(select={self.select!r}): {self.do!r} chooses nothing; leave out select=")
        if self.select is not None and not isinstance(self.select, (Selector, Wanted)):
            raise UsageError(
                f"Rule(select={self.select!r}): a selector such as unlabeled.top(100, by=margin()), or wanted(...), "
                f"got {type(self.select).__name__}"
            )
        if not isinstance(self.do, Action):
            raise UsageError(
                f"Rule(do={self.do!r}): an action such as remove() or annotate(by=...), got {type(self.do).__name__}"
            )
        if self.select is not None:
            self.do.fits(self.select)
        if self.when is not None and (not isinstance(self.when, Condition) or self.when.per_record):
            raise UsageError(
                f"Rule(when={self.when!r}): a condition on the whole state such as accuracy() < 0.9; conditions on "
                "records go into select=....where(...)"
            )
        if self.gate is not None and not isinstance(self.gate, Gate):
            raise UsageError(f"Rule(gate={self.gate!r}): a Gate, such as Gate(improves=accuracy())")
        if self.gate is not None and self.do.asks and self.gate.rejected != "hold":
            raise UsageError(
                f"{self.do!r} asks an annotator, whose answers are never taken back; "
                'write Gate(..., rejected="hold") to set the labels back and keep the answers'
            )

    def choose(self, state: State) -> Chosen:
        """Return the records that it is about on a state, none where its action brings them."""
        return Chosen.none(repr(self.do)) if self.select is None else self.select.choose(state)

    @property
    def picker(self) -> PickedBy | None:
        """Who picks its records among those that it selects; None where nobody is asked."""
        return self.select.picker if isinstance(self.select, Selector) else None

    @property
    def waits(self) -> bool:
        """Whether people may have to answer, in their own time."""
        return self.do.waits or (self.picker is not None and not self.picker.by.at_once)

    def __repr__(self) -> str:
        parts = {"when": self.when, "select": self.select, "do": self.do, "gate": self.gate}
        return f"Rule({', '.join(f'{k}={v!r}' for k, v in parts.items() if v is not None)})"

    def _repr_html_(self) -> str:
        parts = {
            "when": self.when,
            "select": self.select,
            "do": self.do,
            "gate": self.gate,
            "needs": ", ".join(sorted(self.needs)) or "nothing of the model",
        }
        return table(
            "Rule",
            ["part", "value"],
            [[k, v if isinstance(v, str) else repr(v)] for k, v in parts.items() if v is not None],
        )


def named(rules: Mapping[str, Any]) -> Mapping[str, Rule]:
    """Check a workflow's rules; UsageError names the wrong one."""
    for name, rule in rules.items():
        if not isinstance(rule, Rule):
            raise UsageError(f"rule {name!r} is {rule!r} ({type(rule).__name__}); write Rule(select=..., do=...)")
        if not name or "/" in name:
            raise UsageError(f"a rule cannot be called {name!r}: any name without '/'")
    return dict(rules)
