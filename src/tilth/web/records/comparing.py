"""`/compare`: two versions beside each other: their counts, and what became of which records, by which rule and why."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from starlette.requests import Request
from starlette.responses import Response

from tilth.dataset import Dataset
from tilth.dataset.schema import SPLITS
from tilth.errors import NotFound
from tilth.state import State
from tilth.web.records.cells import cells, layout
from tilth.web.records.looking import Look, address, shelf_of
from tilth.web.records.ordering import Order
from tilth.web.rendering import page
from tilth.web.routes import get, site_of, whole

__all__ = ["ROUTES"]

_ROWS = 50
_GROUPS = 60
_CLASSES = 40


def compare(request: Request) -> Response:
    """Show what differs between two versions of a branch."""
    asked = request.query_params
    following = site_of(request).dataset(asked.get("branch") or "main")
    b = whole(asked, "b", following.version)
    a = whole(asked, "a", max(0, b - 1))
    before, after = following.at(a), following.at(b)

    def make() -> tuple[pa.Table, int]:
        found = following.diff(a, b)
        return found, found.nbytes

    every = shelf_of(request).get(("diff", following.branch_name, a, b), make)
    wanted = {name: asked.get(name) or "" for name in ("what", "rule", "reason")}
    some = _chosen(every, wanted)
    start = min(whole(asked, "from", 0), max(some.num_rows - 1, 0))
    place: dict[str, object] = {"branch": asked.get("branch") or "", "a": a, "b": b}
    groups = Counter(zip(*(every[name].to_pylist() for name in ("what", "rule", "reason")), strict=True))
    later = following.at(max(a, b))
    shown: dict[str, Any] = {
        "branch": following.branch_name,
        "given_branch": asked.get("branch") or "",
        "a": a,
        "b": b,
        "head": following.version,
        "sides": _counted(before, after),
        "classes": _by_class(before, after),
        "groups": [
            {"what": w, "rule": r, "reason": y, "n": n, "href": address("/compare", place, _named(w, r, y))}
            for (w, r, y), n in groups.most_common(_GROUPS)
        ],
        "more_groups": max(0, len(groups) - _GROUPS),
        "wanted": wanted,
        "all": address("/compare", place),
        "total": some.num_rows,
        "start": start,
        "rows": _rows(later, following, a, b, some.slice(start, _ROWS).to_pylist()),
        "layout": layout(following.schema.columns),
        "previous": address("/compare", place, wanted, {"from": max(0, start - _ROWS)}) if start else "",
        "next": address("/compare", place, wanted, {"from": start + _ROWS}) if start + _ROWS < some.num_rows else "",
    }
    return page(request, "records/compare.html", title=f"Versions {a} and {b}", **shown)


def _named(what: str, rule: str, reason: str) -> dict[str, str]:
    return {"what": what, "rule": rule, "reason": reason}


def _chosen(every: pa.Table, wanted: dict[str, str]) -> pa.Table:
    for name, value in wanted.items():
        if value:
            every = every.filter(pc.equal(every[name], value))
    if any(wanted.values()) and not every.num_rows:
        raise NotFound("nothing between these versions was changed like that; /compare without what=, rule= shows all")
    return every


def _rows(later: Dataset, following: Dataset, a: int, b: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ids = np.array([row["record_id"] for row in rows], np.int64)
    shown = cells(Look(later, State(later)), Order(ids), 0, len(ids))
    branch = following.branch_name
    for row, cell in zip(rows, shown, strict=True):
        row["cell"] = cell
        row["was"] = address(f"/records/{cell.id}", {"branch": branch, "version": a})
        row["now"] = address(f"/records/{cell.id}", {"branch": branch, "version": b})
        row["there"] = cell.id < len(following.at(a).view), cell.id < len(following.at(b).view)
    return rows


def _counted(*versions: Dataset) -> list[tuple[str, list[int]]]:
    """Return what the versions hold, as rows of (what, one count a version)."""
    views = [v.view for v in versions]
    out = [
        ("records", [int(v.alive.sum()) for v in views]),
        ("with a label", [int((v.alive & v.labeled).sum()) for v in views]),
    ]
    out += [(f"in {split}", [int(v.among(split).sum()) for v in views]) for split in SPLITS]
    out.append(("quarantined", [int((v.quarantined & ~v.alive).sum()) for v in views]))
    return [*out, ("labels spent", [v.labels_spent for v in views])]


def _by_class(*versions: Dataset) -> list[tuple[str, list[int]]]:
    """Return how many living records each class has, those first where most changed; nothing for other labels."""
    label = versions[0].schema.label
    if label.kind != "class":
        return []
    k = len(label.classes)
    views = [v.view for v in versions]
    counts = [np.bincount(v.label[v.alive & v.labeled], minlength=k) for v in views]
    order = np.argsort(-np.abs(counts[1] - counts[0]), kind="stable")[:_CLASSES]
    return [(label.classes[i], [int(c[i]) for c in counts]) for i in order.tolist()]


ROUTES = (get("/compare", compare, role="reviewer"),)
