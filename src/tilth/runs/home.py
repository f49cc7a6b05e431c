"""Where the runs of a dataset are kept, and whether a process is at work on them."""

import os
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["home_of", "is_held"]


def home_of(dataset: Path) -> Path:
    """Return where the runs of a dataset are kept: `runs` beside it in a project, inside it where it stands alone.

    >>> home_of(Path("birds/dataset")).as_posix(), home_of(Path("digits")).as_posix()
    ('birds/runs', 'digits/runs')
    """
    return dataset.parent / "runs" if dataset.name == "dataset" else dataset / "runs"


def is_held(home: Path) -> bool:
    """Whether a process is at work on the runs of a home: it holds the lock."""
    try:
        os.kill(int((home / "holder").read_text(encoding="utf-8")), 0)
    except (OSError, ValueError):
        # the process is gone: the lock need not be touched, which a run that begins now would stumble over
        return False
    lock = FileLock(home / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
