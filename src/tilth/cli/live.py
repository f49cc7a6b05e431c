"""A run as it goes: rounds below one another and what is being done now, or plain lines where there is no terminal."""

import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tilth.cli.rounds import Row, did, read_row, step_said
from tilth.cli.terminal import note
from tilth.cli.words import clean, duration, number
from tilth.workflow import Workflow

__all__ = ["Live", "Plain", "Watching"]


class Watching:
    """Listens to a run and shows each round once; how, its two kinds say."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.metrics = [clean(repr(q)) for q in workflow.report]
        self.row: Row | None = None
        self.version = 0
        self.doing = "starting"

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event of the run."""
        match event["what"]:
            case "round":
                self.version = event["version"]
            case "evaluated":
                self.row = read_row(self.workflow, event)
            case "step":
                self.doing = step_said(event["key"], self.version)
                self.step()
            case "rule" if self.row is not None:
                self.row.rules[event["rule"]] = did(self.workflow.rules[event["rule"]].do.tag, event)
                self.version = event.get("version", self.version)
            case "rounded":
                self.end_round()
            case _:
                pass

    def end_round(self) -> None:
        """Show the round that is over, if any is under way."""
        if self.row is not None:
            self.show(self.row)
            self.row = None

    def show(self, row: Row) -> None:
        """Show a round for good."""
        raise NotImplementedError(type(self).__name__)  # pragma: no cover  (abstract)

    def step(self) -> None:
        """Show what is being done now."""
        raise NotImplementedError(type(self).__name__)  # pragma: no cover  (abstract)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end_round()


class Plain(Watching):
    """A line a round, and one for each step that takes more than a second."""

    def __init__(self, workflow: Workflow) -> None:
        super().__init__(workflow)
        self._timer: threading.Timer | None = None

    def show(self, row: Row) -> None:
        """Write the round as a line."""
        self._quiet()
        note(row.line(self.metrics))

    def step(self) -> None:
        """Write the step as a line if it is not over in a second."""
        self._quiet()
        self._timer = threading.Timer(1.0, note, (f"{self.doing} ...",))
        self._timer.daemon = True
        self._timer.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._quiet()
        super().__exit__(kind, error, at)

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Live(Watching):
    """A table that grows by a line a round, and below it the round and the step that are under way."""

    def __init__(self, workflow: Workflow) -> None:
        super().__init__(workflow)
        from rich.console import Console
        from rich.live import Live as Region
        from rich.spinner import Spinner

        self._console = Console(file=sys.stderr, highlight=False)
        self._spinner = Spinner("dots")
        self._since = time.monotonic()
        self._begun = False
        # what a user's own functions print goes above this region
        self._region = Region(console=self._console, get_renderable=self._now, transient=True, refresh_per_second=8)

    def show(self, row: Row) -> None:
        """Add the round to the table."""
        if not self._begun:
            self._begun = True
            self._console.print(self._lines(None))
        self._console.print(self._lines(row))

    def step(self) -> None:
        """Let the time of a step begin."""
        self._since = time.monotonic()

    def __enter__(self) -> "Live":
        self._region.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end_round()
        self._region.__exit__(kind, error, at)

    def _now(self) -> Any:
        """Return what stands below the table: the round under way, and the step with its time."""
        from rich.console import Group
        from rich.text import Text

        self._spinner.update(
            text=Text(f"{self.doing}  {duration(time.monotonic() - self._since)}", overflow="ellipsis")
        )
        if self.row is None:
            return self._spinner
        head = [] if self._begun else [self._lines(None)]
        return Group(*head, self._lines(self.row), self._spinner)

    def _lines(self, row: Row | None) -> Any:
        """Return a round as a line of the table, of the same widths as all others; the head where there is no row."""
        from rich.table import Table
        from rich.text import Text

        made = Table.grid(padding=(0, 2, 0, 0), expand=True)
        widths = [5, 7, 6, *(max(7, min(len(name), 16)) for name in self.metrics for _ in "vt")]
        for width in widths:
            made.add_column(justify="right", width=width, overflow="fold")
        made.add_column(ratio=1, overflow="fold")
        if row is None:
            names = [text for name in self.metrics for text in (f"{name}\nvalid", "\ntest")]
            made.add_row(
                *(Text(text, style="bold") for text in ("\nround", "\nversion", "\nlabels", *names, "\nrules"))
            )
            return made
        values = [number(v) for pair in zip(row.valid, row.test, strict=True) for v in pair]
        colour = {"kept": "green", "rejected": "yellow", "nothing": "dim", "done": ""}
        rules = Text("\n").join(
            Text.assemble((clean(name), "bold"), " ", (done.text, colour[done.mood]))
            for name, done in row.rules.items()
        )
        made.add_row(str(row.round), str(row.version), f"{row.labels:,}", *values, rules)
        return made
