"""`Rule`: when, which records, what to do; `Gate`: keep it only if it helped."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tilth.actions import Action
from tilth.algebra import Condition, Quantity, Value, show
from tilth.errors import UsageError
from tilth.html import table
from tilth.metrics import accuracy
from tilth.selectors import Chosen, Selector, Wanted
from tilth.selectors.picking import PickedBy
from tilth.signals.making import count
from tilth.state import State

__all__ = ["Gate", "Rule"]


@dataclass(frozen=True, repr=False)
class Gate(Value, tag="gate"):
    """Keep changes only if the model trained with them is better on valid than the one trained without.

    >>> from tilth.metrics import recall
    >>> Gate(by=0.0)
    Gate(by=0.0)
    >>> Gate(confidence=0.95, protects={recall("rare"): 0.02}, seeds=3)
    Gate(confidence=0.95, protects={recall("rare"): 0.02}, seeds=3)

    Both are trained from scratch with the same seed; with `seeds=k` k times, each time with another seed, and their
    metrics are averaged; how unlike the gains are counts as uncertainty (five seeds where training is luck).
    `improves`: the metric (higher is better; give `-rmse()` for an error), or arithmetic on metrics. `by`: the least
    gain in its unit.

    Without `confidence` the gain as it is measured decides; `by` is by default one paired standard error and more than
    nothing (the parameter-free Ladder of Blum and Hardt 2015). That sees much with few records, and keeps one in ten to
    one in five of the changes that were made to do nothing or to harm (docs/how-to/prove-a-change.md has the figures);
    `by=0.0` keeps more of these.

    `confidence=0.95`: the lower bound of the gain must lie above `by` (default 0). For accuracy and the recall of one
    class by the exact paired test and a score bound, for other metrics by bootstrap over the records (see
    `tilth.metrics.Paired`). The bar rises with every rejected look of the run, so that the chance that the run keeps
    even one change that is no improvement is at most 1 - confidence, however many looks its gates take in all (see
    `tilth.metrics.proof.allowance`). That holds for changes that were not chosen by what valid says of them; a new run
    begins a new account. Few valid records prove little: of a change worth one point that moves 2 % of the predictions
    about 4,000 are needed.

    `protects={metric: tolerance}`: metrics that may not fall by more than the tolerance, 0 or more, in the metric's
    unit: as measured, or with `confidence` as surely as the gain (the lower bound lies at or above -tolerance; all must
    hold, so none has to be held to a stricter level: Berger 1982).

    `rejected="revert"` undoes the changes; `"hold"`, for rules that ask people, sets their labels back and keeps their
    answers. A rejected rule rests for `cooldown` rounds. UsageError names what is of the wrong kind or range.
    """

    improves: Any = field(default_factory=accuracy)
    by: float | None = None
    confidence: float | None = None
    protects: Mapping[Quantity, float] | tuple[tuple[Quantity, float], ...] = ()
    seeds: int = 1
    rejected: Literal["revert", "hold"] = "revert"
    cooldown: int = 1

    def __post_init__(self) -> None:
        if not _judged_by(self.improves):
            raise UsageError(f"Gate(improves={self.improves!r}): a metric such as accuracy(), or arithmetic on metrics")
        if self.by is not None and not _number(self.by):
            raise UsageError(f"Gate(by={self.by!r}): a number, the least gain in the metric's unit, such as 0.01")
        if self.confidence is not None and not (_number(self.confidence) and 0.5 <= self.confidence < 1):
            meant = f" {self.confidence / 100:g}?" if _number(self.confidence) and 50 <= self.confidence < 100 else ""
            raise UsageError(
                f"Gate(confidence={self.confidence!r}): a number from 0.5 to less than 1, such as 0.95"
                + (f"; did you mean{meant}" if meant else "")
            )
        object.__setattr__(self, "protects", _pairs(self.protects))
        count("Gate(seeds=...)", self.seeds)
        if self.rejected not in ("revert", "hold"):
            raise UsageError(f'Gate(rejected={self.rejected!r}): "revert" or "hold"')
        if not isinstance(self.cooldown, int) or self.cooldown < 0:
            raise UsageError(f"Gate(cooldown={self.cooldown}): a number of rounds, 0 or more")

    def __repr__(self) -> str:
        said: list[str] = []
        if repr(self.improves) != repr(accuracy()):
            said.append(f"improves={self.improves!r}")
        if self.by is not None:
            said.append(f"by={show(self.by)}")
        if self.confidence is not None:
            said.append(f"confidence={show(self.confidence)}")
        if self.protects:
            said.append(f"protects={{{', '.join(f'{m!r}: {show(t)}' for m, t in self.protected)}}}")
        if self.seeds != 1:
            said.append(f"seeds={self.seeds}")
        if self.rejected != "revert":
            said.append(f"rejected={show(self.rejected)}")
        if self.cooldown != 1:
            said.append(f"cooldown={self.cooldown}")
        return f"Gate({', '.join(said)})"

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, without what is as it was before there was more to say: a run that rests goes on."""
        usual = {"confidence": None, "protects": {"$": "tuple", "items": []}, "seeds": 1}
        return {k: v for k, v in super().to_json().items() if k not in usual or v != usual[k]}

    @property
    def protected(self) -> tuple[tuple[Quantity, float], ...]:
        """The metrics that may not fall, each with its tolerance."""
        return _pairs(self.protects)

    @property
    def bar(self) -> str:
        """What it asks of the gain, in words."""
        if self.confidence is not None:
            least = f"more than {self.by:g}" if self.by else "anything"
            return f"{least}, with {self.confidence:.3g} confidence over all looks of the run"
        return "a standard error or more" if self.by is None else f"{self.by:g} or more"


def _judged_by(metric: Any) -> bool:
    return isinstance(metric, Quantity) and not metric.per_record


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _pairs(given: Any) -> tuple[tuple[Quantity, float], ...]:
    """Return what a gate protects as pairs, which is how it is stored."""
    pairs = tuple(given.items()) if isinstance(given, Mapping) else given
    if not isinstance(pairs, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise UsageError(f'Gate(protects={given!r}): a mapping such as {{recall("rare"): 0.02}}')
    for metric, tolerance in pairs:
        if not _judged_by(metric):
            raise UsageError(f'Gate(protects={{{metric!r}: ...}}): a metric such as recall("rare")')
        if not _number(tolerance) or tolerance < 0:
            raise UsageError(
                f"Gate(protects={{{metric!r}: {tolerance!r}}}): by how much it may fall, 0 or more, such as 0.02"
            )
    return pairs


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
