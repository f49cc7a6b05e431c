"""What a measurement must say to be believed, and how it is taken: machine, versions, one core, median and spread."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

__all__ = ["Times", "bandwidth", "describe", "in_processor_time", "one_core", "peak_memory", "resident", "timed"]


_clock: ContextVar[Callable[[], float]] = ContextVar("clock", default=time.perf_counter)


@dataclass(frozen=True)
class Times:
    """Seconds of several runs of the same thing.

    >>> Times((0.001, 0.004, 0.002))
    2.0 ms (1.0 to 4.0, n=3)
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one, in seconds."""
        return statistics.median(self.seconds)

    def __repr__(self) -> str:
        low, high = min(self.seconds) * 1e3, max(self.seconds) * 1e3
        return f"{self.median * 1e3:.1f} ms ({low:.1f} to {high:.1f}, n={len(self.seconds)})"


def describe(packages: Sequence[str], **about: Any) -> None:
    """Print the machine, the versions, and whatever the measurement depends on (sizes, seeds)."""
    system = f"{platform.system()} {platform.release()}"
    print(f"machine    {_processor()}, {os.cpu_count()} cores, {_memory():.0f} GB, {system}")
    print(f"versions   Python {platform.python_version()}, " + ", ".join(f"{p} {version(p)}" for p in packages))
    for name, value in about.items():
        print(f"{name:<10} {value}")


@contextmanager
def one_core() -> Generator[None]:
    """Hold this process, and the libraries in it, to one core."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    threads = pa.cpu_count()
    pa.set_cpu_count(1)
    try:
        if before is not None:
            os.sched_setaffinity(0, {max(before)})
        with threadpool_limits(1):
            yield
    finally:
        pa.set_cpu_count(threads)
        if before is not None:
            os.sched_setaffinity(0, before)


@contextmanager
def in_processor_time() -> Generator[None]:
    """Let `timed` count what this process used of the processor: what is fair where others use the machine as well.

    What waits for a disk or another process is not counted then.
    """
    before = _clock.set(time.process_time)
    try:
        yield
    finally:
        _clock.reset(before)


def timed(call: Callable[[], Any], *, repeats: int = 9, warm: int = 1) -> Times:
    """Time a call, after some that are not counted."""
    for _ in range(warm):
        call()
    seconds: list[float] = []
    clock = _clock.get()
    for _ in range(repeats):
        start = clock()
        call()
        seconds.append(clock() - start)
    return Times(tuple(seconds))


def bandwidth(array: np.ndarray) -> float:
    """Return how many bytes a second this core reads from memory, measured by adding up an array."""
    return array.nbytes / timed(lambda: np.add.reduce(array, axis=None)).median


def resident() -> float:
    """Return the bytes of memory that this process has now; NaN where the system does not tell (no /proc)."""
    return _status("VmRSS")


def peak_memory() -> float:
    """Return the most bytes of memory that this process has had."""
    return _status("VmHWM")


def _status(field: str) -> float:
    # not getrusage: its peak is inherited from the process that started this one
    path = Path("/proc/self/status")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith(field)), float("nan"))


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 if hasattr(os, "sysconf") else float("nan")
