"""All that a user may bring: models, annotators, generators, sources, tuners. Functions and values, never a subclass.

The exams in `tilth.testing` (`check_model`, `check_annotator`, `check_generator`, `check_source`) tell whether what you
brought keeps the promises below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = [
    "Annotator",
    "Answers",
    "Fitted",
    "FittedCommittee",
    "FittedInEpochs",
    "Generator",
    "Model",
    "Source",
    "Task",
    "Trial",
    "Tuner",
    "Want",
]

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What the labels of a dataset mean to a model.

    >>> Task("class", ("cat", "dog")).outputs
    2

    `kind`: `"class"` (one of `classes`; y is `int64[n]`, codes into `classes`), `"classes"` (any of `classes`; y is
    `float32[n, k]` of 0 and 1) or `"number"` (y is `float64[n]`).
    """

    kind: str
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """How many columns a prediction has: one a class, or 1 for a number."""
        return len(self.classes) if self.kind != "number" else 1


class Fitted(Protocol):
    """A trained model: what `Model.fit` returns."""

    def predict(self, features: pa.Table) -> Floats:
        """Return `float[n, k]`, a probability a class (of one class: rows sum to 1), or numbers `float[n, 1]`."""
        ...

    def embed(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """Return `float32[n, d]`; called only where the model's `gives` names "embeddings"."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted model into an existing empty folder, without pickle."""
        ...


class FittedCommittee(Fitted, Protocol):
    """What `Model.fit` returns where the model's `gives` names "draws": a committee, or one that has random passes."""

    def draws(self, features: pa.Table) -> Floats:
        """Return `float[d, n, k]`: what each of d members or passes says, each as `predict` would; always the same."""
        ...


class FittedInEpochs(Fitted, Protocol):
    """What `Model.fit` returns where the model's `gives` names "epochs": it knows what it said after each of them."""

    def epochs(self, features: pa.Table) -> Floats:
        """Return `float[e, n, k]`: what it predicted after each of e epochs, first to last; the last is `predict`."""
        ...


@runtime_checkable
class Model(Protocol):
    """How to train: a value that is described by `spec` and turns records into a `Fitted`.

    Equal `spec`, equal records (in the given order) and equal `seed` must give equal predictions: results are cached by
    it.
    """

    @property
    def gives(self) -> frozenset[str]:
        """What it can tell beside predictions: a subset of {"embeddings", "draws", "epochs", "frozen"}.

        "frozen": its embeddings hold nothing that was learned from labels (an encoder that stays as it is, PCA), so
        that who reads them reads the data and not the state of the model.
        """
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it completely; `{"model": "module:Class", ...}`, `Class.from_spec` rebuilds it."""
        ...

    def fit(self, features: pa.Table, y: npt.NDArray[Any], weight: Floats, *, task: Task, seed: int) -> Fitted:
        """Train from scratch on n >= 1 records (user columns in `features`, row for row with `y` and `weight`)."""
        ...

    def load(self, folder: Path, *, task: Task) -> Fitted:
        """Read back what `Fitted.save` wrote; must refuse whatever it would have to unpickle."""
        ...


@dataclass(frozen=True)
class Answers:
    """What an annotator said: parallel columns, one row an answer; several rows may answer one record.

    `records`: `int64[n]` record ids. `labels`: n labels in the dataset's own terms (class name, list of names, number);
    None = could not tell. `annotators`: n names. `costs`: `float64[n]`, in whatever unit the annotator is paid. Where
    they are told: `verdicts`, each "answer", "cannot_tell" or "bad" (the record is unusable); `seconds` that each took;
    `gold`: bool[n], answers to questions whose truth was known, which measure the annotator and set no label.
    """

    records: npt.NDArray[np.int64]
    labels: Sequence[Any]
    annotators: Sequence[str]
    costs: npt.NDArray[np.float64]
    verdicts: Sequence[str] | None = None
    seconds: npt.NDArray[np.float64] | None = None
    gold: npt.NDArray[np.bool_] | None = None


@runtime_checkable
class Annotator(Protocol):
    """Who answers questions: at once (an `Oracle`) or later (people, by way of the inbox)."""

    @property
    def name(self) -> str:
        """How it is called in the history of a record."""
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it; `{"annotator": "module:Class", ...}`, and `Class.from_spec(spec)` rebuilds it."""
        ...

    @property
    def at_once(self) -> bool:
        """Whether `answer` answers: True for a program, False for people, whose answers come through the inbox."""
        ...

    def answer(
        self, dataset: Any, records: npt.NDArray[np.int64], *, question: str, votes: int, earlier: int = 0
    ) -> Answers | None:
        """Return `votes` answers a record (ids in a read-only `Dataset`); None where it does not answer `at_once`.

        Must be a pure function of (record keys, question, votes, earlier): a question that is asked again after a crash
        gets the same answers. `question` is the key of the question, unique within a run; `earlier`: how many votes
        each record had before, so that these come from others.
        """
        ...


@dataclass(frozen=True)
class Want:
    """Records that do not exist yet, as they are wanted: so many, of a class, in a part of the data, and why.

    >>> Want(20, label="cat", within="age < 1", reason="the model is wrong in 40.0% of it").text
    '20 records of class cat where age < 1'

    `count`: how many. `label`: a class name, None = as the examples have it. `within`: a slice as `in_slice` reads it,
    "" = anywhere. `reason`: why so many are wanted.
    """

    count: int
    label: str | None = None
    within: str = ""
    reason: str = ""

    @property
    def kind(self) -> str:
        """Which records are wanted, in words; "" = any."""
        where = f"where {self.within}" if self.within else ""
        return " ".join(part for part in (f"of class {self.label}" if self.label is not None else "", where) if part)

    @property
    def text(self) -> str:
        """How many of which are wanted, in words."""
        return f"{self.count:,} record{'s' * (self.count != 1)} {self.kind}".rstrip()


@runtime_checkable
class Generator(Protocol):
    """How to make records that do not exist yet, from examples: a value that is described by `spec`."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it; `{"generator": "module:Class", ...}`, and `Class.from_spec(spec)` rebuilds it."""
        ...

    def generate(self, want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
        """Return up to n new rows with the columns of `exemplars`, and `parent`: the row there that each is made from.

        `exemplars` has the columns that models see, one row a real record that is as wanted, the best example first,
        m >= 1 in all. A new record gets the label of its parent and stays with it. Must be pure: equal arguments give
        equal rows; fewer than n, where there is no way to make as many.
        """
        ...


@dataclass(frozen=True)
class Trial:
    """A model that was tried: how it did on valid (NaN = not defined), and what its tuner noted when it suggested it.

    `note` is JSON, empty for the model that a workflow began with; its "said" tells people what was chosen.
    """

    model: Model
    value: float
    note: Mapping[str, Any]


@runtime_checkable
class Tuner(Protocol):
    """Who chooses the next model to try: a value that is described by `spec`."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it; `{"tuner": "module:Class", ...}`, and `Class.from_spec(spec)` rebuilds it."""
        ...

    def suggest(self, tried: Sequence[Trial], *, seed: int) -> tuple[Model, Mapping[str, Any]] | None:
        """Return the next model and a note (JSON, see `Trial`) about it; None where nothing is left to try.

        Must be a pure function of what was tried, in order, and the seed: a run that is killed goes on by it.
        """
        ...


@runtime_checkable
class Source(Protocol):
    """Where new records come from: a log that grows at its end, read on from a cursor.

    It keeps nothing: the cursor is stored with the batch that was read, in the commit that brought it, so that each
    record enters once whoever is killed in between, and a branch reads on from where it parted. What has been read once
    stays as it was: where the source can tell that it does not (a file is shorter, its header another), `read` raises
    `DataError` and says so.
    """

    @property
    def name(self) -> str:
        """How it is called in the history; the cursor is kept under it, so two sources have different names."""
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it; `{"source": "module:Class", ...}`, and `Class.from_spec(spec)` rebuilds it."""
        ...

    def read(self, cursor: Any, limit: int) -> tuple[pa.Table, Any]:
        """Return the next rows, 1 to `limit` of them, and the cursor after them; no row: there is nothing new now.

        `cursor`: JSON, as `read` returned it; None = from the beginning. Pure in it: the same cursor gives the same
        rows, whatever has come since, and reading in other portions gives the same rows in the same order. Columns are
        the user's own, texts where numbers are meant if need be; a row that could not be read has the reason in the
        column `unreadable` (text, null for the others).
        """
        ...
