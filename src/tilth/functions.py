"""Where a user's function stands: by file and name, with a hash of its source, to notice an edit."""

import functools
import hashlib
import importlib
import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tilth.errors import NotFound, UsageError

__all__ = ["find", "load_file", "source_hash", "where"]


def where(call: Callable[..., Any]) -> str:
    """Return `module:name` of a function or class; UsageError for one that cannot be found again by that.

    A script's own functions stand in the module of the script's file name, so that another process can import them.

    >>> import textwrap
    >>> where(textwrap.dedent)
    'textwrap:dedent'
    >>> where(lambda x: x)
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: a lambda cannot be found again after a restart; ...
    """
    call = inspect.unwrap(call)
    name: str = getattr(call, "__qualname__", type(call).__name__)
    if name.endswith("<lambda>"):
        raise UsageError(
            "a lambda cannot be found again after a restart; define the function at the top level of a file"
        )
    if "<locals>" in name:
        short = name.rsplit(".", 1)[-1]
        raise UsageError(
            f"{short} is defined inside another function and cannot be found again after a restart; define it at the "
            "top level of a file"
        )
    module: str = getattr(call, "__module__", "")
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None)
        if script is None:
            raise UsageError(
                f"{name} is defined in a session without a file and cannot be found again after a restart; save it in "
                "a file and import it"
            )
        module = Path(script).stem
    return f"{module}:{name}"


def find(place: str) -> Any:
    """Return what stands at `module:name`; NotFound where it is gone."""
    module, name = place.split(":")
    try:
        home = importlib.import_module(module)
        return functools.reduce(getattr, name.split("."), home)
    except (ImportError, AttributeError) as why:
        raise NotFound(
            f"{place} is gone ({why}); a run or model was made with it. Put it back, or start a new run"
        ) from why


def source_hash(call: Callable[..., Any]) -> str:
    """Return the first 16 hex digits of the SHA-256 of a function's source, "" where it has none (compiled)."""
    try:
        text = textwrap.dedent(inspect.getsource(inspect.unwrap(call)))
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_file(path: Path) -> ModuleType:
    """Import a Python file as the module of its name, with its folder importable; its own error comes through."""
    if not path.is_file():
        raise NotFound(f"no file {path}; give the path of a workflow file, such as birds/workflow.py")
    path = path.resolve()
    name = path.stem
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    if loaded is not None or not name.isidentifier():
        raise UsageError(
            f"{path.name} cannot be imported as module {name!r}, which "
            f"{'exists already' if loaded else 'is no Python name'}; rename the file"
        )
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file; a workflow file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
