"""`Graph`: what a drawing of a workflow shows, as a value: nodes, frames around them, edges."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from tilth.errors import UsageError, did_you_mean

__all__ = ["STATES", "Edge", "Frame", "Graph", "Node", "State"]

State = Literal["idle", "running", "waiting", "skipped", "rolled-back", "done", "failed"]
STATES: tuple[State, ...] = get_args(State)
"""How a node can be: each looks different in a drawing, by a mark as well as by colour."""


@dataclass(frozen=True)
class Node:
    """One box: a kind, a title, rows of (word, value) below it, and the frame that it stands in, if any."""

    id: str
    kind: str
    title: str
    rows: tuple[tuple[str, str], ...] = ()
    frame: str | None = None
    state: State = "idle"


@dataclass(frozen=True)
class Frame:
    """A part of the workflow in a frame of its own: the rules of a round, or a panel."""

    id: str
    kind: str
    title: str
    rows: tuple[tuple[str, str], ...] = ()
    state: State = "idle"


@dataclass(frozen=True)
class Edge:
    """From one node or frame to another: `forward` and `back` are the course of events, `data` is what is read."""

    source: str
    target: str
    label: str = ""
    kind: Literal["forward", "back", "data"] = "forward"


@dataclass(frozen=True)
class Graph:
    """A workflow as nodes, frames and edges; without the edges of kind `back` it has no circle."""

    title: str
    nodes: tuple[Node, ...]
    frames: tuple[Frame, ...]
    edges: tuple[Edge, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of all nodes and frames, which are different from each other."""
        return (*(n.id for n in self.nodes), *(f.id for f in self.frames))

    def inside(self, frame: str | None) -> tuple[Node, ...]:
        """Return the nodes that stand in a frame, or in none."""
        return tuple(n for n in self.nodes if n.frame == frame)

    def lit(self, states: Mapping[str, str]) -> "Graph":
        """Return the graph with nodes and frames in these states; UsageError for a name or a state that is not."""
        for name, state in states.items():
            if name not in self.ids:
                raise UsageError(f"states: there is no node {name!r}. {did_you_mean(name, self.ids)}")
            if state not in STATES:
                raise UsageError(f"states: node {name!r} is {state!r}. {did_you_mean(str(state), STATES)}")
        return replace(self, nodes=_lit(self.nodes, states), frames=_lit(self.frames, states))

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON: what a program that draws it in its own way needs."""
        return {
            "title": self.title,
            "nodes": [_rowed(n) for n in self.nodes],
            "frames": [_rowed(f) for f in self.frames],
            "edges": [asdict(e) for e in self.edges],
        }


def _lit(parts: Iterable[Any], states: Mapping[str, str]) -> tuple[Any, ...]:
    return tuple(replace(part, state=states.get(part.id, part.state)) for part in parts)


def _rowed(part: Node | Frame) -> dict[str, Any]:
    return asdict(part) | {"rows": [list(row) for row in part.rows]}
