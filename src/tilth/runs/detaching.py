"""A run in a process of its own, which goes on when whoever began it is gone: `tilth run --detach`, and the page."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tilth.dataset import Dataset
from tilth.errors import Busy, RunFailed
from tilth.runs.base import newest_run
from tilth.runs.home import home_of, is_held

__all__ = ["Begun", "detach", "workflow_of"]


@dataclass(frozen=True)
class Begun:
    """A process that was started: the run it is at work on (None: it is over), its id, where its output goes."""

    run: str | None
    pid: int
    log: Path


def detach(
    dataset: Dataset, file: Path, *, which: str | None = None, options: Sequence[str] = (), engine: str | None = None
) -> Begun:
    """Start `tilth run FILE` in a process of its own and return when it is at work; RunFailed where it fails at once.

    `which`: the run to go on with; `options`: further options of `tilth run`. Busy where another process is at work.
    """
    home = home_of(dataset.path)
    began = newest_run(dataset, which, engine=engine)
    busy = began is not None and began.at_work
    if is_held(home) if engine is None else busy and which is not None:  # an engine's workers share out the runs
        raise Busy(f"a process is at work on {which or dataset.name!r} already; wait for it, or stop it")
    home.mkdir(parents=True, exist_ok=True)
    log = home / "detached.log"
    named = ["--run", which] if which else []
    env = os.environ | ({"TILTH_ENGINE": engine} if engine else {})  # a password is not for everyone's `ps`
    known = None if began is None else (began.name, len(began.steps))
    with log.open("wb") as file_of_log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tilth.cli", "run", str(file), *options, *named],
            stdin=subprocess.DEVNULL,
            stdout=file_of_log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=env,
        )
    # somebody has to take its exit status when it ends, or it stays in the system's list as long as this process lives
    threading.Thread(target=process.wait, daemon=True).start()
    while process.poll() is None:
        now = newest_run(dataset, which, engine=engine)
        if now is not None and ((now.at_work and not busy) or (now.name, len(now.steps)) != known):
            return Begun(now.name, process.pid, log)
        time.sleep(0.05)
    if process.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        raise RunFailed(f"it ended at once, exit code {process.returncode}: {said}")
    return Begun(None, process.pid, log)


def workflow_of(dataset: Dataset, source: str = "") -> Path | None:
    """Return the file to run: the one that the last run came from, or `workflow.py` beside the dataset.

    One of the same name beside the dataset comes first: a project may have been moved or copied since.
    """
    home = dataset.path.parent
    places = (home / Path(source).name, Path(source)) if source else ()
    return next((path for path in (*places, home / "workflow.py") if path.is_file()), None)
