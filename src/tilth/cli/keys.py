"""One key a record: which key stands for which class, and how a key is read."""

import os
import sys
from collections.abc import Mapping, Sequence

__all__ = ["choices", "matching", "read_key"]

KEYS = "1234567890abcdefghijklmnopqrstuvwxyz"


def choices(classes: Sequence[str]) -> Mapping[str, str] | None:
    """Return the key for each class, None where there are more classes than keys.

    >>> choices(["cat", "dog"])
    {'1': 'cat', '2': 'dog'}

    Classes that are digits keep their own.

    >>> choices(["0", "1"])
    {'0': '0', '1': '1'}
    """
    if all(len(name) == 1 and name in KEYS for name in classes):
        return {name: name for name in classes}
    return dict(zip(KEYS, classes, strict=False)) if len(classes) <= len(KEYS) else None


def matching(said: str, classes: Sequence[str]) -> list[str]:
    """Return the class of a name, else those that begin with it, else those that contain it; case does not count.

    >>> matching("ca", ["cat", "car", "dog"]), matching("DOG", ["dog", "dogfish"])
    (['cat', 'car'], ['dog'])
    """
    low = said.casefold()
    for fits in (str.__eq__, str.startswith, str.__contains__):
        found = [name for name in classes if fits(name.casefold(), low)]
        if found and said:
            return found
    return []


def read_key(prompt: str) -> str | None:
    """Read one key from a terminal, or a line where the input is none; None at the end of the input."""
    sys.stdout.write(prompt)
    sys.stdout.flush()
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        sys.stdout.write("\n")
        return line.strip() if line else None
    key = _raw()
    if key == "\x03":
        raise KeyboardInterrupt
    shown = "" if key in ("\r", "\n", "\x7f", "\x04") else key
    sys.stdout.write(f"{shown}\n")
    if key == "\x04":
        return None
    return "<" if key == "\x7f" else key  # Backspace takes the last answer back


def _raw() -> str:
    import termios
    import tty

    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle)
        return os.read(handle, 8).decode("utf-8", "replace")
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
