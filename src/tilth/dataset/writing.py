"""The one writer: checks what was proposed, appends it, and makes it a version by one file in the commit log."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.changes import EVENT, Changes, Field, Op, events
from tilth.dataset.core import Core
from tilth.dataset.hashing import content_hashes
from tilth.dataset.log import Commit
from tilth.dataset.schema import SPLITS
from tilth.dataset.splits import key_hashes
from tilth.dataset.store import payload_schema
from tilth.dataset.view import View
from tilth.errors import Conflict, UsageError

__all__ = ["write"]

Ids = npt.NDArray[np.int64]


def write(
    core: Core,
    changes: Changes,
    *,
    key: str | None,
    base: int | None,
    on_conflict: Literal["raise", "skip"] = "raise",
    follow: bool = True,
    meta: Mapping[str, Any] | None = None,
    **about: Any,
) -> Commit:
    """Make `changes` the next version; see `Dataset.commit`. `follow`: derived records follow their sources."""
    log = core.log
    log.refresh()
    key = key or f"commit-{secrets.token_hex(8)}"
    base = log.head if base is None else base
    while True:
        if key in log.keys:
            return log.commits[log.keys[key]]
        head = log.head
        skipped = 0
        todo = changes
        if head > base:
            todo, skipped = _rebase(core, todo, base, head, on_conflict)
        if head >= 0 and todo.events.num_rows == 0 and todo.added is None and todo.revised is None:
            return log.commits[head]
        txn = secrets.randbits(62) | 1
        said = dict(meta or {}) | ({"conflicts": skipped} if skipped else {})
        commit = _append(
            core, todo, head, Commit(head + 1, key, txn, head, time.time(), meta=said, **about), follow=follow
        )
        if log.append(commit, sync=core.store.sync):
            core.checkpoint()
            return commit
        # another writer was first: what was appended stays unread, and the changes are checked against the new head


def _rebase(core: Core, changes: Changes, base: int, head: int, on_conflict: str) -> tuple[Changes, int]:
    """Drop or refuse changes on records that others changed after `base`."""
    theirs = np.unique(core.events(base, head, ["record_id", "txn"])["record_id"].to_numpy())
    ids = changes.events["record_id"].to_numpy()
    hit = np.isin(ids, theirs)
    revised = changes.revised
    hit_revised = np.isin(revised["record_id"].to_numpy(), theirs) if revised is not None else np.empty(0, bool)
    lost = np.unique(
        np.concatenate([ids[hit], revised["record_id"].to_numpy()[hit_revised] if revised is not None else ids[:0]])
    )
    if len(lost) == 0:
        return changes, 0
    if on_conflict == "raise":
        names = ", ".join(core.keys(lost[:3]))
        raise Conflict(
            f"{len(lost)} records ({names}{', ...' if len(lost) > 3 else ''}) were changed by others in versions {base + 1} to {head}, "
            f"after version {base} on which these changes rest. Propose them again on version {head}",
            lost.tolist(),
        )
    kept = revised.filter(pa.array(~hit_revised)) if revised is not None else None
    return Changes(changes.events.filter(pa.array(~hit)), changes.added, kept), len(lost)


def _append(core: Core, changes: Changes, head: int, commit: Commit, *, follow: bool) -> Commit:
    """Append payload, labels and events under the commit's txn; return the commit with its blocks filled in."""
    store = core.store
    view = core.view(head) if head >= 0 else View.empty(core.schema.label)
    table = _check(core, view, changes)
    added, revived, ids = _added(core, changes, head)
    if follow and head >= 0:
        table = _follow(core, table, head)
    payload = _payload(core, view, added, changes.revised, commit.txn)
    start = store.append_payload(payload, commit.txn) if payload is not None else 0
    n_added = added.num_rows if added is not None else 0
    n_revised = changes.revised.num_rows if changes.revised is not None else 0

    if added is not None:
        ids[ids < 0] = start + np.arange(n_added)
    table = _resolved(table, ids)
    if len(revived):
        table = pa.concat_tables([events(Op.ADD, revived, reason="added again"), table])
    if changes.revised is not None:
        rows = np.arange(start + n_added, start + n_added + n_revised)
        new = events(
            Op.SET, changes.revised["record_id"].to_numpy(), field=Field.PAYLOAD, num=rows, reason=commit.message
        )
        if "reason" in changes.revised.column_names:
            new = new.set_column(EVENT.get_field_index("reason"), "reason", changes.revised["reason"])
        table = pa.concat_tables([table, new])
    if core.schema.label.kind == "classes":
        table = _structured(core, table, added, start, commit.txn)
    table = _with_old(table, view)
    at = store.append_events(table, commit.txn) if table.num_rows else 0
    derived = added is not None and "parent" in added.column_names and pc.max(added["parent"]).as_py() >= 0
    return replace(
        commit,
        events_start=at,
        n_events=table.num_rows,
        payload_start=start,
        n_added=n_added,
        n_revised=n_revised,
        meta={**commit.meta, **({"derived": True} if derived else {})},
    )


def _check(core: Core, view: View, changes: Changes) -> pa.Table:
    """Refuse events that no record, label, weight or split of this dataset can have."""
    table = changes.events
    ids = table["record_id"].to_numpy()
    n_new = changes.added.num_rows if changes.added is not None else 0
    revised = changes.revised["record_id"].to_numpy() if changes.revised is not None else ids[:0]
    every = np.concatenate([ids, revised])
    wrong = (every < -n_new) | (every >= len(view))
    real = every[(every >= 0) & ~wrong]
    if wrong.any() or not view.known[real].all():
        bad = every[wrong].tolist() + real[~view.known[real]].tolist()
        raise UsageError(
            f"record ids {bad[:5]} are not in version {view.version}; use ids of `Dataset.ids(keys)` or of a selector"
        )
    op, field, new = table["op"].to_numpy(), table["field"].to_numpy(), table["new_num"].to_numpy()
    is_set = op == Op.SET
    kind = core.schema.label
    codes = new[is_set & (field == Field.LABEL)]
    if (
        kind.kind == "class"
        and len(codes)
        and not ((codes >= -1) & (codes < len(kind.classes)) & (codes % 1 == 0)).all()
    ):
        raise UsageError(
            f"labels are codes from 0 to {len(kind.classes) - 1} (-1 = none), got {codes.min():g} to {codes.max():g}"
        )
    weights = new[is_set & (field == Field.WEIGHT)]
    if len(weights) and not (np.isfinite(weights) & (weights >= 0)).all():
        raise UsageError(f"weights are finite numbers of 0 or more, got {weights.min()} to {weights.max()}")
    splits = new[is_set & (field == Field.SPLIT)]
    if len(splits) and not np.isin(splits, range(len(SPLITS))).all():
        raise UsageError(f"splits are positions in {SPLITS}, got {splits.min():g} to {splits.max():g}")
    return table


def _added(core: Core, changes: Changes, head: int) -> tuple[pa.Table | None, Ids, Ids]:
    """Sort the records to add into new ones and ones that were removed before: (new rows, revived ids, id of row i or -1)."""
    table = changes.added
    if table is None or table.num_rows == 0:
        return None, np.empty(0, np.int64), np.empty(0, np.int64)
    keys = table["key"].to_pylist()
    if len(set(keys)) != len(keys):
        raise UsageError(f"two of the {len(keys)} new records have the same key; keys must differ")
    ids = core.find(keys, head) if head >= 0 else np.full(len(keys), -1, np.int64)
    there = ids >= 0
    if not there.any():
        return table, ids[:0], ids
    living = there & core.view(head).alive[np.where(there, ids, 0)]
    foreign = (
        there
        & ~living
        & (np.array([r is None for r in table["recipe"].to_pylist()]) if "recipe" in table.column_names else True)
    )
    if living.any() or foreign.any():
        some = [keys[i] for i in np.flatnonzero(living | foreign)[:3]]
        raise Conflict(
            f"{int((living | foreign).sum())} of the new records have keys that the dataset has already ({', '.join(some)}); "
            "leave them out, give other keys, or restore() what was removed",
            ids[living | foreign].tolist(),
        )
    fresh = table.filter(pa.array(~there))
    return (fresh if fresh.num_rows else None), ids[there], ids


def _resolved(table: pa.Table, ids: Ids) -> pa.Table:
    """Replace -(i + 1) by the id that new record i has got."""
    record = table["record_id"].to_numpy()
    if not (record < 0).any():
        return table
    return table.set_column(
        0, "record_id", pa.array(np.where(record < 0, ids[np.where(record < 0, -record - 1, 0)], record))
    )


def _follow(core: Core, table: pa.Table, head: int) -> pa.Table:
    """Add what derived records do because their source was removed or got a label: they follow it in the same commit."""
    op, field = table["op"].to_numpy(), table["field"].to_numpy()
    moves = (op == Op.REMOVE) | ((op == Op.SET) & (field == Field.LABEL))
    if not moves.any():
        return table
    leading = table.filter(pa.array(moves))
    child, parent = core.children(np.unique(leading["record_id"].to_numpy()), head)
    alive = core.view(head).alive[child]
    child, parent = child[alive], parent[alive]
    if len(child) == 0:
        return table
    order = np.argsort(leading["record_id"].to_numpy(), kind="stable")
    source = leading["record_id"].to_numpy()[order]
    first, last = np.searchsorted(source, parent, "left"), np.searchsorted(source, parent, "right")
    rows = np.concatenate([order[a:b] for a, b in zip(first, last, strict=True)])
    children = np.repeat(child, last - first)
    copied = leading.take(pa.array(rows)).set_column(0, "record_id", pa.array(children))
    said = {
        (r, o, f) for r, o, f in zip(table["record_id"].to_numpy().tolist(), op.tolist(), field.tolist(), strict=True)
    }
    fresh = [
        triple not in said
        for triple in zip(
            children.tolist(), copied["op"].to_numpy().tolist(), copied["field"].to_numpy().tolist(), strict=True
        )
    ]
    reasons = pc.binary_join_element_wise(pa.scalar("follows its source: "), copied["reason"], "")
    copied = copied.set_column(EVENT.get_field_index("reason"), "reason", reasons.cast(pa.string()))
    return pa.concat_tables([table, copied.filter(pa.array(fresh))])


def _payload(core: Core, view: View, added: pa.Table | None, revised: pa.Table | None, txn: int) -> pa.Table | None:
    """Return new payload rows: first the new records, then the new contents of old ones."""
    schema = payload_schema(core.schema)
    parts: list[pa.Table] = []
    if added is not None:
        parts.append(_rows(core, added, schema, txn, revises=np.full(added.num_rows, -1)))
    if revised is not None and revised.num_rows:
        ids = revised["record_id"].to_numpy()
        if len(np.unique(ids)) != len(ids):
            raise UsageError("two new contents for one record; give each record one")
        keys = core.store.payload.take(ids, ["key", "parent", "label0", "split0"])
        for name in keys.column_names:
            revised = revised.append_column(name, keys[name])
        parts.append(_rows(core, revised, schema, txn, revises=ids))
    return pa.concat_tables(parts) if parts else None


def _rows(core: Core, table: pa.Table, schema: pa.Schema, txn: int, *, revises: Ids) -> pa.Table:
    n = table.num_rows
    missing = [name for name in core.schema.names if name not in table.column_names]
    if missing:
        raise UsageError(
            f"new records lack the columns {', '.join(missing)}; every record has {', '.join(core.schema.names)}"
        )
    given = {name: table[name] for name in table.column_names}
    own: dict[str, Any] = {
        "key_hash": key_hashes(table["key"]),
        "content_hash": content_hashes(
            table.select(core.schema.names).cast(pa.schema([schema.field(c) for c in core.schema.names])), core.schema
        ),
        "born_txn": np.full(n, txn),
        "revises": revises,
        "parent": given.get("parent", np.full(n, -1)),
        "recipe": given.get("recipe", pa.nulls(n, pa.string())),
    }
    return pa.table({name: own.get(name, given.get(name)) for name in schema.names}).cast(schema)


def _structured(core: Core, table: pa.Table, added: pa.Table | None, start: int, txn: int) -> pa.Table:
    """Write labels that are lists as rows of the labels table; `set` events get the row."""
    if added is not None:
        has = np.array([v is not None for v in added["label0"].to_pylist()], bool)
        if has.any():
            texts = added["label0"].filter(pa.array(has)).cast(pa.string()).to_pylist()
            born = events(Op.SET, start + np.flatnonzero(has), field=Field.LABEL, txt=texts, reason="as imported")
            table = pa.concat_tables([born, table])
    is_label = (table["op"].to_numpy() == Op.SET) & (table["field"].to_numpy() == Field.LABEL)
    texts = np.array(table["new_txt"].to_pylist(), object)
    writes = is_label & np.array([t is not None for t in texts], bool)
    if not writes.any():
        return table
    values, row = np.unique(texts[writes].astype(str), return_inverse=True)
    first = core.store.append_labels(values.tolist(), txn)
    numbers = table["new_num"].to_numpy().copy()
    numbers[writes] = first + row
    return table.set_column(EVENT.get_field_index("new_num"), "new_num", pa.array(numbers))


def _with_old(table: pa.Table, view: View) -> pa.Table:
    """Fill `old_num` in from the version before."""
    ids = table["record_id"].to_numpy()
    op, field = table["op"].to_numpy(), table["field"].to_numpy()
    old = np.full(len(ids), np.nan)
    known = ids < len(view)
    for which, array in (
        (Field.LABEL, view.label),
        (Field.WEIGHT, view.weight),
        (Field.SPLIT, view.split),
        (Field.PAYLOAD, view.payload),
    ):
        hit = known & (op == Op.SET) & (field == which)
        old[hit] = array[ids[hit]]
    born = known & (op <= Op.REMOVE)
    old[born] = view.alive[ids[born]]
    return table.set_column(EVENT.get_field_index("old_num"), "old_num", pa.array(old))
