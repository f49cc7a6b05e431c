"""The demo's arms: change only the data, tune only the model, or both; each knows what it spent."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tilth.actions import annotate, relabel
from tilth.dataset import Dataset
from tilth.dataset.splits import draw
from tilth.integrations.sklearn import SklearnModel
from tilth.labeling import Oracle
from tilth.metrics import accuracy, labels_spent, rounds
from tilth.rules import Gate, Rule
from tilth.runs import Run, run
from tilth.selectors import labeled, unlabeled
from tilth.signals import label_quality, margin
from tilth.workflow import Workflow

__all__ = ["Tuned", "base_model", "clean_score", "data_arm", "data_workflow", "random_score", "split_arrays", "tune"]

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def base_model() -> Any:
    """Return the model that the data arm never touches: a plain logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))


def data_workflow(dataset: Dataset, *, seed: int, budget: int, most: int = 6) -> Workflow:
    """Return the data arm: recheck suspicious labels, ask for useful new ones, keep what does no harm."""
    oracle = Oracle("truth")
    return Workflow(
        dataset=dataset,
        model=SklearnModel(base_model()),
        rules={
            "fix": Rule(
                select=labeled.where(label_quality() < 0.5).bottom(60, by=label_quality()),
                do=relabel(by=oracle),
                gate=Gate(by=0.0, rejected="hold"),
            ),
            "ask": Rule(
                select=unlabeled.top(30, by=margin()),
                do=annotate(by=oracle),
                gate=Gate(by=0.0, rejected="hold"),
            ),
        },
        until=(labels_spent() >= budget) | (rounds() >= most),
        report=(accuracy(),),
        seed=seed,
        name="digits",
    )


def data_arm(
    dataset: Dataset, *, seed: int, budget: int, listen: Callable[[Mapping[str, Any]], None] | None = None
) -> Run:
    """Run the data-centric loop."""
    return run(data_workflow(dataset, seed=seed, budget=budget), listen=listen, inline=True)


def split_arrays(dataset: Dataset, split: str, *, truth: bool = False) -> Arrays:
    """Return the labelled records of a split as X float32 [n, 64] and y int64 [n]; with `truth` all, correctly."""
    view = dataset.view
    ids = np.flatnonzero(view.among(split) & (view.labeled | truth))
    ids = ids[np.argsort(dataset.key_hash[ids], kind="stable")]
    table = dataset.features(ids, ["pixels", "truth"])
    x = table["pixels"].combine_chunks().flatten().to_numpy().reshape(len(ids), -1)
    y = np.array(table["truth"].to_pylist(), np.int64) if truth else view.label[ids].astype(np.int64)
    return x, y


@dataclass(frozen=True)
class Tuned:
    """What tuning found: the winner, how many models it tried in the time, its score on valid and test."""

    winner: str
    trials: int
    valid: float
    test: float
    seconds: float


def tune(
    train: Arrays,
    valid: Arrays,
    test: Arrays,
    *,
    seed: int,
    seconds: float | None = None,
    trials: int | None = None,
) -> Tuned:
    """Choose among five families of models and their settings by accuracy on valid, with Optuna's TPE.

    For a wall time, for so many trials, or until the first of both.

    The first trial is the data arm's own model, so that tuning can never end below it on valid.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    started = time.perf_counter()
    best: dict[str, Any] = {"valid": -1.0}

    def objective(trial: optuna.Trial) -> float:
        name, model = _candidate(trial, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a setting that does not converge is a bad setting, not news
            model.fit(*train)
        score = float(model.score(*valid))
        if score > best["valid"]:
            best.update(valid=score, name=name, model=model)
        return score

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({"family": "logistic", "logistic C": 0.1})
    study.optimize(objective, timeout=seconds, n_trials=trials)
    return Tuned(
        best["name"], len(study.trials), best["valid"], float(best["model"].score(*test)), time.perf_counter() - started
    )


def _candidate(trial: Any, seed: int) -> tuple[str, Any]:
    family = trial.suggest_categorical("family", ["logistic", "svm", "forest", "neighbours", "boosting"])
    if family == "logistic":
        c = trial.suggest_float("logistic C", 1e-4, 100, log=True)
        return f"logistic regression, C={c:.2g}", make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500))
    if family == "svm":
        c, gamma = (
            trial.suggest_float("svm C", 1e-2, 100, log=True),
            trial.suggest_float("svm gamma", 1e-3, 1, log=True),
        )
        return f"RBF SVM, C={c:.2g}, gamma={gamma:.2g}", make_pipeline(SVC(C=c, gamma=gamma))
    if family == "forest":
        trees, leaf = trial.suggest_int("trees", 50, 300, step=50), trial.suggest_int("leaf", 1, 10)
        return f"random forest, {trees} trees, leaf {leaf}", RandomForestClassifier(
            trees, min_samples_leaf=leaf, random_state=seed
        )
    if family == "neighbours":
        k, weights = trial.suggest_int("k", 1, 30), trial.suggest_categorical("vote", ["uniform", "distance"])
        return f"{k} nearest neighbours, {weights}", KNeighborsClassifier(k, weights=weights)
    rate, leaves = trial.suggest_float("rate", 0.02, 0.5, log=True), trial.suggest_int("leaves", 4, 31)
    model = HistGradientBoostingClassifier(learning_rate=rate, max_leaf_nodes=leaves, max_iter=40, random_state=seed)
    return f"gradient boosting, rate {rate:.2g}, {leaves} leaves", model


def clean_score(dataset: Dataset) -> float:
    """Return the ceiling: test accuracy of the data arm's model trained on all records, truly labelled."""
    return float(base_model().fit(*split_arrays(dataset, "train", truth=True)).score(*split_arrays(dataset, "test")))


def random_score(dataset: Dataset, answers: int, *, seed: int) -> float:
    """Return the test accuracy of the same model where as many answers were spent on records drawn at random."""
    start = dataset.at(0)
    ids = np.flatnonzero(start.view.train)
    asked = ids[np.argsort(draw(start.key_hash[ids], "random answers", seed))][:answers]
    known = np.union1d(np.flatnonzero(start.view.train & start.view.labeled), asked)
    table = start.features(known, ["pixels", "truth"])
    x = table["pixels"].combine_chunks().flatten().to_numpy().reshape(len(known), -1)
    truth = np.array(table["truth"].to_pylist(), np.int64)
    y = np.where(np.isin(known, asked), truth, start.view.label[known])
    return float(base_model().fit(x, y).score(*split_arrays(start, "test")))
