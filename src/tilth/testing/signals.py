"""The exams of signals and metrics: what every one of them promises, tried on a state of yours."""

import functools
import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.algebra import Metric, Quantity, from_json, to_json
from tilth.dataset import Dataset
from tilth.dataset.schema import SPLITS
from tilth.outputs import Outputs
from tilth.state import State

__all__ = ["check_metric", "check_signal"]

Compute = Callable[[State], Any]


def check_signal(signal: Quantity, state: State) -> None:
    """Let a signal sit its exam on a state; an AssertionError says in a sentence which promise it breaks.

    >>> from tilth.testing.signals import check_signal
    >>> from tilth.signals import margin
    >>> check_signal(margin, None)
    Traceback (most recent call last):
        ...
    AssertionError: check_signal takes a signal, such as margin(); got function

    It returns one finite number or NaN a record, the same ones when asked again; it reads the outputs that it declares
    in `needs`, all of them and no others; it says NaN of a record that the model has not seen; it goes to JSON and
    back; one that says it is `pointwise` is the same where it is computed part by part; and it belongs to the records:
    stored in another order, they keep their numbers. (The last is tried where the dataset has one version and no
    derived, weighted or removed records, so that it can be built again.) Give a small state, with some labelled and
    some unlabelled records and all outputs that the signal reads.
    """
    if not isinstance(signal, Quantity):
        raise AssertionError(f"check_signal takes a signal, such as margin(); got {type(signal).__name__}")
    _promise(signal.per_record, f"{signal!r} is one number for the whole state; let it sit check_metric")

    def compute(on: State) -> npt.NDArray[Any]:
        return np.asarray(_attempt(signal, signal.compute, on))

    n = len(state)
    with _copies(state) as copies:
        found = compute(copies.state())
        _promise(
            found.shape == (n,),
            (f"{signal!r} returned shape {found.shape}; a signal returns one number a record: ({n},)"),
        )
        _promise(found.dtype.kind == "f", f"{signal!r} returned {found.dtype}; a signal returns float32 or float64")
        wild = int(np.isinf(found).sum())
        _promise(wild == 0, f"{signal!r} is infinite for {wild} records; where there is no number, return NaN")
        known = int((~np.isnan(found)).sum())
        _promise(known > 0, f"{signal!r} is NaN for all {n} records of this state; give one on which it says something")
        _same(
            signal, found, compute(copies.state()), "is not the same when it is computed again; draw from keys and seed"
        )
        _honest(signal, compute, copies, found)
        _written(signal)
        if signal.pointwise:
            parts = [slice(n * i // 3, n * (i + 1) // 3) for i in range(3)]
            split = [compute(replace(copies.state(), only=part, memo={})) for part in parts if part.start < part.stop]
            said = "says that it is pointwise, and is another where it is computed on a part of the records"
            _same(signal, found, np.concatenate(split), said)
        unseen = _one_seen(state, found)
        if signal.needs and unseen is not None:
            said = compute(copies.state(unseen=unseen))[unseen]
            _promise(np.isnan(said), f"{signal!r} says {said:.4g} of a record that the model has not seen; say NaN")
        order = copies.other_order()
        if order is not None:
            turned = compute(copies.state(order=order))
            _same(
                signal,
                found[order],
                turned,
                "depends on the order in which records are stored, not only on the records",
            )


def check_metric(metric: Quantity, state: State) -> None:
    """Let a metric sit its exam on a state; an AssertionError says in a sentence which promise it breaks.

    It returns one finite number or NaN, the same when asked again; it reads the outputs that it declares, all of them
    and no others; it can be computed on every split with labels; it goes to JSON and back; and the order in which
    records are stored does not matter (see `check_signal`).
    """
    if not isinstance(metric, Quantity):
        raise AssertionError(f"check_metric takes a metric, such as accuracy(); got {type(metric).__name__}")
    _promise(not metric.per_record, f"{metric!r} is a number per record; let it sit check_signal")

    def compute(on: State) -> npt.NDArray[np.float64]:
        return np.array([float(_attempt(metric, metric.compute, on))])

    with _copies(state) as copies:
        found = compute(copies.state())
        _promise(not np.isinf(found[0]), f"{metric!r} is infinite; where there is no number, return NaN")
        _same(
            metric, found, compute(copies.state()), "is not the same when it is computed again; draw from keys and seed"
        )
        _honest(metric, compute, copies, found)
        _written(metric)
        if isinstance(metric, Metric):
            for split in (s for s in SPLITS if (state.view.among(s) & state.view.labeled).any()):
                _attempt(metric, functools.partial(metric.on, split=split), copies.state())
        order = copies.other_order()
        if order is not None:
            _same(metric, found, compute(copies.state(order=order)), "depends on the order in which records are stored")


class _Copies:
    """States that equal a given one, or differ from it in one thing."""

    def __init__(self, state: State, folder: Path) -> None:
        self.given, self.folder, self.made = state, folder, 0
        self.twin: Dataset | None = None
        self.kinds = frozenset(state.outputs.kinds) if state.outputs is not None else frozenset[str]()

    def state(
        self, *, kinds: frozenset[str] | None = None, unseen: int | None = None, order: npt.NDArray[Any] | None = None
    ) -> State:
        """Return a new state: with some kinds of outputs only, with one record unseen, or in another order."""
        dataset = self.given.dataset
        if order is not None:
            dataset = self.twin = self.twin or _rebuilt(dataset, order, self.folder / "twin")
        if self.given.outputs is None:
            return replace(self.given, dataset=dataset, memo={})
        self.made += 1
        ids, about = np.arange(len(self.given)), self.given.outputs.about
        lesson = self.given.lesson if order is None else self.given.lesson[order]
        outputs = Outputs.create(self.folder / f"outputs{self.made}", ids, about, lesson)
        for kind in self.kinds if kinds is None else self.kinds & kinds:
            array = np.array(self.given.output(kind))
            rows = array if kind == "embeddings" else array.T
            if unseen is not None:
                rows[unseen] = np.nan
            rows = rows if order is None else rows[order]
            outputs.add(kind, rows if kind == "embeddings" else rows.T)
        return replace(self.given, dataset=dataset, outputs=outputs, memo={})

    def other_order(self) -> npt.NDArray[np.int64] | None:
        """Return a permutation of the records, None where the dataset cannot be built again from its table."""
        dataset, view = self.given.dataset, self.given.view
        plain = view.version == 0 and view.alive.all() and (view.weight == 1).all() and (dataset.parent < 0).all()
        if not plain or {"key", "label", "split", "weight"} & set(dataset.schema.names):
            return None
        return np.random.default_rng(0).permutation(len(view))


@contextmanager
def _copies(state: State) -> Generator[_Copies]:
    folder = Path(tempfile.mkdtemp(prefix="tilth-exam-"))
    try:
        yield _Copies(state, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rebuilt(dataset: Dataset, order: npt.NDArray[Any], folder: Path) -> Dataset:
    table = dataset.table(order).drop_columns(["weight"])
    kind = dataset.schema.label
    return Dataset.create(
        folder,
        table,
        key="key",
        label="label",
        split="split",
        label_kind=kind.kind,
        classes=list(kind.classes) if kind.classes else None,
        kinds={c.name: c.kind for c in dataset.schema.columns},
        missing="keep",
        durability="process",
    ).at(0)


def _promise(kept: bool, broken: str) -> None:
    if not kept:  # no `assert`, which python -O takes out
        raise AssertionError(broken)


def _attempt(quantity: Quantity, compute: Compute, state: State) -> Any:
    try:
        return compute(state)
    except Exception as why:
        raise AssertionError(f"{quantity!r} failed: {type(why).__name__}: {why}") from why


def _honest(quantity: Quantity, compute: Compute, copies: _Copies, found: npt.NDArray[Any]) -> None:
    """Check that it reads the outputs that it declares, all of them and no others."""
    missing = sorted(quantity.needs - copies.kinds)
    _promise(not missing, f"{quantity!r} needs {', '.join(missing)}, which this state has not; give one that has")
    try:
        alone = compute(copies.state(kinds=quantity.needs))
    except AssertionError as why:
        others = ", ".join(sorted(copies.kinds - quantity.needs)) or "nothing else"
        raise AssertionError(
            f"{quantity!r} reads more than it declares: with {sorted(quantity.needs)} alone, without {others}, {why}"
        ) from why
    _same(
        quantity,
        found,
        alone,
        f"changes where only what it declares is there ({sorted(quantity.needs)}); declare the rest",
    )
    for kind in sorted(quantity.needs) if not np.isnan(found).all() else ():
        try:
            compute(copies.state(kinds=quantity.needs - {kind}))
        except AssertionError:
            continue
        raise AssertionError(
            f"{quantity!r} declares {kind!r} and does not read it, so it would be computed for nothing"
        )


def _written(quantity: Quantity) -> None:
    again = from_json(to_json(quantity))
    _promise(repr(again) == repr(quantity), f"{quantity!r} comes back from JSON as {again!r}")


def _one_seen(state: State, found: npt.NDArray[Any]) -> int | None:
    """Return a living training record of which the signal says something."""
    usable = np.flatnonzero(state.view.train & ~np.isnan(found))
    return int(usable[0]) if len(usable) else None


def _same(quantity: Quantity, a: npt.NDArray[Any], b: npt.NDArray[Any], said: str) -> None:
    close = a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)
    _promise(close, f"{quantity!r} {said}")
