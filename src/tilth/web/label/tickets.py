"""Tickets: proof that a task was once handed to a person, which outlives its lease and a restart of the server."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from tilth.errors import Damaged

__all__ = ["BLIND", "Tickets", "blind"]

_LENGTH = 32

BLIND = 0.1
"""The share of records whose suggestion is kept back, to measure how far suggestions pull."""


class Tickets:
    """Signs tasks for the person who gets them, with a key kept beside the runs.

    >>> import tempfile
    >>> tickets = Tickets(Path(tempfile.mkdtemp()))
    >>> ticket = tickets.sign("ann", 4)
    >>> tickets.fits(ticket, "ann", 4), tickets.fits(ticket, "bob", 4), tickets.fits(ticket, "ann", 5)
    (True, False, False)

    Answers may come an hour late, after a reload or a restart: the lease is gone by then, the ticket still holds.
    HMAC-SHA-256; whoever has not got a task from this server cannot make one up.
    """

    def __init__(self, home: Path) -> None:
        self._key = _key_in(home / "tickets.key")

    @property
    def place(self) -> str:
        """A name for this project's inbox by which a browser tells what it keeps for it from what is another's."""
        return hashlib.sha256(b"place" + self._key).hexdigest()[:16]

    def sign(self, annotator: str, task: int) -> str:
        """Return the ticket of a person for a task."""
        return hmac.new(self._key, f"{task}\0{annotator}".encode(), hashlib.sha256).hexdigest()

    def fits(self, ticket: str, annotator: str, task: int) -> bool:
        """Whether it is that person's ticket for that task."""
        # as bytes: compare_digest refuses texts beyond ASCII
        return hmac.compare_digest(ticket.encode("utf-8", "replace"), self.sign(annotator, task).encode())


def blind(annotator: str, task: int) -> bool:
    """Whether this person answers this task without its suggestion; asked again it is the same.

    >>> sum(blind("ann", task) for task in range(1000))
    97
    """
    drawn = hashlib.sha256(f"blind\0{task}\0{annotator}".encode()).digest()[:8]
    return int.from_bytes(drawn, "big") < BLIND * 2**64


def _key_in(path: Path) -> bytes:
    if not path.exists():
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_LENGTH))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(part)  # of two servers that begin at once the first one's key stands
        except FileExistsError:
            pass
        finally:
            part.unlink()
    key = path.read_bytes()
    if len(key) != _LENGTH:
        raise Damaged(f"{path} is no key of {_LENGTH} bytes; remove it: people then reload the page once")
    return key
