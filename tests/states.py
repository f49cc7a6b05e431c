"""Real states for tests: a real dataset in a folder, and a folder of outputs with the arrays that a test gives."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.outputs import Outputs
from tilth.state import Round, State

__all__ = ["answer", "ask", "make_state", "observed", "past", "set_label"]


def make_state(
    folder: Path,
    labels: Sequence[Any],
    *,
    split: Sequence[str] | str = "train",
    keys: Sequence[str] | None = None,
    columns: Mapping[str, Any] | None = None,
    classes: Sequence[str] | None = None,
    label_kind: Any = None,
    seed: int = 0,
    rounds: Sequence[Round] = (),
    **outputs: Any,
) -> State:
    """Return a state of len(labels) records whose ids are their positions; `outputs` are [n, k], a row a record."""
    n = len(labels)
    table: dict[str, Any] = {
        "key": list(keys) if keys is not None else [f"r{i:05d}" for i in range(n)],
        "label": pa.array(list(labels)),
        "split": [split] * n if isinstance(split, str) else list(split),
    }
    table |= dict(columns) if columns is not None else {"x": np.arange(n, dtype=np.float64)}
    dataset = Dataset.create(
        folder / "data",
        pa.table({name: _column(values) for name, values in table.items()}),
        key="key",
        label="label",
        split="split",
        classes=classes,
        label_kind=label_kind,
        missing="keep",
        durability="process",
    )
    return observed(dataset, seed=seed, rounds=rounds, **outputs)


def observed(dataset: Dataset, *, seed: int = 0, rounds: Sequence[Round] = (), ref: str = "m", **outputs: Any) -> State:
    """Return the state of a dataset as it is now, with these outputs, a row for each of the first records."""
    dataset = dataset.at(-1)
    if not outputs:
        return State(dataset, None, tuple(rounds), seed)
    n = len(next(iter(outputs.values())))
    found = Outputs.create(dataset.path / "outputs" / ref, np.arange(n), {})
    for kind, rows in outputs.items():
        array = np.asarray(rows, np.float32)
        found.add(kind, array if kind == "embeddings" else array.T)
    return State(dataset, found, tuple(rounds), seed)


def ask(dataset: Dataset, ids: Sequence[int]) -> None:
    """Commit a pending question about records."""
    dataset.commit(Changes(events(Op.ASK, np.array(ids))))


def answer(dataset: Dataset, ids: Sequence[int], *, cost: float = 1.0) -> None:
    """Commit an annotator's answer about records."""
    dataset.commit(Changes(events(Op.ANSWER, np.array(ids), actor="ann", cost=np.full(len(ids), cost))))


def set_label(dataset: Dataset, ids: Sequence[int], code: float) -> None:
    """Commit a label."""
    dataset.commit(Changes(events(Op.SET, np.array(ids), field=Field.LABEL, num=code)))


def past(**metrics: float) -> Round:
    """Return a finished round with these metrics; `_` in a name stands for nothing, texts come by `**{...}`."""
    return Round(0, 0, "m0", metrics, {}, 0, 0.0)


def _column(values: Any) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).ravel()), values.shape[1])
    return values if isinstance(values, pa.Array) else pa.array(values)
