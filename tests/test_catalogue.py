"""Every signal of the catalogue on hard data: ties, nothing known, one class, nobody to choose, both float types."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilth.signals as catalogue
from tests.states import make_state
from tilth.algebra import Signal
from tilth.outputs import KINDS, Outputs
from tilth.selectors import unlabeled
from tilth.signals.content import READS
from tilth.state import State

N = 40
TOLD: Mapping[str, Any] = {"column": ("x",), "in_slice": ("x > 3",)}
"""What the signals that have to be told something are told."""


def signals() -> list[Signal]:
    """Return each signal once, those of images aside: these read files, and have tests of their own."""
    makers = {name: getattr(catalogue, name) for name in catalogue.__all__}
    makers = {name: make for name, make in makers.items() if "__signature__" in vars(make)}
    assert all(name in TOLD or not _required(make) for name, make in makers.items())
    return [make(*TOLD.get(name, ())) for name, make in makers.items() if READS.get(name) != "image"]


def _required(make: Any) -> bool:
    return any(p.default is p.empty for p in inspect.signature(make).parameters.values())


def outputs(n: int, k: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return all that a model can say of n records, a row a record."""
    chance = np.random.default_rng(seed)
    said: dict[str, np.ndarray] = {"embeddings": chance.normal(size=(n, 6))}
    for kind in set(KINDS) - {"embeddings"}:
        several = (4,) if kind in ("draws", "epoch_probabilities") else ()
        said[kind] = np.moveaxis(chance.dirichlet(np.ones(k), (n, *several)), -1, 1)
    return said


HARD = {
    "ties": lambda said: {kind: np.repeat(rows[:1], len(rows), axis=0) for kind, rows in said.items()},
    "nothing known": lambda said: {kind: np.full_like(rows, np.nan) for kind, rows in said.items()},
    "half known": lambda said: {kind: np.where(_every_other(rows), np.nan, rows) for kind, rows in said.items()},
    "zeros": lambda said: {kind: np.zeros_like(rows) for kind, rows in said.items()},
}


def _every_other(rows: np.ndarray) -> np.ndarray:
    return np.reshape(np.arange(len(rows)) % 2 == 1, (-1, *[1] * (rows.ndim - 1)))


def state(folder: Path, labels: list[str | None], classes: list[str], said: dict[str, np.ndarray]) -> State:
    n = len(labels)
    columns = {"x": np.arange(n, dtype=np.float64), "text": [f"words {i}" for i in range(n)]}
    return make_state(folder, labels, classes=classes, columns=columns, **said)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, State]:
    folder = tmp_path_factory.mktemp("hard")
    labels = [None if i % 3 == 0 else "ab"[i % 2] for i in range(N)]
    made = {name: state(folder / name, labels, ["a", "b"], change(outputs(N, 2))) for name, change in HARD.items()}
    made["one class"] = state(folder / "one", [x and "a" for x in labels], ["a"], outputs(N, 1))
    made["no label"] = state(folder / "bare", [None] * N, ["a", "b"], outputs(N, 2))
    made["empty pool"] = state(folder / "full", ["a", "b"] * (N // 2), ["a", "b"], outputs(N, 2))
    made["one record"] = state(folder / "alone", [None], ["a", "b"], outputs(1, 2))
    return made


@pytest.mark.parametrize("one", signals(), ids=repr)
def test_hard_data_breaks_no_signal(one: Signal, states: Mapping[str, State]) -> None:
    for name, hard in states.items():
        found = np.asarray(one.value(hard))
        assert found.shape == (len(hard),), name
        assert not np.isinf(found).any(), name
        pool = hard.view.pool & ~np.isnan(found)
        for chosen, sign in (
            (unlabeled.top(N + 5, by=one).choose(hard), 1),
            (unlabeled.bottom(N + 5, by=one).choose(hard), -1),
        ):
            assert sorted(chosen.ids.tolist()) == np.flatnonzero(pool).tolist(), name
            assert chosen.passed_over == hard.view.pool.sum() - pool.sum(), name
            assert chosen.score is not None
            np.testing.assert_array_equal(sign * chosen.score, np.sort(sign * found[pool])[::-1], err_msg=name)


@pytest.mark.parametrize("one", [one for one in signals() if one.needs], ids=repr)
def test_what_a_model_said_may_be_float64(one: Signal, states: Mapping[str, State]) -> None:
    hard = states["half known"]
    assert hard.outputs is not None
    wide = Outputs.create(hard.outputs.folder.with_name(f"wide {one.name}"), np.asarray(hard.outputs.ids), {})
    for kind in one.needs:
        wide.add(kind, hard.outputs.get(kind).astype(np.float64))
    narrow, found = (np.asarray(one.compute(State(hard.dataset, said))) for said in (hard.outputs, wide))
    np.testing.assert_allclose(found, narrow, atol=1e-5)
