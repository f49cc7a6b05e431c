"""The judge: data-centric is what iterates changes of the training data because of the state of the trained model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tilth.actions.approval import Approved
from tilth.actions.base import Action, Custom
from tilth.actions.shape import Remove
from tilth.algebra import Condition, Value
from tilth.protocols import Model
from tilth.qualify import advice
from tilth.qualify.counting import acts
from tilth.qualify.reading import Ear, Part, Read
from tilth.qualify.verdict import (
    DATA_CENTRIC,
    DATA_ONLY,
    MODEL_CENTRIC,
    ONCE,
    PEOPLE_CHOOSE,
    REPLACED,
    WHEN_NOT_WHICH,
    Verdict,
)
from tilth.rules import Rule
from tilth.selectors import Selector

__all__ = ["qualify"]


def qualify(
    rules: Mapping[str, Rule],
    *,
    until: Condition,
    model: Model,
    probe: Model | None = None,
    trigger: Condition | None = None,
    every: str | None = None,
    tune: Value | None = None,
) -> Verdict:
    """Return what a workflow of these parts is; see `Workflow.qualifies`."""
    return _Court(rules, until, Ear.of(model, probe), trigger, every, tune).verdict()


@dataclass(frozen=True)
class _Heard:
    """One rule before the judge: what of the model it reads where, who picks, and how often it can act in a run."""

    name: str
    rule: Rule
    when: list[Read]
    select: list[Read]
    do: list[Read]
    acts: int

    @property
    def whole(self) -> bool:
        """Whether it takes the training data as one object: all records, and an action that does not look at each."""
        select, do = self.rule.select, self.rule.do
        done: Action = do.action if isinstance(do, Approved) else do
        if select is None:  # its action brings whatever there is
            return True
        every = isinstance(select, Selector) and not select.steps and select.base in ("records", "labeled")
        return every and isinstance(done, (Remove, Custom))

    @property
    def which(self) -> list[Read]:
        """By what the model decides which records change, and how."""
        return self.select if self.rule.picker is not None else [*self.select, *self.do]

    @property
    def text(self) -> str:
        """Which records, as it was written; the action itself where that brings them."""
        return repr(self.rule.do if self.rule.select is None else self.rule.select)

    @property
    def action(self) -> str:
        return repr(self.rule.do).partition("(")[0]

    def path(self, read: Read | None, *between: str) -> tuple[str, ...]:
        head = (read.kinds[0], read.text) if read is not None else ()
        picks = (f"{advice.who(self.rule)} picks",) if self.rule.picker is not None else ()
        return (*head, *between, f"rule '{self.name}'", *picks, self.action, "train")


@dataclass(frozen=True)
class _Court:
    rules: Mapping[str, Rule]
    until: Condition
    ear: Ear
    trigger: Condition | None
    every: str | None
    tune: Value | None

    @property
    def again(self) -> bool:
        """Whether a finished project is entered again."""
        return self.trigger is not None or self.every is not None

    def verdict(self) -> Verdict:
        heard = self._heard()
        going = [one for one in heard if one.acts > 1 or (one.acts == 1 and self.again)]
        fired = self.ear.model(self.trigger)
        parts = tuple(self._parts(heard))
        notes = advice.notes(self.rules, self.until, self.ear)

        def found(verdict: str, path: tuple[str, ...], *reasons: str, would: tuple[str, ...] = ()) -> Verdict:
            return Verdict(verdict, path, (*reasons, *notes), would, parts)

        if not self.rules and self.again:
            return self._retrained(fired, found)
        if not going:
            return self._still(heard, found)
        for one in going:
            path = self._driven(one, fired)
            if path:
                return found(DATA_CENTRIC, path, *advice.why(one.name, one.rule, one.which, one.when, fired))
        for one in going:
            reads = [*one.when, *fired]
            if reads and one.whole:
                return found(
                    REPLACED,
                    one.path(reads[0], "all records"),
                    f"the model tells when ({reads[0].said}), and rule '{one.name}' then takes all records as one "
                    "object",
                    would=(advice.RECORDS,),
                )
        for one in going:
            reads = [*one.when, *fired]
            if reads and one.rule.picker is not None:
                who = advice.who(one.rule)
                return found(
                    WHEN_NOT_WHICH,
                    one.path(reads[0]),
                    f"rule '{one.name}' goes when the model says so ({reads[0].said}), but {who} picks from records "
                    "that the model did not put forward",
                    would=(advice.shortlist(one.rule),),
                )
        first = going[0]
        would = advice.would([one.rule for one in going], self.ear)
        if all(one.rule.picker is not None for one in going):
            why = (
                f"rule '{first.name}': {advice.who(first.rule)} picks the records, and nothing that the trained model "
                "says has a part in it"
            )
            return found(PEOPLE_CHOOSE, ("data", first.text, *first.path(None)), why, would=would)
        first = next(one for one in going if one.rule.picker is None)
        return found(
            DATA_ONLY,
            ("data", first.text, *first.path(None)),
            "the data change again and again, but no rule's `when` or `select`"
            f"{', and not the trigger,' if self.trigger is not None else ''} reads the state of the trained model",
            would=would,
        )

    def _heard(self) -> list[_Heard]:
        often = acts(self.rules, self.until)
        return [
            _Heard(
                name,
                rule,
                self.ear.model(rule.when),
                self.ear.model(rule.select),
                self.ear.model(rule.do),
                often[name],
            )
            for name, rule in self.rules.items()
        ]

    def _driven(self, one: _Heard, fired: list[Read]) -> tuple[str, ...]:
        """Return the path by which the model's state brings about changes of records by this rule; () for none."""
        if one.which:
            return one.path(one.which[0])
        if one.whole or one.rule.picker is not None:
            return ()
        if one.when:
            return one.path(one.when[0])
        return one.path(fired[0], "trigger") if fired else ()

    def _still(self, heard: list[_Heard], found: Any) -> Verdict:
        """Return the verdict where the data changes once at most."""
        if self.tune is not None and not heard:
            return found(
                MODEL_CENTRIC,
                (repr(getattr(self.tune, "improves", self.tune)), "tune", "model", "train"),
                "the model changes from round to round, and no rule changes the data",
                would=(advice.RULE,),
            )
        if not heard:
            why = "no rule changes the training data: it is trained and looked at once"
            return found(ONCE, ("train", repr(self.until), "end"), why, would=(advice.RULE,))
        once = next((one for one in heard if one.acts), heard[0])
        at_most = "at most once" if once.acts else "never"
        why = (
            f"by until={self.until!r}"
            + (f" and when={once.rule.when!r}" if once.rule.when is not None else "")
            + f" rule '{once.name}' changes the data {at_most}; what is not done again does not iterate, however "
            "elaborate it is"
        )
        path = ("train", f"rule '{once.name}'", once.action, "train", "end")
        return found(ONCE, path, why, would=(advice.ROUNDS, *advice.would([o.rule for o in heard], self.ear)))

    def _retrained(self, fired: list[Read], found: Any) -> Verdict:
        """Return the verdict where it is trained again on whatever data there is then."""
        if fired:
            return found(
                REPLACED,
                (fired[0].kinds[0], fired[0].text, "trigger", "whatever data there is then", "train"),
                f"the model tells when to train again ({fired[0].said}), but no rule decides which records change",
                would=(advice.RECORDS,),
            )
        said = repr(self.trigger) if self.trigger is not None else f"every {self.every}"
        why = "it is trained again on other data, but nothing that the trained model says brings that about"
        path = ("data", said, "whatever data there is then", "train")
        return found(DATA_ONLY, path, why, would=(advice.RULE,))

    def _parts(self, heard: list[_Heard]) -> list[Part]:
        out: list[Part] = []
        for one in heard:
            if one.rule.when is not None:
                out.append(self._part(one.name, "when", one.rule.when, triggers=True))
            if one.rule.select is not None:
                out.append(self._part(one.name, "select", one.rule.select, triggers=True))
            out.append(self._part(one.name, "do", one.rule.do, triggers=one.rule.picker is None))
            if one.rule.gate is not None:
                out.append(self._part(one.name, "gate", one.rule.gate))
        if self.trigger is not None:
            out.append(self._part("", "trigger", self.trigger, triggers=True))
        out.append(self._part("", "until", self.until))
        if self.tune is not None:
            out.append(self._part("", "tune", self.tune))
        return out

    def _part(self, rule: str, part: str, value: Value, *, triggers: bool = False) -> Part:
        reads = self.ear.reads(value)
        texts = list(dict.fromkeys(read.said for read in reads)) or ["nothing of a model"]
        texts += [f"checks what was answered or made by {read.said}" for read in self.ear.reads(value, checks=True)]
        judges = {"gate": "it judges, and triggers nothing", "until": "it ends the loop, and triggers nothing"}
        if part == "select" and self.rules[rule].picker is not None:
            texts.append(f"{advice.who(self.rules[rule])} picks among these")
        if part in judges and reads:
            texts.append(judges[part])
        listens = any(read.whose == "model" for read in reads)
        return Part(rule, part, repr(value), "; ".join(texts), listens, triggers and listens)
