"""CIFAR-10N, three real people: believe every answer, or validate them? At an equal number of answers paid for.

python examples/validated.py --data DATA [--seeds 3]
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from common import CIFAR, PEOPLE, arguments, cifar, created
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth import Dataset, Oracle, Panel, disagrees_with_model, run, unlabeled
from tilth.dataset.splits import key_hashes, uniform
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import active_learning, validated_active_learning

ROWS, START, BUDGET, BATCH = 8_000, 300, 2_000, 250
CROWD = tuple(Oracle(column, name=f"person-{i}") for i, column in enumerate(PEOPLE, 1))


def started(rows: pa.Table, path: Path, seed: int) -> Dataset:
    """Make the dataset: the same few records labelled at the start for both arms, rightly, the others in the pool."""
    train = pc.equal(rows["split"], "train").to_numpy()
    order = np.argsort(uniform(key_hashes(rows["key"]), "start", seed))
    first = np.zeros(len(rows), bool)
    first[order[train[order]][:START]] = True
    label = pc.if_else(pa.array(train & ~first), None, rows["truth"])
    rows = rows.append_column("label", label)
    return created(rows, path, CIFAR, hidden=["truth", "worse_label", *PEOPLE])


def main() -> None:
    """Run both arms for each seed, and print accuracy and what the labels came to."""
    options = arguments(__doc__, "cifar10n", seeds=3)
    rows = cifar(options.data, ROWS)
    model = SklearnModel(
        make_pipeline(
            StandardScaler(), MLPClassifier((128,), max_iter=30, tol=0.0, n_iter_no_change=30, random_state=0)
        ),
        features="x",
    )
    warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is set, and always reached
    chosen = unlabeled.sample(BATCH)
    better: list[float] = []
    for seed in range(options.seeds):
        scores: list[float] = []
        for name in ("believed", "validated"):
            with tempfile.TemporaryDirectory(prefix="tilth-example-") as folder:
                dataset = started(rows, Path(folder) / "cifar", seed)
                if name == "believed":
                    flow = active_learning(
                        dataset, model, by=Panel(CROWD), budget=BUDGET, select=chosen, batch=BATCH, seed=seed
                    )
                else:
                    panel = Panel(CROWD, check=disagrees_with_model())
                    flow = validated_active_learning(
                        dataset, model, by=panel, budget=BUDGET, select=chosen, batch=BATCH, recheck=0, seed=seed
                    )
                done = run(flow, inline=True)
                ids = np.flatnonzero(dataset.view.train & dataset.view.labeled & (dataset.view.asked == 2))
                truth = dataset.features(ids, ["truth"])["truth"].to_pylist()
                right = np.mean([a == b for a, b in zip(dataset.labels(ids), truth, strict=True)])
            last = done.rounds[-1]
            scores.append(last.test["accuracy()"])
            print(
                f"seed {seed}  {name:9}  {last.labels_spent} answers: {len(ids)} labels, {right:.1%} of them right; "
                f"test accuracy {scores[-1]:.4f}",
                flush=True,
            )
        better.append(100 * (scores[1] - scores[0]))
    print(f"validated less believed: {np.mean(better):+.2f} points over {options.seeds} seeds")


if __name__ == "__main__":
    main()
