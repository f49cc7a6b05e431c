"""From answers to labels and to the events that record both."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.dataset.reading import checked
from tilth.errors import DataError, UsageError, did_you_mean
from tilth.labeling.dawid_skene import dawid_skene
from tilth.protocols import Answers

__all__ = ["Consensus", "Method", "answered", "consensus", "encode", "majority"]

Method = Literal["majority", "dawid_skene"]

Ids = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_VERDICTS = ("answer", "cannot_tell", "bad")


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


def encode(
    dataset: Dataset, labels: Sequence[Any], *, who: Sequence[str] | str
) -> tuple[npt.NDArray[np.float64], list[str | None]]:
    """Return labels as stored: numbers or, for several classes, JSON text; DataError names a wrong one.

    `who`: who gave them all, or a name for each.
    """
    kind = dataset.schema.label
    numbers = np.full(len(labels), np.nan)
    texts: list[str | None] = [None] * len(labels)
    code = {name: i for i, name in enumerate(kind.classes)}
    for i, label in enumerate(labels):
        if label is None:
            continue
        if kind.kind == "number":
            if isinstance(label, bool) or not isinstance(label, (int, float)) or not np.isfinite(label):
                name = who if isinstance(who, str) else who[i]
                raise DataError(
                    f"{name} answered {label!r} where labels are numbers; give a finite number, or None for 'cannot "
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
    method: Method = "majority",
) -> Consensus:
    """Return the class that answers agree on, record by record: by majority (a tie decides nothing) or by Dawid-Skene.

    >>> found = consensus(np.array([7, 7, 9, 9]), ["a", "b", "a", "b"], np.array([1, 1, 0, 1]), n_classes=2)
    >>> found.records.tolist(), found.label.tolist()
    ([7, 9], [1, -1])

    `records` int64[n], `annotators` n names, `codes` int32[n] (-1 = could not tell): one row an answer. `method`:
    "majority" or "dawid_skene", by which an annotator who is right more often counts for more. Dawid and Skene 1979.
    """
    if method not in get_args(Method):
        raise UsageError(f"consensus(method=...): no {method!r}. {did_you_mean(str(method), get_args(Method))}")
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
    # probabilities that differ by rounding are equal
    tie = (share >= top[:, None] - 1e-9).sum(axis=1) != 1
    label = np.where(tie | (votes == 0), -1, share.argmax(axis=1) if n_classes else -1).astype(np.int32)
    return Consensus(ids, label, top, votes)


def answered(dataset: Dataset, answers: Answers, *, reason: str, method: Method = "majority") -> Changes:
    """Return the events of answers: each as it was given, and what they set.

    A record gets the label that its answers agree on: of one class by `method` (see `consensus`); of several classes so
    for each of them, in or out, and none where one of them is undecided; the median of numbers. A record that more
    than half of its annotators call bad is quarantined instead. Gold answers are written down and set nothing.
    """
    _check_lengths(answers)
    ids = checked(dataset.view, answers.records)
    who = np.array(answers.annotators, object)
    gold = np.zeros(len(ids), bool) if answers.gold is None else np.asarray(answers.gold, bool)
    verdicts = np.array(_VERDICTS[:1] * len(ids) if answers.verdicts is None else answers.verdicts, object)
    for wrong in set(verdicts.tolist()) - set(_VERDICTS):
        raise UsageError(f"Answers(verdicts=...): no {wrong!r}. {did_you_mean(str(wrong), _VERDICTS)}")
    told = (verdicts == "answer").tolist()
    labels = [_plain(label) if t else None for label, t in zip(answers.labels, told, strict=True)]
    parts = [
        events(
            Op.ANSWER,
            ids[mine],
            field=field,
            txt=_texts(labels, mine),
            actor=who[mine].tolist(),
            reason=reason,
            cost=np.asarray(answers.costs, np.float64)[mine],
        )
        for mine, field in ((~gold, Field.NONE), (gold, Field.GOLD))
    ]
    free = np.flatnonzero(~gold)
    bad, verdict = _bad(ids[free], who[free], verdicts[free] == "bad", reason)
    use = free[~np.isin(ids[free], bad)]
    parts += [verdict, _labels(dataset, ids[use], [labels[i] for i in use.tolist()], who[use], reason, method)]
    return Changes.join([Changes(part) for part in parts])


def _check_lengths(answers: Answers) -> None:
    n = len(answers.records)
    for name, column in vars(answers).items():
        if column is not None and len(column) != n:
            raise UsageError(f"Answers(...): {len(column)} {name} for {n} records; every column has a row an answer")


def _plain(label: Any) -> Any:
    """Return numpy's own numbers and texts, which a program may well answer, as Python's."""
    return label.item() if isinstance(label, np.generic) else label


def _texts(labels: Sequence[Any], mine: Bools) -> list[str]:
    known: dict[str, str] = {}
    out: list[str] = []
    for i in np.flatnonzero(mine).tolist():
        label = labels[i]
        if isinstance(label, str):
            out.append(known.get(label) or known.setdefault(label, json.dumps(label)))
        else:
            out.append(json.dumps(label))
    return out


def _bad(records: Ids, who: npt.NDArray[Any], bad: Bools, reason: str) -> tuple[Ids, pa.Table]:
    """Return the records that their annotators call bad, and the events that quarantine them."""
    if not bad.any():
        return records[:0], Changes.none().events
    ids, at = np.unique(records, return_inverse=True)
    said = np.bincount(at, weights=bad, minlength=len(ids))
    hit = said * 2 > np.bincount(at, minlength=len(ids))
    names: dict[int, list[str]] = {i: [] for i in ids[hit].tolist()}
    mine = hit[at] & bad
    for record, name in zip(records[mine].tolist(), who[mine].tolist(), strict=True):
        names[record].append(name)
    return ids[hit], events(
        Op.QUARANTINE,
        ids[hit],
        actor=[some[0] for some in names.values()],
        reason=[f"a bad record, said {', '.join(some)}; {reason}" for some in names.values()],
    )


def _labels(
    dataset: Dataset, records: Ids, labels: Sequence[Any], who: npt.NDArray[Any], reason: str, method: Method
) -> pa.Table:
    """Return the events that set what answers agree on, where it differs from the label there is."""
    kind = dataset.schema.label
    numbers, texts = encode(dataset, labels, who=who.tolist())
    ids, first, at = np.unique(records, return_index=True, return_inverse=True)
    agreed: list[str] | None = None
    if kind.kind == "class":
        codes = np.nan_to_num(numbers, nan=-1).astype(np.int32)
        value = consensus(records, who.tolist(), codes, n_classes=len(kind.classes), method=method).label
        has = (value >= 0) & (value != dataset.view.label[ids])
    elif kind.kind == "number":
        value = _medians(at, numbers, len(ids))
        has = ~np.isnan(value) & (value != dataset.view.label[ids])
    else:
        value = np.full(len(ids), np.nan)
        has, agreed = _several(dataset, records, texts, who, method)
    # each record says how many answered it, or who alone did
    how = "median" if kind.kind == "number" else method.replace("_", "-")
    votes = np.bincount(at, minlength=len(ids))[has].tolist()
    alone = who[first][has].tolist()
    return events(
        Op.SET,
        ids[has],
        field=Field.LABEL,
        num=value[has].astype(np.float64),
        txt=agreed,
        actor=[name if n == 1 else f"{how} of {n}" for n, name in zip(votes, alone, strict=True)],
        reason=[reason if n == 1 else f"{reason}; {how} of {n} answers" for n in votes],
    )


def _several(
    dataset: Dataset, records: Ids, texts: Sequence[str | None], who: npt.NDArray[Any], method: Method
) -> tuple[Bools, list[str]]:
    """Return which records (sorted) get another set of classes, and these sets, as JSON texts."""
    classes = dataset.schema.label.classes
    ids = np.unique(records)
    told = np.array([text is not None for text in texts], bool)
    distinct, at = np.unique([text or "[]" for text in texts], return_inverse=True)
    inside = _members([json.loads(text) for text in distinct.tolist()], classes)
    now = np.zeros((len(ids), len(classes)), bool)
    decided = np.isin(ids, records[told])
    for c in np.flatnonzero(inside.any(axis=0)):
        found = consensus(
            records, who.tolist(), np.where(told, inside[at, c], -1).astype(np.int32), n_classes=2, method=method
        )
        now[:, c] = found.label == 1
        decided &= found.label >= 0
    _, first, row = np.unique(dataset.view.label[ids], return_index=True, return_inverse=True)
    old = dataset.labels(ids[first])
    none = np.array([label is None for label in old], bool)
    has = decided & (none[row] | (now != _members([label or [] for label in old], classes)[row]).any(axis=1))
    sets, which = np.unique(now[has], axis=0, return_inverse=True)
    known = [json.dumps([name for name, m in zip(classes, one, strict=True) if m]) for one in sets.tolist()]
    return has, [known[i] for i in which.ravel().tolist()]


def _members(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> Bools:
    """Return bool[n, k]: which classes each label names."""
    out = np.zeros((len(labels), len(classes)), bool)
    place = {name: i for i, name in enumerate(classes)}
    for i, names in enumerate(labels):
        out[i, [place[name] for name in names]] = True
    return out


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
