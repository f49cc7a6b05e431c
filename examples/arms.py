"""Tune the model, or clean the data? Both arms from the same start, on handwritten digits with 30 % wrong labels.

python examples/arms.py [--seeds 3] [--trials 15]
"""

import argparse
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from tilth import Run, rounds, run
from tilth.integrations.optuna import OptunaSearch
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import cleaning, model_centric
from tilth.testing import toy


def space(trial: Any) -> SklearnModel:
    """Return a logistic regression or a support vector machine of some strength."""
    if trial.suggest_categorical("family", ["logistic", "svm"]) == "logistic":
        strength = trial.suggest_float("logistic C", 1e-3, 10, log=True)
        return SklearnModel(make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)))
    strength, width = trial.suggest_float("svm C", 0.01, 100, log=True), trial.suggest_float("gamma", 1e-3, 1, log=True)
    return SklearnModel(SVC(C=strength, gamma=width))


def said(name: str, done: Run) -> float:
    """Print how an arm ended, and return its test accuracy."""
    score = done.best.test["accuracy()"]
    print(f"  {name:14} {done.rounds[0].test['accuracy()']:.3f} -> {score:.3f} on test; {done.why}", flush=True)
    return score


def main() -> None:
    """Run both arms for each seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=15)
    options = parser.parse_args()
    found: dict[str, list[float]] = {"model-centric": [], "data-centric": []}
    for seed in range(options.seeds):
        print(f"seed {seed}: 1,797 digits, every training record labelled, 30 % of these labels wrong")
        dataset, model = toy(seed=seed, share=1.0)
        before = dataset.digest()
        tuned = run(model_centric(dataset, model, tune=OptunaSearch(space), trials=options.trials), inline=True)
        found["model-centric"].append(said("model-centric", tuned))
        print(f"  {'':14} the data are as they were: {dataset.digest() == before}")
        cleaned = run(cleaning(dataset, model, until=rounds() >= 5), inline=True)
        found["data-centric"].append(said("data-centric", cleaned))
    for name, scores in found.items():
        print(f"{name}: mean {np.mean(scores):.3f} over {options.seeds} seeds")


if __name__ == "__main__":
    main()
