"""`Context`: what an engine gives to the loop, and what every commit of a run says of itself."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tilth.labeling.inbox import Inbox
from tilth.workflow import Workflow

__all__ = ["Context", "Desk"]


class Desk(Protocol):
    """Where a run keeps what it asked: its name, its folder, the inbox."""

    @property
    def run(self) -> str:
        """The run's name."""
        ...

    @property
    def scope(self) -> str:
        """What stands before the names of questions where several projects share an inbox."""
        ...

    @property
    def folder(self) -> Path:
        """The run's folder."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Where people are asked and answer."""
        ...


class Context(Desk, Protocol):
    """What an engine gives to the loop: durable steps, training, waits, a place to ask, and someone who listens."""

    async def step(self, key: str, call: Callable[[], Any]) -> Any:
        """Run `call` (returns JSON) once a key: a step that has finished before returns what it returned then."""
        ...

    async def wait(self, key: str, look: Callable[[], Any], *, said: str, ticket: Callable[[], Any]) -> Any:
        """Call `look` until it returns JSON that is not None, as a step that may take days; `said`: what for.

        `ticket` returns, as JSON, what somebody else can look at to see whether to look again is worth it.
        """
        ...

    async def train(
        self, key: str, workflow: Workflow, version: int, *, needs: frozenset[str], keep: bool
    ) -> dict[str, Any]:
        """Train on a version as a step; `needs`: the kinds of outputs that will be read."""
        ...

    def workflow(self, spec: str) -> Workflow:
        """Return the workflow of a spec hash: the one at hand, or an earlier one that a round was begun with."""
        ...

    def tell(self, event: Mapping[str, Any]) -> None:
        """Say what is going on; nothing may depend on it."""
        ...
