"""One key a record: which key stands for which class, and how a key is read."""

import os
import sys
import termios
import tty
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

__all__ = ["choices", "matching", "one_key", "read_key", "read_line"]

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


@contextmanager
def one_key() -> Generator[None]:
    """Let keys come one by one, without Enter, for a block: what is typed ahead between two prompts is kept."""
    if not sys.stdin.isatty():
        yield
        return
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def read_key(prompt: str) -> str | None:
    """Read one key from a terminal, or a line where the input is none; None at the end of the input."""
    sys.stdout.write(prompt)
    sys.stdout.flush()
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        sys.stdout.write("\n")
        return line.strip() if line else None
    key = os.read(sys.stdin.fileno(), 1)
    if key[0] >= 0xC0:  # the first byte of a character that has several
        key += os.read(sys.stdin.fileno(), 1 if key[0] < 0xE0 else 2 if key[0] < 0xF0 else 3)
    said = key.decode("utf-8", "replace")
    sys.stdout.write("\n" if said in ("\r", "\n", "\x7f", "\x04") else f"{said}\n")
    if said == "\x04":
        return None
    return "<" if said == "\x7f" else said  # Backspace takes the last answer back


def read_line(prompt: str) -> str | None:
    """Read a line, with the terminal's own editing; None at the end of the input."""
    with _whole_lines():
        sys.stdout.write(prompt)
        sys.stdout.flush()
        line = sys.stdin.readline()
    if not line:
        sys.stdout.write("\n")
    return line.strip() if line else None


@contextmanager
def _whole_lines() -> Generator[None]:
    if not sys.stdin.isatty():
        yield
        return
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    lines = [*before]
    lines[3] |= termios.ICANON | termios.ECHO
    try:
        termios.tcsetattr(handle, termios.TCSADRAIN, lines)
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)
