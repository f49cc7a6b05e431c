"""What a page of labelling asks the server, in JSON: the next tasks, answers, taking back, how far it is."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tilth.errors import UsageError
from tilth.labeling.inbox import Given, Receipt, Task
from tilth.web.label.content import as_json, question
from tilth.web.label.desk import Desk
from tilth.web.label.fields import entered
from tilth.web.label.pull import agreed_so_far, note_of
from tilth.web.label.tickets import blind
from tilth.web.routes import get, person_of, post, site_of

__all__ = ["ENDPOINTS"]

_BOOT = secrets.token_hex(4)
"""Another one after each start: a page notices that the server was restarted, and goes on."""

_MOST_TASKS = 256
_MOST_ANSWERS = 512
_LARGEST = 2**53
"""Whole numbers up to here are the same in JavaScript and in the databases."""
_LONGEST_KEY = 100
_YEAR = 365 * 86_400.0


def desk_of(request: Request) -> Desk:
    """Return the desk of whoever asks."""
    return Desk(site_of(request), person_of(request))


def next_tasks(request: Request, form: Mapping[str, str]) -> Response:
    """Lease tasks: the contents of those that the page does not have, and the ids of all that its person holds."""
    body = _body(form)
    have = {*_ids(body.get("have", []))}
    n = body.get("n", 16)
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MOST_TASKS:
        raise UsageError(f"n={n!r}: the number of tasks wanted, 1 to {_MOST_TASKS}")
    desk = desk_of(request)
    team, only, by = (_text(body, name) for name in ("team", "question", "by"))
    tasks = desk.lease(n, team=team, question=only, review=body.get("review") is True)
    new = [t for t in tasks if t.id not in have]
    past = desk.past() if body.get("past") is True else []
    return _said(
        desk,
        held=[t.id for t in tasks],
        tasks=as_json(desk, new, by=by),
        past=as_json(desk, past, by=by),
        questions=[question(q) for q in {t.question.id: t.question for t in [*new, *past]}.values()],
        none="" if tasks else _why_none(desk),
        agreement=agreed_so_far(desk),
    )


def answers(request: Request, form: Mapping[str, str]) -> Response:
    """Keep a batch of answers, each under the key that the page gave it; return what became of each."""
    body = _body(form)
    sent = _list(body, "answers", _MOST_ANSWERS)
    desk = desk_of(request)
    ids = _ids([a.get("task") for a in sent])
    foreign = [i for i, a in zip(ids, sent, strict=True) if not _has_ticket(desk, a, i)]
    there = desk.inbox.find(ids)
    foreign += [i for i in ids if i in there and not desk.may(there[i].question)]
    if foreign:
        told = f"tasks {', '.join(map(str, foreign[:5]))} were not handed to {desk.person.name}; nothing was kept"
        return JSONResponse({"error": told, "tasks": foreign}, status_code=403)
    receipts: dict[int, Receipt] = {}
    given: dict[int, Given] = {}
    for at, (one, task) in enumerate(zip(sent, ids, strict=True)):
        try:
            given[at] = _given(desk, one, there.get(task), task)
        except UsageError as why:
            receipts[at] = Receipt(task, "refused", str(why))
    who = desk.person.name
    for at, found in zip(given, desk.inbox.checked([(who, g) for g in given.values()]), strict=True):
        if isinstance(found, str):
            receipts[at] = Receipt(ids[at], "refused", found)
    fine = [at for at in given if at not in receipts]
    receipts |= dict(zip(fine, desk.inbox.answer(who, [given[at] for at in fine]), strict=True))
    told = [
        {"task": r.task, "key": sent[at].get("key"), "state": r.state, "why": r.why}
        # no answer at all stands there, so that another one can be given
        | {"again": at not in fine and r.task in there}
        for at, r in sorted(receipts.items())
    ]
    return JSONResponse({"boot": _BOOT, "receipts": told})


def undo(request: Request, form: Mapping[str, str]) -> Response:
    """Take answers back, and hold their tasks again; say which of them a run has taken already."""
    body = _body(form)
    desk = desk_of(request)
    who = desk.person.name
    sent = _list(body, "tasks", _MOST_ANSWERS)
    ids = _ids([t.get("task") for t in sent])
    if not all(_has_ticket(desk, t, i) for t, i in zip(sent, ids, strict=True)):
        return JSONResponse({"error": "these tasks were not handed to you; nothing was taken back"}, status_code=403)
    undone = [i for i in ids if desk.inbox.retract(who, i)]
    left = {s.task for s in desk.inbox.said(annotator=who, tasks=ids)} if len(undone) < len(ids) else set[int]()
    desk.hold(list(desk.inbox.find(undone).values()))
    return _said(desk, undone=undone, taken=[i for i in ids if i in left])


def leave(request: Request, _: Mapping[str, str]) -> Response:
    """Give the tasks at hand back for others."""
    desk = desk_of(request)
    if desk.site.inbox is not None:
        desk.inbox.release(desk.person.name)
    return JSONResponse({"boot": _BOOT})


def progress(request: Request) -> Response:
    """Say how far the questions of this person are, and how they themselves do."""
    desk = desk_of(request)
    return _said(desk, agreement=agreed_so_far(desk))


ENDPOINTS = (
    post("/label/next", next_tasks, role="annotator"),
    post("/label/answers", answers, role="annotator"),
    post("/label/undo", undo, role="annotator"),
    post("/label/leave", leave, role="annotator"),
    get("/label/progress", progress, role="annotator"),
)


# -- inside


def _said(desk: Desk, **more: Any) -> JSONResponse:
    counts = [desk.inbox.progress(q.id) for q in desk.questions()]
    complete, wanted = sum(c.complete for c in counts), sum(c.tasks for c in counts)
    return JSONResponse({"boot": _BOOT, "complete": complete, "wanted": wanted, **more})


def _why_none(desk: Desk) -> str:
    """Return why somebody gets no task."""
    none = "Nothing to answer now. This page looks again by itself."
    if desk.site.inbox is None:
        return none
    suspended = {m.name: m.suspended for m in desk.inbox.annotators()}.get(desk.person.name, "")
    return f"You get no more tasks: {suspended}. Ask whoever invited you." if suspended else none


def _body(form: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(form.get("body", ""))
    except (ValueError, RecursionError) as why:
        raise UsageError(f"the body is no JSON: {type(why).__name__}; send an object") from why
    if not isinstance(found, dict):
        raise UsageError("the body is no JSON object")
    return found


def _list(body: Mapping[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    found = body.get(name, [])
    if not isinstance(found, list) or len(found) > most or not all(isinstance(one, dict) for one in found):
        raise UsageError(f"{name}: a list of at most {most} objects")
    return found


def _ids(found: Any) -> list[int]:
    if not isinstance(found, list) or len(found) > 4 * _MOST_ANSWERS:
        raise UsageError(f"tasks are a list of at most {4 * _MOST_ANSWERS} ids")
    for one in found:
        if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < _LARGEST:
            raise UsageError(f"task {one!r}: the id of a task, a whole number")
    return found


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name, "")
    if not isinstance(found, str):
        raise UsageError(f"{name}={found!r}: a text")
    return found


def _has_ticket(desk: Desk, sent: Mapping[str, Any], task: int) -> bool:
    return desk.tickets.fits(str(sent.get("ticket")), desk.person.name, task)


def _given(desk: Desk, sent: Mapping[str, Any], task: Task | None, number: int) -> Given:
    note = "" if task is None else note_of(task, sent, hidden=blind(desk.person.name, number))
    seconds, key = sent.get("seconds"), _text(sent, "key")
    if not 0 < len(key) <= _LONGEST_KEY:
        raise UsageError(f"key {key[:20]!r}: a text of 1 to {_LONGEST_KEY} characters, another one for each answer")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds > _YEAR):
        raise UsageError(f"seconds={str(seconds)[:20]}: how long it took, 0 or more")
    verdict: Any = _text(sent, "verdict")
    value = sent.get("value")
    if task is not None and task.question.kind == "collect":
        asked = task.question
        value = entered(task, value, desk.site.dataset(asked.branch, asked.version).schema, desk.person.name)
    return Given(number, verdict, value, seconds=seconds, key=key, note=note)
