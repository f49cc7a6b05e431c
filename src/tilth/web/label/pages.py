"""The pages themselves: one record after the other, a grid of many, and the reviewer's."""

import json
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tilth.labeling.inbox import Said
from tilth.labeling.inbox.answering import graded
from tilth.web.label.content import told
from tilth.web.label.desk import Desk, for_experts
from tilth.web.rendering import page
from tilth.web.routes import get, person_of, site_of

__all__ = ["PAGES"]

_RECENT = 20_000
_ROWS = 200
_BY = ("prediction", "similar", "order")
"""How a grid puts records together: of the same suggestion, near in a model's embeddings, or as they are asked."""


def one_by_one(request: Request) -> Response:
    """Show one record after the other."""
    return _bench(request, "label.html", "Label")


def grid(request: Request) -> Response:
    """Show many records at once."""
    return _bench(request, "label.html", "Label many", mode="grid")


def review(request: Request) -> Response:
    """Show what experts are asked, with the votes of others, then what annotators disagree on and gold questions."""
    desk = Desk(site_of(request), person_of(request))
    runs = sorted({q.run for q in desk.site.questions()})
    said = desk.inbox.said(runs=runs, last=_RECENT) if runs else []
    asked, right = zip(*(graded(s.verdict, s.value, s.gold) for s in said), strict=True) if said else ((), ())
    wrong = [s for s, known, fits in zip(said, asked, right, strict=True) if known and not fits]
    return _bench(
        request,
        "review.html",
        "Review",
        mode="review",
        disputed=disagreements(said)[:_ROWS],
        gold=[_row(s) for s in wrong[:_ROWS]],
        gold_asked=sum(asked),
        gold_wrong=len(wrong),
        asked=any(for_experts(q) for q in desk.questions()),
    )


def disagreements(said: Iterable[Said]) -> list[dict[str, Any]]:
    """Return the tasks to which people gave different answers, newest first, and who said what."""
    tasks: dict[int, list[Said]] = {}
    for one in said:
        if one.verdict != "skip":
            tasks.setdefault(one.task, []).append(one)
    return [
        {
            "question": votes[0].question,
            "record": votes[0].record,
            "key": votes[0].key,
            "votes": [(v.annotator, told(v)) for v in sorted(votes, key=lambda v: v.annotator)],
        }
        for votes in tasks.values()
        if len({(v.verdict, v.value) for v in votes}) > 1
    ]


PAGES = (
    get("/label", one_by_one, role="annotator"),
    get("/label/grid", grid, role="annotator"),
    get("/review", review, role="reviewer"),
)


# -- inside


def _bench(request: Request, template: str, title: str, *, mode: str = "one", **more: Any) -> Response:
    site, person = site_of(request), person_of(request)
    desk = Desk(site, person)
    asked = desk.teams()
    team, by = (request.query_params.get(name, "") for name in ("team", "by"))
    bench = {
        "mode": mode,
        "team": team if team in asked else next(iter(asked), ""),
        "question": request.query_params.get("question", ""),
        "by": by if by in _BY else _BY[0],
        "person": person.name,
        "place": desk.tickets.place,
    }
    return page(request, template, title=title, bench=bench, teams=asked, **more)


def _row(said: Said) -> dict[str, Any]:
    truth = json.loads(said.gold or "null")
    return {
        "question": said.question,
        "record": said.record,
        "key": said.key,
        "who": said.annotator,
        "said": told(said),
        "truth": truth if isinstance(truth, str) else json.dumps(truth),
    }
