"""Forms: which fields a page asks for, and what is made of what was entered."""

from collections.abc import Mapping
from typing import Any

from tilth.dataset.schema import LabelType, Schema
from tilth.errors import UsageError
from tilth.labeling.inbox import Task

__all__ = ["entered", "fields_of"]


def fields_of(asked: Any, detail: Mapping[str, Any], schema: Schema) -> list[dict[str, Any]]:
    """Return the fields of a question that is answered by a form, as the properties of HTML elements; else none."""
    match asked.kind, asked.form.get("label"):
        case "label", "number":
            return [_number("label")]
        case "edit", _:
            return [
                _number(name) | {"value": old} if isinstance(old, (int, float)) else _area(name) | {"value": old or ""}
                for name, old in detail.items()
            ]
        case "collect", _:
            return [*(_column(c.name, c.kind) for c in schema.columns if not c.hidden), _label(schema.label)]
        case _:
            return []


def entered(task: Task, value: Any, schema: Schema, who: str) -> Any:
    """Return the answer that what was entered stands for; it differs where records are collected."""
    if task.question.kind != "collect" or not isinstance(value, Mapping):
        return value
    row: dict[str, Any] = dict(value)
    for column in schema.columns:
        if column.kind == "vector" and isinstance(row.get(column.name), str):
            row[column.name] = _floats(column.name, row[column.name])
    label = row.get("label")
    if schema.label.kind == "classes" and isinstance(label, str):
        label = [name.strip() for name in label.split(",") if name.strip()]
    row["label"] = label if label not in ("", []) else None
    row["key"] = f"{task.question.team}/{who}-{task.id}"
    return row


def _number(name: str) -> dict[str, Any]:
    return {"tag": "input", "name": name, "type": "number", "step": "any", "required": True}


def _area(name: str) -> dict[str, Any]:
    return {"tag": "textarea", "name": name, "rows": 2}


def _column(name: str, kind: str) -> dict[str, Any]:
    match kind:
        case "number" | "integer":
            return _number(name)
        case "text":
            return _area(name) | {"required": True}
        case "image" | "audio":
            return {"tag": "input", "name": name, "type": "file", "accept": f"{kind}/*", "required": True}
        case _:
            return {"tag": "input", "name": name, "type": "text", "placeholder": "numbers", "required": True}


def _label(label: LabelType) -> dict[str, Any]:
    match label.kind:
        case "class":
            return {"tag": "select", "name": "label", "options": ["", *label.classes]}
        case "number":
            return _number("label") | {"required": False}
        case _:
            return {"tag": "input", "name": "label", "type": "text", "placeholder": "classes, comma between"}


def _floats(name: str, written: str) -> list[float]:
    try:
        return [float(part) for part in written.replace(",", " ").split()]
    except ValueError as why:
        raise UsageError(f"{name}: {written[:40]!r} is no list of numbers") from why
