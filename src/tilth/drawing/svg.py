"""From a layout to one SVG: a text without scripts or requests that stands alone or in a page."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from tilth.drawing.cards import Line
from tilth.drawing.graph import Graph
from tilth.drawing.layout import Layout, Place, Track
from tilth.drawing.style import ICONS, MARKS, STYLE
from tilth.drawing.text import known, plain
from tilth.html import clean

__all__ = ["svg"]

Point = tuple[float, float]

_TIP = 8.0
"""The length of an arrow's head."""
_ROUND = 12.0
"""How much a corner is rounded."""
_WORDS = {"rolled-back": "taken back", "waiting": "waiting for people"}


def svg(graph: Graph, layout: Layout) -> str:
    """Return the drawing as SVG."""
    w, h = _n(layout.width), _n(layout.height)
    size = f'width="{w}" height="{h}" viewBox="0 0 {w} {h}"'
    named = f'class="tilth-drawing" role="img" aria-label="{_safe(graph.title)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {named} {size}>',
        f"<title>{_safe(graph.title)}</title>",
        f"<desc>{_safe(told(graph))}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{w}" height="{h}" rx="14"/>',
        *(_frame(place) for place in layout.frames),
        *(_edge(track) for track in layout.tracks),
        *(_node(place) for place in layout.nodes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def told(graph: Graph) -> str:
    """Return in words what the drawing shows, for those who cannot see it."""
    said: list[str] = []
    for node in graph.nodes:
        rows = "; ".join(f"{word} {value}".strip() for word, value in node.rows)
        named = node.title if node.kind == node.title else f"{node.kind} {node.title}"
        state = "" if node.state == "idle" else f" ({_WORDS.get(node.state, node.state)})"
        said.append(f"{named}{state}{': ' if rows else ''}{rows}.")
    return " ".join(said)


def _frame(place: Place) -> str:
    box = f'<rect class="box" width="{_n(place.width)}" height="{_n(place.height)}" rx="14"/>'
    icon = f'<path class="icon" transform="translate(14 12)" d="{ICONS[place.part.kind]}"/>'
    return _group(place, "frame", box + icon)


def _node(place: Place) -> str:
    node = place.part
    kind = node.kind if node.kind in ICONS else "rule"
    w, h = place.width, place.height
    match kind:
        case "until" | "check":
            s = place.card.inset
            shape = f"M{_n(s)} 0H{_n(w - s)}L{_n(w)} {_n(h / 2)}L{_n(w - s)} {_n(h)}H{_n(s)}L0 {_n(h / 2)}Z"
            box = f'<path class="box" d="{shape}"/>'
        case "question" | "votes" | "done" | "labels" | "entry":
            box = f'<rect class="box" width="{_n(w)}" height="{_n(h)}" rx="{_n(min(20, h / 2))}"/>'
        case _:
            box = f'<rect class="box" width="{_n(w)}" height="{_n(h)}" rx="7"/>'
            box += f'<path class="bar" d="M0 7a7 7 0 0 1 4-6.300V{_n(h - 0.7)}a7 7 0 0 1-4-6.300Z"/>'
    head = place.card.lines[0]
    icon = f'<path class="icon" transform="translate({_n(head.x - 24)} {_n(head.y - 13)})" d="{ICONS[kind]}"/>'
    return _group(place, "node", box + icon)


def _group(place: Place, what: str, shapes: str) -> str:
    part = place.part
    state = "" if part.state == "idle" else f", {_WORDS.get(part.state, part.state)}"
    full = "\n".join([f"{part.kind} {part.title}{state}", *(f"{word} {value}".strip() for word, value in part.rows)])
    marks = "".join(
        f'<g class="mark {name}" transform="translate({_n(place.width - 4)} 4)"><circle r="10"/><path d="{d}"/></g>'
        for name, d in MARKS.items()
    )
    return (
        f'<g class="{what} {_safe(part.kind)}" data-node="{_id(part.id)}" data-state="{part.state}" '
        f'transform="translate({_n(place.x)} {_n(place.y)})"><title>{_lines(full)}</title>{shapes}'
        f"{''.join(_text(line) for line in place.card.lines)}{marks}</g>"
    )


def _text(line: Line, dx: float = 0.0, dy: float = 0.0) -> str:
    # Where no table knows how wide the characters are, the reader is told how wide they have to be.
    fit = "" if known(line.text) else f' textLength="{_n(line.width)}" lengthAdjust="spacingAndGlyphs"'
    return (
        f'<text class="{line.style}" x="{_n(line.x + dx)}" y="{_n(line.y + dy)}" font-size="{_n(line.size)}"{fit}>'
        f"{_safe(line.text)}</text>"
    )


def _edge(track: Track) -> str:
    edge = track.edge
    end, before = track.points[-1], track.points[-2]
    across = (0 if track.along == "x" else 1) if not _straight(before, end) else 0 if before[1] == end[1] else 1
    ahead = 1 if end[across] > before[across] else -1
    step: Point = (ahead, 0) if across == 0 else (0, ahead)
    stop = (end[0] - step[0] * (_TIP - 1), end[1] - step[1] * (_TIP - 1))
    points = (*track.points[:-1], stop)
    base = (end[0] - step[0] * _TIP, end[1] - step[1] * _TIP)
    side = (step[1] * 4, step[0] * 4)
    tip = f"M{_p(end)}L{_p((base[0] + side[0], base[1] + side[1]))}L{_p((base[0] - side[0], base[1] - side[1]))}Z"
    inner = " inner" if track.inside else ""
    undo = " undo" if edge.kind == "back" and edge.target != "train" else ""
    x, y = track.middle
    top = y - 14 * (len(track.label) - 1) / 2 + 4
    words = "".join(_text(line, x, top) for line in track.label)
    return (
        f'<g class="edge {edge.kind}{inner}{undo}" data-from="{_id(edge.source)}" data-to="{_id(edge.target)}">'
        f'<path d="{"".join(_drawn(points, track.along))}"/><path class="tip" d="{tip}"/>{words}</g>'
    )


def _drawn(points: Sequence[Point], along: str) -> Iterator[str]:
    """Yield the pieces of a path: straight where two points share x or y, else bent along one axis; round corners."""
    yield f"M{_p(points[0])}"
    for i, (a, b) in enumerate(pairwise(points)):
        if not _straight(a, b):
            x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
            one, two = ((x, a[1]), (x, b[1])) if along == "x" else ((a[0], y), (b[0], y))
            yield f"C{_p(one)} {_p(two)} {_p(b)}"
            continue
        after = points[i + 2] if i + 2 < len(points) else None
        if after is None or not _straight(b, after):
            yield f"L{_p(b)}"
            continue
        round_by = min(_ROUND, _length(a, b) / 2, _length(b, after) / 2)
        yield f"L{_p(_toward(b, a, round_by))}Q{_p(b)} {_p(_toward(b, after, round_by))}"


def _straight(a: Point, b: Point) -> bool:
    return a[0] == b[0] or a[1] == b[1]


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _toward(a: Point, b: Point, by: float) -> Point:
    far = _length(a, b) or 1.0
    return a[0] + (b[0] - a[0]) * by / far, a[1] + (b[1] - a[1]) * by / far


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _p(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _safe(text: str) -> str:
    return escape(plain(text))


def _id(name: str) -> str:
    return escape(clean(name))  # every space of it, so that a page finds the node by its name


def _lines(text: str) -> str:
    return "\n".join(_safe(line) for line in text.splitlines())
