"""The exam for generators: does what you brought keep the promises that `synthesise` rests on?"""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.algebra import from_json, to_json
from tilth.errors import TilthError
from tilth.protocols import Generator, Want
from tilth.synthesis.making import Batch, checked
from tilth.testing.models import toy_features
from tilth.testing.promise import promise

__all__ = ["check_generator"]


def check_generator(generator: Generator, *, exemplars: pa.Table | None = None, n: int = 20) -> None:
    """Examine a generator on some examples; an AssertionError says in a sentence which promise is broken.

    >>> from tilth.synthesis import Interpolation
    >>> check_generator(Interpolation())

    Asked are: the spec through JSON and back, as written; a table of the examples' columns and types and `parent`, a
    row of the examples; at most n rows, none of them with nothing or NaN where examples have values; the same rows for
    the same arguments, also by what came back from JSON; one row, no row, and examples of which there is only one.
    Whether the examples are left as they are need not be asked: Arrow tables cannot be changed.

    `exemplars`: rows of the columns that it takes (default: one vector column). What is made for whom is not judged:
    whether it helps, a gate and the model tell.
    """
    examples = toy_features(30) if exemplars is None else exemplars
    promise(isinstance(generator, Generator), f"{generator!r} has spec and generate(want, exemplars, n, seed)")
    again = _rebuilt(generator)
    want = Want(n, "cat", reason="exam")
    rows = _made(generator, want, examples, n, 1)
    promise(rows.num_rows > 0, f"{generator!r} made nothing of {examples.num_rows} examples")
    for other, how in ((generator, "asked the same again"), (again, "rebuilt from its spec")):
        promise(
            _made(other, want, examples, n, 1).equals(rows),
            f"{generator!r} made other rows when {how}; equal arguments must give equal rows, for a step may run twice",
        )
    promise(
        _made(generator, want, examples, 1, 2).num_rows <= 1, f"{generator!r} makes at most one row if one is asked"
    )
    _made(generator, Want(n), examples.slice(0, 1), n, 3)
    _made(generator, Want(n, within="x > 0"), examples.take(pa.array(np.arange(examples.num_rows)[::-1])), n, 4)


def _rebuilt(generator: Generator) -> Generator:
    try:
        again: Any = from_json(json.loads(json.dumps(to_json(generator), allow_nan=False)))
    except (TypeError, ValueError, TilthError, StopIteration, AttributeError) as why:
        raise AssertionError(
            f"spec of {generator!r} is JSON with 'generator': 'module:Class', whose from_spec rebuilds it, but: {why}"
        ) from why
    promise(
        repr(again) == repr(generator), f"{generator!r} came back from JSON as {again!r}; its spec leaves something out"
    )
    return again


def _made(generator: Generator, want: Want, examples: pa.Table, n: int, seed: int) -> pa.Table:
    try:
        rows = generator.generate(want, examples, n, seed)
        return checked(generator, rows, Batch(want, examples, "", n, seed))
    except TilthError as why:
        raise AssertionError(str(why)) from why
