"""A run that makes records, in a process of its own that tests kill; the generator writes down each time it is asked.

python synthesis_program.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.linear_model import LogisticRegression

from tilth import Rule, Workflow, apart, rounds, run, synthesise, wanted
from tilth.dataset import Dataset
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Want
from tilth.synthesis import Interpolation

HOME = [Path()]


def counted(want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
    """Interpolate, and never twice alike: what the endpoint of a language model does."""
    calls = HOME[0] / "calls.txt"
    calls.write_text((calls.read_text() if calls.exists() else "") + f"{want.text}: {n}\n")
    return Interpolation().generate(want, exemplars, n, seed + len(calls.read_text()))


def main(folder: str) -> None:
    """Run it, and print the digest at the end."""
    HOME[0] = Path(folder).parent
    done = run(
        Workflow(
            dataset=Dataset.open(folder),
            model=SklearnModel(LogisticRegression()),
            rules={"grow": Rule(select=wanted({"a": 6, "b": 4}), do=synthesise(by=counted, keep=[apart()]))},
            until=rounds() >= 1,
        ),
        inline=True,
        source=__file__,
    )
    sys.stdout.write(f"{done.dataset.digest()}\n")
    sys.stdout.flush()


def blobs(folder: Path, *, n: int = 60, apart_by: float = 4.0, seed: int = 0) -> Dataset:
    """Two clouds in two dimensions, a and b; a fifth of each in valid and test; `note` is hidden from models."""
    chance = np.random.default_rng(seed)
    label = np.array(["a", "b"])[np.arange(n) % 2]
    x = chance.normal(size=(n, 2)) + np.where(label == "a", 0.0, apart_by)[:, None]
    table = pa.table(
        {
            "key": [f"r{i:03d}" for i in range(n)],
            "label": label,
            "split": np.array(["train"] * 6 + ["valid"] * 2 + ["test"] * 2)[np.arange(n) // 2 % 10],
            "x": pa.FixedSizeListArray.from_arrays(pa.array(x.astype(np.float32).ravel()), 2),
            "note": [f"note {i}" for i in range(n)],
        }
    )
    return Dataset.create(
        folder / "data", table, key="key", label="label", split="split", hidden=["note"], durability="process"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
