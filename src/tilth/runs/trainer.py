"""Who trains for a run: a warm child process, or this process."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Protocol

from tilth.algebra import to_json
from tilth.errors import RunFailed
from tilth.training import train
from tilth.workflow import Workflow

__all__ = ["Child", "Inline", "Trainer"]


class Trainer(Protocol):
    """Trains on a version and writes the outputs; returns what `tilth.training.train` returns."""

    def train(self, workflow: Workflow, version: int, *, needs: frozenset[str], keep: bool) -> dict[str, Any]:
        """Train; RunFailed where that cannot be done."""
        ...

    def stop(self) -> None:
        """Break off a training that another thread waits for."""
        ...

    def close(self) -> None:
        """Let go of processes."""
        ...


class Inline:
    """Trains in this process: for small data and tests; it cannot be cancelled in the middle."""

    def train(self, workflow: Workflow, version: int, *, needs: frozenset[str], keep: bool) -> dict[str, Any]:
        """Train in this process."""
        return train(
            workflow.dataset.at(version),
            workflow.model,
            workflow.judge,
            needs=needs,
            seed=workflow.seed,
            keep=keep,
        )

    def stop(self) -> None:
        """Do nothing: a training in this process ends when it ends."""

    def close(self) -> None:
        """Nothing to let go of."""


class Child:
    """Trains in one warm child process, started at the first request and killed to cancel."""

    def __init__(self, source: Path | None = None) -> None:
        self.source = source
        self._child: tuple[subprocess.Popen[str], IO[str], IO[str]] | None = None
        self._death: int | None = None
        self._stopped = False

    def train(self, workflow: Workflow, version: int, *, needs: frozenset[str], keep: bool) -> dict[str, Any]:
        """Send the request and wait for the answer; a child that dies is replaced once."""
        spec = workflow.to_json()
        request = {
            "source": str(self.source) if self.source else "",
            "dataset": spec["dataset"],
            "version": version,
            "model": to_json(workflow.model),
            "probe": to_json(workflow.judge),
            "needs": sorted(needs),
            "seed": workflow.seed,
            "keep": keep,
        }
        answer = self._ask(request) or self._ask(request)
        if answer is None and self._stopped:
            raise RunFailed(f"training on version {version} was stopped; run again to go on")
        if answer is None:
            code = self._death
            died = f" (signal {-code})" if code is not None and code < 0 else f" (exit code {code})"
            raise RunFailed(
                f"the training process died twice{died} on version {version}; if memory ran out, use a "
                "smaller model or fewer records, "
                "then run again: everything committed is safe"
            )
        if "error" in answer:
            where = f"\n{answer['trace']}" if answer.get("trace") else ""
            raise RunFailed(f"training on version {version} failed: {answer['error']}{where}")
        return answer["ok"]

    def stop(self) -> None:
        """Kill the child, so that whoever waits for its answer goes on; no other takes its place."""
        self._stopped = True
        child = self._child
        if child is not None:
            child[0].kill()

    def close(self) -> None:
        """Kill the child; a half-written output is never taken for a whole one."""
        if self._child is not None:
            process, to, back = self._child
            process.kill()
            self._death = process.wait()
            with contextlib.suppress(BrokenPipeError):  # the last request may not have been read
                to.close()
            back.close()
            self._child = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        if self._stopped:
            return None
        _, to, back = self._alive()
        if self._stopped:  # while it was started: whoever stopped it found nothing to kill
            self.close()
            return None
        try:
            to.write(json.dumps(request) + "\n")
            to.flush()
            line = back.readline()
        except (BrokenPipeError, ValueError):
            line = ""
        if not line:
            # its pipes close a moment before it counts as ended: asked in between, it would look alive
            self.close()
        return json.loads(line) if line else None

    def _alive(self) -> tuple[subprocess.Popen[str], IO[str], IO[str]]:
        if self._child is not None and self._child[0].poll() is not None:
            self.close()
        if self._child is None:
            # the child imports what this process can import, and nothing is left to the working directory
            paths = os.pathsep.join(p for p in sys.path if p)
            process = subprocess.Popen(
                [sys.executable, "-m", "tilth.runs.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": paths},
            )
            if process.stdin is None or process.stdout is None:
                raise RunFailed("the training process has no pipes to speak through; the system refused them")
            self._child = (process, process.stdin, process.stdout)
        return self._child
