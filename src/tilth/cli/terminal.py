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

_SOON = 0.5
"""Seconds until a bar is shown."""
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
    """Write a table to stdout, a line a row.

    `right`: the columns of numbers. On a terminal the last column is cut where there is no room for it; where stdout is
    no terminal nothing is.
    """
    from rich.cells import cell_len, set_cell_size

    cells = [list(head), *([clean("" if value is None else str(value)) for value in row] for row in rows)]
    widths = [max(cell_len(row[i]) for row in cells) for i in range(len(head))]
    terminal = sys.stdout.isatty()
    if terminal and len(head) > 3:
        room = shutil.get_terminal_size().columns - indent - sum(width + 2 for width in widths[:-1])
        widths[-1] = min(widths[-1], max(room, 12))
    bold = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for n, row in enumerate(cells):
        parts: list[str] = []
        for name, text, width in zip(head, row, widths, strict=True):
            shown = text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
            space = " " * (width - cell_len(shown))
            parts.append(space + shown if name in right else shown + space)
        line = "  ".join(parts).rstrip()
        say(" " * indent + (f"\x1b[1m{line}\x1b[0m" if bold and n == 0 else line))


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
    task = bars.add_task(clean(what), total=None)
    later = threading.Timer(_SOON, bars.start)  # what is over at once need not flicker
    later.daemon = True
    later.start()

    def report(done: int, total: int | None) -> None:
        if done == total:  # all is read; what is left tells nothing of itself
            bars.update(task, completed=0, description=f"{clean(what)}: {done:,}, finishing")
            bars.tasks[0].total = None
        else:
            bars.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        later.cancel()
        later.join()
        bars.stop()


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
