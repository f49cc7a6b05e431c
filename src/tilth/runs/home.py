"""Where the runs of a dataset are kept: the local home, or the database of an engine."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

from tilth.dataset import Dataset
from tilth.runs.engines import database_of, project_of
from tilth.runs.journal import Journal

__all__ = ["highest_run", "home_of", "inbox_of", "is_held", "journal_of", "scope_of"]


def home_of(dataset: Path) -> Path:
    """Return where the runs of a dataset are kept: `runs` beside it in a project, inside it where it stands alone.

    >>> home_of(Path("birds/dataset")).as_posix(), home_of(Path("digits")).as_posix()
    ('birds/runs', 'digits/runs')
    """
    return dataset.parent / "runs" if dataset.name == "dataset" else dataset / "runs"


def is_held(home: Path, run: str | None = None) -> bool:
    """Whether a process is at work on the runs of a home, or on one of them: it holds the lock."""
    try:
        pid, _, which = (home / "holder").read_text(encoding="utf-8").partition(" ")
        os.kill(int(pid), 0)
    except (OSError, ValueError):
        # the process is gone: the lock need not be touched, which a run that begins now would stumble over
        return False
    if run is not None and which != run:
        return False
    lock = FileLock(home / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def journal_of(dataset: Path, engine: str | None = None) -> Journal:
    """Open the journal of a dataset's runs: in its home, or in the database of an engine."""
    if engine is None:
        return Journal(home_of(dataset) / "journal.sqlite")
    return Journal(database_of(engine), project_of(dataset))


def highest_run(dataset: Dataset) -> int:
    """Return the highest number of a run that a dataset's commits speak of: its name must not come again.

    The dataset may have been run with another journal; were a name to come again, its commits would count as done.
    """
    known = [c.run.removeprefix("run-") for c in dataset.log()]
    return max((int(n) for n in known if n.isdigit()), default=0)


def inbox_of(dataset: Path, engine: str | None = None) -> str | Path:
    """Return where people are asked and answer: a file in the home, or the database of an engine."""
    return home_of(dataset) / "inbox.sqlite" if engine is None else database_of(engine)


def scope_of(dataset: Path, engine: str | None = None) -> str:
    """Return what stands before the names of a project's questions, where several projects share an inbox."""
    return "" if engine is None else f"{project_of(dataset)}::"
