"""From answers to labels and to the events that record both."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import EVENT, Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.errors import DataError
from tilth.labeling.dawid_skene import dawid_skene
from tilth.protocols import Answers

__all__ = ["Consensus", "answered", "consensus", "encode", "majority"]

Ids = npt.NDArray[np.int64]


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


@dataclass(frozen=True, eq=False)
class Consensus:
    """What answers add up to: `records` int64[m], each once; `label` int32[m], -1 = undecided.

    `confidence` float64[m]: the share of votes for the label, or its probability by Dawid-Skene; `votes` int32[m]: how
    many could tell.
    """

    records: Ids
    label: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float64]
    votes: npt.NDArray[np.int32]


def consensus(
    records: Ids,
    annotators: Sequence[str],
    codes: npt.NDArray[np.int32],
    *,
    n_classes: int,
    method: str = "majority",
) -> Consensus:
    """Return the class that answers agree on, record by record: by majority (a tie decides nothing) or by Dawid-Skene.

    >>> found = consensus(np.array([7, 7, 9, 9]), ["a", "b", "a", "b"], np.array([1, 1, 0, 1]), n_classes=2)
    >>> found.records.tolist(), found.label.tolist()
    ([7, 9], [1, -1])

    `records` int64[n], `annotators` n names, `codes` int32[n] (-1 = could not tell): one row an answer.
    """
    ids, at = np.unique(np.asarray(records, np.int64), return_inverse=True)
    code = np.asarray(codes)
    told = code >= 0
    cell = at[told] * n_classes + code[told]
    table = np.bincount(cell, minlength=len(ids) * n_classes).reshape(len(ids), n_classes)
    votes = table.sum(axis=1).astype(np.int32)
    if method == "dawid_skene":
        found = dawid_skene(np.asarray(records), list(annotators), code, n_classes=n_classes)
        share = np.zeros(table.shape)
        share[np.searchsorted(ids, found.records)] = found.posterior
    else:
        share = table / np.maximum(votes, 1)[:, None]
    top = share.max(axis=1, initial=0.0)
    tie = (share == top[:, None]).sum(axis=1) != 1
    label = np.where(tie | (votes == 0), -1, share.argmax(axis=1) if n_classes else -1).astype(np.int32)
    return Consensus(ids, label, top, votes)


def answered(dataset: Dataset, answers: Answers, *, reason: str) -> Changes:
    """Return the events of answers: each as it was given, and what they set.

    The label that the majority gave (the median of numbers); a record that half of its annotators or more call bad is
    quarantined instead. Gold answers are written down and set nothing.
    """
    ids = np.asarray(answers.records, np.int64)
    gold = np.zeros(len(ids), bool) if answers.gold is None else np.asarray(answers.gold, bool)
    parts = [
        events(
            Op.ANSWER,
            ids[mine],
            field=field,
            txt=_texts(answers.labels, mine),
            actor=[name for name, m in zip(answers.annotators, mine, strict=True) if m],
            reason=reason,
            cost=np.asarray(answers.costs, np.float64)[mine],
        )
        for mine, field in ((~gold, Field.NONE), (gold, Field.GOLD))
    ]
    use = np.flatnonzero(~gold)
    bad, verdict = _bad(answers, use, reason)
    use = use[~np.isin(ids[use], bad)]
    who = answers.annotators[0] if len(answers.annotators) else "the annotator"
    parts += [verdict, _labels(dataset, ids[use], [answers.labels[i] for i in use], who, reason)]
    return Changes.join([Changes(part) for part in parts])


def _texts(labels: Sequence[Any], mine: npt.NDArray[np.bool_]) -> list[str]:
    known: dict[str, str] = {}
    out: list[str] = []
    for i in np.flatnonzero(mine).tolist():
        label = labels[i]
        if isinstance(label, str):
            out.append(known.get(label) or known.setdefault(label, json.dumps(label)))
        else:
            out.append(json.dumps(label))
    return out


def _bad(answers: Answers, use: Ids, reason: str) -> tuple[Ids, pa.Table]:
    """Return the records that their annotators call bad, and the events that quarantine them."""
    verdicts = np.array(answers.verdicts if answers.verdicts is not None else [""] * len(answers.records), object)[use]
    ids, at = np.unique(np.asarray(answers.records)[use], return_inverse=True)
    said = np.bincount(at, weights=verdicts == "bad", minlength=len(ids))
    hit = (said > 0) & (said * 2 >= np.bincount(at, minlength=len(ids)))
    names: dict[int, list[str]] = {}
    for i in np.flatnonzero(hit[at] & (verdicts == "bad")).tolist():
        names.setdefault(int(ids[at[i]]), []).append(answers.annotators[int(use[i])])
    parts = [
        events(Op.QUARANTINE, np.array([i]), reason=f"a bad record, said {', '.join(who)}; {reason}", actor=who[0])
        for i, who in sorted(names.items())
    ]
    return ids[hit], pa.concat_tables([EVENT.empty_table(), *parts])


def _labels(dataset: Dataset, records: Ids, labels: Sequence[Any], who: str, reason: str) -> pa.Table:
    """Return the events that set what answers agree on, where it differs from the label there is."""
    kind = dataset.schema.label
    numbers, texts = encode(dataset, labels, who=who)
    ids, at = np.unique(records, return_inverse=True)
    votes = int(np.bincount(at).max()) if len(at) else 1
    if kind.kind == "class":
        codes = np.where(np.isnan(numbers), -1, np.nan_to_num(numbers, nan=-1)).astype(np.int32)
        value = consensus(records, [""] * len(records), codes, n_classes=len(kind.classes)).label.astype(np.float64)
        has = (value >= 0) & (value != dataset.view.label[ids])
        agreed: list[str] | None = None
    elif kind.kind == "number":
        value = _medians(at, numbers, len(ids))
        has = ~np.isnan(value) & (value != dataset.view.label[ids])
        agreed = None
    else:
        value = np.full(len(ids), np.nan)
        groups: dict[int, list[Any]] = {}
        for i, text in zip(at.tolist(), texts, strict=True):
            groups.setdefault(i, []).append(None if text is None else json.loads(text))
        found = [majority(groups[i]) for i in range(len(ids))]
        has = np.array([label is not None for label in found], bool)
        agreed = [json.dumps(label) for label, h in zip(found, has, strict=True) if h]
    return events(
        Op.SET,
        ids[has],
        field=Field.LABEL,
        num=value[has],
        txt=agreed,
        actor=who if votes == 1 else f"majority of {votes}",
        reason=reason if votes == 1 else f"{reason}; majority of {votes} answers",
    )


def _medians(group: Ids, values: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """Return the median of each group's values, NaN where none is known."""
    told = ~np.isnan(values)
    group, values = group[told], values[told]
    order = np.lexsort((values, group))
    group, values = group[order], values[order]
    size = np.bincount(group, minlength=n)
    first = np.cumsum(size) - size
    some = size > 0
    out = np.full(n, np.nan)
    low, high = first[some] + (size[some] - 1) // 2, first[some] + size[some] // 2
    out[some] = (values[low] + values[high]) / 2
    return out
