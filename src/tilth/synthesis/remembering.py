"""Answers that were paid for, kept as they come: a generator that fails half-way does not ask for them again."""

import hashlib
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tilth.dataset.disk import write_file

__all__ = ["remembered", "remembering"]

_folder: ContextVar[Path | None] = ContextVar("answers", default=None)
"""Where answers are kept now; not an argument of `generate`, for what most generators make costs nothing."""


@contextmanager
def remembering(folder: Path) -> Generator[None]:
    """Let what this thread asks for by `remembered` be kept in a folder, which is made when there is something."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def remembered(question: Any, ask: Callable[[], list[str]]) -> list[str]:
    """Return what was answered to a question (JSON) before, else what `ask` returns, which is on disk by then.

    >>> import tempfile
    >>> with remembering(Path(tempfile.mkdtemp()) / "answers"):
    ...     remembered("two pets", lambda: ["cat", "dog"]), remembered("two pets", lambda: 1 / 0)
    (['cat', 'dog'], ['cat', 'dog'])

    Outside of `remembering` it always asks. What `ask` raises comes through, and nothing is kept.
    """
    folder = _folder.get()
    if folder is None:
        return ask()
    name = hashlib.blake2b(json.dumps(question, sort_keys=True).encode(), digest_size=16).hexdigest()
    path = folder / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    found = ask()
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(found), sync=True)
    return found
