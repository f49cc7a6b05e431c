"""`Drawing`: a workflow as a picture, in a notebook, a file or a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from tilth.drawing.graph import Graph
from tilth.drawing.layout import Direction, laid_out
from tilth.drawing.reading import Drawable, read
from tilth.drawing.svg import svg
from tilth.errors import UsageError, did_you_mean

__all__ = ["Drawing", "draw"]


@dataclass(frozen=True)
class Drawing:
    """A workflow as a picture: `svg` is its text, `graph` what it shows; a notebook shows the picture.

    >>> from tilth.drawing import Edge, Graph, Node
    >>> loop = Graph("a loop", (Node("a", "train", "train"), Node("b", "done", "done")), (), (Edge("a", "b"),))
    >>> Drawing(loop)
    Drawing('a loop', 2 nodes, direction='right')
    >>> Drawing(loop).svg[:4]
    '<svg'

    It holds no script and asks for nothing from outside; texts are escaped. It is light or dark as the page around it
    or the reader's system is. Every node has `data-node` (its name in the graph) and `data-state`, by which a page can
    light it up. The same graph gives the same text.
    """

    graph: Graph
    direction: Direction = "right"

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise UsageError(
                f"direction={self.direction!r}: where the loop runs to. "
                f"{did_you_mean(str(self.direction), get_args(Direction))}"
            )

    @cached_property
    def svg(self) -> str:
        """The picture, as SVG."""
        return svg(self.graph, laid_out(self.graph, self.direction))

    def save(self, path: str | Path) -> None:
        """Write it to an .svg file; UsageError for another ending."""
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise UsageError(f"{path}: a drawing is an SVG, so the file's name ends in .svg")
        path.write_text(self.svg, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"Drawing({self.graph.title!r}, {len(self.graph.nodes)} nodes, direction={self.direction!r})"


def draw(workflow: Drawable, *, direction: Direction = "right", states: Mapping[str, str] | None = None) -> Drawing:
    """Draw a workflow; see `Workflow.draw`."""
    return Drawing(read(workflow).lit(states or {}), direction)
