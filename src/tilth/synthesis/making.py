"""A generator at work: asked once for the same thing, given so much time, and what it returns looked at."""

import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.algebra import Function, to_json
from tilth.dataset.disk import force
from tilth.errors import TilthError, UsageError
from tilth.protocols import Generator, Want
from tilth.synthesis.remembering import remembering

__all__ = ["Batch", "checked", "made", "spec_of"]


class Batch:
    """What a generator is asked for: a want, examples (best first, `told` says which), how many, and the seed.

    `told`: a text that is the same only for equal examples in an equal order.
    """

    def __init__(self, want: Want, examples: pa.Table, told: str, n: int, seed: int) -> None:
        self.want, self.examples, self.told, self.n, self.seed = want, examples, told, n, seed

    def name(self, by: Generator | Function) -> str:
        """Return a hash of all that decides what comes out."""
        told = [to_json(by), self.want.label, self.want.within, self.told, self.n, self.seed]
        return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()


def made(by: Generator | Function, batch: Batch, folder: Path, *, timeout: float) -> pa.Table:
    """Return the rows that a generator makes, with their `parent`; UsageError, naming it, where they are unusable.

    They are written to `folder` under the name of the batch, and read from there when the same is asked again: a step
    that is run again after a crash, or after a rollback, pays for no second answer. Until then the answers that a
    generator pays for lie beside them, one by one (see `tilth.synthesis.remembering`).
    """
    path = folder / f"{batch.name(by)}.arrow"
    rows = _read(path)
    if rows is None:
        answers = path.with_suffix(".answers")
        rows = checked(by, _called(by, batch, timeout, answers), batch)
        _write(path, rows)
        shutil.rmtree(answers, ignore_errors=True)
    return rows


def _called(by: Generator | Function, batch: Batch, timeout: float, answers: Path) -> Any:
    call: Callable[..., Any] = by.load() if isinstance(by, Function) else by.generate
    found: dict[str, Any] = {}

    def work() -> None:
        try:
            with remembering(answers):
                found["rows"] = call(batch.want, batch.examples, batch.n, batch.seed)
        except BaseException as why:  # noqa: BLE001  it is raised again, where somebody waits for it
            found["why"] = why

    # A thread cannot be stopped; it ends with the process, and what it returns later is not looked at.
    thread = threading.Thread(target=work, name=f"generator {by!r}", daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise UsageError(
            f"{by!r} took longer than {timeout:g} s to make {batch.want.text}, and was given up. Nothing was changed. "
            "Give it more time with synthesise(timeout=...), or ask for fewer"
        )
    why = found.get("why")
    if isinstance(why, TilthError) or (why is not None and not isinstance(why, Exception)):
        raise why
    if why is not None:
        raise UsageError(
            f"{by!r} failed to make {batch.want.text}: {type(why).__name__}: {why}. Nothing was changed"
        ) from why
    return found["rows"]


def checked(by: Generator | Function, rows: Any, batch: Batch) -> pa.Table:
    """Return what a generator returned for a batch, with columns in order; UsageError says why it is unusable."""

    def refuse(what: str) -> UsageError:
        return UsageError(
            f"{by!r} {what}. Nothing was changed; tilth.testing.check_generator tells what a generator must keep"
        )

    names = batch.examples.column_names
    if not isinstance(rows, pa.Table):
        raise refuse(f"returned {type(rows).__name__}; a generator returns a pyarrow Table")
    if sorted(rows.column_names) != sorted([*names, "parent"]):
        raise refuse(
            f"returned the columns {', '.join(rows.column_names)}; expected were those of the examples and parent: "
            f"{', '.join([*names, 'parent'])}"
        )
    if rows.num_rows > batch.n:
        raise refuse(f"returned {rows.num_rows:,} rows where {batch.n:,} were asked for")
    try:
        rows = rows.select([*names, "parent"]).cast(batch.examples.schema.append(pa.field("parent", pa.int64())))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, ValueError) as why:
        raise refuse(f"returned values that do not fit their columns: {why}") from why
    for name in rows.column_names:
        if rows[name].null_count:
            raise refuse(f"returned nothing (null) in column {name!r} of {rows[name].null_count:,} rows")
    parent = rows["parent"].to_numpy()
    if len(parent) and not 0 <= parent.min() <= parent.max() < batch.examples.num_rows:
        raise refuse(f"returned a parent that is none of the rows 0 to {batch.examples.num_rows - 1} of the examples")
    for name in names:
        if _infinite(rows[name]) and not _infinite(batch.examples[name]):
            raise refuse(f"returned NaN or infinite numbers in column {name!r}, where the examples have none")
    return rows.combine_chunks()


def _infinite(column: pa.ChunkedArray) -> bool:
    values: Any = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        return False
    if pa.types.is_fixed_size_list(values.type):
        values = values.flatten()
    return pa.types.is_floating(values.type) and not np.isfinite(values.to_numpy(zero_copy_only=False)).all()


def _read(path: Path) -> pa.Table | None:
    try:
        with pa.memory_map(str(path)) as file:
            return pa.ipc.open_file(file).read_all()
    except (OSError, pa.ArrowInvalid):  # none there, or not a whole one
        return None


def _write(path: Path, rows: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows)
        force(part)  # else its name may outlive a power cut, and its bytes not
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def spec_of(by: Generator | Function) -> Mapping[str, Any]:
    """Return what says how records were made, for their history."""
    return {"function": by.where, "source": by.source} if isinstance(by, Function) else dict(by.spec)
