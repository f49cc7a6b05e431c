"""`Question`: what somebody has to answer before there are changes; the only way in which a run waits."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.changes import Changes
from tilth.durations import seconds
from tilth.errors import Damaged, UsageError

__all__ = ["Askable", "Kind", "Question", "terms"]

Ids = npt.NDArray[np.int64]

Kind = Literal["label", "approve", "collect", "edit", "pick"]


class Askable(Protocol):
    """Whoever can be asked: an annotator, or a panel of them."""

    @property
    def name(self) -> str:
        """How it is called in the history of a record."""
        ...


@dataclass(frozen=True, eq=False)
class Question:
    """What somebody has to answer before there are changes.

    `kind`: which label do these records have ("label"), shall these changes be made ("approve": `changes`, one task a
    record), find records like this ("collect": a task a record wanted), put these contents right ("edit"), or shall
    something be done with these ("pick").
    `records`: ids, `int64[n]`, most wanted first; -(i + 1) is row i of what `changes` adds, or the i-th record that is
    to be collected. `votes`: answers wanted a record; `score`: why each was chosen, by `signal`. `enough`: the share of
    records with all votes at which the run goes on; `patience`: how long it waits at most ("3d"), None for ever.
    `details`: a JSON text a record that is shown beside it, and what is asked for (`wanted`).
    """

    by: Askable
    records: Ids
    votes: int = 1
    reason: str = ""
    signal: str | None = None
    score: npt.NDArray[np.float64] | None = None
    kind: Kind = "label"
    enough: float = 1.0
    patience: str | None = None
    details: Sequence[str] | None = None
    wanted: str = ""
    changes: Changes | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(f"Question(kind={self.kind!r}): one of {', '.join(get_args(Kind))}")
        if (self.kind == "approve") != (self.changes is not None):
            raise UsageError(f"Question(kind={self.kind!r}): changes= go with kind='approve', and only with that")

    def save(self, folder: Path) -> None:
        """Write its records, and the changes it is about, into `folder`, which appears whole or not at all."""
        if folder.exists():
            return  # the same step, run again after a crash: the first answer stands
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        part.mkdir(parents=True, exist_ok=True)
        n = len(self.records)
        columns: dict[str, Any] = {
            "record": np.asarray(self.records, np.int64),
            "score": pa.nulls(n, pa.float64()) if self.score is None else np.asarray(self.score, np.float64),
            "detail": pa.nulls(n, pa.string()) if self.details is None else pa.array(list(self.details), pa.string()),
        }
        table = pa.table(columns)
        with pa.OSFile(str(part / "question.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        if self.changes is not None:
            self.changes.save(part / "changes")
        part.rename(folder)

    def plan(self) -> dict[str, Any]:
        """Return what `save` does not write, as JSON; who answers is left to the caller."""
        return {
            "n": len(self.records),
            "why": self.reason,
            "kind": self.kind,
            "votes": self.votes,
            "enough": self.enough,
            "patience": self.patience,
            "signal": self.signal,
            "wanted": self.wanted,
        }

    @staticmethod
    def load(folder: Path, plan: Mapping[str, Any], by: Askable) -> "Question":
        """Read back what `save` wrote."""
        path = folder / "question.arrow"
        if not path.exists():
            raise Damaged(
                f"{folder} holds no question.arrow: what was asked is gone. Run the round again from its start"
            )
        # the bytes at once: Arrow reads a file by another thread, which may take milliseconds to wake
        table = pa.ipc.open_file(pa.py_buffer(path.read_bytes())).read_all()
        details = table["detail"].to_pylist()
        return Question(
            by,
            table["record"].to_numpy(),
            votes=plan["votes"],
            reason=plan["why"],
            signal=plan["signal"],
            score=None if table["score"].null_count else table["score"].to_numpy(),
            kind=plan["kind"],
            enough=plan["enough"],
            patience=plan["patience"],
            details=None if table["detail"].null_count else details,
            wanted=plan["wanted"],
            changes=Changes.load(folder / "changes") if plan["kind"] == "approve" else None,
        )


def terms(what: str, *, votes: int = 1, enough: float = 1.0, patience: str | None = None) -> None:
    """Check on what terms somebody is asked; UsageError names the argument of `what` that cannot be."""
    if isinstance(votes, bool) or not isinstance(votes, int) or votes < 1:
        raise UsageError(f"{what}(votes={votes!r}): a whole number of answers a record, 1 or more")
    if isinstance(enough, bool) or not isinstance(enough, (int, float)) or not 0 < enough <= 1:
        raise UsageError(
            f"{what}(enough={enough!r}): the share of the records that must have all their answers, above 0 up to 1"
        )
    if patience is not None:
        seconds(patience, what=f"{what}: patience")
