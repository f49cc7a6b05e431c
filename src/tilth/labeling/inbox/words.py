"""What goes into the inbox and what comes out of it: questions, tasks, answers, receipts."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tilth.errors import UsageError, did_you_mean

__all__ = [
    "Drained",
    "Given",
    "Member",
    "Posted",
    "Progress",
    "Receipt",
    "Said",
    "Task",
    "Tasks",
    "Verdict",
    "check",
    "check_name",
    "check_text",
]

_LARGEST = sys.float_info.max

Kind = Literal["label", "approve", "collect", "edit", "pick"]
Verdict = Literal["answer", "skip", "cannot_tell", "bad"]


@dataclass(frozen=True)
class Posted:
    """A question as it is published.

    `id`: unique within the inbox. `team`: who answers; only annotators who ask for its tasks get them, "" = anybody.
    `dataset`, `branch`, `version`: where the records are read from. `panel`: the validation panel it belongs to.
    `guide`: the guidelines, as text. `reason`: why these records were chosen, by `signal`. `votes`: answers wanted a
    record. `form`: how to answer, as JSON: {"label": "class", "classes": ["cat", "dog"]}.
    """

    id: str
    kind: str
    team: str
    dataset: str
    branch: str
    version: int
    run: str
    rule: str
    panel: str = ""
    guide: str = ""
    reason: str = ""
    signal: str | None = None
    votes: int = 1
    form: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id or not self.id.isprintable():
            raise UsageError(f'Posted(id={self.id!r}): a printable text such as "run-1/r0/ask"')
        if self.kind not in get_args(Kind):
            raise UsageError(f"Posted(kind={self.kind!r}): no such kind. {did_you_mean(self.kind, get_args(Kind))}")
        if isinstance(self.votes, bool) or not isinstance(self.votes, int) or self.votes < 1:
            raise UsageError(f"Posted(votes={self.votes!r}): a whole number of answers a record, 1 or more")


@dataclass(frozen=True, eq=False)
class Tasks:
    """The tasks of a question as columns; row i is the task of rank i, 0 the most wanted.

    `records`: ids, `int64[n]`; `keys`: the records' keys; `scores`: `float64[n]`, NaN = none. JSON texts, None = none:
    `suggestions`, `details` (shown beside the record) and `gold` (the known truth, never shown to annotators).
    """

    records: npt.NDArray[np.int64]
    keys: list[str]
    scores: npt.NDArray[np.float64] | None = None
    suggestions: list[str | None] | None = None
    details: list[str] | list[str | None] | None = None
    gold: list[str | None] | None = None

    def __post_init__(self) -> None:
        n = len(self.records)
        for name in ("keys", "scores", "suggestions", "details", "gold"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise UsageError(f"Tasks: {len(column):,} {name} for {n:,} records; one each")
        for name in ("suggestions", "gold"):
            for i, written in enumerate(getattr(self, name) or ()):
                try:
                    _ = None if written is None else json.loads(written)
                except (TypeError, ValueError) as why:
                    raise UsageError(f"Tasks: {name}[{i}] is {written!r}, not a JSON text: {why}") from why


@dataclass(frozen=True)
class Task:
    """One task as an annotator gets it; `until`: when the lease ends, unix time; `suggestion`, `detail`: JSON texts."""

    id: int
    question: Posted
    record: int
    key: str
    suggestion: str | None
    detail: str | None
    until: float


@dataclass(frozen=True)
class Given:
    """One answer as an annotator gives it.

    `verdict`: "answer" (with a `value`: JSON), "skip" (let others do it), "cannot_tell", or "bad" (the record is
    broken). `seconds`: how long it took. `key`: makes a retry the same answer, one key an answer; where it is left out,
    the task is the key.

    >>> Given(4, "answer", "cat", seconds=2.5)
    Given(task=4, verdict='answer', value='cat', seconds=2.5, key=None, note='')
    """

    task: int
    verdict: Verdict
    value: Any = None
    seconds: float | None = None
    key: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.task, bool) or not isinstance(self.task, int):
            raise UsageError(f"Given(task={self.task!r}): the id of a task, a whole number")
        if self.verdict not in get_args(Verdict):
            raise UsageError(
                f"Given(verdict={self.verdict!r}): no such verdict. {did_you_mean(self.verdict, get_args(Verdict))}"
            )
        if (self.verdict == "answer") != (self.value is not None):
            raise UsageError(
                f"Given({self.task}, {self.verdict!r}, {self.value!r}): 'answer' needs a value, and no other has one"
            )
        if self.seconds is not None and (
            isinstance(self.seconds, bool)
            or not isinstance(self.seconds, (int, float))
            or not 0 <= self.seconds < math.inf
        ):
            raise UsageError(f"Given(seconds={self.seconds!r}): how long it took, 0 or more, or None")
        check_text("note", self.note)
        if self.key is not None:
            check_text("key", self.key)


@dataclass(frozen=True)
class Receipt:
    """What became of an answer.

    `state`: "kept", "surplus" (kept; the task had all its votes), "late" (kept; the question was closed), "duplicate"
    (it is there already; nothing changed) or "refused" (`why` says why; nothing changed).
    """

    task: int
    state: Literal["kept", "surplus", "late", "duplicate", "refused"]
    why: str = ""

    @property
    def kept(self) -> bool:
        """Whether the answer is in the inbox."""
        return self.state != "refused"


@dataclass(frozen=True)
class Progress:
    """How far a question is: counts, when it was `opened` (unix time), its `state` (open, paused, closed) and why.

    `votes`: wanted of all tasks; `answers`: votes given, `bad` and `cannot_tell` among them; `complete`: tasks that
    have all their votes; `leased`: tasks in somebody's hands now (one for each lease).
    """

    tasks: int
    votes: int
    complete: int
    answers: int
    leased: int
    bad: int
    cannot_tell: int
    skipped: int
    opened: float
    state: str
    why: str


@dataclass(frozen=True)
class Said:
    """One answer as it stands in the inbox: who said what to which task, and whether a run has taken it.

    `value`, `gold` (the known truth): JSON texts or None; `seconds`: how long it took; `time`: unix time.
    """

    task: int
    question: str
    record: int
    key: str
    annotator: str
    verdict: Verdict
    value: str | None
    seconds: float | None
    note: str
    time: float
    gold: str | None
    taken: bool


@dataclass(frozen=True, eq=False)
class Drained:
    """Answers that a part has taken, as columns, ordered by question, rank and annotator; skips are not among them.

    `records` `int64[n]`; `values`: JSON texts, None unless the verdict is "answer"; `seconds`: `float64[n]`, NaN = not
    known; `times`: `float64[n]`, unix time; `gold`: the known truth as a JSON text, None where it is not known.
    """

    records: npt.NDArray[np.int64]
    keys: list[str]
    values: list[str | None]
    verdicts: list[str]
    annotators: list[str]
    seconds: npt.NDArray[np.float64]
    times: npt.NDArray[np.float64]
    gold: list[str | None]
    questions: list[str]


@dataclass(frozen=True)
class Member:
    """An annotator whom the inbox knows.

    `answers`: all but skips; `gold`, `gold_right`: answers to questions whose truth is known, and how many of these are
    right (skips, "cannot tell" and "bad" are not counted); `seconds`: the median of the last 100 answers, NaN = not
    known; `suspended`: why they get no more tasks, "" = they do.
    """

    name: str
    answers: int
    gold: int
    gold_right: int
    seconds: float
    suspended: str


def check_name(annotator: str) -> str:
    """Return an annotator's name; UsageError where it is none.

    >>> check_name("ann@example.org")
    'ann@example.org'
    """
    if not isinstance(annotator, str) or not annotator.strip() or not annotator.isprintable() or len(annotator) > 100:
        raise UsageError(f"annotator {annotator!r}: a name is a printable text of 1 to 100 characters")
    return annotator


def check_text(what: str, value: str) -> None:
    """UsageError where `value` is no text that both databases can hold."""
    try:
        fine = isinstance(value, str) and "\x00" not in value and bool(value.encode() or True)
    except UnicodeEncodeError:
        fine = False
    if not fine:
        raise UsageError(f"{what} {value!r}: a text without zero characters and halves of surrogate pairs")


def check(kind: str, form: Mapping[str, Any], value: Any) -> str:
    """Return the value of an answer as a JSON text; UsageError says what came and what is allowed.

    >>> check("label", {"label": "class", "classes": ["cat", "dog"]}, "cat")
    '"cat"'
    >>> check("label", {"label": "class", "classes": ["cat", "dog"]}, "cta")
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: 'cta' is no class. There is: cat, dog. Did you mean 'cat'?
    """
    match kind, form.get("label"):
        case "label", "class":
            _class(value, form.get("classes", ()))
        case "label", "classes":
            if not isinstance(value, (list, tuple)):
                raise UsageError(f"{value!r}: an answer is a list of classes, such as {form.get('classes', [])[:2]}")
            for name in value:
                _class(name, form.get("classes", ()))
            if len(set(value)) != len(value):
                raise UsageError(f"{value!r}: a class may be named once")
        case "label", "number":
            # a whole number beyond the floats makes isfinite raise
            fits = isinstance(value, (int, float)) and -_LARGEST <= value <= _LARGEST
            if isinstance(value, bool) or not fits:
                raise UsageError(f"{value!r}: an answer is a finite number")
        case (("approve" | "pick"), _):
            if value not in ("yes", "no"):
                raise UsageError(f"{value!r}: an answer is 'yes' or 'no'")
        case (("collect" | "edit"), _):
            if not isinstance(value, Mapping):
                raise UsageError(f"{value!r}: an answer holds a record's columns, as {{name: value}}")
        case _:
            pass
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as why:
        raise UsageError(f"{value!r}: an answer is JSON: {why}") from why


def _class(name: Any, classes: Any) -> None:
    if not isinstance(name, str) or name not in classes:
        raise UsageError(f"{name!r} is no class. {did_you_mean(str(name), classes)}")
