"""The local engine: one machine, one process a project, a journal; the loop goes on where it was."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tilth.errors import Busy, Parked, RunFailed, TilthError, UsageError
from tilth.loop import Outcome, loop
from tilth.runs.base import Run
from tilth.runs.journal import Journal
from tilth.runs.points import reach
from tilth.runs.trainer import Child, Inline, Trainer
from tilth.workflow import Workflow

__all__ = ["home_of", "run"]

Listener = Callable[[Mapping[str, Any]], None]


def home_of(dataset: Path) -> Path:
    """Return where the runs of a dataset are kept: `runs` beside it in a project, inside it where it stands alone."""
    return dataset.parent / "runs" if dataset.name == "dataset" else dataset / "runs"


def run(
    workflow: Workflow,
    *,
    source: str | Path | None = None,
    listen: Listener | None = None,
    inline: bool = False,
    adopt: bool = False,
) -> Run:
    """Run a workflow until it is done, or go on with the run that is not: a step that has finished is not repeated.

    `source`: the file that the workflow comes from, for its own functions in the training process. `listen` is told
    what is going on. `inline=True` trains in this process. A workflow that was edited since its run began is refused,
    with the difference, unless `adopt=True`: then it counts from the next round. Raises `Busy` where another process
    runs this project, `RunFailed` where a step failed (mend it and run again), `Parked` where it waits for people.
    """
    home = home_of(workflow.dataset.path)
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as why:
        holder = (home / "holder").read_text(encoding="utf-8") if (home / "holder").exists() else "unknown"
        raise Busy(f"process {holder} is running {workflow.dataset.name!r} already; wait for it, or stop it") from why
    journal = Journal(home / "journal.sqlite")
    trainer: Trainer = Inline() if inline else Child(Path(source).resolve() if source else None)
    try:
        (home / "holder").write_text(str(os.getpid()), encoding="utf-8")
        name = _enter(journal, workflow, str(source or ""), adopt=adopt)
        context = _Local(journal, name, home / name, workflow, trainer, listen or (lambda _: None))
        _drive(journal, name, loop(workflow, context))
        return Run(workflow.dataset, name)
    finally:
        trainer.close()
        journal.close()
        lock.release()


def _drive(journal: Journal, name: str, work: Any) -> None:
    try:
        outcome: Outcome = asyncio.run(work)
        journal.finish(name, "outcome", _outcome(outcome), 0.0)
        journal.set_state(name, "done", outcome.why)
    except Parked as parked:
        journal.set_state(name, parked.state, str(parked))
        raise
    except KeyboardInterrupt:
        journal.set_state(name, "paused", "stopped by Ctrl-C")
        raise
    except TilthError as error:
        journal.set_state(name, "failed", str(error))
        raise


def _enter(journal: Journal, workflow: Workflow, source: str, *, adopt: bool) -> str:
    """Return the run to go on with, or a new one."""
    spec, text = workflow.spec_hash(), json.dumps(workflow.to_json())
    last = journal.runs()[-1:]
    if not last or last[0]["state"] == "done":
        return journal.begin(spec, text, source)
    name = last[0]["run"]
    if last[0]["spec"] != spec:
        changed = _differences(journal.spec(last[0]["spec"]), json.loads(text))
        if not adopt:
            raise UsageError(
                f"the workflow was edited since {name} began ({changed}). Go on with the new one from the next round "
                "by --adopt, "
                "or put the old one back"
            )
        journal.adopt(name, spec, text)
        if last[0]["state"] == "failed":
            # the round cannot end as it is: what is left of it runs by the new workflow
            starts = [s for s in journal.steps(name) if s["key"].endswith("/start")]
            if starts:
                journal.finish(name, starts[-1]["key"], {**starts[-1]["result"], "spec": spec}, starts[-1]["seconds"])
    journal.set_state(name, "running")
    return name


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    parts = [k for k in new if k not in ("rules", "dataset") and old.get(k) != new[k]]
    rules = sorted(set(old["rules"]) | set(new["rules"]))
    parts += [f"rule {r!r}" for r in rules if old["rules"].get(r) != new["rules"].get(r)]
    return ", ".join(parts) or "its functions"


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "version": outcome.version,
        "model": outcome.model,
        "why": outcome.why,
        "rounds": [dict(r.__dict__) for r in outcome.rounds],
        "final": dict(outcome.final),
    }


class _Local:
    """The loop's context on one machine: memo by step key in the journal."""

    def __init__(
        self, journal: Journal, run: str, folder: Path, given: Workflow, trainer: Trainer, listen: Listener
    ) -> None:
        self.run = run
        self.folder = folder
        self._journal = journal
        self._given = given
        self._trainer = trainer
        self._listen = listen
        self._specs = {given.spec_hash(): given}

    async def step(self, key: str, call: Callable[[], Any]) -> Any:
        done, result = self._journal.result(self.run, key)
        if done:
            return result
        reach(f"before {key}")
        self.tell({"what": "step", "key": key})
        began = time.perf_counter()
        try:
            result = await asyncio.to_thread(call)
        except asyncio.CancelledError:
            self._trainer.stop()  # or the end would wait for the training's
            raise
        except TilthError as error:
            raise RunFailed(f"step {key} of {self.run} failed: {error}") from error
        except Exception as error:
            raise RunFailed(
                f"step {key} of {self.run} failed: {type(error).__name__}: {error}. Mend it and run again: it goes on "
                "at this step"
            ) from error
        reach(f"inside {key}")
        self._journal.finish(self.run, key, result, time.perf_counter() - began)
        reach(f"after {key}")
        return result

    async def train(
        self, key: str, workflow: Workflow, version: int, *, needs: frozenset[str], keep: bool
    ) -> dict[str, Any]:
        return await self.step(key, lambda: self._trainer.train(workflow, version, needs=needs, keep=keep))

    def workflow(self, spec: str) -> Workflow:
        if spec not in self._specs:
            self._specs[spec] = Workflow.from_json(self._journal.spec(spec))
        return self._specs[spec]

    def tell(self, event: Mapping[str, Any]) -> None:
        self._listen({"run": self.run, **event})
