"""`Transforms`: new records that are real ones changed a little, by steps for images, sounds and texts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from tilth.errors import UsageError, did_you_mean
from tilth.integrations.inputs import cells, column_kind
from tilth.protocols import Want
from tilth.synthesis import changed

__all__ = [
    "Step",
    "Transforms",
    "brightness",
    "change_case",
    "crop",
    "drop_words",
    "flip",
    "gain",
    "noise",
    "rotate",
    "shift",
    "swap_words",
]

_FOR: Mapping[str, tuple[str, ...]] = {
    "flip": ("image",),
    "rotate": ("image",),
    "crop": ("image",),
    "brightness": ("image",),
    "gain": ("audio",),
    "shift": ("image", "audio"),
    "noise": ("image", "audio"),
    "drop_words": ("text",),
    "swap_words": ("text",),
    "change_case": ("text",),
}
_WORK: Mapping[str, Callable[[Any, Sequence[tuple[str, float]], np.random.Generator], Any]] = {
    "image": changed.image,
    "audio": changed.audio,
    "text": changed.text,
}


@dataclass(frozen=True, repr=False)
class Step:
    """One way to change a record a little; made by `flip`, `rotate` and the like."""

    name: str
    amount: float | None = None

    def __repr__(self) -> str:
        return f"{self.name}({'' if self.amount is None else self.amount})"


def flip() -> Step:
    """Mirror an image left to right, every second one.

    >>> flip()
    flip()

    Only where a mirrored image is still of its class: not for letters and digits.
    """
    return Step("flip")


def rotate(degrees: float = 15) -> Step:
    """Turn an image by up to so many degrees either way; what comes in has the colour of its border.

    >>> rotate(10)
    rotate(10)
    """
    return _step("rotate", degrees, most=180)


def crop(share: float = 0.8) -> Step:
    """Cut a part out of an image, at least this share of each side, and enlarge it to the old size.

    >>> crop(0.9)
    crop(0.9)
    """
    return _step("crop", share, most=1)


def brightness(share: float = 0.2) -> Step:
    """Make an image lighter or darker by up to this share.

    >>> brightness()
    brightness(0.2)
    """
    return _step("brightness", share, most=1)


def gain(decibels: float = 6) -> Step:
    """Make a sound louder or quieter by up to so many decibels; what is too loud for its format is clipped.

    >>> gain(3)
    gain(3)
    """
    return _step("gain", decibels, most=60)


def shift(share: float = 0.1) -> Step:
    """Move an image (both ways) or a sound (in time) by up to this share of its size.

    >>> shift(0.05)
    shift(0.05)

    What comes into an image has the colour of its border, what comes into a sound is silence.
    """
    return _step("shift", share, most=1)


def noise(share: float = 0.02) -> Step:
    """Add normal noise: to an image of this share of white, to a sound of this share of its own strength.

    >>> noise(0.1)
    noise(0.1)
    """
    return _step("noise", share, most=10)


def drop_words(share: float = 0.1) -> Step:
    """Leave words of a text out, each with this chance; at least one stays (Wei and Zou 2019, EDA).

    >>> drop_words()
    drop_words(0.1)
    """
    return _step("drop_words", share, most=1)


def swap_words(times: int = 1) -> Step:
    """Let two neighbouring words of a text change places, so many times.

    >>> swap_words(2)
    swap_words(2)
    """
    return _step("swap_words", times, most=1000)


def change_case() -> Step:
    """Write a text in small letters, in capitals, or with a capital at its beginning.

    >>> change_case()
    change_case()
    """
    return Step("change_case")


@dataclass(frozen=True, init=False)
class Transforms:
    """New records that are real ones changed a little: images, sounds or texts, by random steps, one after the other.

    >>> from tilth.protocols import Want
    >>> texts = pa.table({"text": ["how far is the moon", "who wrote Hamlet"]})
    >>> Transforms([swap_words(), change_case()]).generate(Want(2), texts, 2, seed=0).to_pydict()
    {'text': ['HOW FAR IS MOON THE', 'Who hamlet wrote'], 'parent': [0, 1]}

    Examples are taken in turn, the best first; each time the steps are drawn anew from the seed. `column`: which to
    change, where more than one would do; the others are as the parent's. Images are written as PNG, sounds as wav in
    their own format. A file that does not read is an error that names its row. UsageError where a step is not for what
    the column holds.
    """

    steps: tuple[Step, ...]
    column: str | None = None

    def __init__(self, steps: Sequence[Step], column: str | None = None) -> None:
        if isinstance(steps, Step) or not steps or not all(isinstance(step, Step) for step in steps):
            raise UsageError(f"Transforms({steps!r}): a list of steps, such as [flip(), rotate(15)]")
        object.__setattr__(self, "steps", tuple(steps))
        object.__setattr__(self, "column", column)

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it."""
        steps = [[step.name, step.amount] for step in self.steps]
        return {"generator": "tilth.synthesis.transforms:Transforms", "steps": steps, "column": self.column}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Transforms":
        """Rebuild it from `spec`."""
        return cls([Step(name, amount) for name, amount in spec["steps"]], spec["column"])

    def __repr__(self) -> str:
        column = f", column={self.column!r}" if self.column is not None else ""
        return f"Transforms([{', '.join(map(repr, self.steps))}]{column})"

    def generate(self, want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
        """Return n new rows."""
        name, kind = self._column(exemplars)
        parent = np.arange(n) % exemplars.num_rows
        given = exemplars.take(pa.array(parent))
        steps = [(step.name, 0.0 if step.amount is None else step.amount) for step in self.steps]
        made: list[Any] = []
        for i, cell in enumerate(given[name].to_pylist()):
            try:
                made.append(_WORK[kind](cell, steps, np.random.default_rng([seed, i])))
            except Exception as why:  # a broken file makes a decoder raise anything
                raise UsageError(f"{self!r}: {kind} of example {parent[i]} cannot be read: {why}") from why
        column = pa.array(made, exemplars.schema.field(name).type)
        given = given.set_column(given.column_names.index(name), name, column)
        return given.append_column("parent", pa.array(parent, pa.int64()))

    def _column(self, rows: pa.Table) -> tuple[str, str]:
        """Return the column to change, and what it holds."""
        if self.column is not None and self.column not in rows.column_names:
            raise UsageError(f"{self!r}: no column {self.column!r}. {did_you_mean(self.column, rows.column_names)}")
        names = rows.column_names if self.column is None else [self.column]
        held = {name: _held(rows, name) for name in names}
        fits = {n: kind for n, kind in held.items() if all(kind in _FOR[step.name] for step in self.steps)}
        if len(fits) == 1:
            return next(iter(fits.items()))
        if fits:
            raise UsageError(
                f"{self!r}: the columns {', '.join(fits)} would do; say which, by column={next(iter(fits))!r}"
            )
        what = ", ".join(f"{name} ({kind})" for name, kind in held.items())
        each = ", ".join(f"{step!r} is for {' or '.join(_FOR[step.name])}" for step in self.steps)
        raise UsageError(f"{self!r}: no column that all its steps are for: {each}; there is {what}")


def _held(rows: pa.Table, name: str) -> str:
    kind = column_kind(rows, name)
    if kind != "bytes":
        return kind
    cell = next((c for c in cells(rows.slice(0, 8), name) if c), b"")
    return "audio" if cast(bytes, cell)[:4] in (b"RIFF", b"RIFX", b"RF64") else "image"


def _step(name: str, amount: Any, *, most: float) -> Step:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 < amount <= most:
        raise UsageError(f"{name}({amount!r}): a number above 0 and up to {most:g}")
    return Step(name, amount)
