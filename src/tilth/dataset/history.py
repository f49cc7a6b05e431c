"""What changed, when and why: one record's history, the difference of two versions, and how to undo."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.changes import Field, Op
from tilth.dataset.core import Core
from tilth.dataset.log import Commit
from tilth.dataset.schema import SPLITS
from tilth.dataset.view import ANSWERED, PENDING

__all__ = ["ARRAYS", "DIFF", "Event", "decode", "diff", "differing", "history", "touched"]

Ids = npt.NDArray[np.int64]

_FIELDS = {Field.LABEL: "label", Field.WEIGHT: "weight", Field.SPLIT: "split", Field.PAYLOAD: "content"}
ARRAYS = {Field.LABEL: "label", Field.WEIGHT: "weight", Field.SPLIT: "split", Field.PAYLOAD: "payload"}
"""The array of a view that holds a field."""
_OPS = {
    Op.ADD: "added",
    Op.REMOVE: "removed",
    Op.ASK: "asked",
    Op.ANSWER: "answered",
    Op.WITHDRAW: "withdrawn",
    Op.QUARANTINE: "quarantined",
}
_ANSWERS = {Field.NONE: "answered", Field.GOLD: "gold answer", Field.REVIEW: "reviewed"}

DIFF = pa.schema(
    [
        ("record_id", pa.int64()),
        ("key", pa.string()),
        ("what", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
        ("version", pa.int64()),
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("actor", pa.string()),
        ("signal", pa.string()),
        ("score", pa.float64()),
    ]
)
"""A row a record and part of it that differs; `version`, `rule` and the rest are those of the event that made it so."""
_EVIDENCE = ("reason", "actor", "signal", "score")
_SET = 10
"""What is added to a field's number, so that it differs from every op."""


@dataclass(frozen=True)
class Event:
    """One thing that happened to a record: when, what, by which rule and person, and on what evidence."""

    version: int
    time: float
    what: str
    before: Any
    after: Any
    rule: str
    round: int
    run: str
    reason: str
    actor: str | None
    model: str | None
    signal: str | None
    score: float | None
    cost: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {k: v for k, v in self.__dict__.items() if v is not None and v != "" and v != -1}


def decode(core: Core, field: int, values: npt.NDArray[Any]) -> list[Any]:
    """Return stored numbers as a user knows them: class names, lists of names, numbers, split names; None = none."""
    if field == Field.SPLIT:
        return [None if np.isnan(v) else SPLITS[int(v)] for v in values]
    if field != Field.LABEL:
        return [None if np.isnan(v) else float(v) for v in values]
    kind = core.schema.label
    if kind.kind == "number":
        return [None if np.isnan(v) else float(v) for v in values]
    if kind.kind == "class":
        names = kind.classes
        return [None if np.isnan(v) or v < 0 else names[int(v)] for v in values]
    rows = np.nan_to_num(np.asarray(values, np.float64), nan=-1).astype(np.int64)
    distinct, at = np.unique(rows[rows >= 0], return_inverse=True)
    texts = [json.loads(t) for t in core.store.label_values(distinct)]
    out: list[Any] = [None] * len(rows)
    for i, k in zip(np.flatnonzero(rows >= 0), at, strict=True):
        out[i] = texts[k]
    return out


def history(core: Core, record: int, version: int) -> list[Event]:
    """Return all that happened to a record up to a version, oldest first."""
    commits, made = core.log.commits, core.log.txns
    rows = core.events_of(record, version)
    out: list[Event] = []
    birth = commits[int(_births(core, np.array([record]), version)[0])]
    told = any(r["op"] == Op.ADD and made[r["txn"]] == birth.version for r in rows)
    if not told:
        label0 = core.store.payload.take(np.array([record]), ["label0"])["label0"].to_numpy(zero_copy_only=False)
        label = decode(core, Field.LABEL, label0)[0] if core.schema.label.kind != "classes" else _json(label0[0])
        out.append(_event(birth, "added", None, label, birth.message, {}))
    for row in rows:
        commit = commits[made[row["txn"]]]
        op, field = row["op"], row["field"]
        if op == Op.SET:
            before, after = decode(core, field, np.array([row["old_num"], row["new_num"]], np.float64))
            out.append(_event(commit, _FIELDS[Field(field)], before, after, row["reason"], row))
        else:
            said = _json(row["new_txt"]) if op in (Op.ANSWER, Op.ADD) else None
            what = _ANSWERS[Field(field)] if op == Op.ANSWER else _OPS[Op(op)]
            out.append(_event(commit, what, None, said, row["reason"], row))
    return out


def diff(core: Core, a: int, b: int) -> pa.Table:
    """Return what differs between two versions, as a table of schema `DIFF`."""
    if a > b:
        turned = diff(core, b, a)
        names = {"before": "after", "after": "before"}
        what = {"added": "removed", "removed": "added", "quarantined": "added"}
        bad = set(np.flatnonzero(core.view(b).quarantined).tolist())
        told = pa.array(
            [
                "quarantined" if w == "added" and i in bad else what.get(w, w)
                for i, w in zip(turned["record_id"].to_pylist(), turned["what"].to_pylist(), strict=True)
            ],
            pa.string(),
        )
        turned = turned.set_column(DIFF.get_field_index("what"), "what", told)
        return turned.rename_columns([names.get(n, n) for n in DIFF.names]).select(DIFF.names)
    before, after = core.view(a), core.view(b)
    n, old = len(after), len(before)
    table = core.events(a, b, ["record_id", "op", "field", "txn", *_EVIDENCE])
    ids = table["record_id"].to_numpy()
    ops, about = table["op"].to_numpy(), table["field"].to_numpy()
    # a gold answer and a review are no answer to the question that made a record answered
    what = np.where((ops == Op.SET) | ((ops == Op.ANSWER) & (about != Field.NONE)), about + _SET, ops)
    parts: list[pa.Table] = [DIFF.empty_table()]

    def grown(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.concatenate([array, np.zeros(n - old, array.dtype)]) if n > old else array

    def add(name: str, changed: Ids, code: int, was: pa.Array | None, now: pa.Array | None) -> None:
        if len(changed):
            last = np.full(n, -1, np.int64)
            rows = np.flatnonzero(what == code)
            last[ids[rows]] = rows
            parts.append(_differing(core, b, name, changed, table, last[changed], was, now))

    was_alive = grown(before.alive)
    born = np.flatnonzero(after.alive & ~was_alive)
    gone = np.flatnonzero(was_alive & ~after.alive)
    add("added", born, Op.ADD, None, _told(core, Field.LABEL, after.label[born]))
    bad = after.quarantined[gone]
    for ids_gone, name, code in ((gone[~bad], "removed", Op.REMOVE), (gone[bad], "quarantined", Op.QUARANTINE)):
        add(name, ids_gone, code, _told(core, Field.LABEL, grown(before.label)[ids_gone]), None)
    both = was_alive & after.alive
    for field, name in _FIELDS.items():
        array = ARRAYS[field]
        then, now = grown(getattr(before, array)), getattr(after, array)
        hit = np.flatnonzero(both & differing(then, now))
        told = _told(core, field, then[hit]), _told(core, field, now[hit])
        if field == Field.LABEL and core.schema.label.kind == "classes":  # another row, but the same label
            other = np.array([x != y for x, y in zip(told[0].to_pylist(), told[1].to_pylist(), strict=True)], bool)
            hit, told = hit[other], (told[0].filter(pa.array(other)), told[1].filter(pa.array(other)))
        add(name, hit, _SET + field, *told)
    asked = grown(before.asked)
    for state, name, code in ((PENDING, "asked", Op.ASK), (ANSWERED, "answered", Op.ANSWER)):
        add(name, np.flatnonzero((after.asked == state) & (asked != state)), code, None, None)
    return pa.concat_tables(parts).sort_by([("version", "ascending"), ("key", "ascending")])


def touched(core: Core, versions: Iterable[int]) -> Ids:
    """Return the ids, ascending, of the records that came in some versions, or that their events speak of."""
    commits = [core.log.get(v) for v in sorted(set(versions))]
    found = [np.arange(c.payload_start, c.payload_start + c.n_added, dtype=np.int64) for c in commits]
    spoken = [core.events(c.version - 1, c.version, ["record_id", "txn"]) for c in commits if c.n_events]
    found += [events["record_id"].to_numpy() for events in spoken]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def differing(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where two arrays differ; NaN, no label, is equal to NaN."""
    return (a != b) & ((a == a) | (b == b))


def _differing(
    core: Core,
    version: int,
    name: str,
    changed: Ids,
    table: pa.Table,
    rows: Ids,
    was: pa.Array | None,
    now: pa.Array | None,
) -> pa.Table:
    """Return a row of `DIFF` for each record in `changed`; `rows`: the events that made it so, -1 = it was imported."""
    known = rows >= 0
    near = table.take(pa.array(rows[known]))
    versions = np.empty(len(rows), np.int64)
    versions[known] = [core.log.txns[txn] for txn in near["txn"].to_pylist()]
    versions[~known] = _births(core, changed[~known], version)
    place = pa.array(np.cumsum(known) - 1, mask=~known)
    distinct, at = np.unique(versions, return_inverse=True)
    commits = [core.log.commits[v] for v in distinct]
    evidence = {column: near[column].combine_chunks().take(place) for column in _EVIDENCE}
    message = pa.array([c.message for c in commits], pa.string()).take(pa.array(at))
    empty = pc.equal(pc.fill_null(evidence["reason"], ""), "")
    none = pa.nulls(len(changed), pa.string())
    values: dict[str, Any] = evidence | {
        "record_id": changed,
        "key": core.keys(changed),
        "what": pa.repeat(pa.scalar(name, pa.string()), len(changed)),
        "before": none if was is None else was,
        "after": none if now is None else now,
        "version": versions,
        "rule": pa.array([c.rule for c in commits], pa.string()).take(pa.array(at)),
        "reason": pc.if_else(empty, message, evidence["reason"]),
    }
    return pa.table({column: values[column] for column in DIFF.names}, schema=DIFF)


def _told(core: Core, field: int, values: npt.NDArray[Any]) -> pa.Array:
    """Return stored numbers as texts for a person; null = none."""
    distinct, at = np.unique(values, return_inverse=True)
    return pa.array([_text(v) for v in decode(core, field, distinct)], pa.string()).take(pa.array(at))


def _births(core: Core, ids: Ids, version: int) -> Ids:
    """Return the version in which each record came."""
    commits = [c for c in core.log.commits[: version + 1] if c.n_added]
    starts = np.array([c.payload_start for c in commits])
    order = np.argsort(starts)
    at = order[np.searchsorted(starts[order], ids, "right") - 1]
    return np.array([c.version for c in commits])[at]


def _event(commit: Commit, what: str, before: Any, after: Any, reason: str, row: Mapping[str, Any]) -> Event:
    score = row.get("score")
    return Event(
        commit.version,
        commit.time,
        what,
        before,
        after,
        commit.rule,
        commit.round,
        commit.run,
        reason or commit.message,
        row.get("actor") or commit.actor or None,
        row.get("model"),
        row.get("signal"),
        score,
        row.get("cost"),
    )


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value:.15g}" if isinstance(value, float) else json.dumps(value)
