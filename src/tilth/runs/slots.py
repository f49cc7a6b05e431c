"""A worker of a durable engine: processes that take runs from its queue, one run each, and are replaced after it."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from tilth.errors import RunFailed, UsageError
from tilth.runs.engines import database_of
from tilth.runs.steps import Listener
from tilth.runs.workers import LEASE, Workers

__all__ = ["main", "work"]

_GRACE = 30.0
"""Seconds that a step under way has to end in when the worker stops; then its process is killed, and it runs again."""

_log = logging.getLogger(__name__)


def work(
    engine: str,
    *,
    at_once: int = 1,
    stop: threading.Event | None = None,
    listen: Listener | None = None,
    lease: float = LEASE,
) -> None:
    """Take runs of any project from an engine's queue and carry them, until `stop` is set or Ctrl-C.

    `at_once`: how many runs at a time; one that waits for people counts. Any number of workers, on any machines that
    reach the datasets by the same paths, share the queue. A worker that gives no sign of life for `lease` seconds loses
    its runs to the others. When it stops, its runs go back to the queue. `listen` is told what the runs say (`run` says
    which), `took` when one begins and `left` when it ends, with `project`. UsageError for a wrong engine, MissingExtra
    without DBOS, RunFailed where the database does not answer.
    """
    if at_once < 1:
        raise UsageError(f"at_once={at_once}: how many runs at a time, 1 or more")
    _check(engine, lease)
    stop = stop or threading.Event()
    slots = [_Slot(engine, lease, listen or (lambda _: None)) for _ in range(at_once)]
    try:
        while not stop.wait(0.1):
            for slot in slots:
                slot.keep_up()
    finally:
        for slot in slots:
            slot.ask_to_stop()
        for slot in slots:
            slot.end()


def _check(engine: str, lease: float) -> None:
    """Fail at once for what no process could mend."""
    import tilth.runs.durable as _  # noqa: F401  only whether DBOS is installed

    Workers(database_of(engine), lease=lease).close()


class _Slot:
    """A process that carries one run, and the next process after it."""

    def __init__(self, engine: str, lease: float, listen: Listener) -> None:
        self._request = json.dumps({"engine": engine, "lease": lease})
        self._listen = listen
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._failures = 0
        self._not_before = 0.0

    def keep_up(self) -> None:
        """Start a process where none runs; later and later where they die."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._close()
            self._failures = 0 if code == 0 else self._failures + 1
            if code:
                _log.warning("a process of this worker ended with code %s; its run is taken up again", code)
            self._not_before = time.monotonic() + (min(30.0, 0.5 * 2**self._failures) if code else 0.0)
        if time.monotonic() >= self._not_before:
            self._start()

    def ask_to_stop(self) -> None:
        """Close what the process listens to: it hands its run over and ends."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def end(self) -> None:
        """Wait for the process, and kill it where it does not end in time."""
        if self._process is not None:
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._close()

    def _start(self) -> None:
        # what it imports is what this process can import; the engine's URL, which may hold a password, is no argument
        paths = os.pathsep.join(p for p in sys.path if p)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tilth.runs.slots"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RunFailed("the worker's process has no pipes to speak through; the system refused them")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(self._request + "\n")
            self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._listen(json.loads(line))

    def _close(self) -> None:
        if self._process is not None:
            self.ask_to_stop()
            self._process.wait()
            if self._reader is not None:
                self._reader.join()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None


def main() -> None:
    """Carry one run of the engine that standard input names; stop when that closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the worker decides what follows
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a user's function prints must not be taken for news
    request = json.loads(sys.stdin.readline())
    stop = threading.Event()
    threading.Thread(target=_until_closed, args=(stop,), daemon=True).start()

    def tell(event: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the worker may be gone; the run's work is to end in order
            said.write(json.dumps(event, default=str) + "\n")
            said.flush()

    from tilth.runs.durable import serve

    serve(request["engine"], stop, listen=tell, lease=request["lease"])


def _until_closed(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


if __name__ == "__main__":
    main()
