"""What the patterns share: the options of a workflow, and what a dataset must have."""

from typing import Any, TypedDict

import numpy as np

from tilth.algebra import Condition, Quantity
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.protocols import Model
from tilth.signals.making import count

__all__ = ["Basics", "Options", "holds_out", "labels_of", "opened", "pool_of", "share_of"]


class Basics(TypedDict, total=False):
    """What every pattern passes on to `Workflow` as it is."""

    report: tuple[Quantity, ...]
    probe: Model | None
    seed: int
    name: str


class Options(Basics, total=False):
    """What a pattern passes on that is entered by hand unless it is told when."""

    every: str | None
    trigger: Condition | None


def opened(pattern: str, dataset: Any) -> Dataset:
    """Check that it is a dataset of one class a record with two classes or more, or of numbers or several classes."""
    if not isinstance(dataset, Dataset):
        raise UsageError(f"{pattern}({dataset!r}, ...): a Dataset first, such as Dataset.open(path)")
    label = dataset.schema.label
    if label.kind == "class" and len(label.classes) < 2:
        raise UsageError(
            f"{pattern}: {dataset.name!r} knows the class list {list(label.classes)}, and with fewer than two classes "
            "there is nothing to learn; give all of them when the dataset is made (classes=[...])"
        )
    return dataset


def pool_of(pattern: str, dataset: Dataset) -> int:
    """Return how many records could be asked about; UsageError where there is none."""
    found = int(np.count_nonzero(dataset.view.pool))
    if not found:
        raise UsageError(
            f"{pattern}: {dataset.name!r} has no unlabelled record in its train split to ask about; add some "
            "(tilth new --from, or Dataset.add) or use cleaning(...), which looks at the labels that are there"
        )
    return found


def labels_of(pattern: str, dataset: Dataset) -> int:
    """Return how many training records have a label; UsageError where none has."""
    view = dataset.view
    found = int(np.count_nonzero(view.train & view.labeled))
    if not found:
        raise UsageError(
            f"{pattern}: no record in the train split of {dataset.name!r} has a label yet; begin with "
            "active_learning(...), which asks for the first ones"
        )
    return found


def holds_out(pattern: str, dataset: Dataset, *, what: str) -> None:
    """UsageError where the valid split has no labelled record to judge by."""
    view = dataset.view
    if not (view.among("valid") & view.labeled).any():
        raise UsageError(
            f"{pattern}: {what} is judged on the valid split, and that of {dataset.name!r} has no labelled record; "
            "import some with split valid, or label some"
        )


def share_of(what: str, value: float | int, of: int) -> int:
    """Return how many records are meant: a share below 1 of so many, at least one, or a whole number of 1 or more."""
    if isinstance(value, float) and 0 < value < 1:
        return max(1, round(value * of))
    if isinstance(value, float):
        raise UsageError(f"{what} is a share between 0 and 1, or a whole number of records, got {value!r}")
    return count(what, value)
