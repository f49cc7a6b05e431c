"""Does it pay to validate annotations? `python -m bench.validated --data DATA [--quick] [--out FILE.json]`.

Fashion-MNIST with annotators who are wrong in 30 % of their answers (the other classes equally likely), and CIFAR-10N
with the labels of its three human annotators. All arms begin with the same labelled records, choose records at random,
train the same model, and pay for the same number of answers: a second vote and an expert's word count as answers. The
expert is wrong in 5 % of his answers and costs three times as much, so the arms are compared at equal cost too. Test
accuracy is read from the learning curve of each run, interpolated between rounds; differences are paired by seed.
"""

import argparse
import itertools
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import t as student
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bench.machine import describe
from tilth import Dataset, Oracle, Panel, Rule, Workflow, annotate, disagrees_with_model, labels_spent, run, unlabeled
from tilth.dataset.splits import key_hashes, uniform
from tilth.integrations.media import ImageFeatures
from tilth.integrations.sklearn import SklearnModel

START = 300
WIDTH = 64
POOL, VALID, TEST = 12_000, 500, 5_000
CLASSES = [str(k) for k in range(10)]
EXPERT = Oracle("truth", error=0.05, cost=3.0, name="expert", seed=99)
BASE = "unvalidated"
MODELS: dict[str, Callable[[], Any]] = {
    # it fits what it is given, wrong labels too
    "mlp": lambda: MLPClassifier((128,), alpha=1e-3, max_iter=40, tol=0.0, n_iter_no_change=40, random_state=0),
    # strongly penalised: it averages over wrong labels
    "logistic": lambda: LogisticRegression(C=0.01, max_iter=300),
}


@dataclass(frozen=True)
class Case:
    """What is compared: data, model, the error rate of each annotator (none: people), wrong labels at the start."""

    title: str
    data: str
    model: str
    errors: tuple[float, ...] = ()
    arms: tuple[str, ...] = (BASE, "checked", "checked + expert")
    budgets: tuple[int, ...] = (1000, 2000, 4000)
    start_noise: float = 0.0

    def annotators(self, seed: int) -> tuple[Oracle, ...]:
        """Return those who answer for a price of 1."""
        if not self.errors:
            return tuple(Oracle(f"random_label{i}", name=f"person-{i}") for i in (1, 2, 3))
        return tuple(
            Oracle("truth", error=e, name=f"annotator-{i}", seed=100 * seed + i) for i, e in enumerate(self.errors)
        )


def panel(arm: str, people: tuple[Oracle, ...]) -> Panel:
    """Return how an arm asks; the unvalidated one asks one of the same annotators for each record and believes him."""
    some: dict[str, dict[str, Any]] = {
        BASE: {},
        "majority of 3": {"votes": 3},
        "2 + expert": {"votes": 2, "disputed_by": EXPERT},
        "checked": {"check": disagrees_with_model()},
        "checked + expert": {"check": disagrees_with_model(), "disputed_by": EXPERT},
        "Dawid-Skene": {"votes": 2, "consensus": "dawid_skene"},
        "Dawid-Skene + expert": {"votes": 2, "consensus": "dawid_skene", "disputed_by": EXPERT},
    }
    return Panel(people, **some[arm])


def fashion(data: Path) -> pa.Table:
    """Return Fashion-MNIST as principal components of the pixels."""
    parts = [pq.read_table(data / "fashion_mnist" / f"{s}.parquet").to_pydict() for s in ("train", "test")]
    n = POOL + VALID
    images = [*parts[0]["image"][:n], *parts[1]["image"][:TEST]]
    pixels = np.stack([np.frombuffer(image, np.uint8) for image in images]).astype(np.float32) / 255
    return _table(pixels, [*parts[0]["label"][:n], *parts[1]["label"][:TEST]], {})


def cifar(data: Path) -> pa.Table:
    """Return CIFAR-10N as principal components of the image features, with what three people said."""
    parts = [pq.read_table(data / "cifar10n" / f"{s}.parquet") for s in ("train", "test")]
    n = POOL + VALID
    train, test = parts[0].slice(0, n), parts[1].slice(0, TEST)
    x = ImageFeatures().transform(np.array([*train["jpg"].to_pylist(), *test["jpg"].to_pylist()], object))
    said = {
        f"random_label{i}": [*(str(k) for k in train[f"random_label{i}"].to_pylist()), *[""] * TEST] for i in (1, 2, 3)
    }
    return _table(x, [*train["clean_label"].to_pylist(), *test["label"].to_pylist()], said)


def _table(x: np.ndarray, truth: list[int], said: dict[str, list[str]]) -> pa.Table:
    n = len(truth) - TEST
    scaled = StandardScaler().fit(x[:n]).transform(x) if said else x
    found = PCA(WIDTH, svd_solver="randomized", random_state=0).fit(scaled[:n]).transform(scaled).astype(np.float32)
    split = np.array(["train"] * POOL + ["valid"] * VALID + ["test"] * TEST)
    columns = {
        "key": [f"{s}-{i:05d}" for i, s in enumerate(split)],
        "x": pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), WIDTH),
        "truth": [str(k) for k in truth],
        "split": split,
        **said,
    }
    return pa.table(columns)


def started(rows: pa.Table, path: Path, case: Case, seed: int) -> Dataset:
    """Make the dataset: the same records labelled at the start for every arm of a seed."""
    split, truth = np.array(rows["split"].to_pylist()), np.array(rows["truth"].to_pylist(), object)
    hashes = key_hashes(rows["key"])
    order = np.argsort(uniform(hashes, "start", seed))
    first = order[split[order] == "train"][:START]
    label = np.where(split == "train", None, truth)
    wrong = uniform(hashes[first], "wrong at the start", seed) < case.start_noise
    shift = 1 + (9 * uniform(hashes[first], "another class", seed)).astype(int)
    codes = np.array([CLASSES.index(t) for t in truth[first]])
    label[first] = [CLASSES[c] for c in np.where(wrong, (codes + shift) % 10, codes)]
    rows = rows.append_column("label", pa.array(label.tolist(), pa.string()))
    hidden = [c for c in rows.column_names if c == "truth" or c.startswith("random_label")]
    return Dataset.create(
        path, rows, key="key", label="label", split="split", hidden=hidden, classes=CLASSES, durability="process"
    )


@dataclass(frozen=True)
class Curve:
    """A run: answers paid for, their cost and the test accuracy after each round; what the labels came to at the end.

    `labels`: training records with a label beyond the first; `wrong`: the share of these whose label is not the truth.
    """

    arm: str
    seed: int
    answers: list[int]
    cost: list[float]
    accuracy: list[float]
    labels: int
    wrong: float
    seconds: float

    def at(self, amount: float, *, cost: bool = False) -> float:
        """Return the accuracy for an amount of answers or of cost; NaN beyond what was paid."""
        x = self.cost if cost else self.answers
        return float(np.interp(amount, x, self.accuracy, right=np.nan))


def one(work: tuple[Case, str, int, Path]) -> Curve:
    """Run one arm of a case from one seed."""
    case, arm, seed, source = work
    most = max(case.budgets)
    folder = Path(tempfile.mkdtemp(prefix="tilth-validated-"))
    began = time.perf_counter()
    warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is set, and always reached
    try:
        with threadpool_limits(1):
            dataset = started(pq.read_table(source), folder / "data", case, seed)
            asked = panel(arm, case.annotators(seed))
            model = SklearnModel(make_pipeline(StandardScaler(), MODELS[case.model]()), features=["x"])
            rule = Rule(select=unlabeled.sample(most // 8), do=annotate(by=asked))
            done = run(
                Workflow(dataset=dataset, model=model, rules={"ask": rule}, until=labels_spent() >= most, seed=seed),
                inline=True,
            )
        view = dataset.view
        new = np.flatnonzero(view.train & view.labeled & (view.asked == 2))
        truth = np.array([CLASSES.index(t) for t in dataset.features(new, ["truth"])["truth"].to_pylist()])
        return Curve(
            arm,
            seed,
            [r.labels_spent for r in done.rounds],
            [r.cost for r in done.rounds],
            [next(iter(r.test.values())) for r in done.rounds],
            len(new),
            float((view.label[new] != truth).mean()),
            time.perf_counter() - began,
        )
    finally:
        shutil.rmtree(folder)


def mean(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval over seeds."""
    n = len(values)
    half = float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return float(np.mean(values)), half


def table(case: Case, curves: list[Curve], seeds: int) -> list[dict[str, Any]]:
    """Print what a case came to, and return it."""
    by = {(c.arm, c.seed): c for c in curves}
    out: list[dict[str, Any]] = []
    print(f"\n{case.title}")
    for cost in (False, True):
        for amount in case.budgets:
            unit = "cost" if cost else "answers"
            for arm in case.arms:
                if cost and arm == BASE:
                    continue
                got = [by[arm, s].at(amount, cost=cost) for s in range(seeds)]
                better = [g - by[BASE, s].at(amount, cost=cost) for s, g in enumerate(got)]
                row = {"case": case.title, "at": unit, "amount": amount, "arm": arm, "accuracy": mean(got)}
                row |= {"difference": mean(better), "seeds better": int(sum(b > 0 for b in better))}
                out.append(row)
                print(f"  at {unit} {amount:5}  {arm:21} {_percent(row['accuracy'], sign='')}", end="")
                said = f"   {_percent(row['difference'], sign='+')}  better in {row['seeds better']} of {seeds}"
                print(said if arm != BASE else "", flush=True)
    for arm in case.arms:
        mine = [by[arm, s] for s in range(seeds)]
        labels, wrong = np.mean([c.labels for c in mine]), np.mean([c.wrong for c in mine])
        answers = np.mean([c.answers[-1] for c in mine])
        print(f"  {arm:21} {labels:6.0f} labels of {answers:.0f} answers at the end, {wrong:.1%} of them wrong")
    return out


def _percent(found: tuple[float, float], *, sign: str) -> str:
    value, half = found
    return f"{100 * value:{sign}6.2f}" + (f" ± {100 * half:.2f}" if half == half else "")


def break_even(rows: list[dict[str, Any]], rates: dict[str, float], arm: str, amount: int, at: str) -> str:
    """Say at which error rate of the annotators an arm comes to be better than the unvalidated one."""
    points = sorted(
        (rates[r["case"]], r["difference"][0])
        for r in rows
        if r["arm"] == arm and r["amount"] == amount and r["at"] == at and r["case"] in rates
    )
    told = ", ".join(f"{x:.0%}: {100 * y:+.2f}" for x, y in points)
    # seen from the right: the last rate at which it does not pay
    crossed = [(a, b) for a, b in itertools.pairwise(points) if a[1] <= 0 < b[1]]
    if points[-1][1] <= 0:
        return f"it pays at no rate up to {points[-1][0]:.0%} ({told})"
    if not crossed:
        return f"it pays from the lowest rate measured, {points[0][0]:.0%} ({told})"
    (x0, y0), (x1, y1) = crossed[-1]
    return f"break-even at {x0 - y0 * (x1 - x0) / (y1 - y0):.0%} wrong answers ({told})"


RATES = (0.0, 0.1, 0.2, 0.3, 0.4)
BOTH = ("majority of 3", "2 + expert", "checked", "checked + expert")


def cases(quick: bool) -> list[Case]:
    """Return what is compared."""
    budgets = (500, 1000, 2000) if quick else (1000, 2000, 4000)
    out = [
        Case(f"Fashion-MNIST, 30 % wrong answers, {model}", "fashion", model, (0.3,) * 3, (BASE, *BOTH), budgets)
        for model in MODELS
    ]
    if quick:
        return [*out, Case("CIFAR-10N, three people, mlp", "cifar", "mlp", (), (BASE, *BOTH), budgets)]
    for model in MODELS:
        arms = (BASE, "checked", "checked + expert")
        out.append(Case(f"CIFAR-10N, three people, {model}", "cifar", model, (), arms, (*budgets, 8000)))
    unequal = (BASE, "majority of 3", "checked + expert", "Dawid-Skene", "Dawid-Skene + expert")
    for model in MODELS:
        told = "Fashion-MNIST, annotators wrong in 10, 30 and 50 %"
        out.append(Case(f"{told}, {model}", "fashion", model, (0.1, 0.3, 0.5), unequal, budgets))
        for rate in RATES:
            if rate != 0.3:
                told = f"Fashion-MNIST, {100 * rate:.0f} % wrong answers, {model}"
                out.append(Case(told, "fashion", model, (rate,) * 3, budgets=budgets))
    told = "Fashion-MNIST, 30 % wrong answers, 30 % wrong at the start, mlp"
    out.append(Case(told, "fashion", "mlp", (0.3,) * 3, budgets=budgets, start_noise=0.3))
    return out


def main() -> None:
    """Run all arms of all cases, print the tables and where validating begins to pay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds fashion_mnist/ and cifar10n/")
    parser.add_argument("--quick", action="store_true", help="three cases, three seeds, smaller budgets")
    parser.add_argument("--seeds", type=int, help="default 5, or 3 with --quick")
    parser.add_argument("--only", default="", help="cases whose title holds this text")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    options = parser.parse_args()
    seeds = options.seeds or (3 if options.quick else 5)
    for name in ("fashion_mnist", "cifar10n"):
        if not (options.data / name / "train.parquet").exists():
            print(f"skipped: no {name}/train.parquet in {options.data}; give the folder with the datasets by --data")
            return
    began = time.perf_counter()
    describe(
        ["numpy", "scikit-learn", "pylance"],
        sizes=f"{POOL:,} records to ask about, {VALID} valid, {TEST:,} test, {START} labelled at the start",
        seeds=f"0 to {seeds - 1}; ± is half the 95 % interval over them; differences are paired by seed, in points",
        expert=f"wrong in {EXPERT.error:.0%} of his answers, {EXPERT.cost:g} times as dear as an annotator",
        models="mlp: 128 hidden units, 40 epochs; logistic: C=0.01; both on 64 principal components",
    )
    folder = Path(tempfile.mkdtemp(prefix="tilth-validated-"))
    rows: list[dict[str, Any]] = []
    every: list[Curve] = []
    chosen = [c for c in cases(options.quick) if options.only in c.title]
    try:
        for name, make in (("fashion", fashion), ("cifar", cifar)):
            if any(c.data == name for c in chosen):
                pq.write_table(make(options.data), folder / f"{name}.parquet")
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            for case in chosen:
                work = [(case, arm, s, folder / f"{case.data}.parquet") for s in range(seeds) for arm in case.arms]
                curves = list(pool.map(one, work))
                every += curves
                rows += table(case, curves, seeds)
                if options.out:  # after each case: the whole takes half an hour
                    told = {"rows": rows, "curves": [asdict(c) for c in every]}
                    options.out.write_text(json.dumps(told, indent=1))
    finally:
        shutil.rmtree(folder)
    for model in MODELS:
        rates = {c.title: c.errors[0] for c in chosen if c.model == model and len(set(c.errors)) == 1}
        rates = {t: e for t, e in rates.items() if "at the start" not in t}
        if len(rates) < 2:
            continue
        print(f"\nwhere validating pays, {model}, checked + expert:")
        for at in ("answers", "cost"):
            for amount in chosen[0].budgets:
                print(f"  at {at} {amount:5}: {break_even(rows, rates, 'checked + expert', amount, at)}")
    print(f"\n{len(every)} runs in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
