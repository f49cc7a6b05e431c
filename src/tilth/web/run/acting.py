"""The pages on which an action is confirmed, and what does it then."""

import threading
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tilth.web.rendering import page
from tilth.web.routes import get, person_of, post, site_of
from tilth.web.run.deeds import agree, foreseen

__all__ = ["ROUTES"]

_one_at_a_time = threading.Lock()
"""Two people who confirm at once: the second is told that the head has moved on."""


def confirm(request: Request) -> Response:
    """Say what an action would do, in numbers, and ask."""
    site, what = site_of(request), request.path_params["what"]
    run = site.run(request.path_params["run"])
    asked = {name: request.query_params[name] for name in ("version", "round") if name in request.query_params}
    deed = foreseen(site, run, what, asked)
    return page(request, "run_confirm.html", title=deed.title, run=run, deed=deed, asked=asked)


def act(request: Request, form: Mapping[str, str]) -> Response:
    """Do what was confirmed, if it is still what was said, and note who did it."""
    site, what = site_of(request), request.path_params["what"]
    with _one_at_a_time:
        deed = foreseen(site, site.run(request.path_params["run"]), what, form)
        agree(deed, form.get("on", ""))
        to = deed.do(person_of(request).name)
    site.people.note(person_of(request).name, f"{deed.title}: {deed.says[0]}")
    return RedirectResponse(to, status_code=303)


ROUTES = (
    get("/runs/{run}/do/{what}", confirm, role="owner"),
    post("/runs/{run}/do/{what}", act, role="owner"),
)
