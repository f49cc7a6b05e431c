"""Programs in processes of their own that can be killed, started from one that has imported everything already.

A launch costs what the program does, not the second and a half that the libraries take to load: a suite can afford to
kill a run at every point it can name.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any

from tilth.functions import load_file

__all__ = ["as_program", "launch", "running"]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.people_program", "tests.crash_program"])

SECONDS = 300


def launch(call: Callable[..., Any], *args: Any, out: Path, kill: str = "") -> tuple[int, str]:
    """Call a function in a process that dies at the fault point `kill`; return its exit code and what it printed."""
    process = _context.Process(target=_go, args=(call, args, str(out), kill))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"it did not end within {SECONDS} s: {out.read_text()[-500:]}")
    code = process.exitcode
    process.close()
    return code, out.read_text()


@contextmanager
def running(call: Callable[..., Any], *args: Any) -> Generator[tuple[BaseProcess, IO[str]]]:
    """Call a function in a process that goes on meanwhile; yield it and what it prints, line by line.

    What it has not printed by the end is read, and its end is waited for, so that it has an exit code then.
    """
    reader, writer = _context.Pipe(duplex=False)
    process = _context.Process(target=_tell, args=(call, args, writer))
    process.start()
    writer.close()
    with os.fdopen(os.dup(reader.fileno()), encoding="utf-8") as said:
        reader.close()
        yield process, said
        said.read()
    process.join()


def as_program(file: str, *args: str) -> None:
    """Call `main` of a file as if the file had been started: its own functions are known by the file's name."""
    load_file(Path(file)).main(*args)


def _go(call: Callable[..., Any], args: tuple[Any, ...], out: str, kill: str) -> None:
    os.environ["TILTH_KILL"] = kill
    with open(out, "w", buffering=1) as file:  # noqa: PTH123  a handle for the whole process
        _print_to(file)
        call(*args)


def _tell(call: Callable[..., Any], args: tuple[Any, ...], writer: Any) -> None:
    with os.fdopen(os.dup(writer.fileno()), "w", buffering=1, encoding="utf-8") as file:
        writer.close()
        _print_to(file)
        call(*args)


def _print_to(file: IO[str]) -> None:
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = file
