"""CIFAR-10: while recall of "cat" is low, add a horizontal flip of all records of the class cat, once.

python examples/flip_cats.py --data DATA [--rows 10000]
"""

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth import Dataset, Record, accuracy, augment, recall, records, rounds, run
from tilth.integrations.media import ImageFeatures
from tilth.integrations.sklearn import SklearnModel
from tilth.patterns import dataprepops

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def horizontal_flip(record: Record) -> Record:
    """Mirror a picture left to right."""
    image = ImageOps.mirror(Image.open(io.BytesIO(record["image"])))
    out = io.BytesIO()
    image.save(out, "PNG")
    return record.change(image=out.getvalue())


def make(path: Path, data: Path, rows: int) -> Dataset:
    """Make the dataset from the first `rows` training images (a tenth of them for validation) and 2,000 test images."""
    parts: list[pa.Table] = []
    for split, most in (("train", rows), ("test", 2_000)):
        table = pq.read_table(data / "cifar10n" / f"{split}.parquet").slice(0, most)
        names = pa.array([NAMES[k] for k in table["clean_label" if split == "train" else "label"].to_pylist()])
        keys = [f"{split}-{i:05d}" for i in range(table.num_rows)]
        place = [("valid" if i % 10 == 0 else "train") if split == "train" else "test" for i in range(table.num_rows)]
        parts.append(
            pa.table({"key": keys, "image": table["jpg"].cast(pa.large_binary()), "class": names, "split": place})
        )
    return Dataset.create(
        path, pa.concat_tables(parts), key="key", label="class", classes=NAMES, split="split", durability="process"
    )


def main() -> None:
    """Run the rule and check what it did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that holds cifar10n/train.parquet and test.parquet"
    )
    parser.add_argument("--rows", type=int, default=10_000, help="training images to use, of 50,000")
    options = parser.parse_args()
    if not (options.data / "cifar10n" / "train.parquet").exists():
        print(f"skipped: no cifar10n/train.parquet in {options.data}; give the folder with the datasets by --data")
        sys.exit(0)
    folder = Path(tempfile.mkdtemp(prefix="tilth-example-"))
    dataset = make(folder / "cifar", options.data, options.rows)
    before = dataset.view
    cats = int((before.train & (before.label == NAMES.index("cat"))).sum())
    print(f"{dataset!r}; {cats} cats to train on")
    workflow = dataprepops(
        dataset,
        SklearnModel(make_pipeline(ImageFeatures(), StandardScaler(), LogisticRegression(C=0.01, max_iter=200))),
        when=recall("cat") < 0.9,
        which=records.where(label="cat"),
        what=augment(horizontal_flip),
        until=rounds() >= 2,
        report=(accuracy(), recall("cat")),
    )
    print(workflow)
    done = run(workflow, inline=True, source=__file__)
    print(done.to_frame().to_string(index=False))
    new = np.flatnonzero(dataset.parent >= 0)
    print(
        f"added: {len(new)} records, labels {sorted(set(dataset.labels(new)))}, each from another cat: "
        f"{len(set(dataset.parent[new].tolist())) == cats}"
    )
    print(
        "rounds:",
        [f"{r.round}: {r.rules['augment']['n']} flipped ({r.rules['augment']['why']})" for r in done.rounds if r.rules],
    )
    key = dataset.keys(new[:1])[0]
    for event in dataset.history(key):
        print(f"  {key}  version {event.version}: {event.what}  rule {event.rule!r}  {event.reason}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
