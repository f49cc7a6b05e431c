"""One transaction for all who answer at the same moment: to force a file to disk takes as long for one as for many."""

import threading
from collections.abc import Callable, Sequence

from tilth.labeling.inbox.answering import Checked
from tilth.labeling.inbox.words import Receipt

__all__ = ["Shared"]


class _Waiting:
    def __init__(self, given: Sequence[Checked]) -> None:
        self.given = given
        self.receipts: list[Receipt] | None = None
        self.error: Exception | None = None

    @property
    def over(self) -> bool:
        return self.receipts is not None or self.error is not None


class Shared:
    """Calls `write` (one transaction) for the answers of all threads that wait; each gets its own receipts or error.

    The first thread writes; whoever comes meanwhile is written together by the next.
    """

    def __init__(self, write: Callable[[Sequence[Checked]], list[Receipt]]) -> None:
        self._write = write
        self._writing = threading.Lock()
        self._door = threading.Lock()
        self._queue: list[_Waiting] = []

    @property
    def waiting(self) -> int:
        """How many threads wait for another's transaction to end."""
        with self._door:
            return len(self._queue)

    def __call__(self, given: Sequence[Checked]) -> list[Receipt]:
        """Return the receipts of these answers when they are on disk."""
        mine = _Waiting(given)
        with self._door:
            self._queue.append(mine)
        with self._writing:
            if not mine.over:
                self._lead()
        if mine.error is not None:
            raise mine.error
        return mine.receipts or []

    def _lead(self) -> None:
        with self._door:
            every, self._queue = self._queue, []
        try:
            if not self._together(every):
                for one in every:  # so that only the guilty one fails
                    self._alone(one)
        finally:
            with self._door:  # Ctrl-C here: the others are written by one of them
                self._queue = [one for one in every if not one.over] + self._queue

    def _together(self, every: Sequence[_Waiting]) -> bool:
        try:
            receipts = self._write([checked for one in every for checked in one.given])
        except Exception as error:  # noqa: BLE001  it is raised in the thread whose answers these are
            if len(every) > 1:
                return False
            every[0].error = error
            return True
        at = 0
        for one in every:
            one.receipts = receipts[at : at + len(one.given)]
            at += len(one.given)
        return True

    def _alone(self, one: _Waiting) -> None:
        try:
            one.receipts = self._write(one.given)
        except Exception as error:  # noqa: BLE001  it is raised in the thread whose answers these are
            one.error = error
