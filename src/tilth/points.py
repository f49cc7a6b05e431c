"""Fault points: named places at which a test can have the process killed, by the environment variable TILTH_KILL."""

import os
import signal

__all__ = ["reach"]

_seen: dict[str, int] = {}


def reach(point: str) -> None:
    """Die by SIGKILL where TILTH_KILL is `point` or `point:n` and this is the n-th time; else nothing.

    >>> reach("before r0/train")
    """
    wanted = os.environ.get("TILTH_KILL")
    if not wanted:
        return
    name, _, nth = wanted.rpartition(":") if wanted.rsplit(":", 1)[-1].isdigit() else (wanted, "", "1")
    if name in (point, "*"):
        _seen[name] = _seen.get(name, 0) + 1
        if _seen[name] == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
