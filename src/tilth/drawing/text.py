"""Text for a drawing: how wide it is without asking a font, made harmless, and broken into lines."""

import re
import unicodedata
from typing import Literal

from tilth.html import clean

__all__ = ["Face", "known", "plain", "width", "wrapped"]

Face = Literal["sans", "bold", "mono"]

# Advances of the characters from space to tilde in hundredths of the font size, of DejaVu Sans and DejaVu Sans Bold.
# Of the fonts that a browser falls back to they are the widest: Helvetica, Arial and Liberation Sans are narrower in
# every character, so a box that fits these fits the others.
_SANS = (
    "32 40 46 84 64 95 78 27 39 39 50 84 32 36 32 34 64 64 64 64 64 64 64 64 64 64 34 34 84 84 84 53 100 68 69 70 "
    "77 63 58 77 75 29 29 66 56 86 75 79 60 79 69 63 61 73 68 99 69 61 69 39 34 39 84 50 50 61 63 55 63 62 35 63 63 "
    "28 28 58 28 97 63 61 63 63 41 52 39 63 59 82 59 59 52 64 34 64 84 "
)
_BOLD = (
    "35 46 52 84 70 100 87 31 46 46 52 84 38 42 38 37 70 70 70 70 70 70 70 70 70 70 40 40 84 84 84 58 100 77 76 73 "
    "83 68 68 82 84 37 37 77 64 100 84 85 73 85 77 72 68 81 77 110 77 72 73 46 37 46 84 50 50 67 72 59 72 68 44 72 "
    "71 34 34 67 34 104 71 69 72 72 49 60 48 71 65 92 65 65 58 71 37 71 84 "
)
_ADVANCES: dict[Face, list[float]] = {
    "sans": [int(n) / 100 for n in _SANS.split()],
    "bold": [int(n) / 100 for n in _BOLD.split()],
    "mono": [0.61] * 95,  # Menlo, DejaVu Sans Mono and Liberation Mono are .60, Consolas .55
}


def plain(text: str) -> str:
    r"""Return a text on one line, with whatever could steer a reader or break XML written out.

    >>> plain("cat\n  \x1b[2J\u202etac")
    'cat \\x1b[2J\\u202etac'
    """
    return clean(" ".join(text.split()))


def width(text: str, size: float, face: Face = "sans") -> float:
    """Return how wide a text is at most, in the unit of the font size.

    >>> width("until", 10), width("until", 10, "mono")
    (22.1, 30.5)
    """
    return size * sum(_advance(c, face) for c in text)


def known(text: str) -> bool:
    """Return whether no font makes the text wider than `width` says; other scripts and pictures may come from any."""
    return all(_known(ord(c)) for c in text)


_KNOWN = (
    (0, 0x1C3),
    (0x1CD, 0x1F0),
    (0x1F4, 0x6FF),
    (0xE00, 0xEFF),
    (0x2010, 0x2026),
    (0x3000, 0x9FFF),
    (0xAC00, 0xD7AF),
)
"""Letters up to Arabic (not those that are two in one), Thai and Lao, dashes and quotes, Chinese, Japanese, Korean."""
_PICTURES = (0x1F300, 0x1FAFF)


def _known(c: int) -> bool:
    return any(low <= c <= high for low, high in (*_KNOWN, _PICTURES))


def _advance(c: str, face: Face) -> float:
    if " " <= c <= "~":
        return _ADVANCES[face][ord(c) - 32]
    if unicodedata.category(c) in ("Mn", "Me"):
        return 0.0
    if unicodedata.east_asian_width(c) in ("W", "F"):
        return 1.0 if ord(c) < _PICTURES[0] else 1.4  # pictures are wider than their cell in some fonts
    return 1.1 if face == "bold" else 1.0


# Where a line of code may end: behind a space, a comma or an opening bracket, before a method's dot.
_BREAK = re.compile(r"(?<=[\s,(\[])|(?=\.[A-Za-z_])")


def wrapped(text: str, room: float, size: float, face: Face = "mono", *, most: int = 6) -> list[str]:
    """Return a text as lines no wider than `room`, at most so many; the last ends with an ellipsis if there is more.

    >>> wrapped("labeled.where(label_quality() < 0.5).bottom(50, by=margin())", 270, 12)
    ['labeled.where(label_quality() < 0.5)', '.bottom(50, by=margin())']

    A line ends where the brackets are least deep, as far as that leaves it half full.
    """
    ends = {m.start(): _depth(text[: m.start()]) + (text[m.start() - 1] in "([") for m in _BREAK.finditer(text)}
    lines: list[str] = []
    begin = 0
    while begin < len(text):
        end, used = begin, 0.0
        while end < len(text) and (used + _advance(text[end], face) * size <= room or end == begin):
            used += _advance(text[end], face) * size
            end += 1
        if end < len(text):
            least = begin + (end - begin) // 3
            fit = [at for at in ends if begin < at <= end or (at == end + 1 and text[end] == " ")]
            full = [at for at in fit if at > least] or fit
            end = min(full, key=lambda at: (ends[at] - 3 * (at - begin) / (end - begin), -at)) if full else end
        lines.append(text[begin:end].strip())
        begin = end
    lines = [line for line in lines if line]
    if len(lines) > most:
        last = lines[most - 1]
        while last and width(last + "…", size, face) > room:
            last = last[:-1]
        lines = [*lines[: most - 1], last.rstrip() + "…"]
    return lines or [""]


def _depth(text: str) -> int:
    return sum(text.count(c) for c in "([{") - sum(text.count(c) for c in ")]}")
