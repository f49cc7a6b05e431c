"""Active learning on BANKING77: short bank questions, 77 intents; labels to 80 % test accuracy, by margin or at random.

python examples/banking.py --data DATA
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from common import arguments, compare, parquet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from tilth import Dataset, Oracle, Rule, Run, Workflow, accuracy, annotate, labels_spent, margin, run, unlabeled
from tilth.dataset.splits import key_hashes, uniform
from tilth.integrations.sklearn import SklearnModel

GOAL = 0.80
START, BATCH, MOST = 400, 200, 7_000

options = None


def make(path: Path, seed: int) -> Dataset:
    """Make the dataset: the same random records labelled at the start for every arm, all others in the pool."""
    parts = [parquet(options, "banking77", split) for split in ("train", "test")]
    text = [t for part in parts for t in part["text"]]
    truth = np.array([name for part in parts for name in part["label_name"]], object)
    n = len(parts[0]["text"])
    keys = [f"train-{i:05d}" for i in range(n)] + [f"test-{i:05d}" for i in range(len(text) - n)]
    hashes = key_hashes(pa.array(keys))
    split = np.where(np.arange(len(text)) >= n, "test", np.where(uniform(hashes, "valid") < 0.1, "valid", "train"))
    order = np.argsort(uniform(hashes, "start", seed))
    label = truth.copy()
    label[split == "train"] = None
    first = order[split[order] == "train"][:START]
    label[first] = truth[first]
    rows = pa.table({"key": keys, "text": text, "truth": truth.tolist(), "label": pa.array(label.tolist(), pa.string()), "split": split})
    classes = sorted(set(truth))
    return Dataset.create(path, rows, key="key", label="label", classes=classes, split="split", hidden=["truth"], durability="process")


def arm(select: object) -> object:
    """Return the arm that asks for what a selector chooses."""

    def go(dataset: Dataset, seed: int) -> Run:
        model = SklearnModel(make_pipeline(TfidfVectorizer(sublinear_tf=True), LinearSVC()))
        rules = {"ask": Rule(select=select, do=annotate(by=Oracle("truth")))}
        until = (accuracy() >= GOAL + 0.02) | (labels_spent() >= MOST)
        return run(Workflow(dataset=dataset, model=model, rules=rules, until=until, seed=seed), inline=True)

    return go


if __name__ == "__main__":
    options = arguments(__doc__, "banking77")
    print(f"BANKING77, 77 intents; {START} labels to start with, {BATCH} more a round")
    arms = {"margin": arm(unlabeled.top(BATCH, by=margin())), "random": arm(unlabeled.sample(BATCH))}
    compare(arms, make, seeds=options.seeds, accuracy=GOAL)
