"""`Site`: what the pages of a project read and write: its dataset, its runs, what people are asked, who they are."""

import contextlib
import hashlib
import threading
from pathlib import Path

from tilth.dataset import Dataset
from tilth.errors import NotFound
from tilth.labeling.inbox import Inbox, Posted, Progress
from tilth.runs import Run
from tilth.runs.home import home_of, inbox_of, journal_of, scope_of
from tilth.runs.lives import OVER
from tilth.web.people import People
from tilth.web.shelf import Shelf

__all__ = ["Site"]


_STEPS = 200_000
"""Steps of runs that are over which are kept in memory."""


class Site:
    """A project behind its page; every method may be called by any thread."""

    def __init__(self, path: Path, *, engine: str | None = None) -> None:
        main = Dataset.open(path)
        self.path = main.path
        self.name = main.name
        self.engine = engine
        self.home = home_of(main.path)
        self.scope = scope_of(main.path, engine)
        self.people = People(self.home / "people.sqlite")
        self._branches = {"main": main}
        self._over = Shelf(_STEPS)
        self._inbox: Inbox | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the databases."""
        self.people.close()
        if self._inbox is not None:
            self._inbox.close()

    def dataset(self, branch: str = "main", version: int | None = None) -> Dataset:
        """Return the dataset on a branch, at a version or at the head of that branch."""
        with self._lock:
            if branch not in self._branches:
                self._branches[branch] = Dataset.open(self.path, branch=branch)
            found = self._branches[branch]
        return found if version is None else found.at(version)

    @property
    def cookie(self) -> str:
        """The name of the cookie that holds a session: a browser tells the hosts of pages apart, but not the ports."""
        return f"tilth_session_{hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:16]}"

    @property
    def inbox(self) -> Inbox | None:
        """What people are asked; None where nobody was asked yet."""
        with self._lock:
            if self._inbox is None:
                where = inbox_of(self.path, self.engine)
                if self.engine is None and not Path(where).exists():
                    return None
                self._inbox = Inbox(where)
            return self._inbox

    def questions(self, state: str | None = None) -> list[Posted]:
        """Return the questions of this project, oldest first: the inbox of an engine holds those of others too."""
        inbox = self.inbox
        return [] if inbox is None else [q for q in inbox.questions(state=state) if q.id.startswith(self.scope)]

    def asked(self, run: str) -> list[tuple[Posted, Progress]]:
        """Return the open questions of a run, and how far each is."""
        inbox = self.inbox
        if inbox is None:
            return []
        return [(q, inbox.progress(q.id)) for q in inbox.questions(run=f"{self.scope}{run}", state="open")]

    def run(self, name: str | None = None) -> Run:
        """Return a run, the newest without a name; NotFound names those there are."""
        if not self._has_journal():
            raise NotFound("no run yet; `tilth run FILE` starts one")
        return Run(self.dataset(), name, engine=self.engine)

    def runs(self) -> list[Run]:
        """Return all runs, newest first."""
        if not self._has_journal():
            return []
        with contextlib.closing(journal_of(self.path, self.engine)) as journal:
            found = journal.runs()

        def read(name: str) -> tuple[Run, int]:
            run = Run(self.dataset(), name, engine=self.engine)
            return run, len(run.steps)

        return [
            # what is over stays as it is: thirty of 500 steps took 0.8 s to read for each look at the list
            self._over.get(r["run"], lambda name=r["run"]: read(name)) if r["state"] in OVER else read(r["run"])[0]
            for r in reversed(found)
        ]

    def _has_journal(self) -> bool:
        return self.engine is not None or (self.home / "journal.sqlite").exists()
