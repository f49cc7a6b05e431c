"""`/records`: all records of a version, chosen and ordered by the address; a window of them at a time."""

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tilth.dataset.schema import SPLITS
from tilth.web.records.cells import cells, layout
from tilth.web.records.looking import Look, address, look, shelf_of
from tilth.web.records.ordering import ordered, sortable
from tilth.web.records.wanted import STATES, Wanted, no_label
from tilth.web.rendering import fragment, page
from tilth.web.routes import get, site_of, whole

__all__ = ["ROUTES"]

_FIRST = 60
"""Records of a page before a script asks for windows that fit the screen."""
_MOST = 600


def browse(request: Request) -> Response:
    """Show a page of records; a script makes it one that scrolls through all."""
    seen, wanted = look(request), Wanted.read(request.query_params)
    order = ordered(seen, wanted, shelf_of(request))
    start = min(whole(request.query_params, "from", 0), max(len(order) - 1, 0))
    n = whole(request.query_params, "n", _FIRST, least=1)
    place = {name: request.query_params.get(name, "") for name in ("branch", "version", "model")}
    shown: dict[str, Any] = {
        **_menus(request, seen),
        "look": seen,
        "wanted": wanted,
        "order": order,
        "start": start,
        "total": len(order),
        "cells": cells(seen, order, start, min(n, _MOST)),
        "layout": layout(seen.dataset.schema.columns),
        "window": address("/records/window", seen.place, wanted.fields()),
        "here_again": address("/records", place, wanted.fields()),
        "before": address("/records", place, wanted.fields(), {"from": max(0, start - _FIRST)}) if start else "",
        "after": address("/records", place, wanted.fields(), {"from": start + _FIRST})
        if start + _FIRST < len(order)
        else "",
        "without_like": address("/records", place, wanted.fields(like="")),
        "place": place,
    }
    return page(request, "records/browse.html", title="Records", **shown)


def window(request: Request) -> Response:
    """Answer with some records from a place on, as a piece of the page."""
    seen, wanted = look(request), Wanted.read(request.query_params)
    order = ordered(seen, wanted, shelf_of(request))
    start = whole(request.query_params, "from", 0)
    n = min(whole(request.query_params, "n", _FIRST, least=1), _MOST)
    shown: dict[str, Any] = {"cells": cells(seen, order, start, n), "layout": layout(seen.dataset.schema.columns)}
    return HTMLResponse(fragment("records/window.html", **shown, by=order.by))


def _menus(request: Request, seen: Look) -> dict[str, Any]:
    """Return what can be chosen among."""
    log = seen.dataset.log()
    label = seen.dataset.schema.label
    run = next((c.run for c in reversed(log) if c.round >= 0), "")
    return {
        "splits": SPLITS,
        "states": STATES,
        "labels": [*label.classes, no_label(label.classes)],
        "classes": label.classes,
        "rules": sorted({c.rule for c in log if c.rule}),
        "rounds": sorted({c.round for c in log if c.round >= 0 and c.run == run}),
        "run": run,
        "sorts": ["key", *sorted(sortable(seen))],
        "branches": site_of(request).dataset().branches,
        "head": site_of(request).dataset(seen.branch).version,
    }


ROUTES = (
    get("/records", browse, role="reviewer"),
    get("/records/window", window, role="reviewer"),
)
