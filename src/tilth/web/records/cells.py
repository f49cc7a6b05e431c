"""Records as they stand among many: a picture, a line of text, a sound, with label and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tilth.dataset.schema import SPLITS, Column
from tilth.dataset.telling import shown
from tilth.errors import DataError
from tilth.web.media import data_uri, grey, thumb
from tilth.web.records.looking import Look, address
from tilth.web.records.ordering import Order
from tilth.words import number

__all__ = ["Cell", "cells", "layout", "links", "predictions"]

Layout = Literal["grid", "sounds", "rows"]

_INLINE = 2**14
"""Bytes up to which a picture stands in the page itself: sixty requests take longer than their pictures."""
_CLIP = 280
_NUMBERS = 6


@dataclass(frozen=True)
class Cell:
    """What is shown of one record among many."""

    at: int
    id: int
    key: str
    href: str
    label: str
    said: str
    sure: float | None
    wrong: bool
    score: float | None
    split: str
    gone: str
    image: str = ""
    problem: str = ""
    sound: str = ""
    wave: str = ""
    text: str = ""
    facts: Sequence[tuple[str, str]] = field(default_factory=tuple[tuple[str, str], ...])


def layout(columns: Sequence[Column]) -> Layout:
    """Return how records with such columns stand among many: hidden ones are not looked at."""
    kinds = [c.kind for c in columns if not c.hidden]
    if "image" in kinds:
        return "grid"
    if "audio" in kinds:
        return "sounds"
    return "grid" if "text" not in kinds and _picture(columns) is not None else "rows"


def links(look: Look, ids: npt.NDArray[Any]) -> list[str]:
    """Return the addresses of records."""
    return [address(f"/records/{i}", look.place) for i in ids.tolist()]


def predictions(look: Look, ids: npt.NDArray[Any]) -> list[tuple[str, float | None]]:
    """Return what the model predicts of records, and how sure it is; ("", None) where it said nothing."""
    if look.state.outputs is None:
        return [("", None)] * len(ids)
    p = np.asarray(look.state.probabilities[:, ids], np.float64)
    classes = look.dataset.schema.label.classes
    out: list[tuple[str, float | None]] = []
    for said in p.T:
        if np.isnan(said).any():
            out.append(("", None))
        elif look.kind == "number":
            out.append((number(float(said[0])), None))
        elif look.kind == "classes":
            out.append((", ".join(c for c, q in zip(classes, said, strict=True) if q >= 0.5) or "none", None))
        else:
            out.append((classes[int(said.argmax())], float(said.max())))
    return out


def cells(look: Look, order: Order, start: int, n: int) -> list[Cell]:
    """Return the records from `start` on in an order, `n` at most."""
    ids = order.ids[start : start + n].astype(np.int64)
    if not len(ids):
        return []
    view, kind = look.dataset.view, layout(look.dataset.schema.columns)
    visible = [c for c in look.dataset.schema.columns if not c.hidden]
    read = _read(visible, kind)
    rows = look.dataset.features(ids, [c.name for c in read]).to_pylist() if read else [{}] * len(ids)
    keys, labels = look.dataset.keys(ids), look.dataset.labels(ids)
    said, scores, hrefs = predictions(look, ids), order.scores(ids), links(look, ids)
    content = look.dataset.content[ids]
    out: list[Cell] = []
    for i, record in enumerate(ids.tolist()):
        label = "" if labels[i] is None else shown(labels[i])
        gone = "" if view.alive[record] else "quarantined" if view.quarantined[record] else "removed"
        what, sure = said[i]
        wrong = bool(what and label) and look.kind == "class" and what != label
        about: dict[str, Any] = {}
        for column in read:
            about |= _shown(look, column, rows[i][column.name], kind, record, int(content[i]), about)
        split = SPLITS[view.split[record]]
        plain = (start + i, record, keys[i], hrefs[i], label, what, sure, wrong, scores[i], split, gone)
        out.append(Cell(*plain, **about))
    return out


def _read(visible: Sequence[Column], kind: Layout) -> list[Column]:
    """Return the columns that are read for a cell."""
    if kind == "rows":
        texts = [c for c in visible if c.kind == "text"]
        plain = [*texts, *(c for c in visible if c.kind in ("number", "integer"))][:_NUMBERS]
        return plain or [c for c in visible if c.kind == "vector"][:1]
    wanted = "audio" if kind == "sounds" else "image"
    first = next((c for c in visible if c.kind == wanted), None) or _picture(visible)
    return [] if first is None else [first]


def _picture(columns: Sequence[Column]) -> Column | None:
    """Return the first column of vectors that have as many numbers as a square."""
    fits = (c for c in columns if c.kind == "vector" and not c.hidden and grey(np.zeros(c.size)) is not None)
    return next(fits, None)


def _shown(
    look: Look, column: Column, value: Any, kind: Layout, record: int, content: int, about: dict[str, Any]
) -> dict[str, Any]:
    if value is None:
        return {"problem": f"no {column.name}"} if kind != "rows" else {}
    place = {"branch": look.branch, "version": look.version, "v": f"{content:016x}"}
    where = f"/media/{record}/{column.name}"
    match column.kind:
        case "image":
            if len(value) > _INLINE:
                return {"image": address(where, place, {"size": "thumb"})}
            try:
                return {"image": data_uri(thumb(value))}
            except DataError as why:
                return {"problem": str(why)}
        case "audio":
            return {"sound": address(where, place), "wave": address(where, place, {"size": "thumb"})}
        case "vector" if kind == "rows":
            few = ", ".join(number(float(v)) for v in value[:_NUMBERS])
            return {"text": few + (", …" if len(value) > _NUMBERS else "")}
        case "vector":
            made = grey(value)
            return {"problem": "no picture"} if made is None else {"image": data_uri(made)}
        case "text" if "text" not in about:
            return {"text": value[:_CLIP] + ("…" if len(value) > _CLIP else "")}
        case "text":
            return {"facts": (*about.get("facts", ()), (column.name, value[:_CLIP]))}
        case _:
            return {"facts": (*about.get("facts", ()), (column.name, number(float(value))))}
