"""What changed, when and why: one record's history, the difference of two versions, and how to undo."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Changes, Field, Op, events
from tilth.dataset.core import Core
from tilth.dataset.log import Commit
from tilth.dataset.schema import SPLITS
from tilth.dataset.view import ANSWERED, PENDING

__all__ = ["DIFF", "Event", "decode", "diff", "history", "restoring", "reverting"]

Ids = npt.NDArray[np.int64]

_FIELDS = {Field.LABEL: "label", Field.WEIGHT: "weight", Field.SPLIT: "split", Field.PAYLOAD: "content"}
_OPS = {Op.ADD: "added", Op.REMOVE: "removed", Op.ASK: "asked", Op.ANSWER: "answered", Op.WITHDRAW: "withdrawn"}

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
"""A row a record and part of it that differs; `version`, `rule` and the rest are those of the last event that made it so."""


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
    commits = {c.txn: c for c in core.log.commits[: version + 1]}
    table = core.store.events_of(record)
    rows = [row for row in table.to_pylist() if row["txn"] in commits]
    rows.sort(key=lambda row: commits[row["txn"]].version)
    out: list[Event] = []
    birth = _birth(core, record, version)
    told = any(r["op"] == Op.ADD and commits[r["txn"]].version == birth.version for r in rows)
    if not told:
        label0 = core.store.payload.take(np.array([record]), ["label0"])["label0"].to_numpy(zero_copy_only=False)
        label = decode(core, Field.LABEL, label0)[0] if core.schema.label.kind != "classes" else _json(label0[0])
        out.append(_event(birth, "added", None, label, birth.message, {}))
    for row in rows:
        commit = commits[row["txn"]]
        op, field = row["op"], row["field"]
        if op == Op.SET:
            before, after = decode(core, field, np.array([row["old_num"], row["new_num"]], np.float64))
            out.append(_event(commit, _FIELDS[Field(field)], before, after, row["reason"], row))
        else:
            said = _json(row["new_txt"]) if op in (Op.ANSWER, Op.ADD) else None
            out.append(_event(commit, _OPS[Op(op)], None, said, row["reason"], row))
    return out


def diff(core: Core, a: int, b: int) -> pa.Table:
    """Return what differs between version a and a later version b, as a table of schema `DIFF`."""
    before, after = core.view(a), core.view(b)
    n = len(after)
    table = core.events(a, b, ["record_id", "op", "field", "reason", "actor", "signal", "score", "txn"])
    ids = table["record_id"].to_numpy()
    what = np.where(table["op"].to_numpy() == Op.SET, table["field"].to_numpy() + 10, table["op"].to_numpy())
    versions = {c.txn: c.version for c in core.log.commits[a + 1 : b + 1]}
    parts: list[pa.Table] = []
    old_n = len(before)

    def grown(array: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
        return np.concatenate([array, np.full(n - old_n, fill, array.dtype)]) if n > old_n else array

    def add(name: str, changed: Ids, codes: tuple[int, ...], was: list[Any], now: list[Any]) -> None:
        if len(changed) == 0:
            return
        last = np.full(n, -1, np.int64)
        rows = np.flatnonzero(np.isin(what, codes))
        last[ids[rows]] = rows
        rows = last[changed]
        known = rows >= 0
        near = table.take(pa.array(np.where(known, rows, 0))) if table.num_rows else None
        births = _births(core, changed, b) if not known.all() else np.zeros(len(changed), np.int64)
        version = np.array([versions.get(t, -1) for t in near["txn"].to_pylist()]) if near is not None else births
        version = np.where(known, version, births)
        commits = core.log.commits
        said = near["reason"].to_pylist() if near is not None else [""] * len(changed)

        def evidence(column: str) -> pa.Array:
            kind = DIFF.field(column).type
            if near is None:
                return pa.nulls(len(changed), kind)
            return pa.array(np.where(known, np.array(near[column].to_pylist(), object), None).tolist(), kind)

        parts.append(
            pa.table(
                {
                    "record_id": changed,
                    "key": core.keys(changed),
                    "what": [name] * len(changed),
                    "before": [_text(v) for v in was],
                    "after": [_text(v) for v in now],
                    "version": version,
                    "rule": [commits[v].rule for v in version],
                    "reason": [s if k else commits[v].message for s, k, v in zip(said, known, version, strict=True)],
                    "actor": evidence("actor"),
                    "signal": evidence("signal"),
                    "score": evidence("score"),
                },
                schema=DIFF,
            )
        )

    was_alive = grown(before.alive, False)
    born = np.flatnonzero(after.alive & ~was_alive)
    gone = np.flatnonzero(was_alive & ~after.alive)
    add("added", born, (Op.ADD,), [None] * len(born), decode(core, Field.LABEL, after.label[born]))
    add("removed", gone, (Op.REMOVE,), decode(core, Field.LABEL, grown(before.label, 0)[gone]), [None] * len(gone))
    both = was_alive & after.alive
    for field, name in (
        (Field.LABEL, "label"),
        (Field.WEIGHT, "weight"),
        (Field.SPLIT, "split"),
        (Field.PAYLOAD, "content"),
    ):
        array = "payload" if field == Field.PAYLOAD else name
        old, new = grown(getattr(before, array), 0), getattr(after, array)
        same = (old == new) | ((old != old) & (new != new))  # NaN is no label, before and after
        hit = np.flatnonzero(both & ~same)
        add(name, hit, (10 + field,), decode(core, field, old[hit]), decode(core, field, new[hit]))
    asked = grown(before.asked, 0)
    for state, name in ((PENDING, "asked"), (ANSWERED, "answered")):
        hit = np.flatnonzero((after.asked == state) & (asked != state))
        code = Op.ASK if state == PENDING else Op.ANSWER
        add(name, hit, (code,), [None] * len(hit), [None] * len(hit))
    return (
        pa.concat_tables(parts).sort_by([("version", "ascending"), ("key", "ascending")])
        if parts
        else DIFF.empty_table()
    )


def reverting(core: Core, version: int, *, hold: bool = False) -> tuple[Changes, dict[str, int]]:
    """Return the inverse of one version, leaving alone records that later versions touched and what people answered.

    The counts say what is `undone`, `kept` (labels that people gave; with `hold` these are set back too, the answers themselves
    stay) and `touched` (changed again later).
    """
    head = core.log.head
    commit = core.log.get(version)
    table = core.events(version - 1, version, ["record_id", "op", "field", "old_num", "new_num", "txn"])
    later = (
        core.events(version, head, ["record_id", "txn"])["record_id"].to_numpy()
        if version < head
        else np.empty(0, np.int64)
    )
    ids, op, field = (table[name].to_numpy() for name in ("record_id", "op", "field"))
    born = np.arange(commit.payload_start, commit.payload_start + commit.n_added)
    touched = np.isin(ids, later)
    answered = np.isin(ids, ids[op == Op.ANSWER])
    kept = answered & (op == Op.SET) & (field == Field.LABEL) & (not hold)
    free = ~touched & ~kept
    view = core.view(head)
    parts: list[pa.Table] = []
    message = f"version {version} undone"
    gone = np.unique(np.concatenate([born[~np.isin(born, later)], ids[free & (op == Op.ADD)]]))
    gone = gone[view.alive[gone]]
    parts.append(events(Op.REMOVE, gone, reason=message))
    back = np.unique(ids[free & (op == Op.REMOVE)])
    parts.append(events(Op.ADD, back, reason=message))
    for which in _FIELDS:
        hit = np.flatnonzero(free & (op == Op.SET) & (field == which) & ~np.isin(ids, born))
        rec, first = np.unique(ids[hit], return_index=True)
        parts.append(events(Op.SET, rec, field=which, num=table["old_num"].to_numpy()[hit[first]], reason=message))
    asked = np.unique(ids[free & (op == Op.ASK)])
    asked = asked[view.asked[asked] == PENDING]
    parts.append(events(Op.WITHDRAW, asked, reason=message))
    counts = {
        "undone": len(gone) + len(back) + sum(p.num_rows for p in parts[2:]),
        "kept": int(kept.sum()),
        "touched": len(np.unique(ids[touched])),
    }
    return Changes(pa.concat_tables(parts)), counts


def restoring(core: Core, version: int) -> tuple[Changes, dict[str, int]]:
    """Return the changes that bring the head back to a version; labels that people gave since then stay."""
    head = core.log.head
    target, view = core.view(version), core.view(head)
    n, old = len(view), len(target)
    message = f"back to version {version}"

    def past(name: str, fill: Any) -> npt.NDArray[Any]:
        array = getattr(target, name)
        return np.concatenate([array, np.full(n - old, fill, array.dtype)]) if n > old else array

    was = past("alive", False)
    gone, back = np.flatnonzero(view.alive & ~was), np.flatnonzero(was & ~view.alive)
    parts = [events(Op.REMOVE, gone, reason=message), events(Op.ADD, back, reason=message)]
    given = (view.asked == ANSWERED) & (past("asked", 0) != ANSWERED)
    kept = 0
    for which, name in (
        (Field.LABEL, "label"),
        (Field.WEIGHT, "weight"),
        (Field.SPLIT, "split"),
        (Field.PAYLOAD, "payload"),
    ):
        then, now = past(name, 0), getattr(view, name)
        differs = _known_then(target, n) & (then != now) & ~((then != then) & (now != now))
        if which == Field.LABEL:
            kept = int((differs & given).sum())
            differs &= ~given
        hit = np.flatnonzero(differs)
        parts.append(events(Op.SET, hit, field=which, num=then[hit].astype(np.float64), reason=message))
    asked = np.flatnonzero((view.asked == PENDING) & (past("asked", 0) != PENDING))
    parts.append(events(Op.WITHDRAW, asked, reason=message))
    counts = {"removed": len(gone), "restored": len(back), "set": sum(p.num_rows for p in parts[2:-1]), "kept": kept}
    return Changes(pa.concat_tables(parts)), counts


def _known_then(target: Any, n: int) -> npt.NDArray[np.bool_]:
    """bool[n]: records that the earlier view knew."""
    return np.concatenate([target.known, np.zeros(n - len(target), bool)])


def _birth(core: Core, record: int, version: int) -> Commit:
    return core.log.commits[int(_births(core, np.array([record]), version)[0])]


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
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
