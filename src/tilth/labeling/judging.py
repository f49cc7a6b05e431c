"""How good each annotator is: by gold questions where there are any, else by what all answers add up to."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Field
from tilth.dataset import Dataset
from tilth.labeling.dawid_skene import dawid_skene

__all__ = ["QUALITY", "coded", "quality", "wilson"]

QUALITY = pa.schema(
    [
        ("annotator", pa.string()),
        ("answers", pa.int64()),
        ("judged", pa.int64()),
        ("right", pa.float64()),
        ("accuracy", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("by", pa.string()),
    ]
)
"""A row an annotator. `judged`: answers that could be judged; `right`: how many of these are right (a sum of
probabilities where they are judged by consensus); `low`, `high`: Wilson's 95 % interval of `accuracy`; `by`: "gold" or
"consensus"."""


def quality(dataset: Dataset) -> pa.Table:
    """Return how good each annotator of a dataset of classes is, as a table of schema `QUALITY`, by name.

    An annotator who answered gold questions is judged by these. The others are judged by all answers to records that
    two or more annotators answered: an answer is right as far as Dawid-Skene finds its class probable.
    """
    table = dataset.answers()
    field = table["field"].to_numpy()
    table = table.filter(pa.array(field != Field.REVIEW))
    field = field[field != Field.REVIEW]
    records, who = table["record_id"].to_numpy(), np.array(table["annotator"].to_pylist(), object)
    codes = coded(dataset, table["label"].to_pylist())
    classes = dataset.schema.label.classes if dataset.schema.label.kind == "class" else ()
    truth = dataset.view.label[records]
    gold = (field == Field.GOLD) & (codes >= 0) & (truth >= 0)
    right = np.where(gold, codes == truth, np.nan).astype(np.float64)
    free = np.flatnonzero((field == Field.NONE) & (codes >= 0))
    several = free[_shared(records[free], who[free])]
    found = dawid_skene(records[several], who[several].tolist(), codes[several], n_classes=len(classes))
    agrees = np.full(len(records), np.nan)
    if len(several):
        agrees[several] = found.posterior[np.searchsorted(found.records, records[several]), codes[several]]
    names, at = np.unique(who.astype(str), return_inverse=True)
    by_gold = np.bincount(at, gold, len(names)) > 0
    judged = np.where(by_gold[at], right, agrees)
    known = ~np.isnan(judged)
    answers, n = np.bincount(at, minlength=len(names)), np.bincount(at[known], minlength=len(names))
    hits = np.bincount(at[known], judged[known], len(names))
    rows: list[dict[str, Any]] = []
    for i, name in enumerate(names.tolist()):
        low, high = wilson(float(hits[i]), int(n[i]))
        rate = float(hits[i] / n[i]) if n[i] else float("nan")
        about = {"annotator": name, "answers": int(answers[i]), "judged": int(n[i]), "right": float(hits[i])}
        how = "gold" if by_gold[i] else "consensus"
        rows.append(about | {"accuracy": rate, "low": low, "high": high, "by": how})
    return pa.Table.from_pylist(rows, schema=QUALITY)


def _shared(records: npt.NDArray[np.int64], who: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which answers are about a record that two or more annotators answered: not one of them, asked twice."""
    at = np.unique(records, return_inverse=True)[1]
    names, by = np.unique(who.astype(str), return_inverse=True)
    pairs = np.unique(at * len(names) + by)
    return np.bincount(pairs // max(len(names), 1), minlength=int(at.max(initial=-1)) + 1)[at] >= 2


def coded(dataset: Dataset, labels: list[str]) -> npt.NDArray[np.int32]:
    """Return answers, JSON texts, as class codes; -1 = could not tell, or no class of this dataset."""
    code = {json.dumps(name): i for i, name in enumerate(dataset.schema.label.classes)}
    return np.array([code.get(text, -1) for text in labels], np.int32)


def wilson(right: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval of a rate, 95 % by default: (low, high), (0, 1) where nothing was judged.

    >>> low, high = wilson(8, 10)
    >>> low, high
    (0.49, 0.94)

    Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    if n == 0:
        return 0.0, 1.0
    p = right / n
    middle, reach = p + z * z / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    # at 0 and 1 rounding would lead a hair outside
    return max(0.0, (middle - reach) / (1 + z * z / n)), min(1.0, (middle + reach) / (1 + z * z / n))
