"""Where output goes: results to stdout, everything that passes to stderr; live on a terminal, plain lines elsewhere."""

import os
import shutil
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from tilth.cli.words import clean, duration

__all__ = ["interactive", "note", "paragraph", "say", "table", "working"]

Report = Callable[[int, int | None], None]

_EVERY = 10.0
"""Seconds between two plain lines of a long task."""


def say(text: str = "") -> None:
    """Write a line of the result to stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Write a line of what is going on to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def paragraph(text: str, *, indent: int = 0) -> None:
    """Write a text to stdout, broken into lines as wide as the terminal; one line where stdout is none."""
    if not sys.stdout.isatty():
        say(" " * indent + text)
        return
    width = max(40, shutil.get_terminal_size().columns)
    first, rest = " " * indent, " " * (indent + 2)
    for line in textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False):
        say(line)


def interactive() -> bool:
    """Whether stderr is a terminal on which lines can be drawn anew."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = (), indent: int = 0) -> None:
    """Write a table to stdout, a line a row; where stdout is no terminal nothing is cut.

    `right`: the columns of numbers. On a terminal the last column gives way where there is no room for it, then the
    others break into lines.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    console.width = console.width - indent if sys.stdout.isatty() else 100_000
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        made.add_column(name, justify="right" if name in right else "left", no_wrap=name in right, overflow="fold")
    for row in rows:
        made.add_row(*(Text(clean("" if value is None else str(value))) for value in row))
    with console.capture() as caught:
        console.print(made)
    for line in caught.get().splitlines():
        say(" " * indent + line.rstrip())


@contextmanager
def working(what: str) -> Generator[Report]:
    """Show that something takes its time; yields a function that is told how far it is: (done, total or None).

    On a terminal a bar with rate and time left, gone when it is over; elsewhere a line once it has taken a second.
    """
    with _bar(what) if interactive() else _lines(what) as report:
        yield report


@contextmanager
def _bar(what: str) -> Generator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Pace(ProgressColumn):
        """How far, how fast, and how long it will take."""

        def render(self, task: Task) -> Text:
            if task.total is None and not task.completed:
                return Text("")
            total = "" if task.total is None else f" of {int(task.total):,}"
            return Text(f"{int(task.completed):,}{total}{_pace(task.completed, task.total, task.elapsed or 0)}")

    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        Pace(),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
    with bars:
        task = bars.add_task(clean(what), total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def _lines(what: str) -> Generator[Report]:
    began = last = time.monotonic()
    timer = threading.Timer(1.0, lambda: note(f"{clean(what)} ..."))
    timer.daemon = True
    timer.start()

    def report(done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            of = "" if total is None else f" of {total:,}"
            note(f"{clean(what)}: {done:,}{of}{_pace(done, total, now - began)}")

    try:
        yield report
    finally:
        timer.cancel()


def _pace(done: float, total: float | None, elapsed: float) -> str:
    if elapsed < 1 or done <= 0:
        return ""
    rate = done / elapsed
    said = f", {rate:,.0f}/s" if rate >= 1 else f", {1 / rate:.1f} s each"
    return said if not total else f"{said}, {duration((total - done) / rate)} left"
