"""What is asked of the disk beyond reading and writing: to have things for good, all or nothing, one at a time."""

import errno
import fcntl
import os
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

__all__ = ["force", "locked", "space", "write_file"]

_AT_ONCE = 8
"""Paths forced at once: those of a commit that appends events are seven."""


def force(*paths: str | Path) -> None:
    """Force files (their bytes) and folders (their list of names) to disk; what has gone meanwhile is left out.

    All at once: the file system's journal then serves them together (six one by one took 20 ms where this took 1).
    Raises what one of them raised.
    """
    if len(paths) < 2:
        for path in paths:
            _force(path)
    else:
        list(_threads(os.getpid()).map(_force, paths))


def _force(path: str | Path) -> None:
    with suppress(FileNotFoundError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    # Kept, since to start them took longer than to force; one pool a process, since a fork takes no threads along.
    return ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix=f"force-{process}")


def write_file(path: Path, text: str, *, sync: bool, replace: bool = True, after: Sequence[str | Path] = ()) -> None:
    """Write a file that appears whole or not at all; with `replace=False` a taken name is a FileExistsError.

    With `sync`, it and the paths in `after` are on disk before it appears, and its name is before this returns.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
        if sync:
            force(part, *after)
        if replace:
            part.replace(path)
        else:
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
    if sync:
        force(path.parent)


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


@contextmanager
def space(path: Path) -> Generator[None]:
    """Say in plain words that a block failed because the disk is full."""
    try:
        yield
    except OSError as why:
        if why.errno != errno.ENOSPC and "No space left on device" not in str(why):  # Lance has words only
            raise
        told = f"no space left for {path}: nothing was changed; make room and do it again"
        raise OSError(errno.ENOSPC, told) from why
