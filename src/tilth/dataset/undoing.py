"""How to undo: the changes that take one version back, and those that bring the head back to an earlier version."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Changes, Field, Op, events
from tilth.dataset.core import Core
from tilth.dataset.history import ARRAYS, differing
from tilth.dataset.view import ANSWERED, PENDING, View
from tilth.words import count

__all__ = ["restoring", "reverting", "spoken", "told"]

Ids = npt.NDArray[np.int64]


def reverting(
    core: Core, version: int, *, hold: bool = False, undone: Iterable[int] = ()
) -> tuple[Changes, dict[str, int]]:
    """Return the inverse of one version, leaving alone records that later versions touched and what people answered.

    The counts say what is `undone`, `kept` (labels that people gave; with `hold` these are set back too, the answers
    themselves stay) and `touched` (changed again later, other than by the `undone` versions). Records that derive from
    what it undoes follow.
    """
    head = core.log.head
    commit = core.log.get(version)
    table = core.events(version - 1, version, ["record_id", "op", "field", "old_num", "new_num", "txn"])
    since = core.events(version, head, ["record_id", "txn"])
    settled = [core.log.get(v).txn for v in undone]
    later = np.unique(since["record_id"].to_numpy()[~np.isin(since["txn"].to_numpy(), settled)])
    ids, op, field, old = (table[name].to_numpy() for name in ("record_id", "op", "field", "old_num"))
    born = np.arange(commit.payload_start, commit.payload_start + commit.n_added)
    view = core.view(head)
    touched = np.unique(np.concatenate([ids, born]))
    touched = touched[np.isin(touched, later)]

    answered = ids[(op == Op.ANSWER) & (field == Field.NONE)]
    given = np.isin(ids, answered) | np.isin(_roots(core)[ids], answered)  # what derives from it has its label
    kept = given & (op == Op.SET) & (field == Field.LABEL) & (not hold)
    free = ~np.isin(ids, later) & ~np.isin(ids, born) & ~kept

    come = free & ((op <= Op.REMOVE) | (op == Op.QUARANTINE))
    there, first = np.unique(ids[come], return_index=True)
    was = old[come][first] > 0
    back = there[was & ~view.alive[there]]
    gone = np.concatenate([born[~np.isin(born, later)], there[~was]])
    gone = _with_children(core, gone[view.alive[gone]])
    message = f"version {version} undone"
    bad = _bad(core.view(version - 1), gone) if version else np.zeros(len(gone), bool)
    parts = [*_out(gone, bad, message), events(Op.ADD, back, reason=message)]
    for which in ARRAYS:
        hit = np.flatnonzero(free & (op == Op.SET) & (field == which))
        changed, first = np.unique(ids[hit], return_index=True)
        value = old[hit[first]]
        if which == Field.LABEL:
            changed, value = _followed(core, changed, value, but=np.union1d(ids, later))
        parts.append(events(Op.SET, changed, field=which, num=value, reason=message))
    asked = np.unique(ids[free & (op == Op.ASK)])
    parts.append(events(Op.WITHDRAW, asked[view.asked[asked] == PENDING], reason=message))
    rows = sum(part.num_rows for part in parts)
    return Changes(pa.concat_tables(parts)), {"undone": rows, "kept": int(kept.sum()), "touched": len(touched)}


def restoring(core: Core, version: int) -> tuple[Changes, dict[str, int]]:
    """Return the changes that bring the head back to a version; labels that people gave since then stay.

    The counts say how many records are `removed` and `restored`, `labels` and `others` (weights, splits, contents) set
    back, questions `withdrawn`, and labels `kept` because people gave them since then.
    """
    head = core.log.head
    target, view = core.view(version), core.view(head)
    n, old = len(view), len(target)
    message = f"back to version {version}"

    def past(name: str) -> npt.NDArray[Any]:
        array = getattr(target, name)
        return np.concatenate([array, np.zeros(n - old, array.dtype)]) if n > old else array

    was, known = past("alive"), past("known")
    gone, back = np.flatnonzero(view.alive & ~was), np.flatnonzero(was & ~view.alive)
    parts = [*_out(gone, past("quarantined")[gone], message), events(Op.ADD, back, reason=message)]
    given = (view.asked == ANSWERED) & (past("asked") != ANSWERED)
    given |= given[_roots(core)]  # what derives from it has its source's label
    kept, back_to = 0, dict.fromkeys(ARRAYS, 0)
    for which, name in ARRAYS.items():
        then = past(name)
        differs = known & differing(then, getattr(view, name))
        if which == Field.LABEL:
            kept = int((differs & given).sum())
            differs &= ~given
        hit = np.flatnonzero(differs)
        back_to[which] = len(hit)
        parts.append(events(Op.SET, hit, field=which, num=then[hit].astype(np.float64), reason=message))
    asked = np.flatnonzero((view.asked == PENDING) & (past("asked") != PENDING))
    parts.append(events(Op.WITHDRAW, asked, reason=message))
    counts = {
        "removed": len(gone),
        "restored": len(back),
        "labels": back_to[Field.LABEL],
        "others": sum(back_to.values()) - back_to[Field.LABEL],
        "withdrawn": len(asked),
        "kept": kept,
    }
    return Changes(pa.concat_tables(parts)), counts


def told(counts: Mapping[str, int]) -> str:
    """Return counts as a text for a commit's message."""
    return ", ".join(f"{n:,} {what}" for what, n in counts.items() if n) or "nothing to change"


def spoken(counts: Mapping[str, int]) -> str:
    """Return in words what `restoring` counted.

    >>> spoken({"removed": 41, "restored": 0, "labels": 1, "others": 0, "withdrawn": 0, "kept": 2})
    'removes 41 records, sets 1 label back; 2 labels that people gave stay'
    >>> spoken(dict.fromkeys(("removed", "restored", "labels", "others", "withdrawn", "kept"), 0))
    'nothing to do'
    """
    parts = [
        f"{does} {count(counts[what], one, many)}{end}"
        for does, what, one, many, end in (
            ("removes", "removed", "record", "records", ""),
            ("restores", "restored", "record", "records", ""),
            ("sets", "labels", "label", "labels", " back"),
            ("sets", "others", "weight, split or content", "weights, splits and contents", " back"),
            ("withdraws", "withdrawn", "question", "questions", ""),
        )
        if counts[what]
    ]
    kept = counts["kept"]
    stays = f"; {count(kept, 'label')} that people gave {'stays' if kept == 1 else 'stay'}" if kept else ""
    return f"{', '.join(parts) or 'nothing to do'}{stays}"


def _out(gone: Ids, bad: npt.NDArray[np.bool_], message: str) -> list[pa.Table]:
    """Return the events that take records out again: quarantined where they were that before, else removed."""
    return [events(Op.REMOVE, gone[~bad], reason=message), events(Op.QUARANTINE, gone[bad], reason=message)]


def _bad(view: View, ids: Ids) -> npt.NDArray[np.bool_]:
    return np.isin(ids, np.flatnonzero(view.quarantined))


def _roots(core: Core) -> Ids:
    """Return the record that each derives from in the end, itself where it derives from none."""
    parent = core.column("parent", core.log.head)
    root = np.arange(len(parent))
    while (parent[root] >= 0).any():
        root = np.where(parent[root] >= 0, parent[root], root)
    return root


def _with_children(core: Core, ids: Ids) -> Ids:
    """Return records and the living ones that derive from them: without its source, none of them stays."""
    while True:
        child, _ = core.children(ids, core.log.head)
        more = np.union1d(ids, child[core.view(core.log.head).alive[child]])
        if len(more) == len(ids):
            return more
        ids = more


def _followed(core: Core, ids: Ids, values: npt.NDArray[Any], *, but: Ids) -> tuple[Ids, npt.NDArray[Any]]:
    """Return records and their new labels, and those of the records that were derived from them since then."""
    while True:
        child, source = core.children(ids, core.log.head)
        fresh = ~np.isin(child, np.concatenate([ids, but]))
        if not fresh.any():
            return ids, values
        order = np.argsort(ids)
        values = np.concatenate([values, values[order[np.searchsorted(ids[order], source[fresh])]]])
        ids = np.concatenate([ids, child[fresh]])
