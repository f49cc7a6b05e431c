"""What the judge says: why a workflow is what it is, and what would make it data-centric, in a colleague's words."""

from collections.abc import Iterator, Mapping, Sequence

from tilth.actions.base import Custom
from tilth.algebra import Condition
from tilth.qualify.reading import Ear, Read
from tilth.rules import Rule
from tilth.selectors.steps import Sample

__all__ = ["RECORDS", "ROUNDS", "RULE", "notes", "shortlist", "who", "why", "would"]

RULE = (
    "add a rule by which the model's state changes the data, such as "
    "Rule(select=unlabeled.top(100, by=margin()), do=annotate(by=team))"
)
ROUNDS = "let it go round again, as long as it helps: until=(accuracy() >= 0.95) | (rounds() >= 20)"
RECORDS = (
    "act on the records that moved instead of on all: select those that the model is unsure of or finds new, such as "
    "records.top(500, by=novelty()) or unlabeled.top(100, by=margin()), and change these"
)
WHEN = "let the model say when a change is wanted: when=accuracy() < 0.9, or gain(accuracy()) < 0.001"


def why(name: str, rule: Rule, which: Sequence[Read], when: Sequence[Read], fired: Sequence[Read]) -> Iterator[str]:
    """Yield the reasons of a rule that the model drives."""
    if which:
        yield f"rule '{name}': the model decides which records change ({which[0].said})"
    else:
        part, read = ("when", when[0]) if when else ("the trigger", fired[0])
        yield f"rule '{name}': the model decides when records change ({part} reads {read.said})"
        if rule.select is not None:
            yield f"which records these are, {rule.select!r} decides without the model"
    if rule.picker is not None:
        yield f"{who(rule)} picks among those that the model put forward, as one who approves does"


def notes(rules: Mapping[str, Rule], until: Condition, ear: Ear) -> Iterator[str]:
    """Yield what reads the model and still triggers nothing: a reader would take it for more."""
    for name, rule in rules.items():
        if ear.model(rule.gate):
            yield f"the gate of rule '{name}' reads the model to judge a change that is made; it triggers none"
        for read in ear.reads(rule, checks=True):
            if read.whose == "model":
                yield (
                    f"in rule '{name}' {read.text} reads the model to check what was answered or made; it chooses no "
                    "record to ask about"
                )
        if any(isinstance(value, Custom) for value in rule.do.walk()):
            yield f"what {rule.do!r} itself looks at is not known: of rule '{name}' only `when` and `select` are judged"
        seen: set[str] = set()
        for read in ear.reads(rule):
            if read.whose != "model" and read.text not in seen:
                seen.add(read.text)
                yield f"rule '{name}' reads {read.said}, so this is not the state of the trained model"
    if ear.model(until):
        yield f"until={until!r} reads the model to end the loop; it triggers no change"


def who(rule: Rule) -> str:
    """Return the name of who picks a rule's records."""
    return "" if rule.picker is None else rule.picker.by.name


def shortlist(rule: Rule) -> str:
    """Return how people can go on picking while the model decides among which."""
    by = rule.picker.by if rule.picker is not None else None
    return (
        f"let the model put candidates forward and pick among these: unlabeled.top(100, by=margin()).picked_by({by!r})"
    )


def would(rules: Sequence[Rule], ear: Ear) -> tuple[str, ...]:
    """Return what would let the model decide in these rules, each thing once."""
    out: list[str] = []
    for rule in rules:
        out += [shortlist(rule)] if rule.picker is not None else []
        for value in () if rule.select is None else rule.select.walk():
            if isinstance(value, Sample):
                out.append(f"rank records by what the model says instead of drawing them: .top({value.k}, by=margin())")
        for read in ear.reads(rule):
            if read.whose == "probe":
                out.append(
                    'let the trained model judge labels as well: label_quality(by="ensemble"), or by="model"'
                    if read.text.startswith("label_")
                    else f"let the trained model decide instead of the probe ({read.text})"
                )
            if read.whose == "encoder":
                out.append(f"put what the model says beside {read.text}: by=margin() * density(), or by=entropy()")
        for read in ear.model(rule.gate):
            out.append(f"what the gate judges by can also trigger: when={read.text} < 0.9")
    return tuple(dict.fromkeys([*out, WHEN]))
