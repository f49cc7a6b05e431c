"""Where everything stands: each frame is laid out by itself, then the whole with the frames as boxes in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from tilth.drawing.cards import Card, Line, card, even, heading, label_lines
from tilth.drawing.graph import Edge, Frame, Graph, Node
from tilth.drawing.layers import Link, layered

__all__ = ["Direction", "Layout", "Place", "Track", "laid_out"]

Direction = Literal["right", "down"]
Point = tuple[float, float]

_MARGIN = 16.0
_PAD = 16.0
"""Between a frame and what stands in it."""
_LANE = 16.0
"""Between links that leave a frame beside each other."""
_LINE = 14.0
"""The height of a line of a label."""


@dataclass(frozen=True)
class Place:
    """Where a node or frame stands, with what is written in it."""

    part: Node | Frame
    card: Card
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Track:
    """How an edge runs: corners in order, `along` which axis it bends between two that share neither x nor y."""

    edge: Edge
    points: tuple[Point, ...]
    along: Literal["x", "y"]
    label: tuple[Line, ...]
    middle: Point
    inside: bool = False
    """Whether all of it is inside a frame."""


@dataclass(frozen=True)
class Layout:
    """All places and tracks, and the size of the whole."""

    width: float
    height: float
    nodes: tuple[Place, ...]
    frames: tuple[Place, ...]
    tracks: tuple[Track, ...]


@dataclass
class _Inside:
    """What a frame holds, from the frame's own corner."""

    head: Card
    width: float
    height: float
    nodes: list[Place]
    tracks: list[Track]
    ports: dict[int, list[Point]]
    """By the number of an edge across the frame's border: how it runs inside, from source to target."""


def laid_out(graph: Graph, direction: Direction) -> Layout:
    """Return the layout of a graph; the same graph gives the same layout."""
    insides = {frame.id: _inside(graph, frame, direction) for frame in graph.frames}
    home = {node.id: node.frame or node.id for node in graph.nodes} | {frame.id: frame.id for frame in graph.frames}
    cards = {node.id: card(node, narrow=direction == "down") for node in graph.inside(None)}
    sizes = {name: (c.width, c.height) for name, c in cards.items()} | {
        name: (inside.width, inside.height) for name, inside in insides.items()
    }
    outer = [(n, e) for n, e in enumerate(graph.edges) if home[e.source] != home[e.target]]
    links = [_link(e, home, sizes, insides, n, direction) for n, e in outer]
    down = direction == "down"
    stack = [*(frame.id for frame in graph.frames), *(["tune"] if "tune" in sizes else [])] if down else []
    hidden = [Link(a, b) for a, b in pairwise(stack)]
    found = layered(
        {name: _turned(size, direction) for name, size in sizes.items()},
        [*links, *hidden],
        gap=(34.0, 22.0) if down else (40.0, 26.0),
        spine=dict.fromkeys(stack, 0.0) if down else _tops(sizes, links),
        open_ends=dict.fromkeys(insides, 18.0),
    )
    corner = {name: _turned((box.u, box.v), direction) for name, box in found.boxes.items()}
    nodes = [_place(node, cards[node.id], corner[node.id]) for node in graph.inside(None)]
    frames: list[Place] = []
    tracks: list[Track] = []
    for frame in graph.frames:
        inside, (x, y) = insides[frame.id], corner[frame.id]
        frames.append(Place(frame, inside.head, x, y, inside.width, inside.height))
        nodes += [replace(p, x=p.x + x, y=p.y + y) for p in inside.nodes]
        tracks += [_moved(track, x, y) for track in inside.tracks]
    for (n, edge), route, middle in zip(outer, found.routes, found.labels, strict=False):
        points = [_turned(point, direction) for point in route]
        for end, before in ((edge.source, True), (edge.target, False)):
            if home[end] in insides and n in insides[home[end]].ports:
                x, y = corner[home[end]]
                inner = [(px + x, py + y) for px, py in insides[home[end]].ports[n]]
                points = [*inner, *points] if before else [*points, *inner]
        label = label_lines(edge, narrow=False)
        x, y = _turned(middle, direction)
        if len(label) > 1 and not down:  # above the line, which would show between the lines of text
            y -= _LINE * len(label) / 2 + 4
        tracks.append(Track(edge, _clean(points), "y" if down else "x", label, (x, y)))
    left, top, right, bottom = _bounds([*nodes, *frames], tracks)
    dx, dy = _MARGIN - left, _MARGIN - top
    return Layout(
        round(right - left + 2 * _MARGIN),
        round(bottom - top + 2 * _MARGIN),
        tuple(replace(p, x=p.x + dx, y=p.y + dy) for p in nodes),
        tuple(replace(p, x=p.x + dx, y=p.y + dy) for p in frames),
        tuple(_moved(track, dx, dy) for track in tracks),
    )


def _inside(graph: Graph, frame: Frame, direction: Direction) -> _Inside:
    """Lay out what stands in a frame, from top to bottom; links that lead back or round something run beside it."""
    head = heading(frame)
    members = graph.inside(frame.id)
    cards = {node.id: card(node, narrow=direction == "down") for node in members}
    if frame.kind == "rules":
        widest = max(c.width for c in cards.values())
        cards = {name: c.stretched(widest) for name, c in cards.items()}
    edges = [e for e in graph.edges if e.source in cards and e.target in cards]
    links = [
        Link(e.source, e.target, _beside([*cards], e), _turned(_label_size(e, narrow=True), "down")) for e in edges
    ]
    found = layered(
        {name: (c.height, c.width) for name, c in cards.items()},
        links,
        gap=(30.0, 18.0),
        spine=dict.fromkeys(cards, 0.0),
    )
    nodes = [_place(node, cards[node.id], (box.v, box.u)) for node in members for box in (found.boxes[node.id],)]
    tracks = [
        Track(e, _clean((v, u) for u, v in route), "y", label_lines(e, narrow=True), (v, u), inside=True)
        for e, route, (u, v) in zip(edges, found.routes, found.labels, strict=True)
    ]
    left, top, right, bottom = _bounds(nodes, tracks)
    dx, dy = _PAD - left, head.height - top
    nodes = [replace(p, x=p.x + dx, y=p.y + dy) for p in nodes]
    tracks = [_moved(track, dx, dy) for track in tracks]
    inside = _Inside(head, 0.0, even(bottom + dy + _PAD), nodes, tracks, {})
    _open(inside, graph, right + dx, direction)
    return inside


def _open(inside: _Inside, graph: Graph, right: float, direction: Direction) -> None:
    """Make the frame as wide as it has to be, and lead the edges across its border to the nodes inside."""
    at = {place.part.id: place for place in inside.nodes}
    leaving = [(n, e) for n, e in enumerate(graph.edges) if e.source in at and e.target not in at]
    entering = [(n, e) for n, e in enumerate(graph.edges) if e.target in at and e.source not in at]
    if direction == "right":
        inside.width = even(max(right + _PAD, inside.head.width))
        for n, e in leaving:
            x, y = _side(at[e.source], 1.0, 0.5)
            inside.ports[n] = [(x, y), (inside.width, y)]
        for n, e in entering:
            x, y = _side(at[e.target], 0.0, 0.5)
            y += _LANE if e.kind == "back" else 0.0
            inside.ports[n] = [(0.0, y), (x, y)]
        return
    # who leaves earlier has the outer lane, so that none crosses another; what is read goes on the right
    lefts = [n for n, e in leaving if e.kind == "forward" and e.source == "until"]
    rights = [n for n, _ in leaving if n not in lefts]
    shift = len(lefts) * _LANE
    inside.nodes = [replace(p, x=p.x + shift) for p in inside.nodes]
    inside.tracks = [_moved(track, shift, 0.0) for track in inside.tracks]
    at = {place.part.id: place for place in inside.nodes}
    right += shift + len(rights) * _LANE
    inside.width = even(max(right + _PAD, inside.head.width))
    for n, e in leaving:
        x, y = _side(at[e.source], 0.0 if n in lefts else 1.0, 0.5)
        lane = _PAD if n in lefts else right - rights.index(n) * _LANE
        inside.ports[n] = [(x, y), (lane, y), (lane, inside.height)]
    for n, e in entering:
        x, y = _side(at[e.target], 0.5, 0.0)
        x += _LANE if e.kind == "back" else 0.0
        inside.ports[n] = [(x, 0.0), (x, y)]


def _side(place: Place, across: float, down: float) -> Point:
    return place.x + place.width * across, place.y + place.height * down


def _tops(sizes: Mapping[str, Point], links: Sequence[Link]) -> dict[str, float]:
    """Return the middles of what stands beside each other: tops on one line, but so low that `no` meets it straight."""
    if "model" not in sizes:
        return {}
    out = {"model": sizes["model"][1] / 2}
    for name in ("rules", "tune"):
        high = sizes[name][1] / 2 if name in sizes else 0.0
        for link in links:
            if link.source == "model" and link.target == name and not link.aside:
                at = out["model"] + link.port
                out[name] = max(high, out.get(name, 0.0), at - max(0.0, high - 20.0))
    return out


def _link(
    edge: Edge,
    home: Mapping[str, str],
    sizes: Mapping[str, Point],
    insides: Mapping[str, _Inside],
    n: int,
    direction: Direction,
) -> Link:
    across = 0 if direction == "down" else 1

    def port(end: str, which: int) -> float | None:
        frame = insides.get(home[end])
        return (
            None
            if frame is None or n not in frame.ports
            else frame.ports[n][which][across] - sizes[home[end]][across] / 2
        )

    size = _turned(_label_size(edge, narrow=False), direction)
    return Link(
        home[edge.source],
        home[edge.target],
        1 if edge.kind == "back" else 0,
        size,
        port(edge.source, -1) or 0.0,
        port(edge.target, 0),
    )


def _beside(column: Sequence[str], edge: Edge) -> Literal[-1, 0, 1]:
    """Return on which side an edge inside a frame runs, 0 for from one node to the next."""
    if column.index(edge.target) - column.index(edge.source) == 1:
        return 0
    return 1 if edge.target.endswith("/labels") else -1


def _label_size(edge: Edge, *, narrow: bool) -> Point:
    lines = label_lines(edge, narrow=narrow)
    return (max(line.width for line in lines) + 8, len(lines) * _LINE) if lines else (0.0, 0.0)


def _turned(point: Point, direction: Direction) -> Point:
    return point if direction == "right" else (point[1], point[0])


def _place(node: Node, made: Card, at: Point) -> Place:
    return Place(node, made, at[0], at[1], made.width, made.height)


def _moved(track: Track, dx: float, dy: float) -> Track:
    points = tuple((x + dx, y + dy) for x, y in track.points)
    return replace(track, points=points, middle=(track.middle[0] + dx, track.middle[1] + dy))


def _clean(points: Iterable[Point]) -> tuple[Point, ...]:
    """Leave out corners that are none: the same point twice, or one on the straight line between its neighbours."""
    out: list[Point] = []
    for point in points:
        if out and point == out[-1]:
            continue
        if len(out) > 1 and any(out[-2][i] == out[-1][i] == point[i] for i in (0, 1)):
            out.pop()
        out.append(point)
    return tuple(out)


def _bounds(places: Sequence[Place], tracks: Sequence[Track]) -> tuple[float, float, float, float]:
    xs = [x for p in places for x in (p.x, p.x + p.width)] + [x for t in tracks for x, _ in t.points]
    ys = [y for p in places for y in (p.y, p.y + p.height)] + [y for t in tracks for _, y in t.points]
    for track in tracks:
        for line in track.label:
            xs += [track.middle[0] - line.width / 2, track.middle[0] + line.width / 2]
        half = len(track.label) * _LINE / 2
        ys += [track.middle[1] - half, track.middle[1] + half]
    return min(xs), min(ys), max(xs), max(ys)
