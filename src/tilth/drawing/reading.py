"""From a workflow to the graph of it: what runs after what, who is asked, what is read of the model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, cast

from tilth.algebra import Value, show
from tilth.dataset import Dataset
from tilth.drawing.graph import Edge, Frame, Graph, Node
from tilth.labeling.panel import Panel
from tilth.outputs import KINDS
from tilth.protocols import Annotator

__all__ = ["Drawable", "read"]


class Ruled(Protocol):
    """What is read of a rule: its parts, of which some may be all that is left of it."""

    @property
    def select(self) -> Any:
        """Which records."""
        ...

    @property
    def do(self) -> Any:
        """What is done to them."""
        ...

    @property
    def when(self) -> Any:
        """On what condition."""
        ...

    @property
    def gate(self) -> Any:
        """What judges it."""
        ...

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state."""
        ...

    def walk(self) -> Iterator[Value]:
        """Yield all values in it."""
        ...


class Drawable(Protocol):
    """What is read of a workflow, which stands on the floor above; parts are shown by their text alone."""

    @property
    def dataset(self) -> Dataset:
        """The records."""
        ...

    @property
    def name(self) -> str:
        """What it is called, or nothing."""
        ...

    @property
    def model(self) -> object:
        """What is trained."""
        ...

    @property
    def rules(self) -> Mapping[str, Ruled]:
        """What changes the records, in order."""
        ...

    @property
    def until(self) -> object:
        """When it is done."""
        ...

    @property
    def report(self) -> Iterable[object]:
        """What is measured."""
        ...

    @property
    def probe(self) -> object:
        """By what label quality is judged, where it is not the default."""
        ...

    @property
    def every(self) -> str | None:
        """How often it is entered again."""
        ...

    @property
    def trigger(self) -> object:
        """When it is entered again."""
        ...

    @property
    def tune(self) -> object:
        """What chooses the model of the next round."""
        ...

    @property
    def gate(self) -> object:
        """What judges all rules of a round together."""
        ...


def read(workflow: Drawable) -> Graph:
    """Return the graph of a workflow."""
    again = [("every", workflow.every)] if workflow.every is not None else []
    again += _said("trigger", workflow.trigger)
    nodes = [_dataset(workflow.dataset), *([Node("entry", "entry", "again", tuple(again))] if again else [])]
    nodes += _model(workflow)
    frames = [Frame("model", "model", "the model")]
    edges = [
        Edge("dataset", "train"),
        *([Edge("entry", "train")] if again else []),
        Edge("train", "evaluate"),
        Edge("evaluate", "until"),
        Edge("until", "done", "yes"),
    ]
    last = "until"
    if workflow.rules:
        made, framed, linked = _rules(workflow.rules, workflow.gate)
        nodes += made
        frames += framed
        edges += [Edge(last, "rules", "no"), *linked]
        last = "rules"
        if needs := _needs(workflow.rules.values()):
            edges.append(Edge("evaluate", "rules", ", ".join(needs), "data"))
    if workflow.tune is not None:
        nodes.append(Node("tune", "tune", "tune", (("", repr(workflow.tune)),)))
        edges.append(Edge(last, "tune", "no" if last == "until" else ""))
        last = "tune"
    if last != "until":
        edges.append(Edge(last, "train", "next round", "back"))
    title = (
        f"Workflow {workflow.name} on {workflow.dataset.name}"
        if workflow.name
        else f"Workflow on {workflow.dataset.name}"
    )
    return Graph(title, tuple(nodes), tuple(frames), tuple(edges))


def _dataset(dataset: Dataset) -> Node:
    labelled = int((dataset.view.alive & dataset.view.labeled).sum())
    return Node("dataset", "dataset", dataset.name, (("", f"{len(dataset):,} records"), ("", f"{labelled:,} labelled")))


def _model(workflow: Drawable) -> Iterator[Node]:
    yield Node("train", "train", "train", (("model", repr(workflow.model)), *_said("probe", workflow.probe)), "model")
    yield Node("evaluate", "evaluate", "evaluate", tuple(("", repr(q)) for q in workflow.report), "model")
    yield Node("until", "until", "until", (("", repr(workflow.until)),), "model")
    yield Node("done", "done", "done", (), "model")


def _rules(rules: Mapping[str, Ruled], together: object) -> tuple[list[Node], list[Frame], list[Edge]]:
    """Return the frame of the rules; `together`: the gate that judges what all of them changed, if any."""
    title = "the data: each round, in order" if len(rules) > 1 else "the data: each round"
    nodes: list[Node] = []
    frames = [Frame("rules", "rules", title)]
    panels: dict[Panel, str] = {}
    panelled: list[Node] = []
    edges: list[Edge] = []
    last, how = "", ""
    for name, rule in rules.items():
        this = f"rule:{name}"
        inside = [value for value in rule.walk() if isinstance(value, Panel)]
        do = repr(rule.do)
        for panel in inside:  # it is drawn beside the rule, so the rule only names it
            do = do.replace(
                repr(panel), f"Panel(..., name={show(panel.name)})" if panel.name != "panel" else "Panel(...)"
            )
        rows = (*_said("when", rule.when), *_said("select", rule.select), ("do", do))
        nodes.append(Node(this, "question" if _people((rule.select, rule.do)) else "rule", name, rows, "rules"))
        if last:
            edges.append(Edge(last, this, how))
        last, how = this, ""
        if rule.gate is not None:
            last, how = f"gate:{name}", "kept"
            nodes.append(Node(last, "gate", "gate", (("", repr(rule.gate)),), "rules"))
            edges += [Edge(this, last), Edge(last, this, "taken back", "back")]
        for panel in inside:
            if panel not in panels:
                twins = sum(p.name == panel.name for p in panels)
                panels[panel] = f"panel:{panel.name}{f'/{twins + 1}' if twins else ''}"
                made, framed, linked = _panel(panel, panels[panel])
                panelled += made
                frames.append(framed)
                edges += linked
            edges.append(Edge(this, panels[panel]))
    if together is not None:
        nodes.append(Node("gate", "gate", "gate of each round", (("", repr(together)),), "rules"))
        edges += [Edge(last, "gate", how), Edge("gate", f"rule:{next(iter(rules))}", "taken back", "back")]
    return nodes + panelled, frames, edges


def _panel(panel: Panel, frame: str) -> tuple[list[Node], Frame, list[Edge]]:
    """Return the sub-workflow of a panel: answers, a check, one more, what they add up to, an expert."""
    said = dict(panel.stages)
    nodes = [Node(f"{frame}/first", "votes", "first answers", (("", said["first"]),), frame)]
    edges: list[Edge] = []
    last = f"{frame}/first"
    settled = f"{frame}/consensus"
    if panel.check is not None:
        check, second = f"{frame}/check", f"{frame}/second"
        nodes.append(Node(check, "check", "check", (("", repr(panel.check)),), frame))
        nodes.append(Node(second, "votes", "second look", (("", "one more answer"),), frame))
        edges += [Edge(last, check), Edge(check, second, "yes"), Edge(check, settled, "no")]
        last = second
    nodes.append(Node(settled, "check", "consensus", (("", panel.consensus.replace("_", "-")),), frame))
    edges.append(Edge(last, settled))
    if panel.disputed_by is not None:
        expert = f"{frame}/expert"
        nodes.append(Node(expert, "votes", "expert", (("", panel.disputed_by.name),), frame))
        edges += [Edge(settled, expert, "disputed"), Edge(expert, f"{frame}/labels")]
    nodes.append(Node(f"{frame}/labels", "labels", "labels", (), frame))
    edges.append(Edge(settled, f"{frame}/labels", "agreed" if panel.disputed_by is not None else ""))
    rows = [
        *([("budget", f"{panel.budget:,} answers")] if panel.budget is not None else []),
        *([("gold", f"{panel.gold:g} of the questions")] if panel.gold else []),
        *([("patience", panel.patience)] if panel.patience is not None else []),
    ]
    return nodes, Frame(frame, "panel", panel.name, tuple(rows)), edges


def _said(word: str, value: Any) -> tuple[tuple[str, str], ...]:
    return () if value is None else ((word, repr(value)),)


def _needs(rules: Iterable[Ruled]) -> list[str]:
    found = frozenset[str]().union(*(rule.needs for rule in rules))
    ordered = [*(kind for kind in KINDS if kind in found), *sorted(found - set(KINDS))]
    return [kind.replace("_", " ") for kind in ordered]


def _people(part: Any) -> bool:
    """Return whether somebody in it answers in their own time: people, as far as can be seen from outside."""
    if isinstance(part, Annotator):
        return not part.at_once
    if isinstance(part, tuple):
        return any(_people(item) for item in cast(tuple[Any, ...], part))
    if isinstance(part, Mapping):
        return any(_people(item) for item in cast(Mapping[Any, Any], part).values())
    if isinstance(part, Value) and is_dataclass(part):
        return any(_people(getattr(part, field.name)) for field in fields(part))
    return False
