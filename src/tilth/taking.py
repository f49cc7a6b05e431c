"""From what people answered to the changes that follow; pure, so that a step that runs again gives the same."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import EVENT, Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.dataset.arrivals import arrivals
from tilth.dataset.readers import read
from tilth.dataset.view import ANSWERED
from tilth.errors import DataError
from tilth.labeling.consensus import answered, majority
from tilth.labeling.inbox import Drained
from tilth.protocols import Answers
from tilth.questions import Question

__all__ = ["approvals", "as_answers", "asked", "collected", "edited", "labels", "late", "picks"]

Ids = npt.NDArray[np.int64]


def asked(question: Question, ids: Ids | None = None) -> Changes:
    """Return the events that say that somebody was asked about records, and why."""
    return Changes(
        events(
            Op.ASK,
            question.records if ids is None else ids,
            actor=question.by.name,
            reason=question.reason,
            signal=question.signal,
            score=question.score if ids is None else None,
        )
    )


def as_answers(drained: Drained, *, cost: float) -> Answers:
    """Return what was taken from the inbox as an annotator's answers."""
    return Answers(
        drained.records,
        [json.loads(v) if v is not None else None for v in drained.values],
        drained.annotators,
        np.full(len(drained.records), cost),
        verdicts=drained.verdicts,
        seconds=drained.seconds,
        gold=np.array([g is not None for g in drained.gold], bool),
    )


def labels(dataset: Dataset, question: Question, answers: Answers) -> Changes:
    """Return answers as events, and the labels that they set."""
    return answered(dataset, answers, reason=question.reason)


def late(dataset: Dataset, changes: Changes) -> Changes:
    """Leave out what answers that came late must not change: labels of records that are gone or answered already."""
    view = dataset.view
    table = changes.events
    record, op = table["record_id"].to_numpy(), table["op"].to_numpy()
    open_ = view.alive & (view.asked != ANSWERED)
    keep = (op == Op.ANSWER) | open_[record]
    return Changes(table.filter(pa.array(keep)), changes.added, changes.revised)


def approvals(question: Question, drained: Drained) -> Changes:
    """Return those of the proposed changes that people approved, and what was said of each."""
    changes = question.changes or Changes.none()
    said: dict[int, list[Any]] = {}
    who: dict[int, list[str]] = {}
    for record, verdict, value, name in zip(
        drained.records.tolist(), drained.verdicts, drained.values, drained.annotators, strict=True
    ):
        said.setdefault(record, []).append(json.loads(value) if verdict == "answer" and value else None)
        who.setdefault(record, []).append(name)
    yes = np.array([r for r, votes in said.items() if majority(votes) == "yes"], np.int64)
    made = changes.only(yes)
    by = ", ".join(sorted({n for names in who.values() for n in names}))
    reasons = [f"{text or question.reason}; approved by {by}" for text in made.events["reason"].to_pylist()]
    at = EVENT.get_field_index("reason")
    made = Changes(made.events.set_column(at, "reason", pa.array(reasons, pa.string())), made.added, made.revised)
    parents = changes.parents()
    about = np.array([r if r >= 0 else parents[-r - 1] for r in drained.records.tolist()], np.int64)
    texts = [
        json.dumps({"do": question.wanted, "say": json.loads(v) if v else verdict})
        for v, verdict in zip(drained.values, drained.verdicts, strict=True)
    ]
    on = about >= 0  # a new record that derives from none has no history to say it in
    review = events(
        Op.ANSWER,
        about[on],
        field=Field.REVIEW,
        txt=[t for t, o in zip(texts, on, strict=True) if o],
        actor=[n for n, o in zip(drained.annotators, on, strict=True) if o],
        reason=question.reason,
        cost=np.full(int(on.sum()), getattr(question.by, "cost", 0.0)),
    )
    return Changes.join([made, Changes(review)])


def picks(dataset: Dataset, question: Question, answers: Answers) -> Changes:
    """Return what was said of each record that was put forward; the records themselves stay as they are."""
    del dataset
    verdicts = answers.verdicts or ["cannot_tell" if label is None else "answer" for label in answers.labels]
    texts: list[str] = []
    for label, verdict, name in zip(answers.labels, verdicts, answers.annotators, strict=True):
        if verdict == "answer" and label not in ("yes", "no"):
            raise DataError(f"{name} answered {label!r} where records are picked; the answer is 'yes' or 'no'")
        texts.append(json.dumps({"do": question.wanted, "say": label if verdict == "answer" else verdict}))
    return Changes(
        events(
            Op.ANSWER,
            answers.records,
            field=Field.REVIEW,
            txt=texts,
            actor=list(answers.annotators),
            reason=question.reason,
            cost=answers.costs,
        )
    )


def edited(dataset: Dataset, question: Question, drained: Drained) -> Changes:
    """Return the new contents that people gave; the last answer about a record counts."""
    given: dict[int, tuple[dict[str, Any], str]] = {}
    for record, verdict, value, name in zip(
        drained.records.tolist(), drained.verdicts, drained.values, drained.annotators, strict=True
    ):
        if verdict == "answer" and value:
            given[record] = (json.loads(value), name)
    view = dataset.view
    given = {r: g for r, g in given.items() if 0 <= r < len(view) and view.alive[r]}
    ids = np.array(list(given), np.int64)
    schema = dataset.schema
    table = dataset.features(ids, schema.names)
    for column in schema.columns:
        if not any(column.name in new for new, _ in given.values()):
            continue
        old = table[column.name].to_pylist()
        new = [g.get(column.name, o) for (g, _), o in zip(given.values(), old, strict=True)]
        try:
            values = pa.array(new, column.arrow)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as why:
            raise DataError(f"column {column.name!r} takes {column.kind}s; what was entered is none: {why}") from why
        table = table.set_column(table.column_names.index(column.name), column.name, values)
    before = dataset.features(ids, schema.names)
    differs = np.array([a != b for a, b in zip(before.to_pylist(), table.to_pylist(), strict=True)], bool)
    revised = table.append_column("record_id", pa.array(ids))
    recipes = [json.dumps({"edited by": name}) for _, name in given.values()]
    reasons = [f"{question.reason}; edited by {name}" for _, name in given.values()]
    revised = revised.append_column("recipe", pa.array(recipes, pa.string()))
    revised = revised.append_column("reason", pa.array(reasons, pa.string())).filter(pa.array(differs))
    return Changes(EVENT.empty_table(), None, revised if revised.num_rows else None)


def collected(dataset: Dataset, question: Question, drained: Drained) -> tuple[Changes, list[str]]:
    """Return the records that people brought, and why others of them cannot enter."""
    rows: list[dict[str, Any]] = []
    who: dict[str, str] = {}
    refused: list[str] = []
    for n, (verdict, value, name) in enumerate(zip(drained.verdicts, drained.values, drained.annotators, strict=True)):
        if verdict != "answer" or not value:
            continue
        try:
            row = _row(dataset, json.loads(value))
        except DataError as why:
            refused.append(f"{name}: {why}")
            continue
        row["key"] = row.get("key") or f"{question.by.name}/{drained.keys[n]}"
        who[row["key"]] = name
        rows.append(row)
    if not rows:
        return Changes.none(), refused
    there = dataset.find([r["key"] for r in rows])
    refused += [
        f"{who[r['key']]}: there is a record {r['key']!r} already" for r, t in zip(rows, there, strict=True) if t >= 0
    ]
    rows = [r for r, t in zip(rows, there, strict=True) if t < 0]
    if not rows:
        return Changes.none(), refused
    names = ["key", "label", *dataset.schema.names]
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    found = read(table, schema=dataset.schema, key="key", label="label", on_error="quarantine")
    refused += [f"{who.get(r['key'], '')}: {r['reason']}" for r in found.rejected.to_pylist()]
    changes = arrivals(found, splits={"train": 1.0}, stratify=False, seed=0)
    keys = found.table["key"].to_pylist()
    born = events(Op.ADD, -1 - np.arange(len(keys)), actor=[who[k] for k in keys], reason=question.reason)
    return Changes(born, changes.added), refused


def _row(dataset: Dataset, given: Mapping[str, Any]) -> dict[str, Any]:
    row = {"key": given.get("key"), "label": given.get("label")}
    for column in dataset.schema.columns:
        value = given.get(column.name)
        if value is None:
            raise DataError(f"column {column.name!r} is missing; a record has {', '.join(dataset.schema.names)}")
        if column.kind in ("image", "audio"):
            try:
                value = base64.b64decode(value, validate=True)
            except (binascii.Error, TypeError, ValueError) as why:
                raise DataError(f"column {column.name!r} is no base64 text of an {column.kind} file: {why}") from why
        row[column.name] = value
    return row
