"""One seed of one case: every arm as a run of a workflow, each with the same test records."""

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
from tilth.changes import Changes, Field, Op, events
from tilth.protocols import Task
from tilth.selectors import Selector
from tilth.state import State

__all__ = ["Curve", "Trial", "Work", "one"]


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
    ids = _first(dataset, arm.start, seed)
    codes = np.array([dataset.schema.label.classes.index(t) for t in drawn.truth[ids]])
    dataset.commit(Changes(events(Op.SET, ids, field=Field.LABEL, num=codes)))
    rule = Rule(select=arm.select, do=annotate(by=Oracle("truth")))
    report = (accuracy(), *((recall(case.rare),) if case.rare else ()))
    done = run(
        Workflow(
            dataset=Dataset.open(folder, durability="process"),
            model=case.model(arm.embed),
            rules={"ask": rule},
            until=labels_spent() >= case.most - case.start,
            report=report,
            seed=seed,
        ),
        inline=True,
    )
    told = [list(r.test.values()) for r in done.rounds]
    chosen = [step["seconds"] for step in done.steps if step["key"].endswith("/propose")]
    shutil.rmtree(folder)
    return Curve(
        [case.start + r.labels_spent for r in done.rounds],
        [t[0] for t in told],
        [t[1] for t in told] if case.rare else [],
        float(np.mean(chosen)),
        time.perf_counter() - began,
    )


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
