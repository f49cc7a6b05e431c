"""How to undo: the changes that take one version back, and those that bring the head back to an earlier version."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Changes, Field, Op, events
from tilth.dataset.core import Core
from tilth.dataset.history import ARRAYS, differing
from tilth.dataset.view import ANSWERED, PENDING

__all__ = ["restoring", "reverting"]

Ids = npt.NDArray[np.int64]


def reverting(core: Core, version: int, *, hold: bool = False) -> tuple[Changes, dict[str, int]]:
    """Return the inverse of one version, leaving alone records that later versions touched and what people answered.

    The counts say what is `undone`, `kept` (labels that people gave; with `hold` these are set back too, the answers
    themselves stay) and `touched` (changed again later). Records that derive from what it undoes follow.
    """
    head = core.log.head
    commit = core.log.get(version)
    table = core.events(version - 1, version, ["record_id", "op", "field", "old_num", "new_num", "txn"])
    later = np.unique(core.events(version, head, ["record_id", "txn"])["record_id"].to_numpy())
    ids, op, field, old = (table[name].to_numpy() for name in ("record_id", "op", "field", "old_num"))
    born = np.arange(commit.payload_start, commit.payload_start + commit.n_added)
    view, parent = core.view(head), core.column("parent", head)
    touched = np.unique(np.concatenate([ids, born]))
    touched = touched[np.isin(touched, later)]

    answered = ids[op == Op.ANSWER]
    given = np.isin(ids, answered) | np.isin(parent[ids], answered)  # what derives from it has its source's label
    kept = given & (op == Op.SET) & (field == Field.LABEL) & (not hold)
    free = ~np.isin(ids, later) & ~np.isin(ids, born) & ~kept

    come = free & (op <= Op.REMOVE)
    there, first = np.unique(ids[come], return_index=True)
    was = old[come][first] > 0
    back = there[was & ~view.alive[there]]
    gone = np.concatenate([born[~np.isin(born, later)], there[~was]])
    gone = _with_children(core, gone[view.alive[gone]])
    message = f"version {version} undone"
    parts = [events(Op.REMOVE, gone, reason=message), events(Op.ADD, back, reason=message)]
    for which in ARRAYS:
        hit = np.flatnonzero(free & (op == Op.SET) & (field == which))
        changed, first = np.unique(ids[hit], return_index=True)
        value = old[hit[first]]
        if which == Field.LABEL:  # so do records that were derived from it since then
            child, source = core.children(changed, head)
            fresh = view.alive[child] & ~np.isin(child, np.concatenate([ids, later]))
            changed = np.concatenate([changed, child[fresh]])
            value = np.concatenate([value, value[np.searchsorted(changed[: len(value)], source[fresh])]])
        parts.append(events(Op.SET, changed, field=which, num=value, reason=message))
    asked = np.unique(ids[free & (op == Op.ASK)])
    parts.append(events(Op.WITHDRAW, asked[view.asked[asked] == PENDING], reason=message))
    undone = sum(part.num_rows for part in parts)
    return Changes(pa.concat_tables(parts)), {"undone": undone, "kept": int(kept.sum()), "touched": len(touched)}


def restoring(core: Core, version: int) -> tuple[Changes, dict[str, int]]:
    """Return the changes that bring the head back to a version; labels that people gave since then stay."""
    head = core.log.head
    target, view = core.view(version), core.view(head)
    n, old = len(view), len(target)
    message = f"back to version {version}"

    def past(name: str) -> npt.NDArray[Any]:
        array = getattr(target, name)
        return np.concatenate([array, np.zeros(n - old, array.dtype)]) if n > old else array

    was, known = past("alive"), past("known")
    gone, back = np.flatnonzero(view.alive & ~was), np.flatnonzero(was & ~view.alive)
    parts = [events(Op.REMOVE, gone, reason=message), events(Op.ADD, back, reason=message)]
    given = (view.asked == ANSWERED) & (past("asked") != ANSWERED)
    parent = core.column("parent", head)
    given |= (parent >= 0) & given[parent]  # what derives from it has its source's label
    kept = 0
    for which, name in ARRAYS.items():
        then = past(name)
        differs = known & differing(then, getattr(view, name))
        if which == Field.LABEL:
            kept = int((differs & given).sum())
            differs &= ~given
        hit = np.flatnonzero(differs)
        parts.append(events(Op.SET, hit, field=which, num=then[hit].astype(np.float64), reason=message))
    asked = np.flatnonzero((view.asked == PENDING) & (past("asked") != PENDING))
    parts.append(events(Op.WITHDRAW, asked, reason=message))
    counts = {"removed": len(gone), "restored": len(back), "set": sum(p.num_rows for p in parts[2:-1]), "kept": kept}
    return Changes(pa.concat_tables(parts)), counts


def _with_children(core: Core, ids: Ids) -> Ids:
    """Return records and those that derive from them and are alive: without its source, none of them stays."""
    view = core.view(core.log.head)
    while True:
        child, _ = core.children(ids, view.version)
        more = np.union1d(ids, child[view.alive[child]])
        if len(more) == len(ids):
            return more
        ids = more
