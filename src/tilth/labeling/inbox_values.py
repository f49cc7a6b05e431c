"""What goes into an inbox and what comes out: questions, tasks, answers, and how far they are."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from tilth.errors import UsageError, did_you_mean

__all__ = ["KINDS", "VERDICTS", "Drained", "Given", "Posted", "Progress", "Receipt", "Standing", "Task", "Tasks"]

Kind = Literal["label", "approve", "collect", "edit"]
KINDS: tuple[str, ...] = get_args(Kind)

Verdict = Literal["answer", "skip", "cannot_tell", "bad"]
VERDICTS: tuple[str, ...] = get_args(Verdict)

_LABELS = ("class", "classes", "number")


@dataclass(frozen=True)
class Posted:
    """A question as it is published: what is asked about which records, of whom, and how to answer.

    >>> Posted("run-1/r0/ask", "label", form={"kind": "class", "classes": ["cat", "dog"]}).votes
    1

    `id`: unique within the inbox. `kind`: "label", "approve", "collect" or "edit". `team`: who answers; "" = whoever
    asks for tasks without naming a team. `dataset`, `branch`, `version`: where the records are read from. `panel`: the
    name of the validation panel that the question belongs to. `guide`: text for annotators. `votes`: answers wanted a
    record. `form`: JSON; of kind "label" it is {"kind": "class" | "classes" | "number", "classes": [names]}.
    """

    id: str
    kind: Kind
    team: str = ""
    dataset: str = ""
    branch: str = "main"
    version: int = 0
    run: str = ""
    rule: str = ""
    panel: str = ""
    guide: str = ""
    reason: str = ""
    signal: str | None = None
    votes: int = 1
    form: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if not self.id:
            raise UsageError("a question needs an id, unique within the inbox; got ''")
        if self.kind not in KINDS:
            raise UsageError(f"question {self.id!r}: no kind {self.kind!r}. {did_you_mean(self.kind, KINDS)}")
        if not 1 <= self.votes <= 1000:
            raise UsageError(f"question {self.id!r}: votes={self.votes}; answers wanted a record, 1 to 1000")
        if self.kind == "label":
            self._check_labels()

    def _check_labels(self) -> None:
        kind, classes = self.form.get("kind"), self.form.get("classes", ())
        if kind not in _LABELS:
            raise UsageError(
                f"question {self.id!r}: form['kind'] is {kind!r}, no kind of label. {did_you_mean(str(kind), _LABELS)}"
            )
        if kind != "number" and not classes:
            raise UsageError(f"question {self.id!r}: form['classes'] must name the classes to choose from; got none")

    def to_json(self) -> str:
        """Return it as JSON text."""
        try:
            return json.dumps(
                {f.name: getattr(self, f.name) for f in fields(self)} | {"form": dict(self.form)}, allow_nan=False
            )
        except (TypeError, ValueError) as why:
            raise UsageError(f"question {self.id!r}: form must be JSON ({why})") from why

    @staticmethod
    @lru_cache(maxsize=256)
    def from_json(text: str) -> "Posted":
        """Read back what `to_json` wrote."""
        return Posted(**json.loads(text))

    def checked(self, value: Any) -> Any:
        """Return an answer's value as it is stored; UsageError says what came and what is allowed.

        >>> question = Posted("run-1/r0/ask", "label", form={"kind": "class", "classes": ["cat", "dog"]})
        >>> question.checked("cat")
        'cat'
        >>> question.checked("cta")
        Traceback (most recent call last):
            ...
        tilth.errors.UsageError: question 'run-1/r0/ask': no class 'cta'. There is: cat, dog. Did you mean 'cat'?
        """
        if value is None:
            raise UsageError(
                f"question {self.id!r}: an answer without a value; give one, or the verdict "
                f"{', '.join(VERDICTS[1:-1])} or {VERDICTS[-1]}"
            )
        if self.kind != "label":
            _json(value, self.id)
            return value
        if self.form["kind"] == "number":
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise UsageError(f"question {self.id!r}: {value!r} came where labels are finite numbers")
            return value
        classes: list[str] = list(self.form["classes"])
        if self.form["kind"] == "class":
            return self._one_of(classes, value)
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise UsageError(
                f"question {self.id!r}: {value!r} came where an answer is a list of classes: [{', '.join(classes)}]"
            )
        names = {self._one_of(classes, name) for name in value}
        return [name for name in classes if name in names]

    def _one_of(self, classes: list[str], name: Any) -> str:
        if not isinstance(name, str) or name not in classes:
            raise UsageError(f"question {self.id!r}: no class {name!r}. {did_you_mean(str(name), classes)}")
        return name


@dataclass
class Tasks:
    """The records of a question, most wanted first, as columns of one length n.

    >>> len(Tasks(np.array([7, 3]), ["cat/7.png", "cat/3.png"]))
    2

    `records`: int64[n], ids. `keys`: their keys. `scores`: float64[n], why they were chosen, or None. `suggestions`
    (what is proposed), `details` (what else to show) and `gold` (the known truth; annotators never see it): JSON texts
    or None, a column or an entry.
    """

    records: npt.NDArray[np.int64]
    keys: Sequence[str]
    scores: npt.NDArray[np.float64] | None = None
    suggestions: Sequence[str | None] | None = None
    details: Sequence[str | None] | None = None
    gold: Sequence[str | None] | None = None

    def __post_init__(self) -> None:
        for name in ("keys", "scores", "suggestions", "details", "gold"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.records):
                raise UsageError(f"tasks: {len(column)} {name} for {len(self.records)} records; one is needed for each")

    def __len__(self) -> int:
        return len(self.records)


@dataclass(frozen=True)
class Task:
    """One record that an annotator is asked about: `suggestion` and `detail` are JSON values, None where there is none.

    `rank` 0 was most wanted. `expires`: until when nobody else gets it, in seconds since 1970 (0 = it is not leased).
    """

    id: int
    posted: Posted
    rank: int
    record: int
    key: str
    score: float | None
    suggestion: Any
    detail: Any
    expires: float


@dataclass(frozen=True)
class Given:
    """What an annotator says of a task.

    >>> Given(67108864, "answer", "cat", seconds=2.5).verdict
    'answer'

    `verdict`: "answer" (with a `value`), "cannot_tell" and "bad" (the record is unusable; both are votes), or "skip"
    (no vote: others get the task, this annotator never again). `seconds`: time taken. `key`: makes it count once
    however often it is sent, among the annotator's own; the default is made of question, task and annotator.
    """

    task: int
    verdict: Verdict
    value: Any = None
    seconds: float | None = None
    key: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise UsageError(f"task {self.task}: no verdict {self.verdict!r}. {did_you_mean(self.verdict, VERDICTS)}")
        if self.verdict != "answer" and self.value is not None:
            raise UsageError(
                f"task {self.task}: {self.value!r} came with the verdict {self.verdict!r}, which has no value"
            )
        if self.seconds is not None and not 0 <= self.seconds < math.inf:
            raise UsageError(f"task {self.task}: seconds={self.seconds!r}; time taken is 0 or more seconds")
        if self.key == "":
            raise UsageError(f"task {self.task}: key=''; leave it out, or give a text of its own to each answer")


@dataclass(frozen=True)
class Receipt:
    """What became of an answer: "kept", "duplicate" (kept before; nothing changed) or "refused" (`why`: what to do).

    `surplus`: the record had all its votes already. `late`: the question was closed. Both kinds are kept.
    """

    task: int
    state: Literal["kept", "duplicate", "refused"]
    why: str = ""
    surplus: bool = False
    late: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a question is.

    `state`: "open", "closed" (`why`) or "paused" (its panel is). `opened`: seconds since 1970. `tasks`; `wanted`: votes
    (tasks times votes a task); `answers`: votes there are, those that could not tell, call the record bad or are beyond
    what was wanted included; `complete`: tasks with all votes; `leased`: tasks that are with annotators now.
    """

    posted: Posted
    state: Literal["open", "closed", "paused"]
    why: str
    opened: float
    tasks: int
    wanted: int
    answers: int
    complete: int
    leased: int
    bad: int
    cannot_tell: int
    skipped: int


@dataclass(frozen=True)
class Standing:
    """How an annotator does: answers of each kind, median `seconds` an answer, `gold_right` of `gold` answers right.

    `answers` counts votes of all kinds; `suspended` is the reason, None where the annotator is not suspended.
    """

    annotator: str
    answers: int
    cannot_tell: int
    bad: int
    skipped: int
    seconds: float | None
    gold: int
    gold_right: int
    suspended: str | None


@dataclass(frozen=True)
class Drained:
    """The answers of one part, row by row: ordered by question (older first), rank, annotator.

    `record` int64[n]; `value`: labels as Python values, None where the verdict is not "answer"; `seconds` float64[n],
    NaN = not told; `time` float64[n], seconds since 1970; `gold`: the known truth, None where there is none; `surplus`
    bool[n]: the record had all its votes already. Skipped tasks are not in it.
    """

    part: str
    question: list[str]
    task: npt.NDArray[np.int64]
    record: npt.NDArray[np.int64]
    key: list[str]
    value: list[Any]
    verdict: list[str]
    annotator: list[str]
    seconds: npt.NDArray[np.float64]
    time: npt.NDArray[np.float64]
    note: list[str]
    gold: list[Any]
    surplus: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.record)


def _json(value: Any, question: str) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as why:
        raise UsageError(f"question {question!r}: {value!r} came, which is not JSON ({why})") from why
