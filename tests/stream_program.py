"""A project that watches a folder, in a process of its own that tests kill.

python stream_program.py FOLDER       enter it for as often as there is something new, then print the digest
"""

import sys
from pathlib import Path
from typing import Any

from sklearn.naive_bayes import GaussianNB

from tilth import ParquetFolder, Rule, Workflow, ingest, rounds, run
from tilth.dataset import Dataset
from tilth.integrations.sklearn import SklearnModel
from tilth.metrics import labeled_count
from tilth.runs.schedule import repeat


def workflow(folder: Path, *, limit: int = 7) -> Workflow:
    """Each look brings up to 7 rows of three files; a run ingests too, once in each round."""
    rule = Rule(do=ingest(ParquetFolder(folder / "in"), label="kind", limit=limit, on_error="quarantine"))
    return Workflow(
        dataset=Dataset.open(folder / "stream"),
        model=SklearnModel(GaussianNB()),
        rules={"arrive": rule},
        until=rounds() >= 1,
        every="0.000001s",
        trigger=labeled_count() >= 30,
    )


def main(folder: str) -> None:
    """Enter it until nothing new came in three looks."""
    made = workflow(Path(folder))
    told: list[Any] = []
    quiet = 0
    while quiet < 3:
        before = made.dataset.version
        repeat(made, lambda: run(made, inline=True, source=__file__), told=told.append, wait=False)
        quiet = quiet + 1 if made.dataset.version == before else 0
    sys.stdout.write(f"digest {made.dataset.digest()}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
