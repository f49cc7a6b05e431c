"""How records leave the store: as tables, one by one, in shuffled batches, or as a stream."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Field
from tilth.dataset.arrivals import cells
from tilth.dataset.core import Core
from tilth.dataset.history import decode
from tilth.dataset.schema import SPLITS
from tilth.dataset.splits import draw
from tilth.dataset.view import View
from tilth.errors import NotFound, UsageError
from tilth.record import Record

__all__ = ["batches", "checked", "features", "records", "sized", "stream", "table"]

Ids = npt.NDArray[np.int64]

_AHEAD = 64 << 20
"""Bytes read at once for batches in random order: reading by row costs mostly per call, but must fit in memory."""
_LABEL = {"class": pa.string(), "classes": pa.list_(pa.string()), "number": pa.float64()}
_MOST = 65_536
"""Records read at once at most."""


def checked(view: View, ids: Ids) -> Ids:
    """Return record ids as int64; NotFound names one that is in that version no record, living or removed."""
    ids = np.asarray(ids, np.int64)
    inside = (ids >= 0) & (ids < len(view))
    known = inside & view.known[np.where(inside, ids, 0)] if len(view) else inside
    if not known.all():
        bad = int(ids[~known][0])
        raise NotFound(f"no record {bad} in version {view.version}; ids come from `Dataset.ids(keys)` or a selector")
    return ids


def features(core: Core, view: View, ids: Ids, columns: Sequence[str] | None) -> pa.Table:
    """Return the user's columns of records, in the given order."""
    return core.contents.of(view.payload[checked(view, ids)], _names(core, columns), n=len(view))


def table(core: Core, view: View, ids: Ids, columns: Sequence[str] | None) -> pa.Table:
    """Return records as an Arrow table: key, label, split, weight, then the user's columns."""
    found = features(core, view, ids, columns)
    own = {
        "key": pa.array(core.keys(ids), pa.string()),
        "label": pa.array(decode(core, Field.LABEL, view.label[ids]), _LABEL[core.schema.label.kind]),
        "split": pa.array([SPLITS[s] for s in view.split[ids]], pa.string()),
        "weight": pa.array(view.weight[ids]),
    }
    return pa.table(own | {name: found[name] for name in found.column_names})


def records(core: Core, view: View, ids: Ids, columns: Sequence[str] | None) -> Iterator[Record]:
    """Yield records one by one."""
    for start in range(0, len(ids), 1024):
        some = np.asarray(ids[start : start + 1024], np.int64)
        found = features(core, view, some, columns)
        values = {name: cells(found[name]) for name in found.column_names}
        labels, keys = decode(core, Field.LABEL, view.label[some]), core.keys(some)
        for i, record in enumerate(some):
            row = {name: column[i] for name, column in values.items()}
            yield Record(keys[i], row, labels[i], SPLITS[view.split[record]], float(view.weight[record]), int(record))


def batches(
    core: Core, view: View, *, size: int, seed: int | None, columns: Sequence[str] | None
) -> Iterator[pa.Table]:
    """Yield the labelled training records in batches, with `label` and `weight`."""
    ids = np.flatnonzero(view.train & view.labeled)
    if seed is not None:
        hashes = core.column("key_hash", view.version)[ids]
        ids = ids[np.argsort(draw(hashes, "batches", seed), kind="stable")]
    names = _names(core, columns)
    ahead, start = size, 0
    while start < len(ids):
        some = ids[start : start + ahead]
        rows = core.store.payload.take(view.payload[some], names)
        rows = rows.append_column("label", pa.array(view.label[some]))
        rows = rows.append_column("weight", pa.array(view.weight[some]))
        for at in range(0, len(some), size):
            yield rows.slice(at, size)
        start += len(some)
        fit = min(_MOST, _AHEAD * len(some) // max(1, rows.nbytes))
        ahead = max(size, fit // size * size)


def stream(core: Core, view: View, *, size: int, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    """Yield all living records in stored order, with `record_id`, `label` and `weight`."""
    owner = np.full(len(view), -1, np.int64)
    alive = np.flatnonzero(view.alive)
    owner[view.payload[alive]] = alive
    at = 0
    for batch in core.store.payload.scan(_names(core, columns), size=size, n=len(view)):
        record = owner[at : at + batch.num_rows]
        at += batch.num_rows
        rows = pa.Table.from_batches([batch])
        if (record < 0).any():
            rows, record = rows.filter(pa.array(record >= 0)), record[record >= 0]
        if len(record):
            yield (
                rows.append_column("record_id", pa.array(record))
                .append_column("label", pa.array(view.label[record]))
                .append_column("weight", pa.array(view.weight[record]))
            )


def sized(size: int) -> int:
    """Return the size of a batch; UsageError unless it is 1 or more."""
    if size < 1:
        raise UsageError(f"size={size}: at least 1 record at a time")
    return size


def _names(core: Core, columns: Sequence[str] | None) -> tuple[str, ...]:
    return core.schema.names if columns is None else tuple(core.schema.column(c).name for c in columns)
