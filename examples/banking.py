"""Active learning on BANKING77: short bank questions, 77 intents; labels to 80 % test accuracy, by margin or at random.

python examples/banking.py --data DATA
"""

from functools import partial
from pathlib import Path

import pyarrow as pa
from common import arguments, compare, keyed, parquet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from tilth import Dataset, Oracle, Rule, Run, Workflow, accuracy, annotate, labels_spent, margin, run, unlabeled
from tilth.integrations.sklearn import SklearnModel
from tilth.selectors import Selector

GOAL = 0.80
START, BATCH, MOST = 400, 200, 7_000


def questions(data: Path) -> pa.Table:
    """Return the questions with their intents."""
    parts = [parquet(data, "banking77", split) for split in ("train", "test")]
    columns = {
        "text": pa.array([text for part in parts for text in part["text"]]),
        "truth": pa.array([name for part in parts for name in part["label_name"]]),
    }
    return keyed(columns, len(parts[0]["text"]), valid=0.1)


def arm(select: Selector, dataset: Dataset, seed: int) -> Run:
    """Ask for what a selector chooses, round by round, until the goal is passed on valid."""
    return run(
        Workflow(
            dataset=dataset,
            model=SklearnModel(make_pipeline(TfidfVectorizer(sublinear_tf=True), LinearSVC())),
            rules={"ask": Rule(select=select, do=annotate(by=Oracle("truth")))},
            until=(accuracy() >= GOAL + 0.02) | (labels_spent() >= MOST),
            seed=seed,
        ),
        inline=True,
    )


if __name__ == "__main__":
    options = arguments(__doc__, "banking77")
    print(f"BANKING77, 77 intents; {START} labels to start with, {BATCH} more a round")
    arms = {
        "margin": partial(arm, unlabeled.top(BATCH, by=margin())),
        "random": partial(arm, unlabeled.sample(BATCH)),
    }
    rows = questions(options.data)
    compare(arms, rows, sorted(set(rows["truth"].to_pylist())), start=START, seeds=options.seeds, accuracy=GOAL)
