"""Tasks to other labelling tools and answers from them, as JSON Lines or CSV files."""

import csv
import io
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tilth.dataset import Dataset
from tilth.errors import DataError, Exists, UsageError, did_you_mean
from tilth.labeling.inbox import Given, Inbox, Posted, Task, check_name

__all__ = ["Imported", "Records", "export_tasks", "import_answers", "reader"]

Row = dict[str, Any]
Records = Callable[[Posted, list[int]], list[Row]]

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""A cell that begins so is written with an apostrophe more: a spreadsheet takes it for a formula otherwise."""

_OWN = (
    "task",
    "question",
    "key",
    "suggestion",
    "classes",
    "wanted",
    "label",
    "verdict",
    "annotator",
    "seconds",
    "note",
)


_SHOWN = ("number", "integer", "text")


@dataclass(frozen=True)
class Imported:
    """What became of a file: answers added, there already, lines refused (line, reason), lines without an answer."""

    count: int
    duplicates: int
    refused: tuple[tuple[int, str], ...] = ()
    blank: int = 0


# -- out
# ---------------------------------------------------------------------------------------------------------------------


def reader() -> Records:
    """Return a function that gives the text and number columns of records, as they were when they were asked about.

    Hidden columns (a simulation's truth) and media are left out. New records (ids below 0) have nothing yet: {}.
    """
    opened: dict[tuple[str, str, int], Dataset] = {}

    def read(posted: Posted, ids: list[int]) -> list[Row]:
        rows: list[Row] = [{} for _ in ids]
        there = [i for i, record in enumerate(ids) if record >= 0]
        if there:
            at = (posted.dataset, posted.branch, posted.version)
            if at not in opened:
                opened.clear()  # tasks come question by question: one dataset at a time
                opened[at] = Dataset.open(posted.dataset, branch=posted.branch).at(posted.version)
            dataset = opened[at]
            names = [c.name for c in dataset.schema.columns if not c.hidden and c.kind in _SHOWN]
            if not names:  # pictures or vectors alone: nothing that a file of text could show
                return rows
            table = dataset.features(np.array([ids[i] for i in there], np.int64), names)
            for i, row in zip(there, table.to_pylist(), strict=True):
                rows[i] = row
        return rows

    return read


def export_tasks(inbox: Inbox, path: str | Path, *, team: str = "", records: Records | None = None) -> int:
    """Write the open tasks of a team to a new .jsonl or .csv file; return how many.

    A line has `task`, `question`, `key`, `suggestion`, `classes`, what is `wanted`, and the record's columns by
    `records` (a function of the question and record ids; default: `reader()`), their names after "record."; `label`,
    `verdict`, `annotator`, `seconds` and `note` are empty, for whoever answers. Lists are JSON texts in a CSV file. A
    text that a spreadsheet would take for a formula has an apostrophe before it there, which `import_answers` takes
    off. Exists where the file is there.
    """
    path = _named(path)
    if path.exists():
        raise Exists(f"{path} exists already; remove it, or choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        read = records or reader()
        lines = _lines(inbox, team, read)
        count = (
            _write_jsonl(part, lines) if path.suffix == ".jsonl" else _write_csv(part, lines, _names(inbox, team, read))
        )
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _lines(inbox: Inbox, team: str, records: Records) -> Iterator[Row]:
    for page in inbox.open_tasks(team):
        for task, row in zip(page, records(page[0].question, [t.record for t in page]), strict=True):
            yield _line(task) | {f"record.{name}": value for name, value in row.items()}


def _line(task: Task) -> Row:
    form = task.question.form
    own: Row = dict.fromkeys(_OWN)
    own |= {"task": task.id, "question": task.question.id, "key": task.key, "wanted": form.get("wanted") or None}
    own |= {"classes": list(form.get("classes", [])) or None}
    return own | {"suggestion": None if task.suggestion is None else json.loads(task.suggestion)}


def _names(inbox: Inbox, team: str, records: Records) -> list[str]:
    """Return the columns of all questions together: a CSV file has the same in every line."""
    found: dict[str, list[str]] = {}
    for page in inbox.open_tasks(team):
        posted = page[0].question
        known = [t.record for t in page if t.record >= 0]
        if known and posted.id not in found:
            found[posted.id] = [f"record.{name}" for name in records(posted, known[:1])[0]]
    return list(dict.fromkeys([*_OWN, *(name for names in found.values() for name in names)]))


def _write_jsonl(path: Path, lines: Iterator[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in lines:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_csv(path: Path, lines: Iterator[Row], names: list[str]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for row in lines:
            # a question published since the columns were looked up may have others: whole in the next file
            writer.writerow({name: _cell(row.get(name)) for name in names})
            count += 1
    return count


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if _FORMULA.match(text) else text


# -- in
# ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """A line that was read: its number in the file, and its cells, or why it cannot be read."""

    number: int
    cells: Mapping[str, Any]
    wrong: str = ""


def import_answers(
    inbox: Inbox,
    path: str | Path,
    *,
    annotator: str | None = None,
    on_error: Literal["raise", "quarantine"] = "raise",
) -> Imported:
    """Read answers from a .jsonl or .csv file into the inbox; the same file again adds nothing.

    Columns: `task` (or `question` and the record's `key`), `label`; and, where wanted, `annotator` (default: the
    argument), `seconds`, `verdict` (default "answer") and `note`. Other columns are not read; a line with neither label
    nor verdict is not answered yet. All lines are checked before one is written, and all are written at once. DataError
    names the file and its wrong lines, and nothing enters; with on_error="quarantine" the others do.
    """
    path = _named(path)
    if on_error not in ("raise", "quarantine"):
        raise UsageError(f"on_error={on_error!r}: 'raise' or 'quarantine'")
    if annotator is not None:
        check_name(annotator)
    lines = list(_jsonl(path) if path.suffix == ".jsonl" else _csv(path))
    answered = [x for x in lines if x.wrong or _has(x, "label") or _has(x, "verdict")]
    refused: list[tuple[int, str]] = []
    given: list[tuple[int, str, Given]] = []
    tasks = _tasks(inbox, answered)
    about = inbox.find(t for t in tasks.values() if t is not None)
    for line in answered:
        try:
            who, g = _given(line, tasks[line.number], about, annotator, text=path.suffix == ".csv")
            given.append((line.number, who, g))
        except UsageError as why:
            refused.append((line.number, str(why)))
    found = inbox.checked([(who, g) for _, who, g in given])
    refused += [(n, why) for (n, _, _), why in zip(given, found, strict=True) if isinstance(why, str)]
    _raise(path, refused, on_error)
    wrong = {n for n, _ in refused}
    given = [x for x in given if x[0] not in wrong]
    receipts = inbox.answer_all([(who, g) for _, who, g in given], whole=on_error == "raise")
    refused += [(n, r.why) for (n, _, _), r in zip(given, receipts, strict=True) if not r.kept]
    _raise(path, refused, on_error)
    twice = sum(r.state == "duplicate" for r in receipts)
    kept = sum(r.kept for r in receipts)
    return Imported(kept - twice, twice, tuple(sorted(refused)), len(lines) - len(answered))


def _raise(path: Path, refused: list[tuple[int, str]], on_error: str) -> None:
    if not refused or on_error == "quarantine":
        return
    refused.sort()
    told = "; ".join(f"line {n}: {why}" for n, why in refused[:3]) + ("; ..." if len(refused) > 3 else "")
    raise DataError(
        f"{path}: {len(refused):,} lines cannot enter, so none did ({told}). Put them right, or read the others with "
        "on_error='quarantine'",
        [(str(path), n, why) for n, why in refused],
    )


def _has(line: _Line, name: str) -> bool:
    return line.cells.get(name) not in (None, "")


def _tasks(inbox: Inbox, lines: list[_Line]) -> dict[int, int | None]:
    """Return the task of each line, by its number in the file; None where it names none."""
    out: dict[int, int | None] = {}
    wanted: dict[str, dict[int, str]] = {}
    for line in lines:
        out[line.number] = None
        if _has(line, "task"):
            written = line.cells["task"]
            if str(written).isascii() and str(written).isdigit() and int(written) < 1 << 62:
                out[line.number] = int(written)
        elif _has(line, "question") and _has(line, "key"):
            wanted.setdefault(str(line.cells["question"]), {})[line.number] = str(line.cells["key"])
    for question, keys in wanted.items():
        there = inbox.by_key(question, keys.values())
        out |= {n: there.get(key) for n, key in keys.items()}
    return out


def _given(
    line: _Line, task: int | None, about: Mapping[int, Task], annotator: str | None, *, text: bool
) -> tuple[str, Given]:
    cells = line.cells
    if line.wrong:
        raise UsageError(line.wrong)
    if task is None or task not in about:
        named = {name: cells[name] for name in ("task", "question", "key") if _has(line, name)}
        raise UsageError(f"the inbox has no such task: {named}; name it by 'task', or by 'question' and 'key'")
    posted, key = about[task].question, about[task].key
    if _has(line, "key") and str(cells["key"]) != key:
        raise UsageError(f"task {task} is about {key!r}, not about {cells['key']!r}: is the file from another inbox?")
    who = check_name(str(cells["annotator"]).strip() if _has(line, "annotator") else annotator or "")
    verdict = cells["verdict"] if _has(line, "verdict") else "answer"
    value = cells["label"] if _has(line, "label") else None
    seconds = cells["seconds"] if _has(line, "seconds") else None
    if text:
        value = None if value is None else _value(posted, value)
        seconds = None if seconds is None else _number("seconds", seconds)
    note = cells["note"] if _has(line, "note") else ""
    return who, Given(task, verdict, value, seconds, note=note)


def _value(posted: Posted, written: str) -> Any:
    """Return what a CSV cell says, by what the question asks for."""
    if posted.kind in ("approve", "pick") or (posted.kind == "label" and posted.form.get("label") == "class"):
        return written
    if posted.kind == "label" and posted.form.get("label") == "number":
        return _number("label", written)
    try:
        return json.loads(written)
    except ValueError as why:
        raise UsageError(f'label {written!r}: a JSON text, such as ["cat"]: {why}') from why


def _number(what: str, written: str) -> float:
    try:
        return float(written)
    except ValueError as why:
        raise UsageError(f"{what} {written!r}: a number") from why


def _jsonl(path: Path) -> Iterator[_Line]:
    for number, written in enumerate(_text(path).split("\n"), 1):
        if not written.strip():
            continue
        try:
            cells = json.loads(written)
        except ValueError as why:
            yield _Line(number, {}, f"no JSON: {why}")
            continue
        yield _Line(number, cells) if isinstance(cells, dict) else _Line(number, {}, "a line is an object: {...}")


def _csv(path: Path) -> Iterator[_Line]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        names = reader.fieldnames or ()
        if "label" not in names or not ("task" in names or {"question", "key"} <= {*names}):
            raise DataError(
                f"{path}: the first line names the columns: 'label', and 'task' or 'question' and 'key'. "
                f"{did_you_mean('label', names)}"
            )
        for row in reader:
            cells = {
                k: v[1:] if v and v[0] == "'" and _FORMULA.match(v) else v for k, v in row.items() if k is not None
            }
            yield _Line(reader.line_num, cells, "more cells than columns" if None in row else "")
    except csv.Error as why:
        raise DataError(f"{path}, line {reader.line_num}: no CSV: {why}") from why


def _text(path: Path) -> str:
    try:
        # spreadsheets write a mark at the beginning; read_text would turn a \r inside a cell into a \n
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as why:
        raise DataError(f"{path} is not UTF-8 ({why}); save it as UTF-8") from why


def _named(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in (".jsonl", ".csv"):
        raise UsageError(f"{path.name!r}: a file of tasks or answers ends in .jsonl or .csv")
    return path
