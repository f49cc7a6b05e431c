"""A run that a process carries for an engine: what the caller gave for it, and its workflow."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tilth.dataset import Dataset
from tilth.functions import load_file
from tilth.runs.journal import Journal
from tilth.runs.steps import Listener
from tilth.workflow import Workflow

__all__ = ["Job", "workflow_of"]


@dataclass
class Job:
    """A run in this process: what the caller gave for it, and how it ends."""

    workflow: Workflow | None = None
    source: Path | None = None
    listen: Listener | None = None
    inline: bool = False
    wait_for_people: bool = True
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    task: "tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None" = None
    lose: Callable[[Callable[[], None]], None] | None = None
    """Makes the run let go of this process, once it has begun."""

    def wait(self) -> None:
        """Wait for the end; Ctrl-C ends the run first, then comes through."""
        try:
            self.ended.wait()
        except KeyboardInterrupt:
            if self.task is not None:
                self.task[0].call_soon_threadsafe(self.task[1].cancel)
                self.ended.wait()
            raise


def workflow_of(journal: Journal, about: Mapping[str, Any], given: Workflow | None, source: Path | None) -> Workflow:
    """Return the workflow of a run on the run's branch: the caller's, or as the journal has it."""
    if given is None:
        if source is not None:
            load_file(source)
        given = Workflow.from_json(journal.spec(about["spec"]))
    there = given.dataset
    if about["branch"] == there.branch_name:
        return given
    return given.on(Dataset.open(there.path, branch=about["branch"], durability=there.durability))
