"""The training process of a run: `python -m tilth.runs.child` reads requests as JSON lines and answers in kind.

A process of its own, so that training can be stopped by killing it, a crash or a lack of memory in it does not take the
run with it, and the libraries stay loaded between rounds. It ends when its standard input closes, that is, when its
parent is gone.
"""

import json
import os
import queue
import signal
import sys
import threading
import traceback
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

from tilth.algebra import from_json
from tilth.dataset import Dataset
from tilth.dataset.store import Durability
from tilth.errors import TilthError
from tilth.functions import load_file
from tilth.training import train

__all__ = ["main", "serve"]


def serve(request: dict[str, Any]) -> dict[str, Any]:
    """Carry one request out: load the user's file, take the dataset at the version, train."""
    if request["source"]:
        load_file(Path(request["source"]))
    place = request["dataset"]
    dataset = _opened(place["path"], place["branch"], place["durability"], _made(Path(place["path"])))
    model, probe = from_json(request["model"]), from_json(request["probe"])
    at = dataset.at(request["version"])
    return train(at, model, probe, needs=request["needs"], seed=request["seed"], keep=request["keep"])


@lru_cache(maxsize=2)
def _opened(path: str, branch: str, durability: Durability, made: tuple[int, int] | None) -> Dataset:
    # Kept open between requests: to open it and read anew took 9 ms, what has come since is read in 1.
    del made  # only the cache looks at it: it tells a dataset from another that was made in its place
    return Dataset.open(path, branch=branch, durability=durability)


def _made(path: Path) -> tuple[int, int] | None:
    try:
        about = (path / "tilth.json").stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns


def main() -> None:
    """Answer requests until the parent is gone."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C goes to the whole group; the parent decides what to do with it
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a model prints must not be taken for an answer
    warnings.simplefilter("default")
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    while True:
        line = lines.get()
        try:
            answer = {"ok": serve(json.loads(line))}
        except TilthError as error:
            answer = {"error": str(error), "kind": type(error).__name__}
        except Exception as error:  # noqa: BLE001  a user's model may raise anything; it is reported to the run with its traceback
            answer = {"error": f"{type(error).__name__}: {error}", "kind": "", "trace": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _read(lines: queue.SimpleQueue[str]) -> None:
    """Pass requests on; when the parent is gone, end at once, in the middle of a training too: outputs appear whole."""
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
