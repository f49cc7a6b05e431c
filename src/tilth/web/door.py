"""Coming in by a link, going out, and how the page looks to this person."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from tilth.errors import UsageError
from tilth.web.people import Person
from tilth.web.rendering import THEMES, fragment
from tilth.web.routes import post, site_of

__all__ = ["ROUTES"]

_YEAR = 365 * 86_400


def enter(request: Request) -> Response:
    """Change the token of a link for a session, kept in a cookie that no script reads and no other site sends."""
    people, token = site_of(request).people, request.query_params.get("token", "")
    here: Person | None = request.state.person
    if here is not None:
        if people.whose(token) in (None, here.name):
            return RedirectResponse("/", status_code=303)
        # not entered at once either: a link on another site must not make somebody work under another's name
        why = f"This link is another person's, and this browser is in as {here.name}. Leave first, then open the link."
        return HTMLResponse(fragment("enter.html", why=why, leave=True), status_code=409)
    session = people.enter(token)
    if session is None:
        why = "This link is not good any more, or it was cut off. Ask for a new one: `tilth ui` prints the owner's."
        return HTMLResponse(fragment("enter.html", why=why, leave=False), status_code=403)
    # Not a redirect: a browser that comes by a link on another site would send no SameSite=Strict cookie after one.
    answer = HTMLResponse(fragment("enter.html", why="", leave=False))
    cookie = site_of(request).cookie
    answer.set_cookie(
        cookie, session, httponly=True, samesite="strict", secure=request.url.scheme == "https", max_age=_YEAR
    )
    return answer


def leave(request: Request, _: Mapping[str, str]) -> Response:
    """End the session."""
    site_of(request).people.leave(request.state.session)
    why = "You have left. Your link lets you in again, if it still holds."
    answer = HTMLResponse(fragment("enter.html", why=why, leave=False))
    answer.delete_cookie(site_of(request).cookie)
    return answer


def theme(_: Request, form: Mapping[str, str]) -> Response:
    """Remember light or dark, and go back."""
    wanted = form.get("theme", "")
    if wanted not in THEMES:
        raise UsageError(f"theme {wanted!r}: one of {', '.join(THEMES)}")
    back = form.get("back", "/")
    # "//host" and "/\host" are other sites
    answer = RedirectResponse(back if back[:1] == "/" and back[1:2] not in ("/", "\\") else "/", status_code=303)
    answer.set_cookie("tilth_theme", wanted, samesite="strict", max_age=_YEAR)
    return answer


ROUTES = (
    Route("/enter", enter, methods=["GET"]),
    post("/leave", leave, role="annotator"),
    post("/theme", theme, role="annotator"),
)
