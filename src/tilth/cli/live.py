"""A run as it goes: rounds below one another and what is being done now, or plain lines where there is no terminal."""

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tilth.cli.rounds import Row, read_row
from tilth.cli.terminal import note
from tilth.cli.words import clean, duration, number
from tilth.runs.telling import Did, did, step_said
from tilth.workflow import Workflow

__all__ = ["Live", "Plain", "Watching"]


class Watching(ABC):
    """Listens to a run and shows each round once; how, its two kinds say."""

    def __init__(self, workflow: Workflow, opening: str = "") -> None:
        self.workflow = workflow
        self.opening = opening
        self.metrics = [clean(repr(q)) for q in workflow.report]
        self.row: Row | None = None
        self.opening_rules: dict[str, Did] = {}
        self.version = 0
        self.doing = "starting"

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event of the run."""
        if self.opening:
            self.remark(self.opening)
            self.opening = ""
        match event["what"]:
            case "round":
                self.version = event["version"]
            case "evaluated":
                self.row = read_row(self.workflow, event)
                self.row.rules |= self.opening_rules
                self.opening_rules = {}
            case "step":
                self.doing = step_said(event["key"], self.version)
                self.step()
            case "tick":
                entered = "enters the project" if event["holds"] else "nothing to do"
                for name, brought in event.get("brought", {}).items():
                    self.remark(f"rule {clean(name)}: {clean(brought['why'])}")
                self.remark(f"looked whether to run: {clean(event['why'])}; {entered}")
            case "waiting":
                self.doing = f"{clean(event['why'])}; answer by tilth label PROJECT --as NAME"
                self.step()
            case "retry":
                failed = f"{step_said(event['key'], self.version)} failed ({clean(event['why'])})"
                self.remark(f"{failed}; once more in {event['in']:g} s")
            case "rule":
                rules = self.opening_rules if self.row is None else self.row.rules  # before there was a model
                rules[event["rule"]] = did(self.workflow.rules[event["rule"]].do.tag, event)
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

    @abstractmethod
    def show(self, row: Row) -> None:
        """Show a round for good."""

    @abstractmethod
    def step(self) -> None:
        """Show what is being done now."""

    def remark(self, text: str) -> None:
        """Say something beside the rounds."""
        note(text)

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end_round()


class Plain(Watching):
    """A line a round, and one for each step that takes more than a second."""

    def __init__(self, workflow: Workflow, opening: str = "") -> None:
        super().__init__(workflow, opening)
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

    def __init__(self, workflow: Workflow, opening: str = "") -> None:
        super().__init__(workflow, opening)
        from rich.console import Console
        from rich.live import Live as Region
        from rich.spinner import Spinner

        self._console = Console(file=sys.stderr, highlight=False)
        self._spinner = Spinner("dots")
        self._since = time.monotonic()
        self._begun = False
        self._fixed: list[int] = []
        # what a user's own functions print goes above this region
        self._region = Region(console=self._console, get_renderable=self._now, transient=True, refresh_per_second=8)

    def show(self, row: Row) -> None:
        """Add the round to the table."""
        if not self._begun:
            self._begun = True
            self._console.print(self._head(row))
        self._console.print(self._line(row))

    def step(self) -> None:
        """Let the time of a step begin."""
        self._since = time.monotonic()

    def remark(self, text: str) -> None:
        """Say something above what moves."""
        self._console.print(text, markup=False)

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

        took = duration(time.monotonic() - self._since)
        self._spinner.update(text=Text(f"{self.doing}  {took}", overflow="ellipsis", no_wrap=True))
        if self.row is None:
            return self._spinner
        head = [] if self._begun else [self._head(self.row)]
        return Group(*head, self._line(self.row), self._spinner)

    def _widths(self, row: Row) -> list[int]:
        """Return the widths of the columns but the last; the first row settles them for all."""
        if not self._fixed:
            each = [max(6, len(number(v)), len(number(t))) for v, t in zip(row.valid, row.test, strict=True)]
            self._fixed = [5, 7, max(6, len(f"{row.labels:,}")), *(width for width in each for _ in "vt")]
        return self._fixed

    def _head(self, row: Row) -> Any:
        from rich.text import Text

        widths = self._widths(row)
        above = " " * (sum(widths[:3]) + 6)
        for i, name in enumerate(self.metrics):
            room = widths[3 + 2 * i] + 2 + widths[4 + 2 * i]
            above += (name if len(name) <= room else f"{name[: room - 1]}…").rjust(room) + "  "
        names = ["round", "version", "labels", *(part for _ in self.metrics for part in ("valid", "test"))]
        below = "".join(f"{name.rjust(width)}  " for name, width in zip(names, widths, strict=True))
        return Text(f"{above.rstrip()}\n{below}rules", style="bold", no_wrap=True, overflow="crop")

    def _line(self, row: Row) -> Any:
        """Return a round as a line of the table."""
        from rich.table import Table
        from rich.text import Text

        made = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for width in self._widths(row):
            made.add_column(justify="right", width=width, overflow="fold")
        made.add_column(ratio=1, overflow="fold")
        values = [number(v) for pair in zip(row.valid, row.test, strict=True) for v in pair]
        colour = {"kept": "green", "rejected": "yellow", "nothing": "dim", "done": ""}
        rules = Text("\n").join(
            Text.assemble((clean(name), "bold"), " ", (done.text, colour[done.mood]))
            for name, done in row.rules.items()
        )
        made.add_row(str(row.round), str(row.version), f"{row.labels:,}", *values, rules)
        return made
