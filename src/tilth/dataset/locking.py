"""Locks between processes that nobody has to clean up: the system frees them with the process."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["locked"]


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Generator[bool]:
    """Hold the lock of a file (made if need be) or folder for a block; False where it is taken and `wait` is not.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with locked(folder / "a") as mine, locked(folder / "a", wait=False) as also_mine:
    ...     mine, also_mine
    (True, False)
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)
