"""`Shelf`: what was computed last, shared by the threads that answer requests, at most so many bytes of it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

__all__ = ["Shelf"]

T = TypeVar("T")


class Shelf:
    """Keeps what is dear to compute, until newer things need the space.

    >>> shelf = Shelf(100)
    >>> shelf.get("a", lambda: (1, 60)), shelf.get("a", lambda: (2, 60)), shelf.get("b", lambda: (3, 60))
    (1, 1, 3)
    >>> shelf.get("a", lambda: (4, 60))
    4

    `most`: bytes in all. Of several threads that want the same at once, one computes it and the others wait for it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], tuple[T, int]]) -> T:
        """Return what is kept under a key, else make it; `make` returns it and the bytes it takes."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast(T, self._kept[key][0])
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._kept:
                    return cast(T, self._kept[key][0])
            try:
                made, size = make()
            except BaseException:
                with self._lock:
                    self._making.pop(key, None)
                raise
            with self._lock:
                # both at once: who came between them would make it again
                self._making.pop(key, None)
                self._size += size - self._kept.pop(key, (None, 0))[1]
                self._kept[key] = (made, size)
                while self._size > self._most and len(self._kept) > 1:
                    self._size -= self._kept.popitem(last=False)[1][1]
            return made
