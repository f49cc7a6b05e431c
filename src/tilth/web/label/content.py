"""A task as a browser gets it: what is asked, what the record holds, and nothing that its person must not see."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np

from tilth.dataset import Dataset
from tilth.dataset.schema import Column
from tilth.errors import TilthError
from tilth.labeling.inbox import Posted, Said, Task
from tilth.web.label.desk import Desk
from tilth.web.label.fields import fields_of
from tilth.web.label.nearby import alike, embedded, neighbours
from tilth.web.label.tickets import blind
from tilth.web.media import data_uri, grey

__all__ = ["KEYS", "as_json", "question", "told"]

KEYS = "1234567890abcdefghijklmnopqrstuvwxyz"
"""Which keys stand for the classes, in their order, unless each class is called as its own key."""

_FEW = 12
_BIG = ("image", "audio", "problem")


def as_json(desk: Desk, tasks: Sequence[Task], *, by: str = "") -> list[dict[str, Any]]:
    """Return tasks for a page: hidden columns, gold and (for annotators) the answers of others are never in it.

    `parts` are shown large, `facts` as a table; those of one `group` can be labelled together. The score is left out
    where a panel asks: gold questions hide among its tasks and have none.
    """
    contents = _contents(desk, tasks)
    votes = desk.votes(tasks)
    open_ = [t.id for t in tasks if not t.question.panel]
    scores = desk.inbox.scores(open_) if open_ else {}
    near, groups = _nearby(desk, tasks, alike_too=by == "similar")
    out: list[dict[str, Any]] = []
    for task in tasks:
        asked = task.question
        parts, facts = contents.get(task.id, ([], []))
        detail: Mapping[str, Any] = json.loads(task.detail) if task.detail is not None else {}
        why = [("rule", asked.rule), ("reason", asked.reason)]
        if asked.signal:
            value = f": {scores[task.id]:.4g}" if task.id in scores else ""
            why.append(("signal", f"{asked.signal}{value}"))
        hidden = blind(desk.person.name, task.id)
        if task.id in near and not hidden:  # labels beside a record pull as a suggestion does
            why.append(("labelled, and near", near[task.id]))
        about: dict[str, Any] = {
            "id": task.id,
            "ticket": desk.tickets.sign(desk.person.name, task.id),
            "question": asked.id,
            "key": task.key,
            "parts": parts,
            "facts": [*facts, *(_detail(name, value) for name, value in detail.items() if asked.kind != "edit")],
            "why": why,
        }
        if task.suggestion is not None and not hidden:
            about["suggestion"] = json.loads(task.suggestion)
        about["group"] = about.get("suggestion", "") if by == "prediction" else groups.get(task.id, 0)
        found = fields_of(asked, detail, desk.site.dataset(asked.branch, asked.version).schema)
        if found:
            about["fields"] = found
        if task.id in votes:
            about["votes"] = [(f"{s.annotator}: ", told(s)) for s in votes[task.id]]
        out.append(about)
    return out


def _nearby(desk: Desk, tasks: Sequence[Task], *, alike_too: bool) -> tuple[dict[int, str], dict[int, int]]:
    """Return the labelled neighbours of tasks that ask for a label, and which tasks are alike."""
    near, groups = dict[int, str](), dict[int, int]()
    for (branch, version), some in _by_version([t for t in tasks if t.question.kind == "label"]).items():
        dataset = desk.site.dataset(branch, version)
        outputs = embedded(dataset)
        if outputs is not None:
            near |= neighbours(dataset, outputs, some)
            groups |= alike(outputs, some) if alike_too else {}
    return near, groups


def _by_version(tasks: Sequence[Task]) -> dict[tuple[str, int], list[Task]]:
    """Return the tasks about records that are there by the version that they are read at."""
    groups: dict[tuple[str, int], list[Task]] = {}
    for task in tasks:
        if task.record >= 0:
            groups.setdefault((task.question.branch, task.question.version), []).append(task)
    return groups


def question(asked: Posted) -> dict[str, Any]:
    """Return what a page has to know of a question; `names` are what one key can say."""
    classes = [str(c) for c in asked.form.get("classes", ())]
    yes_or_no = asked.kind in ("approve", "pick")
    names = ["yes", "no"] if yes_or_no else classes if asked.kind == "label" else []
    own = all(len(name) == 1 and name in KEYS for name in names)
    wanted = asked.form.get("wanted", "")
    return {
        "id": asked.id,
        "kind": asked.kind,
        "label": asked.form.get("label") if asked.kind == "label" else "",
        "ask": f"{asked.team}: {wanted}" if wanted else asked.team,
        "guide": asked.guide,
        "names": names,
        "keys": ["y", "n"] if yes_or_no else names if own else [*KEYS],
    }


def told(said: Said) -> str:
    """Return what somebody said, in words."""
    return said.verdict.replace("_", " ") if said.value is None else _text(json.loads(said.value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value, ensure_ascii=False)


def _detail(name: str, value: Any) -> tuple[str, str]:
    if name == "label" and isinstance(value, list):
        return name, " → ".join(_text(v) for v in value)
    if isinstance(value, list):
        return name, ", ".join(_text(v) for v in value)
    return name, _text(value)


Shown = tuple[list[dict[str, Any]], list[tuple[str, str]]]


def _contents(desk: Desk, tasks: Sequence[Task]) -> dict[int, Shown]:
    """Return what is shown of each task's record, large and as a table; read a version at a time."""
    out: dict[int, Shown] = {}
    for (branch, version), some in _by_version(tasks).items():
        try:
            out |= _read(desk.site.dataset(branch, version), branch, version, some)
        except TilthError as why:  # a record that cannot be read must not keep the others from being labelled
            out |= {t.id: ([{"name": "", "kind": "problem", "value": str(why)}], []) for t in some}
    return out


def _read(dataset: Dataset, branch: str, version: int, tasks: Sequence[Task]) -> dict[int, Shown]:
    columns = [c for c in dataset.schema.columns if not c.hidden]
    plain = [c.name for c in columns if c.kind not in ("image", "audio")]
    # one text is read as a text, several are the cells of a table
    big = (*_BIG, *(["text"] if sum(c.kind == "text" for c in columns) == 1 else []))
    ids = np.array([t.record for t in tasks], np.int64)
    rows: list[Mapping[str, Any]] = dataset.features(ids, plain).to_pylist() if plain else [{} for _ in tasks]
    media = len(plain) < len(columns)
    out: dict[int, Shown] = {}
    for task, row in zip(tasks, rows, strict=True):
        about = {"branch": branch, "version": version}
        if media:  # the address names the content, so that a browser need not ask for it again
            about["v"] = f"{int(dataset.content[task.record]):016x}"
        parts = [
            {
                "name": c.name,
                "kind": c.kind,
                "value": f"/media/{task.record}/{quote(c.name, safe='')}?{urlencode(about)}",
            }
            if c.kind in ("image", "audio")
            else _part(c, row[c.name])
            for c in columns
        ]
        facts = [(p["name"], p["value"]) for p in parts if p["kind"] not in big]
        out[task.id] = ([p for p in parts if p["kind"] in big], facts)
    return out


def _part(column: Column, value: Any) -> dict[str, Any]:
    about: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.kind == "text":
        return about | {"value": _text(value)}
    if column.kind != "vector":
        return about | {"value": "none" if value is None or value != value else f"{value:.6g}"}
    picture = grey(value)  # as many numbers as a square has are as a rule a small picture
    if picture is not None:
        return about | {"kind": "image", "value": data_uri(picture)}
    some = ", ".join(f"{v:.4g}" for v in value[:_FEW])
    return about | {"value": some + (f", … ({len(value)} numbers)" if len(value) > _FEW else "")}
