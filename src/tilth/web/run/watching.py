"""Who looks on at a run: one watcher reads its journal for all pages that listen, and tells them what has come."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.exc import OperationalError

from tilth.drawing import Drawing, Graph, recall
from tilth.drawing.graph import State
from tilth.errors import NotFound
from tilth.runs import Run
from tilth.runs.home import journal_of
from tilth.runs.lighting import light
from tilth.web.label.desk import for_experts
from tilth.web.site import Site

__all__ = ["Look", "Watch", "Watches", "graph_of", "look_at"]

_EVERY = 0.1
"""Seconds between two looks into the journal."""

_ALIVE = 1.0
"""Seconds between two looks whether a process is at work on the run: that costs more than a look into the journal."""


@dataclass(frozen=True)
class Look:
    """A run as it was at one moment; `moment` counts what has changed since the watching began."""

    run: Run
    standing: str
    graph: Graph
    states: Mapping[str, State]
    at_work: bool = False
    asked: tuple[Mapping[str, Any], ...] = ()
    moment: int = 0
    gone: bool = False

    @property
    def number(self) -> int:
        """The number of the newest finished step."""
        return self.run.number

    @property
    def drawn(self) -> str:
        """A name for what its drawing shows, the states left out: by it a page tells that its own is an old one."""
        return hashlib.sha256(repr(self.graph).encode()).hexdigest()[:16]

    def drawings(self) -> dict[str, str]:
        """Return the drawing as it is lit now, as SVG: wide for a screen and tall for a phone."""
        lit = self.graph.lit(self.states)
        return {"wide": Drawing(lit).svg, "tall": Drawing(lit, "down").svg}


def look_at(site: Site, run: Run, graph: Graph, *, moment: int = 0) -> Look:
    """Return how a run is now."""
    standing = run.standing
    results = {step["key"]: step["result"] for step in run.steps}
    states = light(graph, run.spec, results, standing)
    return Look(run, standing, graph, states, run.at_work, _asked(site, run, standing), moment)


def graph_of(site: Site, run: Run) -> Graph:
    """Return the graph of a run's workflow, with the records that its branch has now."""
    return recall(run.spec, site.dataset(run.branch))


def _asked(site: Site, run: Run, standing: str) -> tuple[Mapping[str, Any], ...]:
    """Return how far the open questions of a run that waits are."""
    return tuple(
        {
            "team": posted.team or "anybody",
            "kind": posted.kind,
            "rule": posted.rule,
            "panel": posted.panel,
            "tasks": now.tasks,
            "complete": now.complete,
            "answers": now.answers,
            "leased": now.leased,
            "reason": posted.reason,
            "where": "/review" if for_experts(posted) else f"/label?{urlencode({'team': posted.team})}",
        }
        for posted, now in (site.asked(run.name) if standing == "waiting" else ())
    )


class Watch:
    """Reads the journal of one run as long as somebody listens."""

    def __init__(self, site: Site, name: str) -> None:
        self._site = site
        self._run = site.run(name)
        self._told = self._shown()
        self._graph = graph_of(site, self._run)
        self._alive = time.monotonic()
        self._moved = False
        self._news = asyncio.Event()
        self.listeners = 0
        self.over = False
        self.look = look_at(site, self._run, self._graph)
        self._journal = journal_of(site.path, site.engine)

    async def go(self) -> None:
        """Look again and again, until it is cancelled or the run is deleted."""
        try:
            while not self.look.gone:
                await asyncio.sleep(_EVERY)
                try:
                    look = await asyncio.to_thread(self._again)
                except OperationalError:  # a database that is away for a while does not end it
                    continue
                if look is not None:
                    self.look = look
                    news, self._news = self._news, asyncio.Event()
                    news.set()
        finally:
            self.over = True
            self._news.set()  # who waits for more goes, and comes back to another watcher
            self.close()

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    async def after(self, moment: int, patience: float) -> Look | None:
        """Return the newest look if it is not that of `moment`; wait for one; None where none comes in time."""
        if self.look.moment == moment:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), patience)
        return None if self.look.moment == moment else self.look

    def _again(self) -> Look | None:
        try:
            self._moved |= self._run.follow(self._journal)
        except NotFound:
            return Look(self._run, "gone", self._graph, {}, moment=self.look.moment + 1, gone=True)
        if not self._moved and time.monotonic() - self._alive < _ALIVE:
            return None
        self._alive = time.monotonic()
        if self._told != self._shown():  # an edited workflow was adopted, or records came
            told = self._shown()
            self._graph, self._told = graph_of(self._site, self._run), told
            self._moved = True
        look = look_at(self._site, self._run, self._graph, moment=self.look.moment + 1)
        same = (look.standing, look.at_work, look.asked) == (self.look.standing, self.look.at_work, self.look.asked)
        # not before: what was read is told also where the look above failed once
        moved, self._moved = self._moved, False
        return None if same and not moved else look

    def _shown(self) -> tuple[Any, int]:
        """Return what the drawing rests on: the workflow, and the records' version."""
        return self._run.spec, self._site.dataset(self._run.branch).version


class Watches:
    """The runs that are looked at now."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: dict[str, tuple[Watch, asyncio.Task[None]]] = {}

    @contextlib.asynccontextmanager
    async def on(self, name: str) -> AsyncGenerator[Watch]:
        """Yield the watcher of a run: that of the pages which listen already, or a new one; it ends with the last."""
        entry = self._open.get(name)
        if entry is None or entry[0].over:
            made = await asyncio.to_thread(Watch, self._site, name)
            entry = self._open.get(name)
            if entry is None or entry[0].over:
                entry = self._open[name] = (made, asyncio.create_task(made.go()))
            else:  # another page came in the meantime
                made.close()
        watch, task = entry
        watch.listeners += 1
        try:
            yield watch
        finally:
            watch.listeners -= 1
            if not watch.listeners:
                if self._open.get(name) is entry:
                    del self._open[name]
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
