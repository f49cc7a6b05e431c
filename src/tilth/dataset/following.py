"""Derived records follow their sources: who is removed takes them along, who gets a label gives it to them."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.changes import EVENT, Field, Op
from tilth.dataset.core import Core

__all__ = ["with_followers"]

Ids = npt.NDArray[np.int64]


def with_followers(core: Core, table: pa.Table, head: int, *, revived: Ids, new: tuple[Ids, Ids]) -> pa.Table:
    """Return events and, for each that removes or labels a record, one for every record that derives from it.

    What the events say themselves of a derived record stands. Removed records follow a label too: whoever brings them
    back, they fit their source. `revived`, `new` (ids, parents): records that the same commit brings back and adds.
    """
    if not core.log.derived and not (new[1] >= 0).any():
        return table
    while (more := _followers(core, table, head, revived, new)) is not None:  # and theirs follow them
        table = pa.concat_tables([table, more])
    return table


def _followers(core: Core, table: pa.Table, head: int, revived: Ids, new: tuple[Ids, Ids]) -> pa.Table | None:
    op, field = table["op"].to_numpy(), table["field"].to_numpy()
    gone = (op == Op.REMOVE) | (op == Op.QUARANTINE)
    moves = gone | ((op == Op.SET) & (field == Field.LABEL))
    if not moves.any():
        return None
    # what derives from a record that is quarantined has not failed itself: it is removed
    op = np.where(gone, Op.REMOVE, op)
    leading = table.set_column(EVENT.get_field_index("op"), "op", pa.array(op, pa.int8())).filter(pa.array(moves))
    leaders = leading["record_id"].to_numpy()
    child, parent = core.children(np.unique(leaders), head)
    mine = np.isin(new[1], leaders)
    child, parent = np.concatenate([child, new[0][mine]]), np.concatenate([parent, new[1][mine]])
    if len(child) == 0:
        return None
    order = np.argsort(leaders, kind="stable")
    first, last = (np.searchsorted(leaders[order], parent, side) for side in ("left", "right"))
    rows = np.concatenate([order[a:b] for a, b in zip(first, last, strict=True)])
    followers = np.repeat(child, last - first)
    alive = core.view(head).alive
    there = np.isin(followers, np.concatenate([revived, new[0]]))
    there |= alive[np.where(followers < len(alive), followers, 0)] & (followers < len(alive))
    said = set(zip(table["record_id"].to_pylist(), op.tolist(), field.tolist(), strict=True))
    told = zip(followers.tolist(), op[moves][rows].tolist(), field[moves][rows].tolist(), strict=True)
    fresh = np.array([t not in said for t in told], bool) & (there | (op[moves][rows] == Op.SET))
    if not fresh.any():
        return None
    copied = leading.take(pa.array(rows[fresh])).set_column(0, "record_id", pa.array(followers[fresh]))
    reason = pc.binary_join_element_wise(pa.scalar("follows its source: "), copied["reason"], "")
    return copied.set_column(EVENT.get_field_index("reason"), "reason", reason.cast(pa.string()))
