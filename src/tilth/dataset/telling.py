"""What happened to a record, and how it stands, as a person would tell it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tilth.dataset.dataset import Dataset
from tilth.dataset.history import Event
from tilth.dataset.schema import SPLITS
from tilth.dataset.view import ANSWERED, PENDING
from tilth.words import number

__all__ = ["sentence", "shown", "standing", "told"]


def sentence(event: Event) -> str:
    """Return one thing that happened to a record as a person would tell it."""
    by = f"rule {event.rule!r}" if event.rule else event.actor or ""
    text = _happened(event, by)
    asides: list[str] = []
    if event.signal is not None and event.score is not None:
        asides.append(f"{event.signal} = {number(event.score)}")
    if event.reason and event.reason not in text:
        asides.append(event.reason)
    if event.what not in ("answered", "asked", "gold answer", "reviewed") and event.actor and event.actor != by:
        asides.append(f"by {event.actor}")
    if event.cost:
        asides.append(f"cost {event.cost:g}")
    return text + (f"; {'; '.join(asides)}" if asides else "")


def _happened(event: Event, by: str) -> str:
    after = shown(event.after)
    match event.what:
        case "added" if event.version == 0 or not by:
            return f"imported {'without a label' if event.after is None else f'with label {after}'}"
        case "added":
            return f"{by} added it{'' if event.after is None else f' with label {after}'}"
        case "removed":
            return f"{by or 'it was'} removed{' it' if by else ''}"
        case "asked":
            return f"{by or 'somebody'} asked {event.actor or 'for its label'}"
        case "answered":
            said = "could not tell" if event.after is None else f"answered {after}"
            return f"{event.actor or 'somebody'} {said}"
        case "gold answer":
            return f"{event.actor or 'somebody'} answered {after} to a gold question, which measures the annotator"
        case "reviewed":
            review = event.after if isinstance(event.after, dict) else {}
            return f"{event.actor or 'somebody'} said {review.get('say', after)} to {review.get('do', 'a change')}"
        case "quarantined":
            return f"{by or 'it was'} quarantined{' it' if by else ''}"
        case "withdrawn":
            return "the question was withdrawn"
        case "content":
            return f"{by or 'somebody'} changed its content"
        case field:
            return f"{by or 'somebody'} set its {field} {shown(event.before)} → {after}"


def shown(value: Any) -> str:
    """Return a label, or another value of a record, in words."""
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else ", ".join(value) if isinstance(value, list) else str(value)


def standing(dataset: Dataset, record: int) -> dict[str, Any]:
    """Return how a record stands in a version, as JSON."""
    view = dataset.view
    parent = int(dataset.parent[record])
    asked = int(view.asked[record])
    return {
        "version": view.version,
        "alive": bool(view.alive[record]),
        "quarantined": bool(view.quarantined[record]),
        "split": SPLITS[view.split[record]],
        "label": dataset.labels(np.array([record], np.int64))[0],
        "weight": float(view.weight[record]),
        "asked": {PENDING: "pending", ANSWERED: "answered"}.get(asked, "no"),
        "derives_from": dataset.keys(np.array([parent], np.int64))[0] if parent >= 0 else None,
    }


def told(now: dict[str, Any]) -> Iterator[str]:
    """Yield what `standing` says, in words."""
    gone = "quarantined, tilth retry brings it back" if now["quarantined"] else "removed, it can be brought back"
    yield f"in {now['split']}" if now["alive"] else gone
    yield "no label" if now["label"] is None else f"label {shown(now['label'])}"
    if now["asked"] != "no":
        yield "an annotator answered" if now["asked"] == "answered" else "an answer is awaited"
    if now["weight"] != 1:
        yield f"weight {now['weight']:g}"
    if now["derives_from"] is not None:
        yield f"made from {now['derives_from']}"
