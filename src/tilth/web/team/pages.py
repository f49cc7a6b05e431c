"""`/team`: invite and revoke, suspend and reinstate; every such act is written down."""

from collections.abc import Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tilth.errors import NotFound, UsageError
from tilth.labeling.inbox import Inbox
from tilth.web.people import ROLES, Role
from tilth.web.rendering import page
from tilth.web.routes import get, person_of, post, site_of
from tilth.web.site import Site
from tilth.web.team.standing import alpha, standings

__all__ = ["ROUTES"]

_RECENT = 20_000
"""Agreement and the pull of suggestions are those of the latest answers."""


def team(request: Request) -> Response:
    """Show everybody who may enter, how the annotators do, and what was done."""
    return _shown(request)


def invite(request: Request, form: Mapping[str, str]) -> Response:
    """Let somebody in, and show their link this once: only its hash is kept."""
    site, me = site_of(request), person_of(request).name
    name, role = form.get("name", "").strip(), form.get("role", "")
    if name == me:
        raise UsageError(f"{name!r} is you; a link of that name would change what you may do here")
    token = site.people.invite(name, cast(Role, role))
    site.people.note(me, f"invited {name} as {role}")
    return _shown(request, invited=name, link=f"{request.url.scheme}://{request.headers['host']}/enter?token={token}")


def revoke(request: Request, form: Mapping[str, str]) -> Response:
    """Let somebody in no more; what they have answered stays."""
    site, me = site_of(request), person_of(request).name
    name = form.get("name", "")
    if name == me:
        raise UsageError(f"{name!r} is you; another owner can revoke your link, or `tilth invite` in a terminal")
    site.people.revoke(name)
    if site.inbox is not None:
        site.inbox.release(name)
    site.people.note(me, f"revoked {name}")
    return _back()


def suspend(request: Request, form: Mapping[str, str]) -> Response:
    """Give an annotator no more tasks; the reason is told to them."""
    site, name, why = site_of(request), form.get("name", ""), form.get("why", "").strip()
    _inbox_with(site, name).suspend(name, why)
    site.people.note(person_of(request).name, f"suspended {name}: {why}")
    return _back()


def reinstate(request: Request, form: Mapping[str, str]) -> Response:
    """Give an annotator tasks again."""
    site, name = site_of(request), form.get("name", "")
    _inbox_with(site, name).reinstate(name)
    site.people.note(person_of(request).name, f"reinstated {name}")
    return _back()


ROUTES = (
    get("/team", team, role="owner"),
    post("/team/invite", invite, role="owner"),
    post("/team/revoke", revoke, role="owner"),
    post("/team/suspend", suspend, role="owner"),
    post("/team/reinstate", reinstate, role="owner"),
)


def _shown(request: Request, **more: Any) -> Response:
    site = site_of(request)
    said = [] if site.inbox is None else site.inbox.said(last=_RECENT)
    shown: dict[str, Any] = {
        "people": site.people.known(),
        "me": person_of(request).name,
        "roles": ROLES,
        "standings": [] if site.inbox is None else standings(site.inbox, said),
        "alpha": alpha(said),
        "audit": site.people.audit(),
        "invited": "",
        "link": "",
    }
    return page(request, "team.html", title="Team", **(shown | more))


def _inbox_with(site: Site, name: str) -> Inbox:
    """Return the inbox that knows an annotator; NotFound names those there are."""
    known = [] if site.inbox is None else [m.name for m in site.inbox.annotators()]
    if site.inbox is None or name not in known:
        raise NotFound(f"no annotator {name!r} has had a task yet. There is: {', '.join(known) or 'nobody'}")
    return site.inbox


def _back() -> Response:
    return RedirectResponse("/team", status_code=303)
