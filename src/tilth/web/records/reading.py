"""`/records/{record}`: what a record holds, what is said of it, and all that happened to it."""

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from tilth.dataset.schema import Column
from tilth.dataset.telling import sentence, standing, told
from tilth.errors import DataError, NotFound
from tilth.web.media import data_uri, grey, sniffed
from tilth.web.records.cells import Cell, cells, layout, predictions
from tilth.web.records.looking import Look, address, look, record_of, shelf_of
from tilth.web.records.ordering import Order, similar, sortable
from tilth.web.records.plots import bars, sparkline
from tilth.web.rendering import page
from tilth.web.routes import get
from tilth.words import number

__all__ = ["ROUTES"]

_NEAR = 12
_TOP = 5
_MOST_CHILDREN = 24
_NUMBERS = 64


def read(request: Request) -> Response:
    """Show one record at a version."""
    seen, record = look(request), record_of(request)
    view = seen.dataset.view
    if record >= len(view) or not view.known[record]:
        raise NotFound(f"no record {record} in version {seen.version}; /records shows those there are")
    one = np.array([record], np.int64)
    key = seen.dataset.keys(one)[0]
    now = standing(seen.dataset, record)
    events = seen.dataset.history(record)
    parent = int(seen.dataset.parent[record])
    children = np.flatnonzero((seen.dataset.parent == record) & view.known)
    place = seen.place
    shown: dict[str, Any] = {
        "look": seen,
        "record": record,
        "key": key,
        "now": now,
        "told": list(told(now)),
        "columns": [_column(seen, c, record) for c in seen.dataset.schema.columns],
        "said": predictions(seen, one)[0],
        "bars": _bars(seen, record),
        "signals": _signals(seen, record),
        "events": [
            {
                "event": e,
                "text": sentence(e),
                "version": address(f"/records/{record}", {"branch": seen.branch, "version": e.version}),
                "round": f"/runs/{e.run}?version={e.version}#round-{e.round}" if e.run and e.round >= 0 else "",
            }
            for e in reversed(events)
        ],
        "parent": address(f"/records/{parent}", place) if parent >= 0 else "",
        "children": _cells(seen, children[:_MOST_CHILDREN]),
        "n_children": len(children),
        "near": _near(request, seen, record),
        "layout": layout(seen.dataset.schema.columns),
        "all_near": address("/records", place, {"like": record}),
        "up": address("/records", place),
        "newest": address(f"/records/{record}", {"branch": seen.branch}),
    }
    return page(request, "records/record.html", title=key, **shown)


def _column(seen: Look, column: Column, record: int) -> dict[str, Any]:
    """Return how a column of a record is shown; of a hidden one of pictures or sounds only that it is there."""
    value = seen.dataset.features(np.array([record]), [column.name])[column.name].to_pylist()[0]
    about: dict[str, Any] = {"name": column.name, "kind": column.kind, "hidden": column.hidden, "src": "", "text": ""}
    about |= {"problem": "", "wave": "", "svg": "", "small": False}
    if value is None:
        return about | {"problem": "nothing there"}
    content = f"{int(seen.dataset.content[record]):016x}"
    where = f"/media/{record}/{column.name}", {"branch": seen.branch, "version": seen.version, "v": content}
    match column.kind:
        case "image" | "audio" if column.hidden:
            return about | {"problem": f"hidden: {len(value):,} bytes are not served"}
        case "image" | "audio":
            try:
                found = sniffed(value)
            except DataError as why:
                return about | {"problem": f"not shown: {why}"}
            about["text"] = f"{found.size[0]:,} x {found.size[1]:,} pixels" if any(found.size) else ""
            about |= {"src": address(*where), "small": max(found.size) <= 256}
            if column.kind == "audio":
                about["wave"] = address(*where, {"size": "thumb"})
            return about
        case "vector":
            made = grey(value)
            few = ", ".join(number(float(v)) for v in value[:_NUMBERS])
            about["text"] = few + (" …" if len(value) > _NUMBERS else "")
            return about | ({"svg": sparkline(value)} if made is None else {"src": data_uri(made), "small": True})
        case "text":
            return about | {"text": str(value)}
        case _:
            return about | {"text": number(float(value)) if column.kind == "number" else f"{value:,}"}


def _bars(seen: Look, record: int) -> str:
    """Return the most probable classes as a drawing, "" where the model says none."""
    if seen.state.outputs is None or seen.kind == "number":
        return ""
    p = np.asarray(seen.state.probabilities[:, record], np.float64)
    if np.isnan(p).any():
        return ""
    classes = seen.dataset.schema.label.classes
    label = seen.dataset.labels(np.array([record]))[0]
    have = set() if label is None else {label} if isinstance(label, str) else set(label)
    best = np.argsort(-p, kind="stable")[:_TOP]
    return bars([(classes[k], float(p[k]), classes[k] in have) for k in best])


def _signals(seen: Look, record: int) -> list[dict[str, Any]]:
    """Return the signals of a record that rest on what is said of it alone, and others that are computed already."""
    out: list[dict[str, Any]] = []
    for name, signal in sortable(seen).items():
        if signal.pointwise or repr(signal) in seen.state.memo:
            value = float(np.asarray(signal.value(seen.state))[record])
            if not np.isnan(value):
                link = address("/records", seen.place, {"sort": name})
                out.append({"name": repr(signal), "value": value, "href": link})
    return sorted(out, key=lambda s: s["name"])


def _near(request: Request, seen: Look, record: int) -> list[Cell]:
    """Return the most similar living records."""

    def make() -> tuple[list[int], int]:
        found = similar(seen, record)
        if found is None:
            return [], 0
        found = np.where(seen.dataset.view.alive & ~np.isnan(found), found, -2)
        found[record] = -2
        best = np.argpartition(-found, min(_NEAR, len(found) - 1))[:_NEAR]
        best = best[np.argsort(-found[best], kind="stable")]
        return [int(i) for i in best if found[i] > -2], 8 * _NEAR

    return _cells(seen, np.array(shelf_of(request).get(("near", seen.key, record), make), np.int64))


def _cells(seen: Look, ids: Any) -> list[Cell]:
    return cells(seen, Order(ids), 0, len(ids))


ROUTES = (get("/records/{record}", read, role="reviewer"),)
