"""What an action proposes: `Changes`, columnar; nothing is written until they are committed."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.errors import Damaged, UsageError

__all__ = ["EVENT", "Batch", "Changes", "Field", "Op", "events"]

Ids = npt.NDArray[np.int64]


class Op(IntEnum):
    """What an event does to a record; QUARANTINE takes it out because a step failed on it or people call it bad."""

    ADD = 0
    REMOVE = 1
    SET = 2
    ASK = 3
    ANSWER = 4
    WITHDRAW = 5
    QUARANTINE = 6


class Field(IntEnum):
    """Which part of a record an event is about; `PAYLOAD` is its content.

    On an answer: NONE is its label, GOLD a label whose truth was known (it measures the annotator and sets nothing),
    REVIEW what somebody says of a proposed change.
    """

    NONE = 0
    LABEL = 1
    WEIGHT = 2
    SPLIT = 3
    PAYLOAD = 4
    GOLD = 5
    REVIEW = 6


EVENT = pa.schema(
    [
        ("record_id", pa.int64()),
        ("op", pa.int8()),
        ("field", pa.int16()),
        ("old_num", pa.float64()),
        ("new_num", pa.float64()),
        ("new_txt", pa.string()),
        ("actor", pa.string()),
        ("reason", pa.string()),
        ("model", pa.string()),
        ("signal", pa.string()),
        ("score", pa.float64()),
        ("cost", pa.float64()),
    ]
)
"""One event a row. `record_id` >= 0 is a record of the dataset; -(i + 1) is row i of the records that the same changes
add.
`old_num` is filled in by the commit. `actor`, `model`, `signal`, `score` and `cost` are the evidence."""

_NO_EVENTS = EVENT.empty_table()


def events(
    op: Op,
    ids: Ids,
    *,
    field: Field = Field.NONE,
    num: npt.NDArray[Any] | float | None = None,
    txt: Sequence[str | None] | None = None,
    actor: Sequence[str] | str | None = None,
    reason: Sequence[str] | str = "",
    model: str | None = None,
    signal: str | None = None,
    score: npt.NDArray[np.float64] | None = None,
    cost: npt.NDArray[np.float64] | None = None,
) -> pa.Table:
    """Return one event a record as an Arrow table of schema `EVENT`.

    >>> events(Op.REMOVE, np.array([4, 7]), reason="duplicate").num_rows
    2
    """
    n = len(ids)
    if n == 0:
        return _NO_EVENTS

    def column(name: str, value: Any) -> pa.Array:
        kind = EVENT.field(name).type
        if value is None:
            return pa.nulls(n, kind)
        if isinstance(value, (str, int, float)):
            return pa.repeat(pa.scalar(value, kind), n)
        if len(value) != n:
            raise UsageError(f"{len(value)} values of {name} for {n} records; give one a record")
        if isinstance(value, np.ndarray):
            return pa.array(value.astype(kind.to_pandas_dtype()), from_pandas=True)
        return pa.array(value, kind)

    values: dict[str, Any] = {
        "record_id": np.asarray(ids, np.int64),
        "op": int(op),
        "field": int(field),
        "new_num": num,
        "new_txt": txt,
        "actor": actor,
        "reason": reason,
        "model": model,
        "signal": signal,
        "score": score,
        "cost": cost,
    }
    return pa.table([column(name, values.get(name)) for name in EVENT.names], schema=EVENT)


@dataclass(frozen=True)
class Batch:
    """Which rows of a source changes bring: they become a version once, whoever has read them.

    >>> print(Batch("orders", number=2, first=2000, rows=1000, cursor={"file": "b.parquet", "row": 500}, refused=3))
    997 records from 'orders' (batch 3, rows 2,001 to 3,000; 3 refused)

    `source`: its name. `number`: how many batches of it came before. `first`: how many rows were read before, `rows`:
    how many these are, refused ones included. `cursor`: where the next batch begins. The commit keeps it in
    `meta["batch"]`.
    """

    source: str
    number: int
    first: int
    rows: int
    cursor: Any
    refused: int = 0

    def __str__(self) -> str:
        refused = f"; {self.refused:,} refused" if self.refused else ""
        n = self.rows - self.refused
        return (
            f"{n:,} record{'' if n == 1 else 's'} from {self.source!r} (batch {self.number + 1}, "
            f"rows {self.first + 1:,} to {self.first + self.rows:,}{refused})"
        )


@dataclass(frozen=True)
class Changes:
    """What one rule wants to change: events on records, records to add, new content for records there are.

    >>> Changes(events(Op.REMOVE, np.array([4, 7]))).count
    2

    `added` has a row a new record: `key`, the user's columns, `label0`, `split0` (both as in the schema), `parent`
    (record id it derives from, -1 = none) and `recipe` (how). `revised` has a row a changed record: `record_id`, the
    user's columns, `recipe`. Both are None where nothing is added or revised. `batch`: where they bring rows of a
    source, which; `rejected`: those of its rows that could not enter. Nothing is written until `Dataset.commit`.
    `note`: what the action has to say of it, for the message of the commit; it is not saved.
    """

    events: pa.Table
    added: pa.Table | None = None
    revised: pa.Table | None = None
    batch: Batch | None = None
    rejected: pa.Table | None = None
    note: str = ""

    @property
    def count(self) -> int:
        """How many records it touches, new ones included."""
        known = np.unique(self.events["record_id"].to_numpy())
        revised = self.revised["record_id"].to_numpy() if self.revised is not None else known[:0]
        return len(np.unique(np.concatenate([known[known >= 0], revised]))) + (
            self.added.num_rows if self.added is not None else 0
        )

    def touched(self) -> Ids:
        """Return the records that it changes, each once; those that it adds are not among them."""
        ids = self.events["record_id"].to_numpy()
        revised = self.revised["record_id"].to_numpy() if self.revised is not None else ids[:0]
        return np.unique(np.concatenate([ids[ids >= 0], revised]))

    def parents(self) -> Ids:
        """Return, for each record that it adds, the one it derives from; -1 = none."""
        if self.added is None or "parent" not in self.added.column_names:
            return np.full(0 if self.added is None else self.added.num_rows, -1, np.int64)
        return self.added["parent"].to_numpy()

    def only(self, ids: Ids) -> "Changes":
        """Return what of it is about some records: ids of records that are there, -(i + 1) for new record i.

        >>> Changes(events(Op.REMOVE, np.array([4, 7]))).only(np.array([7])).count
        1
        """
        record = self.events["record_id"].to_numpy()
        kept = np.isin(record, ids)
        table = self.events.filter(pa.array(kept))
        added = self.added
        if added is not None:
            stays = np.isin(-1 - np.arange(added.num_rows), ids)
            place = np.cumsum(stays)  # row i becomes row place[i] - 1
            left = record[kept]
            moved = np.where(left < 0, np.negative(place[np.where(left < 0, -left - 1, 0)]), left)
            table = table.set_column(0, "record_id", pa.array(moved, pa.int64()))
            added = added.filter(pa.array(stays)) if stays.any() else None
        revised = self.revised
        if revised is not None:
            revised = revised.filter(pa.array(np.isin(revised["record_id"].to_numpy(), ids)))
            revised = revised if revised.num_rows else None
        return Changes(table, added, revised, self.batch, self.rejected, self.note)

    @staticmethod
    def none() -> "Changes":
        """Return changes that change nothing."""
        return Changes(_NO_EVENTS)

    @staticmethod
    def join(parts: "Sequence[Changes]") -> "Changes":
        """Return several changes as one; new records keep their order.

        >>> a, b = Changes(events(Op.REMOVE, np.array([4]))), Changes(events(Op.REMOVE, np.array([7])))
        >>> Changes.join([a, b]).count
        2
        """
        shifted: list[pa.Table] = []
        base = 0
        for part in parts:
            table = part.events
            if base:
                ids = table["record_id"].to_numpy()
                table = table.set_column(0, "record_id", pa.array(np.where(ids < 0, ids - base, ids)))
            shifted.append(table)
            base += part.added.num_rows if part.added is not None else 0
        added = [p.added for p in parts if p.added is not None]
        revised = [p.revised for p in parts if p.revised is not None]
        return Changes(
            pa.concat_tables(shifted) if shifted else _NO_EVENTS,
            pa.concat_tables(added) if added else None,
            pa.concat_tables(revised) if revised else None,
        )

    def save(self, folder: Path) -> None:
        """Write it into `folder`, which appears whole or not at all; one that is there already is left as it is."""
        if folder.exists():
            return  # the same step, run again after a crash: the first answer stands
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        part.mkdir(parents=True, exist_ok=True)
        tables = {"events": self.events, "added": self.added, "revised": self.revised, "rejected": self.rejected}
        if self.batch is not None:
            (part / "batch.json").write_text(json.dumps(asdict(self.batch)), encoding="utf-8")
        for name, table in tables.items():
            if table is not None:
                with (
                    pa.OSFile(str(part / f"{name}.arrow"), "wb") as file,
                    pa.ipc.new_file(file, table.schema) as writer,
                ):
                    writer.write_table(table)
        part.rename(folder)

    @staticmethod
    def load(folder: Path) -> "Changes":
        """Read back what `save` wrote."""

        def read(name: str) -> pa.Table | None:
            path = folder / f"{name}.arrow"
            if not path.exists():
                return None
            with pa.memory_map(str(path)) as file:
                return pa.ipc.open_file(file).read_all()

        found = read("events")
        if found is None:
            raise Damaged(
                f"{folder} holds no events.arrow: the changes that a rule proposed are gone. Run the round again from "
                "its start"
            )
        batch = folder / "batch.json"
        told = Batch(**json.loads(batch.read_text(encoding="utf-8"))) if batch.exists() else None
        return Changes(found, read("added"), read("revised"), told, read("rejected"))
