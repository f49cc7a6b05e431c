"""Cards: what stands where inside a node or on a frame, and so how large it is."""

from dataclasses import dataclass, replace
from math import ceil, inf

from tilth.drawing.graph import Edge, Frame, Node
from tilth.drawing.text import Face, plain, width, wrapped

__all__ = ["HEAD", "LABEL", "Card", "Line", "card", "even", "heading", "label_lines"]

LABEL = 11.5
"""The size of the words on edges and of those that name a row."""
HEAD = 14.0
_CODE = 12.0
_STEP = 17.0
"""From one line to the next."""
_PAD_X, _PAD_Y = 15.0, 12.0
_ICON = 24.0
"""What the icon before a title takes."""
_ROOM = {"rule": 266.0, "question": 266.0, "gate": 266.0, "train": 200.0, "until": 200.0, "tune": 200.0}
"""How wide a value may be before it is broken into lines, by kind."""
_OTHER_ROOM = 165.0
_NARROW = 224.0
_PROSE = ("dataset", "votes", "labels")
_SLANT = 12.0
"""How far the pointed ends of a decision reach in."""


@dataclass(frozen=True)
class Line:
    """A line of text: where its baseline begins, from the corner of its card."""

    x: float
    y: float
    text: str
    size: float
    face: Face
    style: str

    @property
    def width(self) -> float:
        """How wide it is at most."""
        return width(self.text, self.size, self.face)


@dataclass(frozen=True)
class Card:
    """The size of a node and the lines in it; `inset`: what its shape takes from its ends."""

    width: float
    height: float
    lines: tuple[Line, ...]
    inset: float = 0.0

    def stretched(self, to: float) -> "Card":
        """Return it as wide as others beside which it stands."""
        return replace(self, width=max(self.width, to))


def card(node: Node, *, narrow: bool = False) -> Card:
    """Return the card of a node; `narrow`: for a phone."""
    inset = _SLANT if node.kind in ("until", "check") else 0.0
    left = _PAD_X + inset
    room = min(_ROOM.get(node.kind, _OTHER_ROOM), _NARROW if narrow else inf)
    y = _PAD_Y
    lines: list[Line] = []
    for said in wrapped(plain(node.title) or repr(node.title), room, HEAD, "bold", most=3):
        lines.append(Line(left + _ICON, y + HEAD - 1, said, HEAD, "bold", "head"))
        y += 19
    value_at = left + _words(node)
    face: Face = "sans" if node.kind in _PROSE else "mono"
    y += 3 if node.rows else 0
    for word, value in node.rows:
        if word:
            lines.append(Line(left, y + _CODE, plain(word), LABEL, "sans", "word"))
        for said in wrapped(plain(value), room, _CODE, face):
            lines.append(Line(value_at, y + _CODE, said, _CODE, face, "prose" if face == "sans" else "code"))
            y += _STEP
        y += 3
    y -= 3 if node.rows else 0
    right = max(line.x + line.width for line in lines)
    return Card(even(right + left), even(y + _PAD_Y - 2), tuple(lines), inset)


def _words(node: Node) -> float:
    words = [width(plain(word), LABEL) for word, _ in node.rows if word]
    return max(words) + 10 if words else 0.0


def heading(frame: Frame) -> Card:
    """Return the heading of a frame: its title, and below it what holds for all of it."""
    left = 16.0
    lines = [
        Line(left + _ICON, 13 + 12 + 18 * i, said, 12.5, "bold", "title")
        for i, said in enumerate(wrapped(plain(frame.title), 240, 12.5, "bold", most=3))
    ]
    y = lines[-1].y + 4
    for word, value in frame.rows:
        for said in wrapped(plain(f"{word} {value}"), 240, LABEL, "sans"):
            lines.append(Line(left + _ICON, y + 13, said, LABEL, "sans", "word"))
            y += 16
    right = max(line.x + line.width for line in lines)
    return Card(even(right + left), even(y + 14), tuple(lines))


def even(size: float) -> float:
    """Return a size of which the half is whole, so that what stands on one line is joined by a straight one."""
    return 2.0 * ceil(size / 2)


def label_lines(edge: Edge, *, narrow: bool) -> tuple[Line, ...]:
    """Return the words on an edge, from the middle of the first line; `narrow`: a line for each."""
    if not edge.label:
        return ()
    parts = edge.label.split(", ") if edge.kind == "data" else edge.label.split() if narrow else [edge.label]
    return tuple(Line(0, 14 * i, plain(part), LABEL, "sans", "label") for i, part in enumerate(parts))
