"""Electricity prices in time order: watch the stream, and train again when it has drifted.

python examples/stream.py --data DATA    (45,312 half-hours; 2,000 to begin with, a week at each look)
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth import Dataset, ParquetFolder, accuracy, confidence_shift, run
from tilth.integrations.sklearn import SklearnModel
from tilth.metrics import labeled_count
from tilth.patterns import observability
from tilth.runs.schedule import repeat

START, WEEK, WEEKS = 2_000, 336, 20


def main() -> None:
    """Let a week come in at a time, look, and print what was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds elec2/elec2.parquet")
    options = parser.parse_args()
    file = options.data / "elec2" / "elec2.parquet"
    if not file.exists():
        print(f"skipped: no {file.name} in {file.parent}; give the folder with the datasets by --data")
        sys.exit(0)
    table = pq.read_table(file)
    rise = pa.array([["down", "up"][k] for k in table["class"].to_pylist()])
    table = table.drop(["class"]).append_column("price", rise)
    with tempfile.TemporaryDirectory(prefix="tilth-example-") as folder:
        place = Path(folder)
        (place / "incoming").mkdir()
        dataset = Dataset.create(place / "elec", table.slice(0, START), label="price", durability="process")
        flow = observability(
            dataset,
            SklearnModel(make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))),
            source=ParquetFolder(place / "incoming"),
            label="price",
            every="0.001s",
            # what makes the model unsure or sure; half-hours of one week are alike, so it holds in most weeks
            trigger=confidence_shift(window=WEEK) < 0.01,
            report=(accuracy(), labeled_count()),
        )
        run(flow, inline=True)
        for week in range(WEEKS):
            rows = table.slice(START + week * WEEK, WEEK)
            pq.write_table(rows, place / "incoming" / f"week-{week:03d}.parquet")
            told: list[str] = []
            done = repeat(
                flow,
                lambda: run(flow, inline=True),
                told=lambda found, to=told: to.append(str(found["why"])),
                wait=False,
            )
            what = (
                "nothing to do" if done is None else f"trained again: test accuracy {done.best.test['accuracy()']:.3f}"
            )
            print(f"week {week:2}: {told[-1] if told else 'not due yet'}; {what}", flush=True)


if __name__ == "__main__":
    main()
