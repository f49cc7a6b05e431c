"""Who trains for a run: a warm child process, or this process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

from tilth.algebra import to_json
from tilth.errors import RunFailed
from tilth.training import train
from tilth.workflow import Workflow

__all__ = ["Child", "Inline", "Trainer"]


class Trainer(Protocol):
    """Trains on a version and writes the outputs; returns what `tilth.training.train` returns."""

    def train(self, workflow: Workflow, version: int, *, keep: bool) -> dict[str, Any]:
        """Train; RunFailed where that cannot be done."""
        ...

    def close(self) -> None:
        """Let go of processes."""
        ...


class Inline:
    """Trains in this process: for small data and tests; it cannot be cancelled in the middle."""

    def train(self, workflow: Workflow, version: int, *, keep: bool) -> dict[str, Any]:
        """Train in this process."""
        assert workflow.probe is not None
        return train(
            workflow.dataset.at(version),
            workflow.model,
            workflow.probe,
            needs=workflow.needs,
            seed=workflow.seed,
            keep=keep,
        )

    def close(self) -> None:
        """Nothing to let go of."""


class Child:
    """Trains in one warm child process, started at the first request and killed to cancel."""

    def __init__(self, source: Path | None = None) -> None:
        self.source = source
        self._process: subprocess.Popen[str] | None = None

    def train(self, workflow: Workflow, version: int, *, keep: bool) -> dict[str, Any]:
        """Send the request and wait for the answer; a child that dies is replaced once, then RunFailed says how it died."""
        spec = workflow.to_json()
        request = {
            "source": str(self.source) if self.source else "",
            "dataset": spec["dataset"],
            "version": version,
            "model": to_json(workflow.model),
            "probe": to_json(workflow.probe),
            "needs": sorted(workflow.needs),
            "seed": workflow.seed,
            "keep": keep,
        }
        answer = self._ask(request) or self._ask(request)
        if answer is None:
            raise RunFailed(
                f"the training process died twice{self._death()} on version {version}; if memory ran out, use a smaller model or fewer records, "
                "then run again: everything committed is safe"
            )
        if "error" in answer:
            where = f"\n{answer['trace']}" if answer.get("trace") else ""
            raise RunFailed(f"training on version {version} failed: {answer['error']}{where}")
        return answer["ok"]

    def close(self) -> None:
        """Kill the child; a half-written output is never taken for a whole one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        process = self._alive()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except (BrokenPipeError, ValueError):
            line = ""
        return json.loads(line) if line else None

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            # the child imports what this process can import, and nothing is left to the working directory
            paths = os.pathsep.join(p for p in sys.path if p)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tilth.runs.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": paths},
            )
        return self._process

    def _death(self) -> str:
        code = self._process.poll() if self._process is not None else None
        return f" (signal {-code})" if code is not None and code < 0 else f" (exit code {code})" if code else ""
