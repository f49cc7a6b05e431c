"""From the JSON of a workflow to its graph, also where a function or model of the user's is not there any more."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from tilth.algebra import Value, from_json, show
from tilth.dataset import Dataset
from tilth.drawing.graph import Graph
from tilth.drawing.reading import read

__all__ = ["recall"]


def recall(spec: Mapping[str, Any], dataset: Dataset) -> Graph:
    """Return the graph of a workflow that stands in a journal as JSON; nothing of it is run.

    What can be rebuilt looks as in `Workflow.draw()`. A part of which something cannot be found, such as a function in
    a file that was moved, is told by its JSON: by the names that stand in it.
    """
    rules: Mapping[str, Mapping[str, Any]] = spec["rules"]
    return read(
        _Recalled(
            dataset=dataset,
            name=spec["name"],
            model=_part(spec["model"]),
            rules={name: _rule(rule) for name, rule in rules.items()},
            until=_part(spec["until"]),
            report=tuple(_part(q) for q in spec["report"]),
            probe=_probe(spec["probe"]),
            every=spec.get("every"),
            trigger=_part(spec.get("trigger")),
            tune=_part(spec.get("tune")),
            gate=_part(spec.get("gate")),
        )
    )


@dataclass(frozen=True)
class _Recalled:
    """A workflow as far as it could be rebuilt."""

    dataset: Dataset
    name: str
    model: Any
    rules: Mapping[str, Any]
    until: Any
    report: tuple[Any, ...]
    probe: Any
    every: str | None
    trigger: Any
    tune: Any
    gate: Any


@dataclass(frozen=True, repr=False)
class _Lost(Value):
    """A part that could not be rebuilt."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Rule(Value):
    """A rule of which at least one part could not be rebuilt."""

    select: Any
    do: Any
    when: Any
    gate: Any


def _rule(data: Mapping[str, Any]) -> Any:
    whole = _part(data)
    if not isinstance(whole, _Lost):
        return whole
    return _Rule(**{name: _part(data.get(name)) for name in ("select", "do", "when", "gate")})


def _part(data: Any) -> Any:
    try:
        return from_json(data)
    except Exception:  # noqa: BLE001  to rebuild it may import a user's file, which may raise anything
        return _Lost(_told(data))


def _probe(data: Any) -> Any:
    probe = _part(data)
    return None if repr(probe) == "Probe()" else probe  # the default, which a drawing does not name


def _told(data: Any) -> str:
    """Return a part as a text like the one that it was written as, as far as its JSON tells.

    >>> shine = {"$": "function", "where": "pets:shine", "source": "5f2c"}
    >>> _told({"$": "custom signal", "function": shine, "args": {"k": 3}})
    'shine(k=3)'
    """
    match data:
        case {"$": "tuple", "items": items}:
            return f"({', '.join(_told(item) for item in items)})"
        case {"$": "function", "where": where}:
            return str(where).rsplit(":", 1)[-1]
        case {"$": "brought", "spec": spec}:
            kinds = ("generator", "annotator", "tuner", "model", "source")
            return next((f"{str(spec[k]).rsplit(':', 1)[-1]}(...)" for k in kinds if k in spec), "...")
        case {"$": _, "function": function, "args": args}:
            return f"{_told(function)}({_pairs(args)})"
        case {"$": tag, **rest}:
            return f"{tag}({_pairs(cast(dict[str, Any], rest))})"
        case dict():
            return f"{{{_pairs(cast(dict[str, Any], data))}}}"
        case _:
            return show(data)


def _pairs(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_told(value)}" for name, value in data.items() if value is not None)
