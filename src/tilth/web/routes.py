"""How a page is put on an address: with the least role that may see it, and errors as pages that say what to do."""

from collections.abc import Callable, Mapping
from typing import Any, overload
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tilth.errors import Busy, Conflict, Exists, NotFound, RunFailed, TilthError, UsageError
from tilth.web.people import Person, Role
from tilth.web.rendering import page
from tilth.web.site import Site

__all__ = ["Page", "form_of", "get", "person_of", "post", "site_of", "whole"]

_STATUS: Mapping[type[TilthError], int] = {NotFound: 404, UsageError: 400, Conflict: 409, Exists: 409, Busy: 503}

Handler = Callable[[Request], Response]
Writer = Callable[[Request, Mapping[str, str]], Response]


class Page(Route):
    """A route that knows the least role that it is open to."""

    def __init__(self, path: str, endpoint: Callable[..., Any], *, role: Role, method: str) -> None:
        super().__init__(path, endpoint, methods=[method])
        self.role: Role = role


def get(path: str, handler: Handler, *, role: Role) -> Page:
    """Return the route of a page that is read; `handler` runs in a thread."""

    async def answer(request: Request) -> Response:
        return await _guarded(request, role, lambda: handler(request))

    return Page(path, answer, role=role, method="GET")


def post(path: str, handler: Writer, *, role: Role) -> Page:
    """Return the route of what is done; `handler` gets the fields of the form, or of the JSON object, that was sent."""

    async def answer(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response("too large", status_code=413)
        return await _guarded(request, role, lambda: handler(request, form_of(request, body)))

    return Page(path, answer, role=role, method="POST")


def form_of(request: Request, body: bytes) -> dict[str, str]:
    """Return the fields of a form; where a name comes several times, the last; UsageError for what is no UTF-8.

    The body of a request of another type than a form's is the field "body".
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as why:
        raise UsageError(f"the request is not UTF-8 ({why.reason}); send text") from why
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind != "application/x-www-form-urlencoded":
        return {"body": text}
    return dict(parse_qsl(text, keep_blank_values=True))


@overload
def whole(asked: Mapping[str, str], name: str, default: int, *, least: int = 0) -> int: ...
@overload
def whole(asked: Mapping[str, str], name: str, default: None = None, *, least: int = 0) -> int | None: ...
def whole(asked: Mapping[str, str], name: str, default: int | None = None, *, least: int = 0) -> int | None:
    """Return a field of an address or a form as a whole number; UsageError says what it must be."""
    text = asked.get(name) or ""
    if not text:
        return default
    # int() would take "1_0" and " 1", digits of other scripts, and numbers that no array has
    if not (text.isascii() and text.isdigit() and len(text) < 19) or int(text) < least:
        raise UsageError(f"{name}={text[:40]!r}: a whole number of {least} or more")
    return int(text)


def site_of(request: Request) -> Site:
    """Return what the pages read and write."""
    site: Site = request.app.state.site
    return site


def person_of(request: Request) -> Person:
    """Return who asks; only behind the door."""
    person: Person = request.state.person
    return person


async def _guarded(request: Request, role: Role, do: Callable[[], Response]) -> Response:
    person: Person | None = request.state.person
    if person is None or not person.may(role):
        return await run_in_threadpool(_error, request, 403, f"This is open to {role}s; you are not one.")
    try:
        return await run_in_threadpool(do)
    except RunFailed as why:
        return await run_in_threadpool(_error, request, 409, str(why))
    except TilthError as why:
        status = next((code for kind, code in _STATUS.items() if isinstance(why, kind)), 400)
        return await run_in_threadpool(_error, request, status, str(why))


def _error(request: Request, status: int, why: str) -> Response:
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"error": why}, status_code=status)
    title = {403: "Not for you", 404: "Not there", 503: "Busy"}.get(status, "That did not work")
    return page(request, "error.html", title=title, why=why, status=status)
