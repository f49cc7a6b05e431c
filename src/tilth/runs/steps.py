"""`Steps`: what every engine gives to the loop; finished steps are remembered, failing ones tried again and parked."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tilth.errors import Busy, Conflict, Parked, TilthError
from tilth.labeling.inbox import Inbox
from tilth.outputs import Outputs
from tilth.points import reach
from tilth.runs.journal import Journal
from tilth.runs.trainer import Trainer
from tilth.workflow import Workflow

__all__ = ["Listener", "Steps"]

Listener = Callable[[Mapping[str, Any]], None]

_BACK_OFF = (0.25, 0.5, 1.0)
"""Seconds before each new try of a step that failed for a reason that may pass: a full disk, a service that is away."""

_LOOK = 0.5
"""Seconds between two looks of a wait into the inbox."""

_HEED = 1.0
"""Seconds between two looks of a run at what was asked of it."""


class Steps:
    """The loop's context: memo by step key in the journal, training in a warm child, waits that watch the inbox.

    A step that has finished before returns what it returned then. One that fails is tried again where that can help,
    then parks the run with the reason: `Parked` with state "failed", from which a later launch goes on.
    """

    def __init__(
        self,
        journal: Journal,
        run: str,
        folder: Path,
        given: Workflow,
        trainer: Trainer,
        listen: Listener,
        *,
        inbox: str | Path,
        scope: str = "",
        wait: bool = True,
    ) -> None:
        self.run = run
        self.scope = scope
        self.folder = folder
        self._journal = journal
        self._given = given
        self._trainer = trainer
        self._listen = listen
        self._inbox = inbox
        self._opened: Inbox | None = None
        self._wait = wait
        self._asked: str | None = None
        self._over = asyncio.Event()
        self._specs = {given.spec_hash(): given}

    # -- what the loop calls ---------------------------------------------------------------------------------------

    async def step(self, key: str, call: Callable[[], Any]) -> Any:
        """Run `call` (returns JSON) once a key."""
        return await self.once(key, lambda: self._tried(key, call))

    async def train(
        self, key: str, workflow: Workflow, version: int, *, needs: frozenset[str], keep: bool
    ) -> dict[str, Any]:
        """Train on a version as a step; what it wrote is made again where a power cut took it."""

        def call() -> dict[str, Any]:
            return self._trainer.train(workflow, version, needs=needs, keep=keep)

        if key in self._newest:
            written = Outputs(workflow.dataset.path / "outputs" / self.known[key]["ref"])
            if written.lack(needs):
                await self._tried(key, call)
        return await self.step(key, call)

    async def wait(self, key: str, look: Callable[[], Any], *, said: str, ticket: Callable[[], Any]) -> Any:
        """Look until there is an answer (JSON that is not None), as a step that may take days; `said`: what for.

        The training process is let go meanwhile. Killed, it looks again when the run goes on. Where nobody is to wait,
        the run is parked with `ticket`.
        """
        return await self.once(key, lambda: self._watched(key, look, said, ticket))

    @property
    def inbox(self) -> Inbox:
        """Where people are asked and answer; opened when it is first used, for many runs ask nobody."""
        if self._opened is None:
            self._opened = Inbox(self._inbox)
        return self._opened

    def workflow(self, spec: str) -> Workflow:
        """Return the workflow of a spec hash."""
        if spec not in self._specs:
            self._specs[spec] = Workflow.from_json(self._journal.spec(spec))
        return self._specs[spec]

    def tell(self, event: Mapping[str, Any]) -> None:
        """Pass an event on to who listens."""
        self._listen({"run": self.run, **event})

    # -- what an engine calls --------------------------------------------------------------------------------------

    async def once(self, key: str, work: Callable[[], Any]) -> Any:
        """Await `work()` unless the journal has its result; write its result down."""
        if key in self.known:
            return self.known[key]
        self._heed()
        reach(f"before {key}")
        self.tell({"what": "step", "key": key})
        began = time.perf_counter()
        result = await work()
        reach(f"inside {key}")
        self._journal.finish(self.run, key, result, time.perf_counter() - began)
        self.known[key] = result
        reach(f"after {key}")
        return result

    @cached_property
    def known(self) -> dict[str, Any]:
        """The results of the steps that have finished; read once, for nobody else writes them while the run is held."""
        return {s["key"]: s["result"] for s in self._journal.steps(self.run)}

    @cached_property
    def _newest(self) -> frozenset[str]:
        """The trainings of the last round before this launch: what earlier ones wrote has come to disk long since."""
        trained = [key for key, result in self.known.items() if isinstance(result, Mapping) and "trained" in result]
        last = trained[-1].partition("/")[0] if trained else ""
        return frozenset(key for key in trained if key.partition("/")[0] == last)

    async def heed(self) -> None:
        """Watch for what is asked of the run (pause, cancel) until `rest`; a cancel ends a training at once."""
        while not self._over.is_set():
            self._asked = await asyncio.to_thread(self._journal.requested, self.run) or self._asked
            if self._asked == "cancel":
                self._trainer.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), _HEED)

    def rest(self) -> None:
        """Let `heed` end when its look is over: a look that was cut off would hold its connection for ever."""
        self._over.set()

    def close(self) -> None:
        """Let go of the inbox and the training process."""
        self._trainer.close()
        if self._opened is not None:
            self._opened.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _heed(self) -> None:
        if self._asked == "pause":
            raise Parked(f"{self.run} was paused", state="paused")
        if self._asked == "cancel":
            raise Parked(f"{self.run} was cancelled", state="cancelled")

    async def _tried(self, key: str, call: Callable[[], Any]) -> Any:
        for pause in (*_BACK_OFF, None):
            try:
                return await asyncio.to_thread(call)
            except asyncio.CancelledError:
                self._trainer.stop()  # or the end would wait for the training's
                raise
            except Exception as error:
                self._heed()  # a training that was killed because of a cancel has not failed
                known = isinstance(error, TilthError)
                if pause is None or (known and not isinstance(error, (Busy, Conflict))):
                    told = str(error) if known else f"{type(error).__name__}: {error}"
                    raise Parked(f"step {key} of {self.run} failed: {told}", state="failed") from error
                self.tell({"what": "retry", "key": key, "why": f"{type(error).__name__}: {error}", "in": pause})
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _watched(self, key: str, look: Callable[[], Any], said: str, ticket: Callable[[], Any]) -> Any:
        told = False
        while True:
            found = await self._tried(key, look)
            if found is not None:
                if told:
                    self._journal.set_state(self.run, "running")
                return found
            if not told:
                told = True
                await asyncio.to_thread(self._trainer.close)
                self._journal.set_state(self.run, "waiting", said)
                self.tell({"what": "waiting", "key": key, "why": said})
            if not self._wait:
                raise Parked(said, state="waiting", ticket=await asyncio.to_thread(ticket))
            self._heed()
            await asyncio.sleep(_LOOK)
