"""The list of runs: how each is, what a person can do next, how far it is and what it has cost."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tilth.runs import Run
from tilth.web.rendering import page
from tilth.web.routes import get, person_of, site_of
from tilth.web.site import Site

__all__ = ["ROUTES"]

_NEXT = {
    "waiting": "Answer what it asks",
    "paused": "Resume it",
    "resting": "Go on: tilth resume",
    "failed": "Read why, mend it, resume",
    "queued": "Start a worker: tilth worker",
    "running": "Watch it",
    "done": "Read the report",
    "cancelled": "Fork it, or start anew",
}


def home(request: Request) -> Response:
    """Send everybody where their work is."""
    return RedirectResponse("/runs" if person_of(request).may("reviewer") else "/label", status_code=303)


def listing(request: Request) -> Response:
    """Show all runs, newest first."""
    site = site_of(request)
    return page(request, "runs.html", title="Runs", runs=[_about(site, run) for run in site.runs()])


def _about(site: Site, run: Run) -> dict[str, Any]:
    rounds = run.rounds
    last = rounds[-1] if rounds else None
    at = run.steps[-1]["finished"] if run.steps else run.started
    progress = [now for _, now in site.asked(run.name)] if run.state == "waiting" else []
    return {
        "name": run.name,
        "state": run.standing,
        "why": run.why,
        "next": _NEXT.get(run.standing, ""),
        "branch": run.branch,
        "rounds": len(rounds),
        "metric": next(iter(last.metrics.items()), None) if last else None,
        "spent": last.labels_spent if last else 0,
        "cost": last.cost if last else 0.0,
        "at": at,
        "complete": sum(p.complete for p in progress),
        "tasks": sum(p.tasks for p in progress),
    }


ROUTES = (
    get("/", home, role="annotator"),
    get("/runs", listing, role="reviewer"),
)
