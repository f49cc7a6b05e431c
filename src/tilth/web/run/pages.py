"""The page of one run, the events that keep it live, and its report."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from tilth.errors import NotFound
from tilth.report import render
from tilth.runs.telling import metric_names, step_said
from tilth.web.rendering import fragment, page
from tilth.web.routes import get, person_of, site_of, whole
from tilth.web.run import rows
from tilth.web.run.watching import Look, Watches, graph_of, look_at
from tilth.web.site import Site

__all__ = ["ROUTES"]

_AXES = {"labels": "labels spent", "round": "rounds", "minutes": "minutes"}
_MOST = 12
"""Changed records that are shown of a version; the rest stand on the page that compares."""
_STEPS = 200
"""Steps of which a page that was away is told one by one."""
_SILENCE = 15.0
"""Seconds after which a line is sent that says nothing: whoever is gone is noticed by it."""


def show(request: Request) -> Response:
    """Show a run: how it is, its workflow as a picture, its curve, its rounds and versions."""
    site = site_of(request)
    run = site.run(request.path_params["run"])
    dataset = site.dataset(run.branch)
    look = look_at(site, run, graph_of(site, run))
    found = run.rounds
    query = request.query_params
    metrics = metric_names(found)
    version = whole(query, "version")
    at = None if version is None else dataset.at(version).log()[-1]
    return page(
        request,
        "run.html",
        title=run.name,
        run=run,
        picture=fragment("run_picture.html", **look.drawings()),
        drawn=look.drawn,
        axes=_AXES,
        axis=_one(query.get("x"), _AXES, "x") or ("labels" if any(r.labels_spent for r in found) else "round"),
        metrics=metrics,
        metric=_one(query.get("metric"), metrics, "metric") or next(iter(metrics), ""),
        curve=json.dumps(rows.curve(run)),
        last=_last(look),
        at=at,
        changed=None if version is None else rows.changed(dataset, version, most=_MOST),
        live=_live(site, look, owner=person_of(request).may("owner")),
    )


def events(request: Request) -> Response:
    """Tell what comes, as server-sent events, from the step after the newest that the page knows.

    `step`: one for each step that finished, its number as the event's id. `picture`: the states of the nodes, and the
    curve. Without a name: the parts of the page that change, as HTML; the drawing itself is among them where it is not
    the one that the page has (`drawn`), because an edited workflow was adopted or records came.
    """
    run = site_of(request).run(request.path_params["run"])
    known = request.headers.get("last-event-id") or request.query_params.get("after", "")
    after = whole({"after": known}, "after", 0)
    listener = _Listener(request.state.session, after, request.query_params.get("drawn", ""))
    stream = _stream(request.app.state.watches, site_of(request), run.name, listener)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})


def report(request: Request) -> Response:
    """Send the report of a run as a file."""
    run = site_of(request).run(request.path_params["run"])
    named = {"content-disposition": f'attachment; filename="{run.name}.html"'}
    # its style sheet is its own; opened here it must not reach anything of this server
    policy = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
    return HTMLResponse(render(run), headers=named | {"content-security-policy": policy})


@dataclass
class _Listener:
    """Whose page listens, and what it has: the newest step and drawing that it knows, how many rounds it has drawn."""

    session: str
    after: int
    drawn: str
    rounds: int = -1


async def _stream(watches: Watches, site: Site, name: str, listener: _Listener) -> AsyncGenerator[str]:
    async with watches.on(name) as watch:
        moment = -1
        while True:
            look = await watch.after(moment, _SILENCE)
            # a stream may outlive the invite of who listens
            person = await asyncio.to_thread(site.people.who, listener.session)
            if person is None or not person.may("reviewer"):
                return
            if look is None:
                if watch.over:
                    return
                yield ": still here\n\n"
                continue
            moment = look.moment
            if look.gone:
                yield _event("gone", "")
                return
            yield await asyncio.to_thread(_news, site, look, listener, owner=person.may("owner"))


def _news(site: Site, look: Look, listener: _Listener, *, owner: bool) -> str:
    """Return what a page is to be told, and note that it knows it then."""
    new = [s for s in look.run.steps if s["number"] > listener.after and s["key"] != "outcome"]
    told = [
        _event("step", json.dumps({"number": s["number"], "key": s["key"], "said": _said(look, s)}), s["number"])
        for s in new[-_STEPS:]
    ]
    there = len(look.run.rounds)
    picture: dict[str, Any] = {"states": dict(look.states), "at": look.number}
    if there != listener.rounds:
        picture["curve"] = rows.curve(look.run)
    told.append(_event("picture", json.dumps(picture), look.number))
    live = _live(site, look, owner=owner)
    parts = f'<hx-partial hx-target="#course" hx-swap="innerMorph">{live["course"]}</hx-partial>'
    drawn = look.drawn
    if drawn != listener.drawn:
        drawing = fragment("run_picture.html", **look.drawings())
        parts += f'<hx-partial hx-target="#picture" hx-swap="innerHTML">{drawing}</hx-partial>'
    told.append(_event("", live["now"] + parts, look.number))
    listener.after, listener.drawn, listener.rounds = max(listener.after, look.number), drawn, there
    return "".join(told)


def _event(name: str, data: str, number: int | None = None) -> str:
    """Return a server-sent event; line breaks in the data begin lines of their own."""
    head = "" if number is None else f"id: {number}\n"
    head += f"event: {name}\n" if name else ""
    body = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"{head}{body}\n"


def _said(look: Look, step: dict[str, Any]) -> str:
    return step_said(step["key"], look.run.version)


def _last(look: Look) -> str:
    steps = [s for s in look.run.steps if s["key"] != "outcome"]
    return _said(look, steps[-1]) if steps else ""


def _live(site: Site, look: Look, *, owner: bool) -> dict[str, str]:
    """Return the two parts of the page that change: how the run is, and its rounds and versions."""
    run = look.run
    found = rows.rounds(run)
    failed = run.why.split(" ", 2)[1] if look.standing == "failed" and run.why.startswith("step ") else ""
    shown = {"run": run, "standing": look.standing, "rounds": found, "owner": owner}
    return {
        "now": fragment(
            "run_status.html",
            **shown,
            at_work=look.at_work,
            asked=look.asked,
            failed=step_said(failed) if failed else "",
            at=run.steps[-1]["finished"] if run.steps else run.started,
        ),
        "course": fragment(
            "run_course.html",
            **shown,
            metrics=list(run.rounds[-1].test or run.rounds[-1].metrics) if found else [],
            versions=rows.versions(site.dataset(run.branch), run),
        ),
    }


def _one(text: str | None, known: Any, name: str) -> str:
    if text and text not in known:
        raise NotFound(f"{name}={text[:40]!r}: one of {', '.join(known) or 'none yet'}")
    return text or ""


ROUTES = (
    get("/runs/{run}", show, role="reviewer"),
    get("/runs/{run}/events", events, role="reviewer"),
    get("/runs/{run}/report", report, role="reviewer"),
)
