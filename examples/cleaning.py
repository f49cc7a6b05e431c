"""CIFAR-10N, 40 % wrong labels by real people: clean them by a probe, and compare with training on them as they are.

What it is worth depends on the model: one that averages over wrong labels learns hardly less from them than from right
ones, one that learns them by heart loses much. So there are three, and beside each what right labels would give it.

python examples/cleaning.py --data DATA [--seeds 1]
"""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from common import CIFAR, arguments, cifar, created
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth import Dataset, rounds, run
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import cleaning

ROWS = 20_000
MODELS: dict[str, Callable[[], Any]] = {
    "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)),
    "network, stopped early": lambda: MLPClassifier((256,), max_iter=60, early_stopping=True, n_iter_no_change=5),
    "network, 40 epochs": lambda: MLPClassifier((256,), max_iter=40, tol=0.0, n_iter_no_change=40),
}
"""From the one that wrong labels harm least to the one that learns them by heart."""


@dataclass(frozen=True)
class Cleaned:
    """Test accuracy on the labels as they are, cleaned, and right; how many were changed, the share wrong after."""

    before: float
    after: float
    right: float
    changed: int
    wrong: float

    def __str__(self) -> str:
        gain = 100 * (self.after - self.before)
        return (
            f"{self.before:.3f} -> {self.after:.3f} ({gain:+.1f} points; right labels {self.right:.3f}); "
            f"{self.changed:,} labels changed, {self.wrong:.1%} wrong at the end"
        )


def probe() -> SklearnModel:
    """Return who judges the labels: a network too short of time and too strongly penalised to learn single ones."""
    return SklearnModel(MLPClassifier((256,), max_iter=10, alpha=1.0), features="x")


def given(rows: pa.Table) -> pa.Table:
    """Return the records with the label people gave; on valid and test, which must judge, the right one."""
    label = pc.if_else(pc.equal(rows["split"], "train"), rows["worse_label"], rows["truth"])
    return rows.select(["key", "x", "truth", "split"]).append_column("label", label)


def wrong(dataset: Dataset) -> float:
    """Return the share of training labels that are not the truth."""
    ids = np.flatnonzero(dataset.view.train & dataset.view.labeled)
    truth = np.array([CIFAR.index(name) for name in dataset.features(ids, ["truth"])["truth"].to_pylist()])
    return float((dataset.view.label[ids] != truth).mean())


def cleaned(rows: pa.Table, name: str, *, seed: int, judge: SklearnModel | None) -> Cleaned:
    """Clean the labels for a model by a judge (None: the default probe), and train it on the right ones too."""
    model = SklearnModel(MODELS[name](), features="x")
    warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is meant
    with tempfile.TemporaryDirectory(prefix="tilth-example-") as folder:
        dataset = created(given(rows), Path(folder) / "given", CIFAR)
        # in one go: a second look at labels that a model has set sees its own opinion
        done = run(cleaning(dataset, model, probe=judge, batch=0.5, until=rounds() >= 2, seed=seed), inline=True)
        truth = rows.select(["key", "x", "truth", "split"]).append_column("label", rows["truth"])
        best = run(
            cleaning(created(truth, Path(folder) / "right", CIFAR), model, until=rounds() >= 1, seed=seed), inline=True
        )
        first, last = (done.rounds[i].test["accuracy()"] for i in (0, -1))
        changed = done.rounds[0].rules["fix"].get("n", 0)
        return Cleaned(first, last, best.rounds[0].test["accuracy()"], changed, wrong(dataset))


def main() -> None:
    """Clean for every model, and print what became of labels and accuracy."""
    options = arguments(__doc__, "cifar10n", seeds=1)
    for seed in range(options.seeds):
        rows = cifar(options.data, ROWS, seed=seed)
        print(f"seed {seed}: {ROWS:,} images, 1,000 of them for validation; about 40 % of the training labels wrong")
        for name in MODELS:
            print(f"  {name:24} {cleaned(rows, name, seed=seed, judge=probe())}", flush=True)


if __name__ == "__main__":
    main()
