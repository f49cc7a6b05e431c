"""From the arguments of a command to what they name: a workflow in a file, the runs of a project."""

import contextlib
import json
import traceback
from pathlib import Path
from typing import Any

from tilth.dataset import Dataset
from tilth.errors import NotFound, RunFailed, TilthError, UsageError, did_you_mean
from tilth.functions import load_file
from tilth.runs import Run
from tilth.runs.base import newest_run
from tilth.runs.home import home_of, journal_of
from tilth.runs.lives import differences
from tilth.workflow import Workflow

__all__ = ["known_runs", "workflow_in"]


def workflow_in(
    file: Path, name: str | None, *, run: str | None = None, engine: str | None = None
) -> tuple[Path, Workflow]:
    """Import a workflow's file (or `workflow.py` in a folder) and return its path and the workflow in it.

    An error in the file is a RunFailed that says in which line; UsageError where there is no workflow in it, or several
    and `name` says not which. `run`: the run to go on with; of several workflows its own is meant, if not edited since.
    """
    path = file / "workflow.py" if file.is_dir() else file
    try:
        module = load_file(path)
    except TilthError as error:
        if _line(path, error):
            error.args = (f"{_place(path, error)}{error}", *error.args[1:])
        raise
    except SyntaxError as error:
        raise RunFailed(f"{error.filename}, line {error.lineno}: {error.msg}. Mend it and run again") from error
    except Exception as error:
        raise RunFailed(f"{_place(path, error)}{type(error).__name__}: {error}. Mend it and run again") from error
    found = {key: value for key, value in vars(module).items() if isinstance(value, Workflow)}
    if not found:
        raise UsageError(f"{path} has no Workflow at its top level; write there: workflow = Workflow(...)")
    if name is not None and name not in found:
        raise NotFound(f"no workflow {name!r} in {path}. {did_you_mean(name, found)}")
    if name is None and run is not None and len(found) > 1:
        found = {key: w for key, w in found.items() if _began(w, run, engine)} or found
    if name is None and len({id(w) for w in found.values()}) > 1:
        raise UsageError(f"{path} has several workflows: {', '.join(found)}. Say which: --name {next(iter(found))}")
    return path, found[name] if name is not None else next(iter(found.values()))


def _began(workflow: Workflow, run: str, engine: str | None) -> bool:
    """Return whether a run is one of this workflow, as it stands in the file now."""
    try:
        about = newest_run(workflow.dataset, run, engine=engine)
    except NotFound:
        return False
    return about is not None and not differences(about.spec, json.loads(json.dumps(workflow.to_json())))


def known_runs(dataset: Dataset, *, engine: str | None = None) -> list[Run]:
    """Return all runs on a dataset, oldest first; nothing is written."""
    if engine is None and not (home_of(dataset.path) / "journal.sqlite").exists():
        return []
    with contextlib.closing(journal_of(dataset.path, engine)) as journal:
        names = [r["run"] for r in journal.runs()]
    return [Run(dataset, name, engine=engine) for name in names]


def _line(path: Path, error: BaseException) -> int | None:
    """Return the deepest line of the file that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if f.filename == str(path.resolve())]
    return lines[-1] if lines else None


def _place(path: Path, error: Any) -> str:
    line = _line(path, error)
    return f"{path}, line {line}: " if line else f"{path}: "
