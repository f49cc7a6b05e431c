"""One version of a dataset as columns in memory: row i is record i."""

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Field, Op
from tilth.dataset.disk import force
from tilth.dataset.log import Commit
from tilth.dataset.schema import SPLITS, LabelType

__all__ = ["ANSWERED", "FREE", "PENDING", "View"]

FREE, PENDING, ANSWERED = 0, 1, 2

_TYPES = {
    "known": np.dtype(bool),
    "alive": np.dtype(bool),
    "weight": np.dtype(np.float32),
    "split": np.dtype(np.int8),
    "payload": np.dtype(np.int64),
    "asked": np.dtype(np.int8),
    "quarantined": np.dtype(bool),
}
_LABELS = {"class": np.dtype(np.int32), "classes": np.dtype(np.int64), "number": np.dtype(np.float64)}
_ARRAYS = (*_TYPES, "label")
_FIELDS = {Field.LABEL: "label", Field.WEIGHT: "weight", Field.SPLIT: "split", Field.PAYLOAD: "payload"}


@dataclass(frozen=True, eq=False)
class View:
    """What version `version` says of every record, as read-only arrays of one length n.

    `known` bool: it is or was a record. `alive` bool: it is part of the data. `label`: int32 codes (-1 = none) for one
    class, int64 rows of the labels table (-1 = none) for several, float64 (NaN = none) for a number. `weight` float32.
    `split` int8: position in `SPLITS`. `payload` int64: the payload row that holds its content. `asked` int8: 0 free,
    1 a question is pending, 2 answered by an annotator (verified). `quarantined` bool: taken out because a step failed
    on it or annotators call it bad, until it is added again. Rows that are not records (another content of a
    record, what a crashed writer left) are never alive.
    """

    version: int
    kind: LabelType
    known: npt.NDArray[np.bool_]
    alive: npt.NDArray[np.bool_]
    label: npt.NDArray[Any]
    weight: npt.NDArray[np.float32]
    split: npt.NDArray[np.int8]
    payload: npt.NDArray[np.int64]
    asked: npt.NDArray[np.int8]
    quarantined: npt.NDArray[np.bool_]
    labels_spent: int = 0
    cost: float = 0.0

    def __len__(self) -> int:
        return len(self.alive)

    @staticmethod
    def empty(kind: LabelType) -> "View":
        """Return the view before the first version."""
        arrays = {name: np.empty(0, dtype) for name, dtype in _types(kind).items()}
        return View(-1, kind, labels_spent=0, cost=0.0, **arrays)

    @property
    def labeled(self) -> npt.NDArray[np.bool_]:
        """bool[n]: has a label (alive or not)."""
        return ~np.isnan(self.label) if self.kind.kind == "number" else self.label >= 0

    def among(self, split: str) -> npt.NDArray[np.bool_]:
        """bool[n]: alive and in that split."""
        return self.alive & (self.split == SPLITS.index(split))

    @property
    def train(self) -> npt.NDArray[np.bool_]:
        """bool[n]: alive, in train, labelled or not."""
        return self.among("train")

    @property
    def pool(self) -> npt.NDArray[np.bool_]:
        """bool[n]: alive, in train, without a label, and nobody is or was asked about it."""
        return self.train & ~self.labeled & (self.asked == FREE)

    def part(self, records: slice) -> "View":
        """Return the columns of some records that lie together, not copied; position 0 is the first of these."""
        return replace(self, **{name: getattr(self, name)[records] for name in _ARRAYS})

    def grown(self, commits: Sequence[Commit], label0: npt.NDArray[Any], split0: npt.NDArray[Any]) -> "View":
        """Return the view with room for the payload rows of the commits that follow, their new records born.

        `label0` and `split0`: columns of the payload, as long as the new view; not read where nothing is born.
        """
        rows = len(self)
        n = max([rows, *(c.payload_start + c.n_added + c.n_revised for c in commits)])
        if n == rows and not any(c.n_added for c in commits):
            return self

        def longer(old: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
            new = np.empty(n, old.dtype)
            new[:rows] = old
            new[rows:] = fill
            return new

        view = replace(
            self,
            known=longer(self.known, False),
            alive=longer(self.alive, False),
            label=longer(self.label, np.nan if self.kind.kind == "number" else -1),
            weight=longer(self.weight, 1.0),
            split=longer(self.split, 0),
            payload=longer(self.payload, np.arange(rows, n)),
            asked=longer(self.asked, FREE),
            quarantined=longer(self.quarantined, False),
        )
        for commit in commits:
            if commit.n_added:
                born = slice(commit.payload_start, commit.payload_start + commit.n_added)
                view.known[born] = True
                view.alive[born] = True
                view.split[born] = split0[born]
                if self.kind.kind != "classes":  # several classes: the commit wrote a `set` event with the row
                    view.label[born] = label0[born]
        return view

    def applied(self, events: pa.Table) -> "View":
        """Return the view after events in their order, the last one wins; arrays they do not touch are shared."""
        ids = events["record_id"].to_numpy()
        op = events["op"].to_numpy()
        field = events["field"].to_numpy()
        new = events["new_num"].to_numpy()
        arrays: dict[str, npt.NDArray[Any]] = {}

        born = (op == Op.ADD) | (op == Op.REMOVE) | (op == Op.QUARANTINE)
        if born.any():
            arrays["alive"] = np.array(self.alive)
            arrays["alive"][ids[born]] = op[born] == Op.ADD
            marked = born & (op != Op.REMOVE)
            arrays["quarantined"] = np.array(self.quarantined)
            arrays["quarantined"][ids[marked]] = op[marked] == Op.QUARANTINE
        is_set = op == Op.SET
        for which, name in _FIELDS.items():
            hit = is_set & (field == which)
            if hit.any():
                array = arrays[name] = np.array(getattr(self, name))
                array[ids[hit]] = new[hit].astype(array.dtype)
        spent, cost = self.labels_spent, self.cost
        talk = (op >= Op.ASK) & (op <= Op.WITHDRAW)
        if talk.any():
            asked = arrays["asked"] = np.array(self.asked)
            answers = op == Op.ANSWER
            label = talk & ~(answers & (field != Field.NONE))  # gold answers and reviews say nothing of the label
            state = np.array([FREE, FREE, FREE, PENDING, ANSWERED, FREE], np.int8)[op[label]]
            # an answer stands whatever is asked or withdrawn after it
            asked[ids[label]] = np.where(asked[ids[label]] == ANSWERED, ANSWERED, state)
            asked[ids[answers & label]] = ANSWERED
            spent += int(answers.sum())
            cost += float(np.nansum(events["cost"].to_numpy()[answers]))
        return replace(self, labels_spent=spent, cost=cost, **arrays)

    def frozen(self) -> "View":
        """Make the arrays read-only."""
        for name in _ARRAYS:
            getattr(self, name).flags.writeable = False
        return self

    def save(self, folder: Path, *, sync: bool) -> None:
        """Write the arrays, packed, as a checkpoint: a cache, from which later versions are built sooner."""
        if folder.exists():
            return
        arrays = {name: _packed(getattr(self, name)) for name in _ARRAYS} | {
            "counts": np.array([self.version, self.labels_spent, self.cost, len(self)])
        }
        part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
        try:
            part.mkdir(parents=True)
            for name, array in arrays.items():
                with (part / f"{name}.npy").open("wb") as file:
                    np.save(file, array, allow_pickle=False)
                    if sync:
                        file.flush()
                        os.fsync(file.fileno())
            if sync:
                force(part)
            part.rename(folder)
        except OSError:
            if not folder.exists():  # else another process wrote the same checkpoint
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        if sync:
            force(folder.parent)

    @staticmethod
    def load(folder: Path, kind: LabelType) -> "View":
        """Read a checkpoint back."""
        version, spent, cost, n = np.load(folder / "counts.npy", allow_pickle=False).tolist()
        arrays = {
            name: _unpacked(np.load(folder / f"{name}.npy", allow_pickle=False), int(n), dtype)
            for name, dtype in _types(kind).items()
        }
        return View(int(version), kind, labels_spent=int(spent), cost=cost, **arrays).frozen()


def _types(kind: LabelType) -> dict[str, np.dtype[Any]]:
    return _TYPES | {"label": _LABELS[kind.kind]}


def _packed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what holds an array in fewer bytes: one value where all are equal, none for 0, 1, 2, ..., the least type.

    A checkpoint of a million records takes 2 to 3 MB so, instead of 19.
    """
    if len(array) < 2:
        return array
    if (array == array[0]).all():
        return array[:1]
    if array.dtype.kind != "i":
        return array
    low, high = int(array.min()), int(array.max())
    if (low, high) == (0, len(array) - 1) and (array == np.arange(len(array))).all():
        return array[:0]
    return array.astype(np.promote_types(np.min_scalar_type(min(low, -1)), np.min_scalar_type(max(high, 1))))


def _unpacked(array: npt.NDArray[Any], n: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if len(array) == n:
        return array.astype(dtype, copy=False)
    if len(array) not in (0, 1):
        raise ValueError(f"{len(array)} values for {n} records")
    return np.arange(n, dtype=dtype) if len(array) == 0 else np.full(n, array[0], dtype)
