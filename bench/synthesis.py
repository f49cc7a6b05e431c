"""Does it pay to let the model's errors decide what is made? `python -m bench.synthesis --data DATA [--quick]`.

Adult (a class of which a slice has few: people under 30 with a high income) and Fashion-MNIST (shirts, of which there
are a tenth as many as of the others), each with two models. All arms begin with the same records and add the same
number of new ones in two rounds. Test accuracy, balanced accuracy and the recall of what is rare; differences are
paired by seed, with 95 % intervals of Student's t.

    as it is          nothing is added
    duplication       copies of records of the rare class, drawn by key (random oversampling)
    SMOTE             interpolation of the rare class, nothing filtered
    unconditioned     a density a class, the same number from each, nothing filtered
    smart             wanted(n, per="label"): shared by the model's errors, begun with what it gets most wrong, filtered
    smart, excess     shared by how much more often the model is wrong in a class than in all (ten classes)
    smart, slices     all of the rare class, shared by the model's errors over the slice and the rest (adult)
    smart, rare class the same examples and filters, all of the rare class: what SMOTE makes, made where the errors are
    smart, unfiltered the first smart arm without its filters
    smart, mixture    the first smart arm with densities
"""

import argparse
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
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from bench.machine import describe
from tilth import Dataset, Interpolation, Mixture, Rule, Workflow, action, rounds, run, synthesise, wanted
from tilth.actions import Action
from tilth.changes import Changes, Op, events
from tilth.dataset.splits import key_hashes, uniform
from tilth.integrations.sklearn import SklearnModel
from tilth.selectors import Chosen, labeled
from tilth.signals import in_slice
from tilth.state import State

WIDTH = 32
ARMS = (
    "as it is",
    "duplication",
    "SMOTE",
    "unconditioned",
    "smart",
    "smart, excess",
    "smart, slices",
    "smart, rare class",
    "smart, unfiltered",
    "smart, mixture",
)
METRICS = ("accuracy", "balanced accuracy", "recall of the rare")
MODELS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(C=0.3, max_iter=500),
    "forest": lambda: RandomForestClassifier(50, min_samples_leaf=2, random_state=0, n_jobs=1),
}


@dataclass(frozen=True)
class Case:
    """What is compared: the data, the model, the rare class, the slice in which its recall counts, new records."""

    data: str
    model: str
    rare: str
    within: str
    n: int

    @property
    def arms(self) -> list[str]:
        """The arms that mean something: of two classes only one can be above the error rate of both."""
        return [arm for arm in ARMS if arm != ("smart, excess" if self.within else "smart, slices")]


CASES = (
    Case("adult", "logistic", ">50K", "age < 30", 400),
    Case("adult", "forest", ">50K", "age < 30", 400),
    Case("fashion_mnist", "logistic", "6", "", 180),
    Case("fashion_mnist", "forest", "6", "", 180),
)


@action
def duplicate(chosen: Chosen, state: State, n: int) -> Changes:
    """Add copies of the examples in turn, in what differs from them only by key."""
    dataset = state.dataset
    ids = np.resize(chosen.ids, n)
    rows = dataset.features(ids)
    turn = [f"{key}~copy-{state.round}-{i}" for i, key in enumerate(dataset.keys(ids))]
    columns = {name: rows[name] for name in rows.column_names}
    columns |= {
        "key": pa.array(turn),
        "label0": pa.array(state.view.label[ids], dataset.schema.label.arrow),
        "split0": pa.array(np.zeros(n, np.int8)),
        "parent": pa.array(ids),
        "recipe": pa.array(["copy"] * n),
    }
    return Changes(events(Op.ADD, -1 - np.arange(n), reason="copy"), pa.table(columns))


def rule(arm: str, case: Case) -> Rule | None:
    """Return what an arm does in a round: half of the new records."""
    n = case.n // 2
    plain: dict[str, tuple[Any, Action]] = {
        "duplication": (labeled.where(label=case.rare).sample(n), duplicate(n)),
        "SMOTE": (wanted(n, label=case.rare), synthesise(by=Interpolation(), keep=[])),
        "unconditioned": (wanted(n, per="label", share="evenly"), synthesise(by=Mixture(), keep=[])),
        "smart": (wanted(n, per="label"), synthesise(by=Interpolation())),
        "smart, excess": (wanted(n, per="label", share="excess"), synthesise(by=Interpolation())),
        "smart, slices": (wanted(n, label=case.rare, per=["age < 30", "age >= 30"]), synthesise(by=Interpolation())),
        "smart, rare class": (wanted(n, label=case.rare, like="errors"), synthesise(by=Interpolation())),
        "smart, unfiltered": (wanted(n, per="label"), synthesise(by=Interpolation(), keep=[])),
        "smart, mixture": (wanted(n, per="label"), synthesise(by=Mixture())),
    }
    return None if arm not in plain else Rule(select=plain[arm][0], do=plain[arm][1])


def adult(data: Path, seed: int) -> pa.Table:
    """Return 2,000 training records, drawn by seed, and 5,000 of the test records."""
    rows = pq.read_table(data / "adult" / "adult.parquet")
    rows = rows.drop_columns(["label", "fnlwgt", "education"])
    split = np.array(rows["split"].to_pylist())
    order = np.argsort(uniform(key_hashes(pa.array([f"a{i}" for i in range(rows.num_rows)])), "bench", seed))
    train, test = order[split[order] == "train"][:2000], np.flatnonzero(split == "test")[:5000]
    rows = rows.drop_columns(["split"]).take(pa.array(np.concatenate([train, test])))
    names = rows.column_names
    columns = {n: rows[n].cast(pa.float64()) if pa.types.is_integer(rows[n].type) else rows[n] for n in names}
    columns = {n: c.fill_null("?") if pa.types.is_large_string(c.type) else c.fill_null(0) for n, c in columns.items()}
    label = columns.pop("income")
    return _table(columns, label.to_pylist(), len(train), len(test))


def fashion(data: Path, seed: int) -> pa.Table:
    """Return 200 training records a class, 20 shirts, drawn by seed, as principal components; 4,000 test records."""
    parts = [pq.read_table(data / "fashion_mnist" / f"{s}.parquet") for s in ("train", "test")]
    parts[1] = parts[1].slice(0, 4000)
    truth = parts[0]["label"].to_numpy()
    order = np.argsort(uniform(key_hashes(pa.array([f"f{i}" for i in range(len(truth))])), "bench", seed))
    train = np.concatenate([order[truth[order] == c][: 20 if c == 6 else 200] for c in range(10)])
    images = [*parts[0]["image"].take(pa.array(train)).to_pylist(), *parts[1]["image"].to_pylist()]
    pixels = np.stack([np.frombuffer(image, np.uint8) for image in images]).astype(np.float32) / 255
    n = len(train)
    found = PCA(WIDTH, svd_solver="randomized", random_state=0).fit(pixels[:n]).transform(pixels).astype(np.float32)
    labels = [str(k) for k in (*truth[train], *parts[1]["label"].to_numpy())]
    x = pa.FixedSizeListArray.from_arrays(pa.array(found.ravel()), WIDTH)
    return _table({"x": x}, labels, n, len(labels) - n)


def sources(case: Case, data: Path, seeds: int, place: str) -> list[tuple[int, Path]]:
    """Write the records of each seed once; every arm and model begins with the same."""
    made: list[tuple[int, Path]] = []
    for seed in range(seeds):
        path = Path(place) / f"{case.data}-{seed}.parquet"
        if not path.exists():
            pq.write_table((adult if case.data == "adult" else fashion)(data, seed), path)
        made.append((seed, path))
    return made


def _table(columns: dict[str, Any], labels: Sequence[str], train: int, test: int) -> pa.Table:
    keys = [f"train-{i:05d}" for i in range(train)] + [f"test-{i:05d}" for i in range(test)]
    return pa.table({"key": keys, "label": labels, "split": ["train"] * train + ["test"] * test, **columns})


def model(case: Case) -> SklearnModel:
    """Return the model of a case."""
    last = MODELS[case.model]()
    if case.data == "adult":
        numbers, texts = make_column_selector(dtype_include="number"), make_column_selector(dtype_exclude="number")
        last = make_pipeline(
            make_column_transformer(
                (StandardScaler(), numbers), (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts)
            ),
            last,
        )
    else:
        last = make_pipeline(StandardScaler(), last)
    return SklearnModel(last)


def judged(case: Case, state: State) -> dict[str, float]:
    """Return the metrics of a state on test."""
    ids = state.judged("test")
    truth, said = state.view.label[ids], state.predicted[ids]
    right = truth == said
    rare = truth == state.classes.index(case.rare)
    if case.within:
        rare &= in_slice(case.within).mask(state)[ids]
    each = [right[truth == c].mean() for c in np.unique(truth)]
    values = (right.mean(), np.mean(each), right[rare].mean())
    return {name: 100 * float(value) for name, value in zip(METRICS, values, strict=True)}


@dataclass(frozen=True)
class Found:
    """What an arm came to from a seed."""

    arm: str
    seed: int
    test: dict[str, float]
    added: int
    why: str
    seconds: float


def one(work: tuple[Case, str, int, Path]) -> Found:
    """Run one arm of a case from one seed, on the records in a file."""
    case, arm, seed, source = work
    folder = Path(tempfile.mkdtemp(prefix="tilth-synthesis-"))
    began = time.perf_counter()
    warnings.simplefilter("ignore", ConvergenceWarning)
    try:
        with threadpool_limits(1):
            rows = pq.read_table(source)
            dataset = Dataset.create(
                folder / "data", rows, key="key", label="label", split="split", durability="process"
            )
            before = len(dataset)
            made = rule(arm, case)
            workflow = Workflow(
                dataset=dataset,
                model=model(case),
                rules={} if made is None else {"grow": made},
                until=rounds() >= 2,
                seed=seed,
            )
            done = run(workflow, inline=True)
            last = done.rounds[-1]
            told = judged(case, workflow.state(last.version, last.model))
            said = "; ".join(str(r.rules.get("grow", {}).get("why", "")).rpartition(": ")[2] for r in done.rounds[:-1])
        return Found(arm, seed, told, len(dataset) - before, said, time.perf_counter() - began)
    finally:
        shutil.rmtree(folder)


def interval(values: np.ndarray) -> str:
    """Return a mean and half the width of its 95 % interval."""
    n = len(values)
    half = student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else float("nan")
    return f"{values.mean():+6.2f} ± {half:.2f}"


def show(case: Case, found: list[Found]) -> None:
    """Print a case: the means, and each arm less the one that nothing was added to, and less SMOTE."""
    print(f"\n{case.data}, {case.model}: {case.n} new records; rare: {case.rare} {case.within}")
    print(f"{'':<20}{'added':>6}  " + "".join(f"{m:>22}" for m in METRICS) + f"{'smart - it: balanced':>24}")
    by = {arm: sorted((f for f in found if f.arm == arm), key=lambda f: f.seed) for arm in case.arms}
    base = {m: np.array([f.test[m] for f in by["as it is"]]) for m in METRICS}
    smart = np.array([f.test["balanced accuracy"] for f in by["smart"]])
    for arm in case.arms:
        told = {m: np.array([f.test[m] for f in by[arm]]) for m in METRICS}
        shown = [f"{told[m].mean():.2f}" if arm == "as it is" else interval(told[m] - base[m]) for m in METRICS]
        less = "" if arm == "smart" else interval(smart - told["balanced accuracy"])
        added = np.mean([f.added for f in by[arm]])
        print(f"{arm:<20}{added:>6.0f}  " + "".join(f"{s:>22}" for s in shown) + f"{less:>24}")
    for f in by["smart"][:1]:
        print(f"    smart, seed {f.seed}: {f.why}")


def main() -> None:
    """Measure all cases, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="3 seeds")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--case", type=int, action="append")
    given = parser.parse_args()
    if not (given.data / "adult").is_dir():
        print(f"skipped: no folder {given.data / 'adult'}")
        return
    seeds = given.seeds or (3 if given.quick else 10)
    describe(["tilth", "numpy", "scikit-learn"], seeds=f"{seeds}, paired; 95 % intervals over seeds")
    told: list[dict[str, Any]] = []
    with (
        ProcessPoolExecutor(given.cores, mp_context=get_context("spawn")) as pool,
        tempfile.TemporaryDirectory(prefix="tilth-synthesis-") as place,
    ):
        for case in [CASES[i] for i in given.case] if given.case else CASES:
            found = list(
                pool.map(
                    one, [(case, arm, s, f) for s, f in sources(case, given.data, seeds, place) for arm in case.arms]
                )
            )
            show(case, found)
            told += [asdict(case) | asdict(f) for f in found]
    if given.out:
        given.out.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
