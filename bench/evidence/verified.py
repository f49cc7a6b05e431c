"""Are wrong labels found? Errors that people verified in 20news, and errors planted in TREC and banking77."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from bench.evidence.figures import Figure, spread
from tilth.compute.folds import out_of_fold
from tilth.dataset.splits import key_hashes
from tilth.integrations.probe import Probe
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Task
from tilth.signals.confident import FILTERS, RANKINGS, label_issues, label_scores, noise_concentration

__all__ = ["SEEDS", "TITLE", "measure"]

TITLE = (
    "d. recall of wrong labels: verified ones of 20news at 93 flags (only the 93 lowest normalised margins of these\n"
    "   probabilities were looked at, so the recall of that ranking says nothing); 10 % planted in 2,000 texts,\n"
    "   half of them of one other class, half of any, at as many flags as there are"
)
SEEDS = 3
FLAGS, NEWS = 93, 0.67
LOOKED_AT = "normalized_margin"
TEXTS = {"trec": ("text", "coarse"), "banking77": ("text", "label")}
ROWS, NOISE = 2000, 0.1


def measure(data: Path, seeds: int) -> list[Figure]:
    """Rank 20news by each score; rank texts as cleanlab does by default, and as Tilth can."""
    out = _news(data / "label_errors_dev" / "20news.parquet")
    for name in TEXTS:
        if not (data / name).is_dir():
            continue
        told = [_planted(data, name, seed) for seed in range(seeds)]
        for how in told[0]:
            out.append(spread(f"{name}: {how}", [t[how] for t in told]))
        usual, *others = told[0]
        for how in others:
            gain = [t[how] - t[usual] for t in told]
            out.append(spread(f"{name}: {how} - {usual}", gain, "seeds, paired", target=0.0))
    return out


def _news(path: Path) -> list[Figure]:
    if not path.exists():
        return []
    table = pq.read_table(path)
    p = np.stack([table[f"p{j}"].to_numpy() for j in range(20)])
    labels, verified = table["given_label"].to_numpy().astype(np.int64), table["verified_error"].to_numpy() == 1
    auto = _auto(p, labels)
    nothing = float("nan")
    out: list[Figure] = []
    issues = label_issues(p, labels)
    for name in ("self_confidence", LOOKED_AT):
        flagged = np.where(issues, label_scores(p, labels, ranking=name), 2)
        recall = float(verified[np.argsort(flagged, kind="stable")[:FLAGS]].sum() / verified.sum())
        what = f"20news: {FILTERS[0]}, by {name}"
        out.append(Figure(what, recall, nothing, nothing, "one data set", None if name == LOOKED_AT else NEWS))
    for name in RANKINGS:
        recall = _recall(p, labels, verified, name, FLAGS)
        what = f"20news: {name}{' (taken by auto)' if name == auto else ''}"
        out.append(Figure(what, recall, nothing, nothing, "one data set", None if name == LOOKED_AT else NEWS))
    return out


def _auto(p: np.ndarray, labels: np.ndarray) -> str:
    return "self_confidence" if noise_concentration(p, labels) <= 0.5 else LOOKED_AT


def _recall(p: np.ndarray, labels: np.ndarray, wrong: np.ndarray, ranking: str, flags: int) -> float:
    first = np.argsort(label_scores(p, labels, ranking=ranking), kind="stable")[:flags]
    return float(wrong[first].sum() / wrong.sum())


def _planted(data: Path, name: str, seed: int) -> dict[str, float]:
    table = pq.read_table(data / name / "train.parquet", columns=list(TEXTS[name]))
    chance = np.random.default_rng([seed, 11])
    some = table.take(pa.array(chance.permutation(table.num_rows)[:ROWS]))
    classes, truth = np.unique(some[TEXTS[name][1]].to_numpy(zero_copy_only=False), return_inverse=True)
    k = len(classes)
    wrong = chance.random(ROWS) < NOISE
    step = np.where(chance.random(ROWS) < 0.5, 1, chance.integers(1, k, ROWS))
    labels = np.where(wrong, (truth + step) % k, truth)
    model = SklearnModel(make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=300)))
    features, weight = some.select([TEXTS[name][0]]), np.ones(ROWS)
    task = Task("class", tuple(str(c) for c in classes))
    keys = key_hashes(pa.array([f"{i:05d}" for i in range(ROWS)]))
    say: Callable[[SklearnModel | Probe], np.ndarray] = lambda judge: np.ascontiguousarray(  # noqa: E731
        out_of_fold(judge, features, labels, weight, task=task, group_hash=keys, seed=seed).T
    )
    model_said, probe_said = say(model), say(Probe())
    both = (model_said + probe_said) / 2
    # as by="auto" chooses: who more often says what the label says
    agreed = max((model_said, probe_said), key=lambda p: float((p.argmax(axis=0) == labels).mean()))
    flags = int(wrong.sum())
    return {
        "model, self confidence": _recall(model_said, labels, wrong, "self_confidence", flags),
        "probe, normalised margin": _recall(probe_said, labels, wrong, LOOKED_AT, flags),
        "who agrees more, auto": _recall(agreed, labels, wrong, _auto(agreed, labels), flags),
        "ensemble, auto": _recall(both, labels, wrong, _auto(both, labels), flags),
    }
