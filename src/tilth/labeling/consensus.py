"""From answers to labels and to the events that record both."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.errors import DataError
from tilth.protocols import Answers

__all__ = ["answered", "encode", "majority"]


def majority(labels: Sequence[Any]) -> Any:
    """Return the label that more than any other annotators gave, None where there is a tie or nobody could tell.

    >>> majority(["cat", "dog", "cat"])
    'cat'
    >>> majority(["cat", "dog"]) is None
    True
    """
    votes = Counter(json.dumps(label) for label in labels if label is not None)
    best = votes.most_common(2)
    if not best or (len(best) == 2 and best[0][1] == best[1][1]):
        return None
    return json.loads(best[0][0])


def encode(dataset: Dataset, labels: Sequence[Any], *, who: str) -> tuple[npt.NDArray[np.float64], list[str | None]]:
    """Return labels as stored: numbers or, for several classes, JSON text; DataError names a wrong one."""
    kind = dataset.schema.label
    numbers = np.full(len(labels), np.nan)
    texts: list[str | None] = [None] * len(labels)
    code = {name: i for i, name in enumerate(kind.classes)}
    for i, label in enumerate(labels):
        if label is None:
            continue
        if kind.kind == "number":
            if isinstance(label, bool) or not isinstance(label, (int, float)) or not np.isfinite(label):
                raise DataError(
                    f"{who} answered {label!r} where labels are numbers; give a finite number, or None for 'cannot "
                    "tell'"
                )
            numbers[i] = label
            continue
        several = kind.kind == "classes"
        names: list[str] = [str(part) for part in label] if several and not isinstance(label, str) else [str(label)]
        for name in names:
            if name not in code:
                kind.code(name)  # NotFound with the classes there are
        if several:
            texts[i] = json.dumps(sorted(names, key=kind.classes.index))
        else:
            numbers[i] = code[names[0]]
    return numbers, texts


def answered(dataset: Dataset, answers: Answers, *, reason: str) -> Changes:
    """Return the events of answers: each as it was given, and the label that their majority sets."""
    view = dataset.view
    ids = np.asarray(answers.records, np.int64)
    who = answers.annotators[0] if len(answers.annotators) else "the annotator"
    given = events(
        Op.ANSWER,
        ids,
        txt=[json.dumps(label) for label in answers.labels],
        actor=list(answers.annotators),
        reason=reason,
        cost=np.asarray(answers.costs, np.float64),
    )
    by_record: dict[int, list[Any]] = {}
    for record, label in zip(ids.tolist(), answers.labels, strict=True):
        by_record.setdefault(record, []).append(label)
    record = np.array(list(by_record), np.int64)
    agreed = [majority(labels) for labels in by_record.values()]
    numbers, texts = encode(dataset, agreed, who=who)
    has = np.array([label is not None for label in agreed], bool)
    if dataset.schema.label.kind != "classes":
        has &= numbers != view.label[record]
    votes = max(len(labels) for labels in by_record.values()) if by_record else 1
    said = reason if votes == 1 else f"{reason}; majority of {votes} answers"
    label_set = events(
        Op.SET,
        record[has],
        field=Field.LABEL,
        num=numbers[has],
        txt=[t for t, h in zip(texts, has, strict=True) if h],
        actor=who if votes == 1 else f"majority of {votes}",
        reason=said,
    )
    return Changes.join([Changes(given), Changes(label_set)])


from dataclasses import dataclass


@dataclass(frozen=True)
class Consensus:
    records: Any
    label: Any
    confidence: Any
    votes: Any


def consensus(records, annotators, codes, *, n_classes, method="majority"):
    ids, at = np.unique(records, return_inverse=True)
    codes = np.asarray(codes)
    t = np.zeros((len(ids), n_classes))
    known = codes >= 0
    np.add.at(t, (at[known], codes[known]), 1)
    best = t.argmax(1) if len(ids) else np.empty(0, int)
    top = t.max(1) if len(ids) else np.empty(0)
    tie = (t == top[:, None]).sum(1) > 1
    n = t.sum(1)
    return Consensus(ids, np.where(tie | (top == 0), -1, best).astype(np.int32), top / np.maximum(n, 1), n)
