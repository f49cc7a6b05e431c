"""`tilth label`: answer the questions of a project in the terminal, one key a record, or by files from another tool."""

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tilth.cli.keys import choices, matching, one_key, read_key, read_line
from tilth.cli.opening import open_dataset
from tilth.cli.showing import shown
from tilth.cli.terminal import note, say
from tilth.cli.words import as_json, clean, count
from tilth.dataset import Dataset
from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.labeling.exchange import export_tasks, import_answers
from tilth.labeling.inbox import Given, Inbox, Posted, Task, Verdict
from tilth.runs.home import inbox_of, scope_of

__all__ = ["label"]

_AHEAD = 16
_RENEW = 120.0
"""Seconds after which the leases of the tasks at hand are made new."""

SKIP, UNSURE, BAD, BACK, GUIDE, QUIT = "-", "?", "!", "<", "=", "."
_VERDICTS: Mapping[str, Verdict] = {SKIP: "skip", UNSURE: "cannot_tell", BAD: "bad"}
_SAID = (*_VERDICTS, BACK, GUIDE, QUIT)
_HELP = f"{SKIP} skip   {UNSURE} cannot tell   {BAD} bad record   {BACK} back   {GUIDE} guidelines   {QUIT} leave"


def label(
    project: Path,
    who: str | None,
    *,
    team: str,
    blind: bool,
    out: Path | None,
    answers: Path | None,
    quarantine: bool,
    engine: str | None,
    json: bool,
) -> None:
    """Answer questions, export them, or import answers."""
    dataset = open_dataset(project)
    where = inbox_of(dataset.path, engine)
    if engine is None and not Path(where).exists():
        raise NotFound(f"{dataset.name} asks nothing: no run of it has asked people yet. `tilth run` first")
    scope = scope_of(dataset.path, engine)
    with contextlib.closing(Inbox(where)) as inbox:
        if out is not None:
            _export(inbox, out, _team(inbox, team, scope), json=json)
        elif answers is not None:
            _import(inbox, answers, who, quarantine=quarantine, json=json)
        elif who is None:
            raise UsageError("who answers? Say it by --as NAME: it stands in the history of what you label")
        else:
            sitting = Sitting(inbox, who, _team(inbox, team, scope), dataset.path, blind=blind)
            try:
                with one_key():
                    sitting.go()
            finally:
                inbox.release(who)
            said = f"{count(sitting.done, 'answer')} by {who}"
            say(as_json({"annotator": who, "answers": sitting.done}) if json else clean(said))


def _team(inbox: Inbox, team: str, scope: str) -> str:
    """Return the team to answer for: the one that was named, or the only one that is asked."""
    asked = {q.team: None for q in inbox.questions(state="open") if q.id.startswith(scope)}
    if team and team not in asked:
        raise NotFound(f"nothing is asked of team {team!r} now. {did_you_mean(team, asked)}")
    if not team and len(asked) > 1:
        raise UsageError(f"several teams are asked: {', '.join(asked)}. Say for which you answer: --team NAME")
    return team or next(iter(asked), "")


def _export(inbox: Inbox, out: Path, team: str, *, json: bool) -> None:
    n = export_tasks(inbox, out, team=team)
    said = f"{count(n, 'task')} in {out}; fill the column `label` in, then tilth label PROJECT --import {out} --as NAME"
    say(as_json({"tasks": n, "file": str(out)}) if json else said)


def _import(inbox: Inbox, answers: Path, who: str | None, *, quarantine: bool, json: bool) -> None:
    found = import_answers(inbox, answers, annotator=who, on_error="quarantine" if quarantine else "raise")
    if json:
        refused = [{"line": line, "reason": reason} for line, reason in found.refused]
        say(as_json({"answers": found.count, "duplicates": found.duplicates, "refused": refused}))
        return
    again = f", {found.duplicates:,} there already" if found.duplicates else ""
    say(f"{count(found.count, 'answer')} from {answers}{again}")
    for line, reason in found.refused:
        note(f"{answers}, line {line}: {clean(reason)}")


@dataclass
class Sitting:
    """One person at work: tasks are leased ahead, each answer is on disk before the next task is shown."""

    inbox: Inbox
    who: str
    team: str
    place: Path
    blind: bool = False
    done: int = 0
    begun: float = field(default_factory=time.monotonic)
    _past: list[Task] = field(default_factory=list[Task])
    _data: dict[tuple[str, int], Dataset] = field(default_factory=dict[tuple[str, int], Dataset])
    _told: str = ""

    def go(self) -> None:
        """Show tasks and take answers until there is none left, or the person leaves."""
        ahead: list[Task] = []
        leased = 0.0
        while True:
            if not ahead or time.monotonic() - leased > _RENEW:
                here = ahead[:1]
                ahead = self.inbox.lease(self.who, _AHEAD, team=self.team)
                if here and any(t.id == here[0].id for t in ahead):
                    ahead = here + [t for t in ahead if t.id != here[0].id]
                leased = time.monotonic()
            if not ahead:
                note("nothing to answer now" if not self.done else "nothing is left to answer now")
                return
            step = self.one(ahead[0])
            if step == "leave":
                return
            if step == "back" and self._past:
                back = self._past.pop()
                if self.inbox.retract(self.who, back.id):
                    self.done -= 1
                    ahead = [back, *ahead]
                else:
                    note("that answer was taken by the run already; it stands in the record's history")
            elif step == "done":
                self._past.append(ahead.pop(0))

    def one(self, task: Task) -> str:
        """Show one task and take what is said of it: "done", "back", "again" or "leave"."""
        asked = task.question
        if asked.id != self._told:
            self._told = asked.id
            self._head(asked)
        for line in self._shows(task, asked):
            say(line)
        began = time.monotonic()
        given = self._ask(task, asked)
        if isinstance(given, str):
            return given
        verdict, value = given
        took = round(time.monotonic() - began, 2)
        try:
            receipt = self.inbox.answer(self.who, [Given(task.id, verdict, value, seconds=took)])[0]
        except UsageError as why:  # nothing was written: the same task once more
            note(clean(str(why)))
            return "again"
        if not receipt.kept:
            note(clean(receipt.why))
            return "again"
        self.done += verdict != "skip"
        return "done"

    def _ask(self, task: Task, asked: Posted) -> "tuple[Verdict, Any] | str":
        takers: Mapping[str, Callable[[Task, Posted], Any]] = {
            "label": self._label,
            "approve": self._approve,
            "pick": self._approve,
            "edit": self._edit,
            "collect": self._collect,
        }
        found = takers[asked.kind](task, asked)
        match found:
            case None | "":
                return "leave" if found is None else "again"
            case str() if found == QUIT:
                return "leave"
            case str() if found == BACK:
                return "back"
            case str() if found == GUIDE:
                say(clean(asked.guide, lines=True) or "this team has no guidelines")
                return "again"
            case str() if found in _VERDICTS:
                return _VERDICTS[found], None
            case _:
                return "answer", found[0]

    # -- what is shown ---------------------------------------------------------------------------------------------

    def _head(self, asked: Posted) -> None:
        say()
        say(clean(f"{asked.team}, rule {asked.rule!r}: {asked.reason}"))
        if asked.guide:
            say(clean(asked.guide, lines=True))
        say(_HELP)

    def _shows(self, task: Task, asked: Posted) -> Iterator[str]:
        now = self.inbox.progress(asked.id)
        pace = (time.monotonic() - self.begun) / self.done if self.done else None
        told = f"{now.complete:,} of {now.tasks:,}" + (f", {pace:.1f} s each" if pace else "")
        yield ""
        yield clean(f"[{told}] {task.key}")
        if task.record >= 0:
            yield from shown(self._dataset(asked), task.record)
        if task.detail is not None:
            yield from _details(asked.kind, json.loads(task.detail))

    def _label(self, task: Task, asked: Posted) -> Any:
        kind, classes = asked.form["label"], list(asked.form["classes"])
        suggestion = None if self.blind or task.suggestion is None else json.loads(task.suggestion)
        if kind == "number":
            return _number(read_line("a number> "))
        if kind == "classes":
            return _several(read_line(f"classes, comma between ({', '.join(classes[:8])}...)> "), classes)
        keys = choices(classes)
        if keys is None:
            said = read_line(f"class{f' [{suggestion}]' if suggestion else ''}> ")
            return (suggestion,) if said == "" and suggestion else _one_of(said, classes)
        say("  ".join(f"{key} {clean(name)}" for key, name in keys.items()))
        said = read_key(f"{f'Enter {suggestion} ' if suggestion else ''}> ")
        if said in ("\r", "\n", "") and suggestion:
            return (suggestion,)
        if said is not None and said in keys:
            return (keys[said],)
        return said if said is None or said in _SAID else _one_of(said, classes)

    def _approve(self, task: Task, asked: Posted) -> Any:
        said = read_key("y yes   n no > ")
        return {"y": ("yes",), "n": ("no",)}.get(said or "", said if said is None or said in _SAID else "")

    def _edit(self, task: Task, asked: Posted) -> Any:
        old: dict[str, Any] = json.loads(task.detail or "{}")
        new = dict(old)
        for name, value in old.items():
            said = read_line(f"{name} [{value}]> ")
            if said is None or said in _SAID:
                return said
            if said:
                new[name] = _like(said, value)
                if new[name] is None:
                    note(f"{name} is a number; {said!r} is none")
                    return ""
        return (new,)

    def _collect(self, task: Task, asked: Posted) -> Any:
        schema = self._dataset(asked).schema
        row: dict[str, Any] = {}
        for column in (c for c in schema.columns if not c.hidden):
            media = column.kind in ("image", "audio")
            said = read_line(f"{column.name} ({'path of a file' if media else column.kind})> ")
            if said is None or said in _SAID:
                return said
            if media:
                path = Path(said).expanduser()
                if not path.is_file():
                    note(f"there is no file {path}")
                    return ""
                row[column.name] = base64.b64encode(path.read_bytes()).decode()
                row.setdefault("key", f"{asked.team}/{path.name}")
            elif column.kind == "vector":
                row[column.name] = [float(part) for part in said.replace(",", " ").split()]
            else:
                row[column.name] = said if column.kind == "text" else _like(said, 0.0)
        said = read_line("label (empty: none yet)> ")
        row["label"] = (said or None) if asked.form["label"] != "number" else _like(said or "", 0.0)
        return (row,)

    # -- where it comes from ---------------------------------------------------------------------------------------

    def _dataset(self, asked: Posted) -> Dataset:
        # the project's own dataset, wherever it lies today: it may have been moved since it asked
        if (asked.branch, asked.version) not in self._data:
            opened = Dataset.open(self.place, branch=asked.branch).at(asked.version)
            self._data[asked.branch, asked.version] = opened
        return self._data[asked.branch, asked.version]


def _details(kind: str, detail: Mapping[str, Any]) -> Iterator[str]:
    if kind in ("approve", "pick"):
        yield clean(f"  {detail.get('do')}" + (f", made of {detail['from']}" if "from" in detail else ""))
    for name, value in detail.items():
        match name, value:
            case (("do" | "from"), _):
                pass
            case "label", [old, new]:
                yield clean(f"  label: {'none' if old is None else old} → {new}")
            case "content", dict():
                yield from (clean(f"  {k}: {v}") for k, v in value.items())
            case "like", list():
                yield clean(f"  like: {', '.join(str(v) for v in value)}")
            case _:
                yield clean(f"  {name}: {value}")


def _one_of(said: str | None, classes: list[str]) -> Any:
    """Return the class that a line means: its name, or the beginning of just one."""
    if said is None or said in _SAID:
        return said
    found = matching(said, classes)
    if len(found) == 1:
        return (found[0],)
    note(
        f"{said!r} is {'no class' if not found else 'the beginning of ' + ', '.join(found[:8])}; type its name, or more"
    )
    return ""


def _several(said: str | None, classes: list[str]) -> Any:
    if said is None or said in _SAID:
        return said
    names: list[str] = []
    for part in (p.strip() for p in said.split(",") if p.strip()):
        found = _one_of(part, classes)
        if not isinstance(found, tuple):
            return ""
        names.append(str(found[0]))
    return (sorted(set(names), key=classes.index),)


def _number(said: str | None) -> Any:
    if said is None or said in _SAID:
        return said
    value = _like(said, 0.0)
    if value is None:
        note(f"{said!r} is no number")
        return ""
    return (value,)


def _like(said: str, old: Any) -> Any:
    """Return what was typed in the type of an old value; None where it cannot be."""
    if isinstance(old, str):
        return said
    try:
        return int(said) if isinstance(old, int) else float(said)
    except ValueError:
        return None
