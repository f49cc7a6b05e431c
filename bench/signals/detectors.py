"""Which detector of label errors to take when nobody knows the errors: each of them, and what `detector` chooses.

`python -m bench.signals.detectors [--seeds 20 21 22] [--data FOLDER]` (about five minutes). Labels of known problems
are made wrong; a detector is as good as the average precision of its ranking. Half of what could be concentrated, the
bar of `detector`, was set on seeds 0 to 3; the table is printed for others. FOLDER holds `20news.parquet` of
cleanlab/label-errors: cross-validated probabilities, of one model only, which is not trained anew on the wrong labels.
"""

import argparse
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bench.machine import describe
from tilth.dataset import Dataset
from tilth.integrations.probe import Probe
from tilth.outputs import Outputs
from tilth.protocols import Task
from tilth.signals import detector, label_quality
from tilth.signals.confident import RANKINGS
from tilth.state import State

BY = ("probe", "model", "ensemble")
NOISE = (("symmetric", 0.1), ("symmetric", 0.3), ("systematic", 0.1), ("systematic", 0.3), ("one class", 0.1))
MODELS = {
    "logistic": lambda: LogisticRegression(max_iter=300),
    "neighbours": lambda: KNeighborsClassifier(10),
    "svm": lambda: SVC(probability=True),
}
FOLDS, NEAR = 5, 0.01


def main() -> None:
    """Print, for each detector, how far it is from the best one of each problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[20, 21, 22])
    parser.add_argument("--data", type=Path, help="a folder with 20news.parquet")
    given = parser.parse_args()
    describe(["numpy", "scikit-learn"], seeds=given.seeds, noise=NOISE)
    warnings.simplefilter("ignore")
    table(_trained(given.seeds), BY, "probabilities by models trained on the wrong labels")
    if given.data:
        table(_news(given.data, given.seeds), ("model",), "20news, probabilities of one model")


def table(problems: Iterator[tuple[str, State, np.ndarray]], by: tuple[str, ...], title: str) -> None:
    """Print the shortfall of each detector and of the chooser, in average precision, and how often it is near."""
    short: dict[str, list[float]] = defaultdict(list)
    kinds: list[str] = []
    for kind, state, wrong in problems:
        found = {(b, m): _precision(state, wrong, b, m) for b in by for m in RANKINGS}
        best = max(found.values())
        taken = detector(state, by="auto" if len(by) > 1 else by[0])
        for name, precision in [(f"{b}, {m}", x) for (b, m), x in found.items()] + [("detector", found[taken])]:
            short[name].append(best - precision)
        kinds.append(kind)
    print(
        f"\n{title}: {len(kinds)} problems; shortfall in average precision from the best of each, share within {NEAR}"
    )
    print(f"{'detector':40} {'mean':>6} {'most':>6} {'within':>7}  within, by kind of error")
    for name, missing in sorted(short.items(), key=lambda item: np.mean(item[1])):
        near = np.array(missing) <= NEAR
        parts = [f"{kind} {near[np.array(kinds) == kind].mean():.2f}" for kind in dict.fromkeys(kinds)]
        print(f"{name:40} {np.mean(missing):6.3f} {np.max(missing):6.3f} {near.mean():7.2f}  {', '.join(parts)}")


def _precision(state: State, wrong: np.ndarray, by: str, method: str) -> float:
    return float(average_precision_score(wrong, -label_quality(by=by, method=method).compute(state)))


def _trained(seeds: list[int]) -> Iterator[tuple[str, State, np.ndarray]]:
    for seed in seeds:
        for number, name in enumerate(("digits", "cancer", "four classes", "five near classes")):
            for kind, rate in NOISE:
                rng = np.random.default_rng([seed, number, *kind.encode(), int(rate * 100)])
                x, true = _features(name, rng)
                given = _spoilt(true, kind, rate, rng)
                k = int(true.max()) + 1
                fold = rng.integers(0, FOLDS, len(x))
                probe = _out_of_fold(x, given, k, fold, lambda *split: _by_probe(*split, k, seed))  # noqa: B023
                for made in MODELS.values():
                    model = _out_of_fold(x, given, k, fold, lambda *split: _by_model(*split, k, made()))  # noqa: B023
                    with tempfile.TemporaryDirectory(prefix="tilth-bench-") as folder:
                        yield f"{kind} {rate}", _state(Path(folder), given, k, probe, model), given != true


def _news(folder: Path, seeds: list[int]) -> Iterator[tuple[str, State, np.ndarray]]:
    news = pq.read_table(folder / "20news.parquet")
    p = np.stack([news[f"p{j}"].to_numpy() for j in range(20)]).astype(np.float32)
    true = news["given_label"].to_numpy().astype(np.int64)
    for seed in seeds:
        for kind, rate in NOISE:
            given = _spoilt(true, kind, rate, np.random.default_rng([seed, *kind.encode(), int(rate * 100)]))
            with tempfile.TemporaryDirectory(prefix="tilth-bench-") as made:
                yield f"{kind} {rate}", _state(Path(made), given, 20, p, p), given != true


def _features(name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        some = rng.permutation(len(x))[:1000]
        return x[some], y[some]
    if name == "cancer":
        return load_breast_cancer(return_X_y=True)
    chance = int(rng.integers(2**30))
    if name == "four classes":
        return make_classification(
            1000, 20, n_informative=10, n_redundant=4, n_classes=4, class_sep=2, random_state=chance
        )
    return make_classification(1000, 20, n_informative=8, n_redundant=4, n_classes=5, random_state=chance)


def _spoilt(true: np.ndarray, kind: str, rate: float, rng: np.random.Generator) -> np.ndarray:
    k, wrong = int(true.max()) + 1, rng.random(len(true)) < rate
    if kind == "symmetric":
        return np.where(wrong, (true + rng.integers(1, k, len(true))) % k, true)
    if kind == "systematic":
        return np.where(wrong, (true + 1) % k, true)
    return np.where((true == 0) & (rng.random(len(true)) < 3 * rate), 1, true)


def _out_of_fold(x: np.ndarray, given: np.ndarray, k: int, fold: np.ndarray, fit: Any) -> np.ndarray:
    p = np.zeros((k, len(x)), np.float32)
    for part in range(FOLDS):
        p[:, fold == part] = fit(x[fold != part], given[fold != part], x[fold == part])
    return p


def _by_probe(x: np.ndarray, y: np.ndarray, other: np.ndarray, k: int, seed: int) -> np.ndarray:
    task = Task("class", tuple(str(j) for j in range(k)))
    return Probe().fit(_table(x), y, np.ones(len(y)), task=task, seed=seed).predict(_table(other)).T


def _by_model(x: np.ndarray, y: np.ndarray, other: np.ndarray, k: int, model: Any) -> np.ndarray:
    fitted = make_pipeline(StandardScaler(), model).fit(x, y)
    p = np.zeros((k, len(other)), np.float32)
    p[fitted.classes_] = fitted.predict_proba(other).T
    return p


def _table(x: np.ndarray) -> pa.Table:
    return pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(x.astype(np.float32).ravel()), x.shape[1])})


def _state(folder: Path, given: np.ndarray, k: int, probe: np.ndarray, model: np.ndarray) -> State:
    table = pa.table({"key": [str(i) for i in range(len(given))], "label": [f"c{j:02}" for j in given]})
    table = table.append_column("split", pa.array(["train"] * len(given))).append_column("x", pa.array(given))
    names = [f"c{j:02}" for j in range(k)]
    dataset = Dataset.create(
        folder / "data", table, key="key", label="label", split="split", classes=names, durability="process"
    )
    outputs = Outputs.create(folder / "outputs" / "m", np.arange(len(given)), {})
    outputs.add("probe_probabilities", probe)
    outputs.add("out_of_fold_probabilities", model)
    return State(dataset, outputs)


if __name__ == "__main__":
    main()
