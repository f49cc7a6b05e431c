"""Who may enter the page: the owner's link, invites, sessions, roles, and what each has done (the audit log)."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text, delete, insert, select, update

from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.labeling.inbox.words import check_name
from tilth.sql import connect, reading, shut, writing

__all__ = ["OWNER", "ROLES", "People", "Person", "Role"]

Role = Literal["annotator", "reviewer", "owner"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the least to the most that one may do: label; also look at records and settle disputes; everything."""

OWNER = "owner"
"""The name of who started the page."""

_tables = MetaData()
_people = Table(
    "people",
    _tables,
    Column("name", Text, primary_key=True),
    Column("role", String, nullable=False),
    Column("token", String, unique=True),  # a hash: whoever reads the file cannot enter with it
    Column("once", Integer, nullable=False),  # whether the link is good for one session only
    Column("made", Float, nullable=False),
)
_sessions = Table(
    "sessions",
    _tables,
    Column("session", String, primary_key=True),  # a hash too
    Column("name", Text, nullable=False),
    Column("begun", Float, nullable=False),
)
_audit = Table(
    "audit",
    _tables,
    Column("number", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    Column("name", Text, nullable=False),
    Column("what", Text, nullable=False),
)


@dataclass(frozen=True)
class Person:
    """Somebody who has entered: a name, as it stands in the records' history, and a role."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether what asks for `role` is open to this person.

        >>> Person("ann", "reviewer").may("annotator"), Person("ann", "reviewer").may("owner")
        (True, False)
        """
        return ROLES.index(self.role) >= ROLES.index(role)


class People:
    """Those who may enter the page of a project, kept in a file beside its runs.

    >>> import tempfile
    >>> people = People(Path(tempfile.mkdtemp()) / "people.sqlite")
    >>> link = people.invite("ann", "annotator")
    >>> session = people.enter(link)
    >>> people.who(session)
    Person(name='ann', role='annotator')
    >>> people.revoke("ann"); people.who(session) is None
    True
    >>> people.close()

    Tokens and sessions are 256 random bits; the file holds their SHA-256 only. An invite is good until it is revoked,
    the owner's link for one session.
    """

    def __init__(self, where: str | Path) -> None:
        self._engine = connect(where, full=False)
        with writing(self._engine) as connection:
            _tables.create_all(connection)

    def close(self) -> None:
        """Let go of the file."""
        shut(self._engine)

    def invite(self, name: str, role: Role, *, once: bool = False) -> str:
        """Return a new token with which `name` enters; one that they had before is good no more."""
        check_name(name)
        if role not in ROLES:
            raise UsageError(f"role {role!r}. {did_you_mean(str(role), ROLES)}")
        token = secrets.token_urlsafe(32)
        row = {"role": role, "token": _hash(token), "once": int(once), "made": time.time()}
        with writing(self._engine) as connection:
            if connection.scalar(select(_people.c.name).where(_people.c.name == name)) is None:
                connection.execute(insert(_people).values(name=name, **row))
            else:
                connection.execute(update(_people).where(_people.c.name == name).values(**row))
        return token

    def revoke(self, name: str) -> None:
        """Let somebody in no more, and end their sessions; NotFound names those there are."""
        with writing(self._engine) as connection:
            gone = connection.execute(delete(_people).where(_people.c.name == name)).rowcount
            connection.execute(delete(_sessions).where(_sessions.c.name == name))
            known = list(connection.scalars(select(_people.c.name)))
        if not gone:
            raise NotFound(f"nobody called {name!r} was invited. {did_you_mean(name, known)}")

    def whose(self, token: str) -> str | None:
        """Return the name of who holds this token, which stays good; None where nobody does."""
        with reading(self._engine) as connection:
            return connection.scalar(select(_people.c.name).where(_people.c.token == _hash(token)))

    def enter(self, token: str) -> str | None:
        """Return the secret of a new session for who holds this token; None where nobody does."""
        session = secrets.token_urlsafe(32)
        with writing(self._engine) as connection:
            found = connection.execute(select(_people).where(_people.c.token == _hash(token))).first()
            if found is None:
                return None
            if found.once:
                connection.execute(update(_people).where(_people.c.name == found.name).values(token=None))
            connection.execute(insert(_sessions).values(session=_hash(session), name=found.name, begun=time.time()))
        return session

    def who(self, session: str) -> Person | None:
        """Return whose session this is; None where it is nobody's."""
        wanted = (
            select(_people.c.name, _people.c.role)
            .join(_sessions, _sessions.c.name == _people.c.name)
            .where(_sessions.c.session == _hash(session))
        )
        with reading(self._engine) as connection:
            found = connection.execute(wanted).first()
        return None if found is None else Person(found.name, found.role)

    def leave(self, session: str) -> None:
        """End a session."""
        with writing(self._engine) as connection:
            connection.execute(delete(_sessions).where(_sessions.c.session == _hash(session)))

    def known(self) -> list[dict[str, Any]]:
        """Return everybody who may enter, by name: name, role, made (unix time), sessions (a count)."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_people.c.name, _people.c.role, _people.c.made)).all()
            held = list(connection.scalars(select(_sessions.c.name)))
        found = [{"name": r.name, "role": r.role, "made": r.made, "sessions": held.count(r.name)} for r in rows]
        return sorted(found, key=lambda p: p["name"])

    def note(self, name: str, what: str) -> None:
        """Write down that somebody did something."""
        with writing(self._engine) as connection:
            connection.execute(insert(_audit).values(time=time.time(), name=name, what=what))

    def audit(self, last: int = 200) -> list[dict[str, Any]]:
        """Return what was done, newest first: time (unix), name, what."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_audit).order_by(_audit.c.number.desc()).limit(last)).all()
        return [{"time": r.time, "name": r.name, "what": r.what} for r in rows]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
