"""What the parts of a workflow read, and whose word that is: the trained model's, another model's, nobody's."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tilth.algebra import Value
from tilth.protocols import Model

__all__ = ["Ear", "Part", "Read", "Whose"]

Whose = Literal["model", "probe", "encoder"]


@dataclass(frozen=True)
class Part:
    """What one part of a workflow reads.

    `rule`: the name of its rule, "" = it is the workflow's own; `part`: "when", "select", "do", "gate", "trigger",
    "until" or "tune"; `text`: as it was written; `reads`: in words; `listens`: whether it reads the trained model;
    `triggers`: whether by this the state of the trained model brings about a change of the data.
    """

    rule: str
    part: str
    text: str
    reads: str
    listens: bool
    triggers: bool

    @property
    def where(self) -> str:
        """Where it stands, in words."""
        return f"rule '{self.rule}'" if self.rule else "workflow"


@dataclass(frozen=True)
class Read:
    """One value that reads something that a model said: which kinds of outputs, and whose word these are."""

    value: Value
    kinds: tuple[str, ...]
    whose: Whose

    @property
    def text(self) -> str:
        """The value as it was written, without the dot that a step begins with."""
        return repr(self.value).removeprefix(".")

    @property
    def said(self) -> str:
        """What is read, in words."""
        kinds = " and ".join(self.kinds)
        match self.whose:
            case "model":
                return f"{kinds} of the trained model, by {self.text}"
            case "probe":
                return f"{kinds} by {self.text}: another model than the one that is trained"
            case "encoder":
                return f"{kinds} by {self.text}: nothing in them was learned from labels"


@dataclass(frozen=True)
class Ear:
    """Who is heard in what a workflow reads.

    `learned`: embeddings hold something that the model learned from labels. They do not where the model gives none (its
    numeric columns stand for them) or says that they are "frozen". `own`: the probe is the trained model itself, or
    judges by what that has learned.
    """

    learned: bool
    own: bool

    @staticmethod
    def of(model: Model, probe: Model | None) -> "Ear":
        """Return who is heard where this model is trained and this probe, None = the default one, judges labels."""
        learned = "embeddings" in model.gives and "frozen" not in model.gives
        spec: Any = {} if probe is None else dict(probe.spec)
        own = spec == dict(model.spec) or (learned and spec.get("of") == dict(model.spec))
        return Ear(learned, own)

    def whose(self, kind: str) -> Whose:
        """Return whose word a kind of output is."""
        if kind == "probe_probabilities" and not self.own:
            return "probe"
        if kind == "embeddings" and not self.learned:
            return "encoder"
        return "model"

    def reads(self, value: Value | None, *, checks: bool = False) -> list[Read]:
        """Return what a value and all in it read of models, in the order in which it is written.

        What `checks` answers or made records (a panel) is left out: it chooses no record; `checks=True`: only that.
        """
        if value is None:
            return []
        found: list[Read] = []
        for part in _inside(value) if checks else _outside(value):
            own = part.needs - frozenset[str]().union(*(child.needs for child in part.children()))
            for whose in ("model", "probe", "encoder"):
                kinds = tuple(sorted(kind for kind in own if self.whose(kind) == whose))
                if kinds:
                    found.append(Read(part, kinds, whose))
        return found

    def model(self, value: Value | None) -> list[Read]:
        """Return what a value reads of the trained model."""
        return [read for read in self.reads(value) if read.whose == "model"]


def _outside(value: Value) -> Iterator[Value]:
    if value.checks:
        return
    yield value
    for child in value.children():
        yield from _outside(child)


def _inside(value: Value) -> Iterator[Value]:
    for part in value.walk():
        if part.checks:
            yield from part.walk()
