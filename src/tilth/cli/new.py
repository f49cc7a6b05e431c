"""`tilth new`: a project out of a source of records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tilth.cli.terminal import say, table, working
from tilth.cli.words import clean, count, number, options
from tilth.dataset import Dataset
from tilth.dataset.schema import SPLITS
from tilth.errors import TilthError, UsageError
from tilth.scaffold import PATTERNS, new_project

__all__ = ["new"]

FORMS = """tilth new needs a name, and records to start from: --from SOURCE. SOURCE may be
  a folder of images or wav files     tilth new birds --from photos/
    (a subfolder a class, or below folders called train, valid and test)
  .csv .tsv .jsonl .parquet           tilth new mail --from mail.csv --label kind
  a text a line, nothing labelled     tilth new notes --from notes.txt --classes good,bad"""

SHOWN = 10
BEGINNING = ("active-learning", "validated-active-learning")
"""Patterns that need no label to begin with."""


def new(name: Path | None, source: str | None, **told: Any) -> None:
    """Make a project, tell what was imported, and what to do next."""
    if told["pattern"] == "list":
        table(["pattern", "what it does"], [[name, one.about] for name, one in PATTERNS.items()])
        return
    if name is None or source is None:
        raise UsageError(FORMS)
    try:
        with working(f"reading {source}") as progress:
            project = new_project(name, source, progress=progress, **told)
    except TilthError as error:
        # readers speak of arguments in Python; here they are options
        error.args = (options(str(error)), *error.args[1:])
        raise
    dataset = project.dataset
    say(f"{clean(dataset.name)}: {count(len(dataset), 'record')} from {clean(source)}")
    _splits(dataset)
    say(f"columns: {', '.join(_columns(dataset))}")
    say(f"labels: {_labels(dataset)}")
    for line in (*_refused(dataset), *_missing(dataset, told["pattern"])):
        say(line)
    for line in _next(dataset, name, told["pattern"]):
        say(line)


def _splits(dataset: Dataset) -> None:
    view = dataset.view
    rows = [
        [split, f"{int(view.among(split).sum()):,}", f"{int((view.among(split) & view.labeled).sum()):,}"]
        for split in SPLITS
    ]
    table(["split", "records", "labelled"], rows, right=["records", "labelled"])


def _columns(dataset: Dataset) -> Iterator[str]:
    for column in dataset.schema.columns:
        kind = f"vector of {column.size}" if column.kind == "vector" else column.kind
        yield f"{clean(column.name)} ({kind}{', hidden from models' if column.hidden else ''})"


def _labels(dataset: Dataset) -> str:
    view, label = dataset.view, dataset.schema.label
    values = view.label[view.alive & view.labeled]
    if label.kind == "number":
        if not len(values):
            return "numbers, none given yet"
        return f"numbers from {number(values.min())} to {number(values.max())}, mean {number(values.mean())}"
    if label.kind == "class":
        counts = np.bincount(values, minlength=len(label.classes)).tolist()
    else:
        named = [name for names in dataset.labels() if names is not None for name in names]
        counts = [named.count(name) for name in label.classes]
    most = sorted(zip(label.classes, counts, strict=True), key=lambda pair: -pair[1])[:SHOWN]
    shown = ", ".join(f"{clean(name)} {n:,}" for name, n in most)
    more = f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    several = ", several a record" if label.kind == "classes" else ""
    return f"{count(len(counts), 'class', 'classes')}{several}: {shown}{more}"


def _refused(dataset: Dataset) -> Iterator[str]:
    rows = dataset.rejected().to_pylist()
    if not rows:
        return
    yield f"{count(len(rows), 'row')} refused:"
    for row in rows[:SHOWN]:
        place = clean(str(row["source"])) + (f", row {row['row']}" if row["row"] > 0 else "")
        yield f"  {place}: {clean(options(str(row['reason'])))}"
    if len(rows) > SHOWN:
        yield f"  ... and {len(rows) - SHOWN:,} more"


def _missing(dataset: Dataset, pattern: str | None) -> Iterator[str]:
    """Yield what a run would stumble over."""
    view = dataset.view
    if not (view.train & view.labeled).any() and pattern not in BEGINNING:
        yield (
            "note: no record of train has a label, so a run can only begin by asking: --pattern active-learning writes "
            "such a workflow; or import some with labels (--label COLUMN, or a subfolder a class)"
        )
    for split in ("valid", "test"):
        if not (view.among(split) & view.labeled).any():
            what = "gates and conditions have nothing to judge by" if split == "valid" else "no score is reported"
            yield f"note: {split} has no labelled record, so {what}; import more, or say which records by --split"


def _next(dataset: Dataset, name: Path, pattern: str | None) -> Iterator[str]:
    if (dataset.view.train & dataset.view.labeled).any() or pattern is not None:
        yield f"next: tilth explain {name}   what would the rules in its workflow.py change?"
        yield f"      tilth run {name}"
