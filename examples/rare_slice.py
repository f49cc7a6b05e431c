"""Adult census income: make records for the class that the model gets wrong most, and keep them only if it helps.

python examples/rare_slice.py --data DATA    (48,842 people; 6,000 to train on)
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tilth import Dataset, Gate, Interpolation, accuracy, recall, rounds, run
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import synthetic_generation

NUMBERS = ["age", "education_num", "capital_gain", "capital_loss", "hours_per_week"]
NAMES = ["workclass", "marital_status", "occupation", "relationship", "sex"]
SIZES = {"train": 6_000, "valid": 3_000, "test": 10_000}


def people(file: Path) -> pa.Table:
    """Return the columns that the model uses, the label and the split."""
    table = pq.read_table(file).slice(0, sum(SIZES.values()))
    columns = {name: table[name].cast(pa.float64()) for name in NUMBERS}
    columns |= {name: pc.fill_null(table[name], "?") for name in NAMES}
    split = [name for name, size in SIZES.items() for _ in range(size)]
    return pa.table({**columns, "income": table["income"], "split": split})


def main() -> None:
    """Make records round by round, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds adult/adult.parquet")
    options = parser.parse_args()
    file = options.data / "adult" / "adult.parquet"
    if not file.exists():
        print(f"skipped: no {file.name} in {file.parent}; give the folder with the datasets by --data")
        sys.exit(0)
    rows = people(file)
    with tempfile.TemporaryDirectory(prefix="tilth-example-") as folder:
        dataset = Dataset.create(Path(folder) / "adult", rows, label="income", split="split", durability="process")
        rich = max(dataset.schema.label.classes)
        model = SklearnModel(
            make_pipeline(
                make_column_transformer((StandardScaler(), NUMBERS), (OneHotEncoder(handle_unknown="ignore"), NAMES)),
                LogisticRegression(max_iter=2000),
            )
        )
        flow = synthetic_generation(
            dataset,
            model,
            by=Interpolation(),
            batch=600,
            gate=Gate(improves=recall(), by=0.0),
            until=rounds() >= 3,
            report=(accuracy(), recall(), recall(rich)),
        )
        done = run(flow, inline=True)
        for r in done.rounds:
            did = r.rules.get("grow", {})
            shown = ", ".join(f"{name} {value:.4f}" for name, value in r.test.items())
            print(f"round {r.round}: {shown} on test; {did.get('why', 'done')}")


if __name__ == "__main__":
    main()
