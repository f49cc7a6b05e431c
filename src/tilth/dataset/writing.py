"""The one writer: checks what was proposed, appends it, and makes it a version by one file in the commit log."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.changes import EVENT, Changes, Field, Op, events
from tilth.dataset.arrivals import newest, note_rejected
from tilth.dataset.carrying import packed
from tilth.dataset.checking import check
from tilth.dataset.core import Core
from tilth.dataset.disk import space
from tilth.dataset.following import with_followers
from tilth.dataset.hashing import content_hashes
from tilth.dataset.log import Commit
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
    if on_conflict not in ("raise", "skip"):
        raise UsageError(f'on_conflict is "raise" or "skip", got {on_conflict!r}')
    with core.lock:
        core.log.refresh()
        base = core.log.head if base is None else base
        if not -1 <= base <= core.log.head:
            raise UsageError(f"base={base}: this branch has versions 0 to {core.log.head}; changes rest on one of them")
        key = key or f"commit-{secrets.token_hex(8)}"
        with space(core.path):
            commit = _commit(core, changes, key, base, on_conflict, follow, dict(meta or {}), about)
        core.tidy()
        return commit


def _commit(
    core: Core,
    changes: Changes,
    key: str,
    base: int,
    on_conflict: str,
    follow: bool,
    meta: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Commit:
    log = core.log
    while True:
        if key in log.keys:
            return log.commits[log.keys[key]]
        head = log.head
        batch = changes.batch
        if batch is not None:
            before = newest(log.commits, batch.source)
            if batch.first != (0 if before is None else before.first + before.rows):
                return log.commits[head]  # somebody else has read these rows already
        todo, skipped = _rebase(core, changes, base, head, on_conflict) if head > base else (changes, 0)
        nothing = not any(t is not None and t.num_rows for t in (todo.events, todo.added, todo.revised))
        if head >= 0 and nothing and batch is None:  # rows of a source count as read though all of them were refused
            return log.commits[head]
        said = dict(meta) | ({"conflicts": skipped} if skipped else {})
        if batch is not None:
            said["batch"] = asdict(batch)
            note_rejected(core.path, changes.rejected, batch, sync=core.store.sync)
        txn = secrets.randbits(62) | 1
        bare = Commit(head + 1, key, txn, head, time.time(), meta=said, **about)
        commit, table = _append(core, todo, bare, follow=follow)
        core.ready()
        with core.store.forcing() as paths:
            made = log.append(commit, sync=core.store.sync, after=paths)
        if made:
            core.advance(commit, table)
            return commit
        # another writer was first: what was appended stays unread, and the changes are checked against the new head


def _rebase(core: Core, changes: Changes, base: int, head: int, on_conflict: str) -> tuple[Changes, int]:
    """Drop or refuse changes on records, and new records derived from records, that others changed after `base`.

    A new record that others have added meanwhile is dropped too; refused it is further down, whenever it was added.
    """
    theirs = np.unique(core.events(base, head, ["record_id", "txn"])["record_id"].to_numpy())
    ids, op = changes.events["record_id"].to_numpy(), changes.events["op"].to_numpy()
    # what somebody answered is kept, whatever has become of the record since
    hit = np.isin(ids, theirs) & (op != Op.ANSWER)
    revised = changes.revised
    ids_revised = revised["record_id"].to_numpy() if revised is not None else ids[:0]
    hit_revised = np.isin(ids_revised, theirs)
    added = changes.added
    cause = np.where(np.isin(_parents(added), theirs), _parents(added), -1)
    if added is not None and on_conflict == "skip":
        there = core.find(added["key"].to_pylist(), head)
        cause = np.where((there >= 0) & core.view(head).alive[there], there, cause)
    lost = np.unique(np.concatenate([ids[hit], ids_revised[hit_revised], cause[cause >= 0]]))
    if len(lost) == 0:
        return changes, 0
    if on_conflict == "raise":
        names = ", ".join(core.keys(lost[:3]))
        raise Conflict(
            f"{len(lost)} records ({names}{', ...' if len(lost) > 3 else ''}) were changed by others in versions "
            f"{base + 1} to {head}, after version {base} on which these changes rest. Propose them again on version "
            f"{head}",
            lost.tolist(),
        )
    events_left = changes.events.filter(pa.array(~hit))
    if added is not None and (cause >= 0).any():
        none = np.iinfo(np.int64).max
        moved = _resolved(events_left, np.where(cause < 0, np.negative(np.cumsum(cause < 0)), none))
        events_left = moved.filter(pc.not_equal(moved["record_id"], none))
        added = added.filter(pa.array(cause < 0))
    left = None if revised is None else revised.filter(pa.array(~hit_revised))
    return Changes(events_left, added, left), len(lost)


def _append(core: Core, changes: Changes, commit: Commit, *, follow: bool) -> tuple[Commit, pa.Table]:
    """Append payload, labels and events under the commit's txn; return the commit, its blocks filled in, and events."""
    store, head = core.store, commit.parent
    view = core.view(head) if head >= 0 else View.empty(core.schema.label)
    check(core, view, changes)
    added, revived, ids = _added(core, changes, head)
    revised = changes.revised if changes.revised is not None and changes.revised.num_rows else None
    payload = _payload(core, added, revised, commit.txn)
    start = store.payload.append(payload) if payload is not None else 0
    n_added = added.num_rows if added is not None else 0
    n_revised = revised.num_rows if revised is not None else 0

    ids[ids < 0] = start + np.arange(n_added)
    table = _resolved(changes.events, ids)
    if follow and head >= 0:
        new = (np.arange(start, start + n_added), _parents(added))
        table = with_followers(core, table, head, revived=revived, new=new)
    back = revived[~np.isin(revived, table["record_id"].to_numpy()[table["op"].to_numpy() == Op.ADD])]
    if len(back):
        table = pa.concat_tables([events(Op.ADD, back, reason="added again"), table])
    if revised is not None:
        rows = np.arange(start + n_added, start + n_added + n_revised)
        new = events(Op.SET, revised["record_id"].to_numpy(), field=Field.PAYLOAD, num=rows, reason=commit.message)
        if "reason" in revised.column_names:
            new = new.set_column(EVENT.get_field_index("reason"), "reason", revised["reason"])
        table = pa.concat_tables([table, new])
    if core.schema.label.kind == "classes":
        table = _structured(core, table, added, start, commit.txn)
    table = _with_old(table, view)
    marked = store.marked(table, commit.txn)
    carried = packed(marked)
    at = store.events.append(marked) if table.num_rows and not carried else 0
    derived = bool((_parents(added) >= 0).any())
    commit = replace(
        commit,
        events_start=at,
        carried=carried,
        n_events=table.num_rows,
        payload_start=start,
        n_added=n_added,
        n_revised=n_revised,
        meta={**commit.meta, **({"derived": True} if derived else {})},
    )
    return commit, table


def _added(core: Core, changes: Changes, head: int) -> tuple[pa.Table | None, Ids, Ids]:
    """Sort records to add into new ones and removed ones: (new rows, revived ids, id of row i or -1)."""
    table = changes.added
    if table is None or table.num_rows == 0:
        return None, np.empty(0, np.int64), np.empty(0, np.int64)
    keys = table["key"].to_pylist()
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
            f"{int((living | foreign).sum())} of the new records have keys that the dataset has already "
            f"({', '.join(some)}); leave them out, give other keys, or restore() what was removed",
            ids[living | foreign].tolist(),
        )
    fresh = table.filter(pa.array(~there))
    return (fresh if fresh.num_rows else None), ids[there], ids


def _parents(added: pa.Table | None) -> Ids:
    if added is None or "parent" not in added.column_names:
        return np.full(added.num_rows if added is not None else 0, -1, np.int64)
    return added["parent"].to_numpy()


def _resolved(table: pa.Table, ids: Ids) -> pa.Table:
    """Replace -(i + 1) by the id that new record i has got."""
    record = table["record_id"].to_numpy()
    if not (record < 0).any():
        return table
    return table.set_column(
        0, "record_id", pa.array(np.where(record < 0, ids[np.where(record < 0, -record - 1, 0)], record))
    )


def _payload(core: Core, added: pa.Table | None, revised: pa.Table | None, txn: int) -> pa.Table | None:
    """Return new payload rows: first the new records, then the new contents of old ones."""
    parts: list[pa.Table] = []
    if added is not None:
        parts.append(_rows(core, added, txn, revises=np.full(added.num_rows, -1)))
    if revised is not None:
        ids = revised["record_id"].to_numpy()
        own = core.store.payload.take(ids, ["key", "parent", "label0", "split0"])
        whole = pa.table({name: revised[name] for name in revised.column_names} | {n: own[n] for n in own.column_names})
        parts.append(_rows(core, whole, txn, revises=ids))
    return pa.concat_tables(parts) if parts else None


def _rows(core: Core, table: pa.Table, txn: int, *, revises: Ids) -> pa.Table:
    schema = payload_schema(core.schema)
    n = table.num_rows
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
    is_set = known & (op == Op.SET)
    for which, array in (
        (Field.LABEL, view.label),
        (Field.WEIGHT, view.weight),
        (Field.SPLIT, view.split),
        (Field.PAYLOAD, view.payload),
    ):
        hit = is_set & (field == which)
        old[hit] = array[ids[hit]]
    born = known & ((op <= Op.REMOVE) | (op == Op.QUARANTINE))
    old[born] = view.alive[ids[born]]
    return table.set_column(EVENT.get_field_index("old_num"), "old_num", pa.array(old))
