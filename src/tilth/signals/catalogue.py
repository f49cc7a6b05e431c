"""The signals there are, by name, and whether one fits a dataset."""

import inspect
from collections.abc import Callable

import tilth.signals as catalogue
from tilth.algebra import Signal
from tilth.signals.content import READS, readable
from tilth.state import State

__all__ = ["Maker", "makers", "misfit", "plain"]

Maker = Callable[..., Signal]

_LABELS = {"class": "one class", "classes": "several classes", "number": "a number"}


def makers() -> dict[str, Maker]:
    """Return what `tilth.signals` makes signals with, by name; what `@signal` makes has a signature of its own."""
    every = {name: getattr(catalogue, name) for name in catalogue.__all__}
    return {name: make for name, make in every.items() if "__signature__" in vars(make)}


def plain(make: Maker) -> Signal | None:
    """Return a signal with its defaults, None where it must be told something."""
    required = any(p.default is p.empty for p in inspect.signature(make).parameters.values())
    return None if required else make()


def misfit(state: State, signal: Signal) -> str:
    """Return why a signal does not fit a dataset's labels or columns, "" where it does."""
    kind = state.dataset.schema.label.kind
    if kind not in signal.tasks:
        fits = " or ".join(_LABELS[task] for task in _LABELS if task in signal.tasks)
        return f"is for labels that are {fits}, and these are {_LABELS[kind]}"
    if signal.name in READS and signal.args.get("column") is None:
        there = readable(state, signal.name)
        if len(there) != 1:
            some = f"these are {', '.join(there)}: name one" if there else "there is none"
            return f"reads a column of {READS[signal.name]}, and {some}"
    return ""
