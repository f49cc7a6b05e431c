"""Examples of what a run changed, before and after: small pictures, the beginning of texts, numbers."""

import base64
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tilth.dataset import Dataset
from tilth.errors import NotFound
from tilth.integrations.images import extent, picture
from tilth.runs import Run

__all__ = ["Example", "Shown", "examples"]

_EACH = 3
"""Examples for one rule and kind of change."""
_SIDE = 96
"""Pixels of a picture's longer side."""
_PIXELS = 50_000_000
"""Pixels above which an image is not decoded for a thumbnail."""
_TEXT = 240
_COLUMNS = 3


@dataclass(frozen=True)
class Shown:
    """One column of a record as a report shows it: a picture as a data: URI, or a text."""

    column: str
    text: str = ""
    image: str = ""


@dataclass(frozen=True)
class Example:
    """One record that a rule changed: what it holds, and the value before and after."""

    version: int
    rule: str
    what: str
    key: str
    before: str
    after: str
    reason: str
    content: tuple[Shown, ...]


def examples(dataset: Dataset, run: Run) -> list[Example]:
    """Return some records of each rule and kind of change, the earliest in the run first.

    Changes of people and gates are among them; what was only asked is not.
    """
    return list(_examples(dataset, run))


def _examples(dataset: Dataset, run: Run) -> Iterator[Example]:
    taken: dict[tuple[str, str], int] = {}
    for commit in dataset.log():
        if commit.run != run.name or not commit.version or "undoes" in commit.meta:
            continue
        for row in dataset.diff(commit.version - 1, commit.version).to_pylist():
            kind = (commit.rule, row["what"])
            if row["what"] in ("asked", "answered") or taken.get(kind, 0) >= _EACH:
                continue
            taken[kind] = taken.get(kind, 0) + 1
            at = commit.version - 1 if row["what"] in ("removed", "quarantined") else commit.version
            yield Example(
                commit.version,
                commit.rule,
                row["what"],
                row["key"],
                row["before"] or "",
                row["after"] or "",
                row["reason"] or "",
                _content(dataset.at(at), row["record_id"]),
            )


def _content(dataset: Dataset, record: int) -> tuple[Shown, ...]:
    import numpy as np

    shown = [c for c in dataset.schema.columns if not c.hidden][:_COLUMNS]
    try:
        row = dataset.features(np.array([record]), [c.name for c in shown]).to_pylist()[0]
    except NotFound:  # the record is of another branch's time
        return ()
    return tuple(_shown(c.name, c.kind, row[c.name]) for c in shown)


def _shown(name: str, kind: str, value: Any) -> Shown:
    match kind:
        case "image":
            return _thumbnail(name, value)
        case "audio":
            return Shown(name, f"a sound of {len(value or b''):,} bytes")
        case "vector":
            head = ", ".join(f"{v:.3g}" for v in value[:8])
            return Shown(name, f"{head}{', ...' if len(value) > 8 else ''} ({len(value)} numbers)")
        case "number":
            return Shown(name, "none" if value is None or math.isnan(value) else f"{value:.6g}")
        case _:
            text = "" if value is None else str(value)
            return Shown(name, text if len(text) <= _TEXT else f"{text[:_TEXT]}…")


def _thumbnail(name: str, data: bytes) -> Shown:
    try:
        width, height = extent(data)
        if width * height > _PIXELS:
            return Shown(name, f"an image of {width:,} x {height:,} pixels")
        image = picture(data, "RGB")
        image.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        image.save(file, "PNG")
    except Exception as why:  # noqa: BLE001  a broken file makes a decoder raise anything
        return Shown(name, f"an image that cannot be shown ({type(why).__name__})")
    return Shown(name, image=f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}")
