"""One seed of one case: every arm as a workflow has it, each with the same pool and test records."""

import shutil
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from bench.label_efficiency.arms import CASES, Arm, Case, arms, starts
from bench.label_efficiency.data import Drawn
from tilth import Dataset, Oracle, Rule, Workflow, accuracy, annotate, labels_spent, recall, run
from tilth.algebra import Metric
from tilth.changes import Changes, Field, Op, events
from tilth.integrations.probe import Probe
from tilth.outputs import Outputs
from tilth.protocols import Task
from tilth.selectors import Selector
from tilth.state import Round, State
from tilth.training import train

__all__ = ["Curve", "Trial", "Work", "one", "same_curves"]


@dataclass(frozen=True)
class Curve:
    """A run: labels, test accuracy and recall of the rare class after each round; seconds a choice and in all."""

    labels: list[int]
    accuracy: list[float]
    rare: list[float]
    choosing: float
    seconds: float


@dataclass(frozen=True)
class Trial:
    """What came of a seed: accuracy with all labels of the pool, the curves by arm, accuracy of starts by size."""

    case: str
    seed: int
    full: float | None
    curves: dict[str, Curve]
    starts: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Work:
    """Arms of a case to run from a seed; `whole`: measure the whole pool and the starts too."""

    case: str
    seed: int
    data: Path
    arms: tuple[str, ...]
    whole: bool
    quick: bool


def one(work: Work) -> Trial:
    """Do it."""
    case, seed = CASES[work.case].shortened() if work.quick else CASES[work.case], work.seed
    # with a handful of labels scikit-learn finds many classes for so few records, and PCA and scaling find constants
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(prefix="tilth-label-efficiency-"))
    pa.set_cpu_count(1)
    try:
        with threadpool_limits(1):
            drawn = case.draw(work.data, seed)
            full, first = None, dict[str, dict[str, float]]()
            if work.whole:
                full = _score(case, drawn, np.arange(drawn.pool), seed)
                first = _starts(case, drawn, folder, seed)
            every = arms(case)
            curves = {
                arm: _curve(case, drawn, every[arm], folder / f"arm-{i}", seed) for i, arm in enumerate(work.arms)
            }
        return Trial(work.case, seed, full, curves, first)
    finally:
        shutil.rmtree(folder)


def _curve(case: Case, drawn: Drawn, arm: Arm, folder: Path, seed: int) -> Curve:
    began = time.perf_counter()
    dataset = _dataset(drawn, (*case.columns, *arm.columns), folder)
    _label(dataset, drawn, _first(dataset, arm.start, seed))
    dataset = Dataset.open(folder, durability="process")
    labels, told, chosen = (by_loop if case.looped else by_run)(case, dataset, drawn, arm, seed)
    shutil.rmtree(folder)
    return Curve(
        labels,
        [t[0] for t in told],
        [t[1] for t in told] if case.rare else [],
        float(np.mean(chosen)),
        time.perf_counter() - began,
    )


Measured = tuple[list[int], list[list[float]], list[float]]
"""The labels, the accuracy (and the recall) after each round; the seconds that each choice took."""


def by_run(case: Case, dataset: Dataset, _: Drawn, arm: Arm, seed: int) -> Measured:
    """Run the arm as a workflow."""
    done = run(
        Workflow(
            dataset=dataset,
            model=case.model(arm.embed),
            rules={"ask": Rule(select=arm.select, do=annotate(by=Oracle("truth")))},
            until=labels_spent() >= case.most - case.start,
            report=_report(case),
            seed=seed,
        ),
        inline=True,
    )
    return (
        [case.start + r.labels_spent for r in done.rounds],
        [list(r.test.values()) for r in done.rounds],
        [step["seconds"] for step in done.steps if step["key"].endswith("/propose")],
    )


def by_loop(case: Case, dataset: Dataset, drawn: Drawn, arm: Arm, seed: int) -> Measured:
    """Do the same without a run, which keeps every model: a vocabulary takes three times as long to write as to learn.

    The curve is the same to the last digit (`same_curves`).
    """
    model, rounds = case.model(arm.embed), ()
    labels: list[int] = []
    told: list[list[float]] = []
    chosen: list[float] = []
    while True:
        at = dataset.at(-1)
        ref = train(at, model, Probe(), needs=arm.select.needs, seed=seed)["ref"]
        state = State(at, Outputs(at.path / "outputs" / ref), rounds, seed)
        labels.append(int((at.view.train & at.view.labeled).sum()))
        told.append([q.on(state, "test") for q in _report(case)])
        if labels[-1] >= case.most:
            return labels, told, chosen
        began = time.perf_counter()
        ids = arm.select.choose(state).ids
        chosen.append(time.perf_counter() - began)
        _label(dataset, drawn, ids)
        rounds = (*rounds, Round(len(rounds), at.version, ref, {}, {}, labels[-1] - case.start, 0.0))


def same_curves(case: Case, data: Path) -> bool:
    """Return whether a run and the loop give the same curve, of an arm that draws and one that clusters."""
    drawn, every = case.draw(data, 0), arms(case)
    same = True
    for name in ("margin 80 %, random 20 %", "typical, then cluster-margin"):
        found: list[Measured] = []
        for way in (by_run, by_loop):
            with tempfile.TemporaryDirectory(prefix="tilth-label-efficiency-") as folder, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                path = Path(folder) / "dataset"
                dataset = _dataset(drawn, (*case.columns, *every[name].columns), path)
                _label(dataset, drawn, _first(dataset, every[name].start, 0))
                found.append(way(case, Dataset.open(path, durability="process"), drawn, every[name], 0))
        same &= found[0][:2] == found[1][:2]
    return same


def _report(case: Case) -> tuple[Metric, ...]:
    return (accuracy(), recall(case.rare)) if case.rare else (accuracy(),)


def _label(dataset: Dataset, drawn: Drawn, ids: np.ndarray) -> None:
    codes = np.array([dataset.schema.label.classes.index(t) for t in drawn.truth[ids]])
    dataset.commit(Changes(events(Op.SET, ids, field=Field.LABEL, num=codes)))


def _dataset(drawn: Drawn, columns: tuple[str, ...], folder: Path) -> Dataset:
    return Dataset.create(
        folder,
        drawn.table(tuple(dict.fromkeys(columns))),
        key="key",
        label="label",
        split="split",
        hidden=["truth"],
        classes=drawn.classes,
        durability="process",
    )


def _first(dataset: Dataset, start: Selector, seed: int) -> np.ndarray:
    """Return the records that a start chooses while nothing is labelled."""
    return start.choose(State(dataset.at(-1), seed=seed)).ids


def _starts(case: Case, drawn: Drawn, folder: Path, seed: int) -> dict[str, dict[str, float]]:
    dataset = _dataset(drawn, (case.near,), folder / "starts")
    return {
        str(k): {
            name: _score(case, drawn, _first(dataset, start, seed), seed) for name, start in starts(case, k).items()
        }
        for k in case.sizes
    }


def _score(case: Case, drawn: Drawn, ids: np.ndarray, seed: int) -> float:
    """Return the test accuracy of the model trained on some records of the pool."""
    table, classes = drawn.table(case.columns).select(list(case.columns)), drawn.classes
    y = np.array([classes.index(t) for t in drawn.truth])
    model = case.model("")
    fitted = model.fit(
        table.take(pa.array(ids)), y[ids], np.ones(len(ids)), task=Task("class", tuple(classes)), seed=seed
    )
    return float((fitted.predict(table.slice(drawn.pool)).argmax(axis=1) == y[drawn.pool :]).mean())
