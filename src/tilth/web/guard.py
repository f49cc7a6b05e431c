"""The door of the page: hosts, sessions, where a writing request comes from, sizes, and the headers of every answer."""

import json
from collections.abc import Iterable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tilth.drawing.style import STYLE_HASH
from tilth.web.people import People

__all__ = ["MOST_BYTES", "OPEN", "Guard"]

MOST_BYTES = 8 * 2**20
"""The largest body of a request."""

OPEN = ("/enter", "/static/")
"""What is answered without a session."""

_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; media-src 'self'; "
    f"style-src 'self' '{STYLE_HASH}'; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # nothing goes to other sites; "no-referrer" would make a browser send its own forms with "Origin: null"
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
_SAFE = ("GET", "HEAD")


class Guard:
    """Lets a request through to the pages, or answers it at the door.

    It is refused where its Host is none of `hosts` (DNS rebinding), where it writes and does not come from a page of
    ours (by Sec-Fetch-Site and Origin, of which one must be there), where its body is larger than `MOST_BYTES`, and
    where it has no session, except for what is `OPEN`. Who it is stands in `request.state.person`. `cookie`: the name
    of the one that holds the session.
    """

    def __init__(self, app: ASGIApp, people: People, cookie: str, hosts: Iterable[str]) -> None:
        self._app = app
        self._cookie = cookie
        self._people = people
        self._hosts = frozenset(h.lower() for h in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in there]
                if b"cache-control" not in there:
                    # of the looks a browser asks whether they are still the same, and need not fetch them for each page
                    kept = scope["path"].startswith(OPEN[1])
                    more.append((b"cache-control", b"no-cache" if kept else b"no-store"))
                message["headers"] = [*message["headers"], *more]
            await send(message)

        headers = Headers(scope=scope)
        refusal = self._refused(scope, headers)
        if refusal is None:
            session = _cookie(headers, self._cookie)
            person = None if session is None else self._people.who(session)
            scope.setdefault("state", {})
            scope["state"] |= {"person": person, "session": session}
            path = scope["path"]
            if person is None and path != OPEN[0] and not path.startswith(OPEN[1]):
                refusal = (
                    401,
                    "This page is for those who were let in. Open the link that `tilth ui` printed, or yours.",
                )
        if refusal is not None:
            await _answer(sending, *refusal, wants_json="application/json" in headers.get("accept", ""))
            return
        await self._app(scope, _Limited(receive), sending)

    def _refused(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return 421, "This page does not answer under that name; allow it by `tilth ui --allow-remote NAME`."
        size = headers.get("content-length", "0")
        if not size.isdigit() or int(size) > MOST_BYTES:
            return 413, f"A request may have {MOST_BYTES // 2**20} MB at most."
        if scope["method"] in _SAFE:
            return None
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        same = origin is not None and origin.lower() == f"{scope['scheme']}://{host}"
        if (site is None and origin is None) or site not in (None, "same-origin") or not (origin is None or same):
            return 403, "A request that changes something must come from a page of this server."
        return None


class _Limited:
    """Reads a body, and breaks off one that is longer than its length said."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        return message if self._read <= MOST_BYTES else {"type": "http.disconnect"}


def _cookie(headers: Headers, wanted: str) -> str | None:
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            return value
    return None


async def _answer(send: Any, status: int, why: str, *, wants_json: bool) -> None:
    body = json.dumps({"error": why}) if wants_json else why
    kind = "application/json" if wants_json else "text/plain; charset=utf-8"
    start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]}
    await send(start)
    await send({"type": "http.response.body", "body": body.encode()})
