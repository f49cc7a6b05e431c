"""Projects that ask people, made without a model: what is on the page is what was published."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from tilth import Dataset
from tilth.labeling.inbox import Inbox, Posted, Tasks
from tilth.runs.home import inbox_of

PETS = ["cat", "dog", "newt"]


def make(
    folder: Path,
    n: int = 60,
    classes: list[str] | None = None,
    texts: list[str] | None = None,
    labels: pa.Array | None = None,
    several: bool = False,
) -> Dataset:
    """Make a dataset of texts, without labels unless they are given; the hidden column holds what nobody may see.

    `several`: a record may have several classes.
    """
    table = {
        "key": [f"r{i:03d}" for i in range(n)],
        "text": texts or [f"text number {i}" for i in range(n)],
        "truth": ["secret truth"] * n,
        "label": pa.nulls(n, pa.list_(pa.string()) if several else pa.string()) if labels is None else labels,
    }
    made = pa.table(table)
    options = {"classes": classes or PETS, "hidden": ["truth"], "durability": "process", "splits": {"train": 1}}
    return Dataset.create(folder / "dataset", made, key="key", label="label", **options)


def ask(dataset: Dataset, name: str = "run-1/r0/ask", n: int = 40, start: int = 0, **other) -> None:
    """Publish a question about records of a dataset."""
    tasks = {k: other.pop(k) for k in ("suggestions", "details", "gold") if k in other}
    records = other.pop("records", np.arange(start, start + n))
    label = dataset.schema.label
    about = {"kind": "label", "team": "crowd", "reason": "least sure", "signal": "margin"} | other
    form = {"label": label.kind, "classes": list(label.classes), "wanted": about.pop("wanted", "")}
    posted = Posted(
        name, dataset=str(dataset.path), branch="main", version=dataset.version, run=name.split("/")[0],
        rule=name.split("/")[2], form=form, **about,
    )  # fmt: skip
    keys = [dataset.keys(np.array([r]))[0] if r >= 0 else f"new-{-r}" for r in records.tolist()]
    with Inbox(inbox_of(dataset.path)) as inbox:
        inbox.publish(posted, Tasks(records, keys, np.linspace(0.1, 0.9, len(records)), **tasks))


def said(dataset: Dataset, annotator: str | None = None) -> list[tuple[str, str, object]]:
    """Return what stands in the inbox, oldest first: key, verdict, value."""
    with Inbox(inbox_of(dataset.path)) as inbox:
        found = inbox.said(annotator=annotator)
    return [(s.key, s.verdict, json.loads(s.value or "null")) for s in reversed(found)]
