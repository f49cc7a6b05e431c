"""SMS spam: take out near copies, outliers and messages that do harm, weigh the rare class up; keep what helps.

python examples/curation.py --data DATA    (5,574 messages, 13 % spam, 403 exact copies)
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tilth import Dataset, Gate, accuracy, f1, rounds, run
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import curation


def main() -> None:
    """Curate the messages, and print what each step did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds sms_spam/sms_spam.parquet")
    options = parser.parse_args()
    file = options.data / "sms_spam" / "sms_spam.parquet"
    if not file.exists():
        print(f"skipped: no {file.name} in {file.parent}; give the folder with the datasets by --data")
        sys.exit(0)
    table = pq.read_table(file)
    with tempfile.TemporaryDirectory(prefix="tilth-example-") as folder:
        dataset = Dataset.create(
            Path(folder) / "sms",
            table.select(["text", "label_name"]),
            label="label_name",
            stratify=True,
            durability="process",
        )
        model = SklearnModel(
            make_pipeline(
                TfidfVectorizer(sublinear_tf=True), TruncatedSVD(100, random_state=0), LogisticRegression(max_iter=1000)
            ),
            features="text",
            embed="truncatedsvd",
        )
        gate = Gate(improves=f1("spam"), by=0.0)
        flow = curation(dataset, model, gate=gate, until=rounds() >= 1, report=(accuracy(), f1("spam")))
        done = run(flow, inline=True)
        for name, did in done.rounds[0].rules.items():
            kept = {True: "kept", False: "taken back", None: "nothing to do"}[did.get("kept")]
            change = f"{did['before']:.4f} -> {did['after']:.4f}" if "before" in did else did["why"]
            print(f"  {name:5} {did['n']:5} records, {kept}: f1 of spam on valid {change}")
        first, last = done.rounds[0].test, done.rounds[-1].test
        for metric in first:
            print(f"{metric} on test: {first[metric]:.4f} -> {last[metric]:.4f}")


if __name__ == "__main__":
    main()
