"""Active learning on TREC questions that begins without a single label, and stops when predictions are steady.

python examples/cold_start.py --data DATA    (5,452 questions, 6 classes, one rare)
"""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from common import arguments, created, keyed, parquet
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tilth import Oracle, accuracy, f1, run
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import active_learning, stable

BUDGET, BATCH, START = 1500, 50, 60


def questions(data: Path) -> tuple[pa.Table, list[str]]:
    """Return the questions, unlabelled in train, with the truth in a hidden column, and the classes."""
    parts = [parquet(data, "trec", split) for split in ("train", "test")]
    kinds = [[str(k) for k in part["label"]] for part in parts]
    columns = {
        "text": pa.array([text for part in parts for text in part["text"]]),
        "truth": pa.array([*kinds[0], *kinds[1]]),
    }
    rows = keyed(columns, len(kinds[0]), valid=0.1)
    given = pc.if_else(pc.equal(rows["split"], "train"), None, rows["truth"])
    return rows.append_column("label", given), sorted(set(kinds[0]))


if __name__ == "__main__":
    options = arguments(__doc__, "trec", seeds=1)
    rows, classes = questions(options.data)
    model = SklearnModel(
        make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=30, max_iter=2000)),
        features="text",
    )
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory(prefix="tilth-example-") as folder:
            dataset = created(rows, Path(folder) / "trec", classes)
            flow = active_learning(
                dataset,
                model,
                by=Oracle("truth"),
                budget=BUDGET,
                batch=BATCH,
                start=START,
                stop=stable(0.98),
                seed=seed,
                report=(accuracy(), f1()),
            )
            done = run(flow, inline=True)
        for r in done.rounds:
            print(
                f"seed {seed}  {r.labels_spent:5} labels  accuracy {r.test['accuracy()']:.3f}  f1 {r.test['f1()']:.3f}"
            )
        print(f"seed {seed}  stopped: {done.why}")
