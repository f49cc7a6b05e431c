"""How a dataset comes into being, in a hidden folder that gets its name when all is there, and how it is found."""

import json
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tilth.changes import Changes
from tilth.dataset.arrivals import note_rejected
from tilth.dataset.core import FORMAT, Core
from tilth.dataset.disk import force, locked, space, write_file
from tilth.dataset.readers import Imported
from tilth.dataset.schema import Schema
from tilth.dataset.store import Durability
from tilth.dataset.writing import write
from tilth.errors import Exists, NotFound, UsageError

__all__ = ["found", "make", "refuse_taken"]

_READ = (1, FORMAT)


def found(path: Path) -> tuple[Path, Schema]:
    """Return the folder and schema of the dataset at a path, or of the project there; NotFound says what is there."""
    folder = next((f for f in (path, path / "dataset") if (f / "tilth.json").is_file()), None)
    if folder is None:
        there = "exists but holds no dataset (no tilth.json)" if path.exists() else "does not exist"
        raise NotFound(
            f"no dataset at {path}: it {there}. Make one: Dataset.create, or `tilth new {path.name} --from SOURCE`"
        )
    about = json.loads((folder / "tilth.json").read_text(encoding="utf-8"))
    if about["format"] not in _READ:
        raise UsageError(
            f"{folder} has format {about['format']}, this version of Tilth reads formats {_READ[0]} to {_READ[-1]}; "
            "install a newer one"
        )
    return folder, Schema.from_json(about["schema"])


def refuse_taken(path: Path) -> None:
    """Raise Exists unless a dataset can be made there: the path is free, or an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Exists(f"{path} exists already; open it with Dataset.open, or choose another path")


def make(
    path: Path, schema: Schema, changes: Changes, rows: Imported | None, *, message: str, durability: Durability
) -> None:
    """Make a dataset whose version 0 is `changes`; where that fails or is killed, its place stays free."""
    sync = durability == "power"
    new_folders = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    with space(path), _hidden(path) as part:
        (part / "commits" / "main").mkdir(parents=True)
        about = {"format": FORMAT, "schema": schema.to_json()}
        write_file(part / "tilth.json", json.dumps(about, indent=1), sync=sync)
        core = Core(part, schema, branch="main", durability=durability)
        core.store.create()
        write(core, changes, key="create", base=None, message=message)
        if rows is not None:
            note_rejected(part, rows.rejected)
        if sync:
            force(*(p for p in part.rglob("*") if p.is_dir() or p.parent.name == "rejected"), part)
        try:
            part.rename(path)  # onto nothing, or an empty folder
        except OSError:
            refuse_taken(path)
            raise
        if sync:
            force(path.parent, *(folder.parent for folder in new_folders))


@contextmanager
def _hidden(path: Path) -> Generator[Path]:
    """Make a folder beside a path, locked while this process lives, and gone afterwards unless it was renamed.

    What a process left that was killed while it made the same dataset is cleared away: nobody holds its lock.
    """
    start = f".{path.name}."
    for left in list(path.parent.iterdir()):
        if left.name.startswith(start) and left.name.endswith(".part"):
            with locked(left, wait=False) as free:
                if free:
                    shutil.rmtree(left, ignore_errors=True)
    new = path.with_name(f"{start}{secrets.token_hex(4)}.new")
    new.mkdir()
    with locked(new):  # before it has the name that others clear away
        part = new.rename(new.with_suffix(".part"))
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)
