"""Make the folder of a project, whole or not at all."""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tilth.dataset import Dataset
from tilth.errors import Exists, UsageError, did_you_mean
from tilth.scaffold.patterns import PATTERNS, pattern_text
from tilth.scaffold.rules import workflow_text

__all__ = ["Project", "new_project"]


@dataclass(frozen=True)
class Project:
    """A folder that holds a dataset and the workflow that runs on it."""

    path: Path
    dataset: Dataset

    @property
    def workflow(self) -> Path:
        """The workflow's file."""
        return self.path / "workflow.py"


def new_project(
    path: Path,
    source: Any,
    *,
    kind: Literal["class", "classes", "number"] | None = None,
    pattern: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    **options: Any,
) -> Project:
    """Make the folder `path` with `dataset` and `workflow.py` in it; where that fails, nothing is left behind.

    `kind` is what a label is, `pattern` one of `PATTERNS` that the workflow is made by; `progress` is told (done,
    total) of the files read; the other options are those of `Dataset.create`. Raises `Exists` where the folder is there
    and not empty, UsageError for a path without a name, or a pattern that there is not.
    """
    if not path.name:
        raise UsageError(f"a project needs a name of its own, such as birds; {str(path)!r} is none")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Exists(f"{path} exists already and is not empty; choose another name, or move it away")
    if pattern is not None and pattern not in PATTERNS:
        raise UsageError(f"pattern={pattern!r}: there is none of this name. {did_you_mean(pattern, PATTERNS)}")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        dataset = Dataset.create(part / "dataset", source, label_kind=kind, progress=progress, **options)
        text = workflow_text(dataset) if pattern is None else pattern_text(dataset, pattern)
        (part / "workflow.py").write_text(text, encoding="utf-8")
        for folder in () if pattern is None else PATTERNS[pattern].folders:
            (part / folder).mkdir()
        if path.exists():
            path.rmdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Project(path, Dataset.open(path))
