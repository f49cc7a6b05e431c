"""Which metric sees drift, how soon, and what helps against it? `python -m bench.drift --data DATA [--quick]`.

Real streams in the order in which they came: elec2 (electricity prices, half-hours), bank_marketing (calls, 2008 to
2010), keystroke (how people type a password). Two questions.

Detection: the stream begins with records shuffled out of an early part, as the reference was; from a known record on
more and more of them come out of a late part, at the end all. Delay: records from there until the metric first holds
at .01, looked at after each batch. False alarms: looks, and streams, that hold before. "As it came" is
the same without shuffling: neighbours in time are alike, which no permutation test forgives.

Adaptation: chunk by chunk in the order of time; each chunk is predicted first (that is the accuracy), then so many of
its labels are bought. Static buys none. Wholesale replaces the training window: a random sample of the chunk's labels
comes in, the oldest go out. Repair buys the labels of those that moved most and takes out the most outdated, by
distance or by classifier; "moved in, oldest out" is half of each. Grow buys at random and forgets nothing.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import t as student
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from bench.machine import describe
from tilth import (
    Dataset,
    Rule,
    State,
    confidence_shift,
    drift,
    ingest,
    label_shift,
    labeled,
    moved,
    outdated,
    unlabeled,
)
from tilth.algebra import Metric
from tilth.changes import Changes, Field, Op, events
from tilth.integrations.sklearn import SklearnModel
from tilth.outputs import Outputs
from tilth.selectors import Chosen, Selector
from tilth.sources import ParquetFolder
from tilth.training import extend, train

ALPHA = 0.01
TIMES = 299
METRICS: Mapping[str, Metric] = {
    "columns (KS, chi-square)": drift(permutations=TIMES),
    "mmd": drift(test="mmd", permutations=TIMES),
    "classifier": drift(test="classifier", permutations=TIMES),
    "martingale": drift(test="martingale"),
    "embeddings, mmd": drift("embeddings", permutations=TIMES),
    "confidence shift": confidence_shift(permutations=TIMES),
    "label shift, predicted": label_shift(permutations=TIMES),
    "label shift, labels": label_shift(by="labels", permutations=TIMES),
}


@dataclass(frozen=True)
class Stream:
    """A stream: its rows in time, which are early and which late, and the sizes of everything."""

    name: str
    table: pa.Table
    early: range
    late: range
    reference: int
    valid: int
    batch: int
    window: int
    calm: int
    looks: int
    start: Callable[[np.random.Generator], int]
    first: int
    chunk: int
    chunks: int
    budget: int


def streams(data: Path) -> list[Stream]:
    """Read the three streams; `label` is the class as text."""
    elec = pq.read_table(data / "elec2" / "elec2.parquet")
    elec = elec.drop_columns(["class"]).append_column("label", elec["class"].cast(pa.string()))
    bank = pq.read_table(data / "bank_marketing" / "bank_additional_full.parquet")
    said = bank["y"].cast(pa.string())
    bank = bank.drop_columns(["duration", "y", "label"]).append_column("label", said)  # duration tells the label
    keys = pq.read_table(data / "keystroke" / "keystroke.parquet")
    keys = keys.set_column(keys.column_names.index("label"), "label", keys["label"].cast(pa.string()))
    sizes = {"reference": 500, "valid": 300, "batch": 50, "window": 200, "calm": 30, "looks": 20}
    chunked = {"first": 500, "chunk": 300, "chunks": 20, "budget": 30}
    return [
        Stream("elec2", elec, range(15_000), range(25_000, 40_000), start=_anywhere(elec, 7_000), **sizes, **chunked),
        Stream("bank", bank, range(25_000), range(36_000, 41_000), start=_around(24_000, 30_000), **sizes, **chunked),
        Stream(
            "keystroke",
            keys,
            range(800),
            range(1_100, 1_600),
            *(250, 100, 25, 100, 18, 20),
            start=lambda _: 0,
            first=200,
            chunk=70,
            chunks=20,
            budget=7,
        ),
    ]


def _anywhere(table: pa.Table, length: int) -> Callable[[np.random.Generator], int]:
    return lambda chance: int(chance.integers(0, table.num_rows - length))


def _around(low: int, high: int) -> Callable[[np.random.Generator], int]:
    return lambda chance: int(chance.integers(low, high))


def model(table: pa.Table) -> SklearnModel:
    """Logistic regression on scaled numbers and one column a category; the scaled columns are the embedding."""
    texts = make_column_selector(dtype_include=["object", "string", "category"])
    numbers = make_column_selector(dtype_include="number")
    if any(pa.types.is_large_string(f.type) for f in table.schema if f.name != "label"):
        ready: Any = ColumnTransformer(
            [
                ("n", StandardScaler(), numbers),
                ("t", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
            ]
        )
    else:
        ready = StandardScaler()
    name = type(ready).__name__.lower()
    return SklearnModel(make_pipeline(ready, LogisticRegression(max_iter=300)), embed=name)


class Watched:
    """A dataset that begins with a reference, and a folder to which its stream is written."""

    def __init__(self, folder: Path, start: pa.Table, split: list[str], seed: int) -> None:
        self.seed, self.n = seed, 0
        self.model = model(start)
        self.inbox = folder / "in"
        self.inbox.mkdir(parents=True)
        labels = sorted(set(start["label"].to_pylist()))
        self.dataset = Dataset.create(
            folder / "data",
            start.append_column("split", pa.array(split)).append_column(
                "truth", start["label"].cast(pa.large_string())
            ),
            label="label",
            classes=labels,
            split="split",
            hidden=["truth"],
            durability="process",
        )
        self.ref = ""

    def train(self) -> None:
        """Train on the newest version."""
        now = self.dataset.at(-1)
        needs = {"probabilities", "embeddings"}
        self.ref = train(now, self.model, self.model, needs=needs, seed=self.seed, keep=True)["ref"]

    def arrive(self, rows: pa.Table, *, labels: bool) -> None:
        """Let a file of rows come in, through a source as in a project."""
        rows = rows.append_column("truth", rows["label"].cast(pa.large_string()))
        pq.write_table(rows if labels else rows.drop_columns(["label"]), self.inbox / f"{self.n:05d}.parquet")
        self.n += 1
        rule = Rule(do=ingest(ParquetFolder(self.inbox), label="label" if labels else None, split="train"))
        state = State(self.dataset.at(-1), seed=self.seed)
        self.dataset.commit(rule.do.propose(Chosen.none(""), state), base=state.dataset.version)

    def state(self, *, scored: bool = True) -> State:
        """Return the state now, new records scored by the last model."""
        now = self.dataset.at(-1)
        outputs = Outputs(now.path / "outputs" / self.ref)
        needs = {"probabilities", "embeddings"} if scored else set[str]()
        return State(now, extend(now, outputs, needs=needs), seed=self.seed)

    def accuracy(self, rows: pa.Table) -> float:
        """Return how often the last model is right on rows, which it does not learn from."""
        task = self.dataset.schema.label.task
        fitted = self.model.load(self.dataset.path / "outputs" / self.ref / "model", task=task)
        said = fitted.predict(rows.select(self.dataset.schema.features)).argmax(axis=1)
        return float(np.mean([task.classes[c] == y for c, y in zip(said, rows["label"].to_pylist(), strict=True)]))

    def buy(self, chosen: Chosen) -> None:
        """Set the labels of records to the truth."""
        truth = self.dataset.features(chosen.ids, ["truth"])["truth"].to_pylist()
        code = [self.dataset.schema.label.code(y) for y in truth]
        self.dataset.commit(Changes(events(Op.SET, chosen.ids, field=Field.LABEL, num=np.array(code))))

    def drop(self, ids: Any) -> None:
        """Take records away."""
        self.dataset.commit(Changes(events(Op.REMOVE, ids)))


# -- detection
# -----------------------------------------------------------------------------------------------------------


def detect(stream: Stream, seed: int, *, ordered: bool, folder: Path) -> dict[str, list[float]]:
    """Return the value of each metric at every look: `calm` looks before the change, `looks` after."""
    chance = np.random.default_rng([seed, 1])
    start, n = stream.reference + stream.valid, stream.calm * stream.batch
    if ordered:
        order = np.arange(start + n + stream.looks * stream.batch) % stream.table.num_rows
    else:
        early = chance.permutation(np.array(stream.early))
        late = chance.permutation(np.array(stream.late))
        m = stream.looks * stream.batch
        order = np.resize(early, start + n + m)  # the short stream is gone through more than once
        turned = np.flatnonzero(chance.random(m) < np.arange(m) / m)
        order[start + n + turned] = np.resize(late, len(turned))
    rows = stream.table.take(pa.array(order))
    split = chance.permutation(["train"] * stream.reference + ["valid"] * stream.valid).tolist()
    watched = Watched(folder, rows.slice(0, start), split, seed)
    watched.train()
    found: dict[str, list[float]] = {name: [] for name in METRICS}
    for k in range(stream.calm + stream.looks):
        part = rows.slice(start + k * stream.batch, stream.batch)
        if part.num_rows == 0:
            break
        watched.arrive(part, labels=True)
        state = watched.state()
        for name, metric in METRICS.items():
            sized = metric if name == "martingale" else replace(metric, args={**metric.args, "window": stream.window})
            found[name].append(float(sized.value(state)))
    return found


def summary(stream: Stream, runs: list[dict[str, list[float]]]) -> list[dict[str, Any]]:
    """Return a row a metric: false alarms before the change, delay after it."""
    out: list[dict[str, Any]] = []
    for name in METRICS:
        p = np.array([r[name] for r in runs])
        calm, after = p[:, : stream.calm] < ALPHA, p[:, stream.calm :] < ALPHA
        hit = after.any(axis=1)
        delay = np.where(hit, (after.argmax(axis=1) + 1) * stream.batch, np.nan)
        told = delay[hit]
        out.append(
            {
                "metric": name,
                "looks_false": float(calm.mean()),
                "streams_false": float(calm.any(axis=1).mean()),
                "detected": float(hit.mean()),
                "delay": float(np.median(told)) if hit.any() else None,
                "delay_low": float(told.min()) if hit.any() else None,
                "delay_high": float(told.max()) if hit.any() else None,
            }
        )
    return out


# -- adaptation
# -----------------------------------------------------------------------------------------------------------


def repair(by: str, window: int) -> tuple[Selector, Selector]:
    """Return which records to buy and which to drop, by how far they moved."""
    return unlabeled.top(window, by=moved(by=by, window=window)), labeled.top(window, by=outdated(by=by, window=window))


ARMS = ("static", "grow", "wholesale", "repair, distance", "repair, classifier", "moved in, oldest out")


def adapt(stream: Stream, arm: str, seed: int, folder: Path) -> tuple[list[float], int]:
    """Return the accuracy on every chunk before any of its labels is bought, and how many were bought."""
    at = stream.start(np.random.default_rng([seed, 2]))
    rows = stream.table.slice(at, stream.first + stream.chunk * stream.chunks)
    watched = Watched(folder, rows.slice(0, stream.first), ["train"] * stream.first, seed)
    watched.train()
    right: list[float] = []
    spent = 0
    for k in range((rows.num_rows - stream.first) // stream.chunk):
        part = rows.slice(stream.first + k * stream.chunk, stream.chunk)
        right.append(watched.accuracy(part))
        if arm == "static":
            continue
        watched.arrive(part, labels=False)
        state = watched.state(scored=False)
        fresh = np.flatnonzero(state.view.pool)[-stream.chunk :]
        want, gone = repair("distance" if arm == "repair, distance" else "classifier", stream.chunk)
        if arm in ("grow", "wholesale"):
            some = Selector("records").sample(10**6).choose(state).ids
            buy = replace(Chosen.none(arm), ids=some[np.isin(some, fresh)][: stream.budget])
        else:
            buy = want.choose(state)
            buy = replace(buy, ids=buy.ids[: stream.budget])
        oldest = np.flatnonzero(state.view.train & state.view.labeled)
        drop = gone.choose(state).ids if arm.startswith("repair") else oldest
        drop = drop[: 0 if arm == "grow" else stream.budget]
        watched.buy(buy)
        watched.drop(np.concatenate([drop, np.setdiff1d(fresh, buy.ids)]))  # what was not bought is not kept
        spent += len(buy.ids)
        watched.train()
    return right, spent


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return mean and half the width of the 95 % interval (Student)."""
    n = len(values)
    if n < 2 or values.std() == 0:
        return float(values.mean()), 0.0
    return float(values.mean()), float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--quick", action="store_true", help="two seeds, and fewer looks and chunks")
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--only", choices=("detection", "adaptation"))
    arguments.add_argument("--out", type=Path)
    told = arguments.parse_args()
    seeds = 2 if told.quick else told.seeds
    describe(["numpy", "scikit-learn", "pyarrow", "pylance"], seeds=seeds)
    began = time.perf_counter()
    results: dict[str, Any] = {"seeds": seeds}
    with threadpool_limits(1), tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for given in streams(told.data):
            stream = replace(given, calm=4, looks=3, chunks=4) if told.quick else given
            if told.only != "adaptation":
                results[f"{stream.name} detection"] = _detection(stream, seeds, place)
            if told.only != "detection":
                results[f"{stream.name} adaptation"] = _adaptation(stream, seeds, place)
            if told.out:
                told.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"\n{time.perf_counter() - began:.0f} s in all")


def _detection(stream: Stream, seeds: int, place: Path) -> dict[str, Any]:
    runs = [detect(stream, s, ordered=False, folder=_fresh(place)) for s in range(seeds)]
    came = detect(stream, 0, ordered=True, folder=_fresh(place))
    rows = summary(stream, runs)
    print(
        f"\n## {stream.name}: detection, {seeds} streams of {stream.calm} looks before the change, a batch of "
        f"{stream.batch}, the last {stream.window} against {stream.reference}, at {ALPHA}"
    )
    print(
        "| metric | false looks | streams with a false alarm | detected | delay, records (least to most) | as it came |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        delay = (
            "" if row["delay"] is None else f"{row['delay']:.0f} ({row['delay_low']:.0f} to {row['delay_high']:.0f})"
        )
        order = np.array(came[row["metric"]]) < ALPHA
        row["as_it_came"] = float(order.mean())
        print(
            f"| {row['metric']} | {row['looks_false']:.3f} | {row['streams_false']:.2f} | {row['detected']:.2f} | "
            f"{delay} | {order.mean():.2f} of looks |"
        )
    return {"rows": rows, "p": runs}


def _adaptation(stream: Stream, seeds: int, place: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for arm in ARMS:
        runs = [adapt(stream, arm, s, _fresh(place)) for s in range(seeds)]
        found[arm] = {"accuracy": [r for r, _ in runs], "spent": [n for _, n in runs]}
    print(
        f"\n## {stream.name}: accuracy on the next chunk, {seeds} starts, {stream.chunks} chunks of {stream.chunk}, "
        f"{stream.budget} labels each, {stream.first} at the start"
    )
    print("| arm | accuracy, 95 % interval | against wholesale, paired | labels |")
    print("|---|---|---|---|")
    base = np.array([np.mean(r) for r in found["wholesale"]["accuracy"]])
    for arm in ARMS:
        own = np.array([np.mean(r) for r in found[arm]["accuracy"]])
        (mean, half), (gap, wide) = interval(own), interval(own - base)
        against = "" if arm == "wholesale" else f"{gap:+.3f} ± {wide:.3f}"
        print(f"| {arm} | {mean:.3f} ± {half:.3f} | {against} | {np.mean(found[arm]['spent']):.0f} |")
    return found


def _fresh(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place / "run"


if __name__ == "__main__":
    main()
