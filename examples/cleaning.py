"""CIFAR-10N, 40 % wrong labels by real people: clean them by a probe, and compare with training on them as they are.

python examples/cleaning.py --data DATA [--seeds 1]
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from common import CIFAR, arguments, cifar, created
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth import Dataset, rounds, run
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import cleaning

ROWS = 20_000


def wrong(dataset: Dataset) -> float:
    """Return the share of training labels that are not the truth."""
    ids = np.flatnonzero(dataset.view.train & dataset.view.labeled)
    truth = np.array([CIFAR.index(name) for name in dataset.features(ids, ["truth"])["truth"].to_pylist()])
    return float((dataset.view.label[ids] != truth).mean())


def main() -> None:
    """Clean, and print what became of labels and accuracy."""
    options = arguments(__doc__, "cifar10n", seeds=1)
    rows = cifar(options.data, ROWS)
    # the validation images have clean labels: a gate that judges by wrong ones could not see what helps
    given = pc.if_else(pc.equal(rows["split"], "train"), rows["worse_label"], rows["truth"])
    rows = rows.select(["key", "x", "truth", "split"]).append_column("label", given)
    model = SklearnModel(make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)), features="x")
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory(prefix="tilth-example-") as folder:
            dataset = created(rows, Path(folder) / "cifar", CIFAR)
            print(f"seed {seed}: {dataset!r}, {wrong(dataset):.1%} of the training labels wrong", flush=True)
            flow = cleaning(dataset, model, batch=0.15, until=rounds() >= 4, seed=seed)
            done = run(flow, inline=True)
            for r in done.rounds:
                did = r.rules.get("fix", {})
                print(f"  round {r.round}: test accuracy {r.test['accuracy()']:.4f}; {did.get('n', 0)} labels changed")
            first, last = done.rounds[0].test["accuracy()"], done.rounds[-1].test["accuracy()"]
            print(
                f"  {first:.4f} -> {last:.4f} ({100 * (last - first):+.1f} points); "
                f"{wrong(dataset):.1%} of the labels wrong at the end"
            )


if __name__ == "__main__":
    main()
