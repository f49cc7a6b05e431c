"""Uncertainty: the whole choice of 1,000 records by margin and entropy; BALD and disagreement of 20 draws.

Every library gets the numbers in the layout that it works on, in memory; Tilth opens its own from disk. What is timed
is the choice where the library has one, else the scores. (small-text's entropy is left out: a record at a time, it took
127 s.)
"""

import importlib
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.machine import bandwidth, timed
from bench.signals.table import Row
from tilth.algebra import Signal
from tilth.dataset import Dataset
from tilth.outputs import Outputs
from tilth.selectors import unlabeled
from tilth.signals import bald, disagreement, entropy, margin
from tilth.state import State

__all__ = ["rows"]

WANTED = 1000
Peer = Callable[[np.ndarray], np.ndarray]


def rows(*, quick: bool) -> Iterable[Row]:
    """Measure; `quick` takes a tenth of the records."""
    n = 100_000 if quick else 1_000_000
    for k in (10, 100):
        yield from _choices(n, k)
    yield from _committees(n // 5, 10, 20)


def _choices(n: int, k: int) -> Iterable[Row]:
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        by_record = _said(n, k)
        dataset = _pool(Path(folder) / "pool", n, k, probabilities=by_record.T)
        stored = Outputs(dataset.path / "outputs" / "m").get("probabilities")
        floor = stored.nbytes / bandwidth(np.array(stored))
        for signal in (margin(), entropy()):
            choice = unlabeled.top(WANTED, by=signal)
            mine = choice.choose(_state(dataset))
            value = np.sort(np.asarray(signal.value(_state(dataset)))[mine.ids])
            ours = timed(lambda c=choice: c.choose(_state(dataset)))
            work = f"top {WANTED:,} of {n:,} x {k} by {signal!r}"
            for name, peer, repeats, reach in _PEERS[signal.name]:
                call = _installed(peer)
                if call is None:
                    yield Row(work, ours, name, floor=floor, judged="not installed")
                    continue
                theirs = np.asarray(signal.value(_state(dataset)))[call(by_record)]
                same = np.allclose(np.sort(theirs), value, rtol=0, atol=1e-6)
                times = timed(lambda c=call: c(by_record), repeats=repeats, warm=0)
                yield Row(work, ours, name, times, floor, reach, same, "values of the chosen within 1e-6")
        signal_alone = timed(lambda: margin().value(_state(dataset)))
        yield Row(f"margin() alone of {n:,} x {k}", signal_alone, floor=floor)


def _committees(n: int, k: int, d: int) -> Iterable[Row]:
    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
        draws = np.stack([_said(n, k, seed=i) for i in range(d)])  # [d, n, k]
        dataset = _pool(Path(folder) / "pool", n, k, draws=draws.transpose(0, 2, 1))
        stored = Outputs(dataset.path / "outputs" / "m").get("draws")
        floor = stored.nbytes / bandwidth(np.array(stored))
        plain = np.ascontiguousarray(draws.transpose(1, 2, 0))
        votes = draws.argmax(axis=2).T
        todo: list[tuple[Signal, str, Callable[[], Callable[[], np.ndarray]], float, float]] = [
            (bald(), "baal", lambda: _baal(plain), np.log(k), 8),
            (disagreement(by="kl"), "scikit-activeml", lambda: _divergence(draws), np.log(k), 0),
            (disagreement(), "scikit-activeml (votes given)", lambda: _votes(votes, k), np.log(min(d, k)), 0),
        ]
        for signal, name, peer, scale, reach in todo:
            ours = timed(lambda s=signal: s.value(_state(dataset)))
            work = f"{signal!r} of {n:,} x {k}, {d} draws"
            try:
                call = peer()
            except ImportError:
                yield Row(work, ours, name, floor=floor, judged="not installed")
                continue
            theirs, found = call() / scale, np.asarray(signal.value(_state(dataset)))
            far = float(np.abs(theirs - found).max())
            times = timed(call, repeats=3, warm=0)
            yield Row(work, ours, name, times, floor, reach, far < 1e-5, f"all scores, at most {far:.0e} apart")


class _Told:
    """What libraries take for a classifier: its predictions are given, so that only the choice is measured."""

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        return rows


def _modal(strategy: str) -> Peer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # modAL 0.4.2 on today's scikit-learn
        call: Any = getattr(importlib.import_module("modAL.uncertainty"), strategy)
    return lambda p: call(_Told(), p, n_instances=WANTED)[0]


def _skactiveml(method: str) -> Peer:
    scores: Any = importlib.import_module("skactiveml.pool").uncertainty_scores
    return lambda p: np.argpartition(-scores(p, method=method), WANTED)[:WANTED]


def _small_text(strategy: str) -> Peer:
    chosen: Any = getattr(importlib.import_module("small_text.query_strategies.strategies"), strategy)()
    nobody = np.empty(0, np.int64)
    return lambda p: chosen.query(_Told(), p, np.arange(len(p)), nobody, nobody, n=WANTED)


def _installed(peer: Callable[[], Peer]) -> Peer | None:
    try:
        return peer()
    except ImportError:
        return None


_PEERS: Mapping[str, tuple[tuple[str, Callable[[], Peer], int, float], ...]] = {
    "margin": (
        ("modAL", lambda: _modal("margin_sampling"), 3, 9),
        ("scikit-activeml", lambda: _skactiveml("margin_sampling"), 3, 0),
        ("small-text", lambda: _small_text("BreakingTies"), 1, 0),
    ),
    "entropy": (
        ("modAL", lambda: _modal("entropy_sampling"), 3, 9),
        ("scikit-activeml", lambda: _skactiveml("entropy"), 3, 0),
    ),
}


def _baal(plain: np.ndarray) -> Callable[[], np.ndarray]:
    heuristic: Any = importlib.import_module("baal.active.heuristics").BALD()
    return lambda: heuristic.get_uncertainties(plain)


def _divergence(draws: np.ndarray) -> Callable[[], np.ndarray]:
    call: Any = importlib.import_module("skactiveml.pool").average_kl_divergence
    return lambda: call(draws.copy())  # it writes into what it is given


def _votes(votes: np.ndarray, k: int) -> Callable[[], np.ndarray]:
    call: Any = importlib.import_module("skactiveml.pool").vote_entropy
    return lambda: call(votes, np.arange(k))


def _said(n: int, k: int, *, seed: int = 0) -> np.ndarray:
    logits = np.random.default_rng(seed).standard_normal((n, k), dtype=np.float32)
    logits *= 2
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return logits


def _pool(path: Path, n: int, k: int, **arrays: np.ndarray) -> Dataset:
    """Write a dataset of n unlabelled records, and what a model said of them; its view is in memory, as in a run."""
    table = pa.table({"x": np.arange(n), "label": pa.nulls(n, pa.string()), "split": pa.repeat("train", n)})
    names = [f"class{i}" for i in range(k)]
    Dataset.create(path, table, label="label", split="split", classes=names, durability="process")
    outputs = Outputs.create(path / "outputs" / "m", np.arange(n), {})
    for kind, array in arrays.items():
        outputs.add(kind, array)
    dataset = Dataset.open(path).at(-1)
    _ = dataset.view
    return dataset


def _state(dataset: Dataset) -> State:
    return State(dataset, Outputs(dataset.path / "outputs" / "m"))
