"""The exam that every model sits: what a `Model` promises, asked of a small dataset."""

import importlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.errors import TilthError, UsageError
from tilth.protocols import Fitted, FittedCommittee, FittedInEpochs, Model, Task

__all__ = ["check_model", "toy_features"]

_SEVERAL: Mapping[str, Callable[[Any, pa.Table], Any]] = {
    "draws": lambda fitted, features: cast(FittedCommittee, fitted).draws(features),
    "epochs": lambda fitted, features: cast(FittedInEpochs, fitted).epochs(features),
}
"""What a model may say several times of a record, and how it is asked."""

_CLASSES = Task("class", ("ant", "bee", "cow"))


def toy_features(rows: int = 60) -> pa.Table:
    """Return one vector column `x` of 4 numbers in which the records stand in one line of clusters.

    >>> toy_features(2).schema.names
    ['x']
    """
    chance = np.random.default_rng(7)
    x = chance.normal(scale=0.3, size=(rows, 4)).astype(np.float32)
    x[:, 0] += np.linspace(0, 6, rows)
    return pa.table({"x": pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 4)})


def check_model(model: Model, *, features: pa.Table | None = None, task: Task | None = None) -> None:
    """Sit a model down to the exam: AssertionError says which promise of `Model` and `Fitted` it breaks.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from tilth.integrations.sklearn import SklearnModel
    >>> check_model(SklearnModel(LogisticRegression()))

    Asked are: the spec through JSON and back; shape, type, range and sum of predictions; equal predictions for equal
    seeds; that training changes neither its arguments nor the model; that a record is predicted alike alone, among
    others and in another order; that weights count or are refused; the order of the classes; a class without records,
    one class only, one record only; embeddings, draws and epochs, where the model `gives` them; saving and loading,
    without pickle.

    `features`: 40 or more rows that differ, of the columns that the model takes (default: `toy_features()`). Labels are
    made from the order of the first column's values, so it should be one that the model can learn from. `task`: three
    classes by default; "number" and "classes" for models that learn these.
    """
    exam = _Exam(model, toy_features() if features is None else features, _CLASSES if task is None else task)
    exam.description()
    exam.predictions()
    exam.repetition()
    if exam.task.kind != "number":
        exam.classes()
    exam.weights()
    exam.little()
    exam.embeddings()
    for kind in sorted(exam.model.gives & set(_SEVERAL)):
        exam.several(kind)
    exam.disk()


class _Exam:
    def __init__(self, model: Model, features: pa.Table, task: Task) -> None:
        self.model, self.features, self.task = model, features, task
        self.n = features.num_rows
        if self.n < 40 or (task.kind != "number" and len(task.classes) < 2):
            raise UsageError(f"the exam needs 40 rows and 2 classes or more, got {self.n} and {len(task.classes)}")
        self.y = _labels(features, task)
        self.ones = np.ones(self.n)
        self.fitted = self.fit()
        self.told = self.fitted.predict(features)

    def fit(
        self,
        rows: npt.NDArray[np.int64] | None = None,
        *,
        model: Model | None = None,
        y: npt.NDArray[Any] | None = None,
        weight: npt.NDArray[np.float64] | None = None,
        task: Task | None = None,
        seed: int = 1,
    ) -> Fitted:
        rows = np.arange(self.n) if rows is None else rows
        y = self.y[rows] if y is None else y
        return (model or self.model).fit(
            self.features.take(pa.array(rows)),
            y,
            self.ones[rows] if weight is None else weight,
            task=task or self.task,
            seed=seed,
        )

    def description(self) -> None:
        gives, spec = self.model.gives, self.model.spec
        _hold(
            isinstance(gives, frozenset) and gives <= {"embeddings", "frozen", *_SEVERAL},
            f"gives is a frozenset within {sorted({'embeddings', 'frozen', *_SEVERAL})}, got {gives!r}",
        )
        _hold("frozen" not in gives or "embeddings" in gives, 'gives names "frozen" where there are "embeddings"')
        try:
            written = json.dumps(dict(spec), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AssertionError(f"spec is JSON, but {error}") from error
        _hold(json.loads(written) == dict(spec), "spec comes back from JSON as it was (no tuples, keys are texts)")
        rebuilt = self.rebuilt()
        _hold(dict(rebuilt.spec) == dict(spec), "from_spec(spec) gives a model with the same spec")
        again = self.fit(model=rebuilt).predict(self.features)
        _hold(_equal(again, self.told), "a model rebuilt from its spec predicts the same as the model itself")

    def rebuilt(self) -> Model:
        spec = json.loads(json.dumps(dict(self.model.spec)))
        place = spec.get("model", "")
        _hold(isinstance(place, str) and place.count(":") == 1, f"spec['model'] is 'module:Class', got {place!r}")
        module, name = place.split(":")
        try:
            return getattr(importlib.import_module(module), name).from_spec(spec)
        except (ImportError, AttributeError) as error:
            raise AssertionError(f"spec['model'] = {place!r} leads to a class with from_spec, but {error}") from error

    def predictions(self) -> None:
        self.well_formed(self.told, self.n, "predictions")
        shuffled = np.random.default_rng(3).permutation(self.n)
        moved = self.fitted.predict(self.features.take(pa.array(shuffled)))
        _hold(_close(moved, self.told[shuffled]), "each record is predicted alike in whatever order records come")
        alone = self.fitted.predict(self.features.slice(5, 1))
        self.well_formed(alone, 1, "predictions of one record")
        _hold(_close(alone, self.told[5:6]), "a record is predicted alike alone and among others")
        names = self.features.column_names
        if len(names) > 1:
            other = self.fitted.predict(self.features.select(names[::-1]))
            _hold(_equal(other, self.told), "columns are found by name, in whatever order the table has them")

    def well_formed(self, told: Any, rows: int, what: str) -> None:
        k = self.task.outputs
        _hold(isinstance(told, np.ndarray), f"{what} are a numpy array, got {type(told).__name__}")
        _hold(told.shape == (rows, k), f"{what} have shape {(rows, k)}: rows, outputs of the task; got {told.shape}")
        _hold(told.dtype in (np.float32, np.float64), f"{what} are float32 or float64, got {told.dtype}")
        _hold(bool(np.isfinite(told).all()), f"{what} are finite numbers")
        if self.task.kind != "number":
            _hold(bool(((told >= 0) & (told <= 1)).all()), f"{what} are probabilities, between 0 and 1")
        if self.task.kind == "class":
            sums = told.sum(axis=1)
            _hold(
                bool(np.allclose(sums, 1, atol=1e-4)),
                f"{what} of one record sum to 1, got {sums.min():g} to {sums.max():g}",
            )

    def repetition(self) -> None:
        y, weight, spec = self.y.copy(), self.ones.copy(), dict(self.model.spec)
        again = self.fit(y=y, weight=weight).predict(self.features)
        same = np.array_equal(y, self.y) and np.array_equal(weight, self.ones) and spec == dict(self.model.spec)
        _hold(same, "training changes neither its arguments nor the spec")
        _hold(_equal(again, self.told), "equal records and an equal seed give equal predictions, to the last bit")
        self.fit(np.arange(self.n // 2), seed=2)
        _hold(
            _equal(self.fitted.predict(self.features), self.told),
            "training again leaves what was trained before as it is",
        )
        third = self.fit().predict(self.features)
        _hold(_equal(third, self.told), "training starts from scratch: nothing of an earlier training shows")

    def weights(self) -> None:
        # Each record comes twice, with two labels that contradict each other; the weights say which of them counts.
        rows = np.tile(np.arange(self.n), 2)
        other = self.contradicted()
        y = np.concatenate([self.y, other])
        for light, heavy, refusable in ((0.0, 1.0, False), (0.2, 5.0, True)):
            first = np.repeat([heavy, light], self.n)
            try:
                one = self.fit(rows, y=y, weight=first).predict(self.features)
                two = self.fit(rows, y=y, weight=first[::-1].copy()).predict(self.features)
            except TilthError as error:
                _hold(refusable, f"records of weight 0 are left out, but: {error}")
                continue
            toward = self.agreement(one, self.y) + self.agreement(two, other)
            against = self.agreement(one, other) + self.agreement(two, self.y)
            _hold(
                toward > against, f"weights count or are refused: at {light:g} against {heavy:g}, the light label won"
            )

    def contradicted(self) -> npt.NDArray[Any]:
        if self.task.kind == "class":
            return (self.y + 1) % self.task.outputs
        return 1 - self.y if self.task.kind == "classes" else self.y.max() + self.y.min() - self.y

    def agreement(self, told: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
        if self.task.kind == "class":
            return float(told[np.arange(len(y)), y].mean())
        return -float(np.abs(told - y.reshape(told.shape)).mean())

    def classes(self) -> None:
        k = self.task.outputs
        backwards = Task(self.task.kind, self.task.classes[::-1])
        y = k - 1 - self.y if self.task.kind == "class" else self.y[:, ::-1]
        turned = self.fit(y=y, task=backwards).predict(self.features)
        _hold(
            self.agreement(self.told, self.y) > self.agreement(self.told, self.contradicted())
            and self.agreement(turned[:, ::-1], self.y) > self.agreement(turned[:, ::-1], self.contradicted()),
            "columns of predictions stand in the order of the task's classes",
        )
        column = 1  # of three the one in the middle, whose absence moves the last if columns are counted, not named
        rows = np.flatnonzero(self.y != column) if self.task.kind == "class" else np.flatnonzero(self.y[:, column] == 0)
        told = self.fit(rows).predict(self.features)
        self.well_formed(told, self.n, "predictions where a class has no record")
        _hold(
            told[rows, column].mean() < 1 / k,
            f"a class without a record is unlikely, got {told[rows, column].mean():.2f}",
        )
        if self.task.kind == "class":
            _hold(
                self.agreement(told[rows], self.y[rows]) > 1 / k,
                "the other classes keep their columns where a class has no record",
            )

    def little(self) -> None:
        what = "one number" if self.task.kind == "number" else "one class"
        row = int(np.flatnonzero(self.y == self.task.outputs - 1)[0]) if self.task.kind == "class" else 0
        same = self.y[np.full(self.n, row)]
        for rows in (np.arange(self.n), np.arange(1)):
            told = self.fit(rows, y=same[rows]).predict(self.features)
            self.well_formed(told, self.n, f"predictions after {len(rows)} records of {what} only")
            wanted = same if self.task.kind != "class" else np.eye(self.task.outputs)[same]
            _hold(
                bool((np.abs(told - wanted.reshape(told.shape)) < 0.5).all()),
                f"where {len(rows)} records have {what} only, that is the prediction",
            )

    def embeddings(self) -> None:
        if "embeddings" not in self.model.gives:
            return
        found = self.fitted.embed(self.features)
        told = f"{getattr(found, 'dtype', type(found).__name__)}{list(np.shape(found))}"
        good = told.startswith("float32") and found.ndim == 2 and len(found) == self.n
        _hold(good, f"embeddings are float32[{self.n}, d], got {told}")
        _hold(bool(np.isfinite(found).all()), "embeddings are finite numbers")
        _hold(_equal(self.fit().embed(self.features), found), "equal records and an equal seed give equal embeddings")

    def several(self, kind: str) -> None:
        found = _SEVERAL[kind](self.fitted, self.features)
        shape = np.shape(found)
        _hold(len(shape) == 3 and shape[0] > 0, f"{kind} have shape [1 or more, rows, outputs], got {list(shape)}")
        for said in found:
            self.well_formed(said, self.n, f"each of the {kind}")
        if kind == "epochs":
            _hold(_close(found[-1], self.told), "what was said after the last of the epochs is the prediction")
        again = _SEVERAL[kind](self.fit(), self.features)
        _hold(_equal(again, found), f"equal records and an equal seed give equal {kind}, to the last bit")
        _hold(_equal(_SEVERAL[kind](self.fitted, self.features), found), f"the {kind} are the same when asked again")
        alone = _SEVERAL[kind](self.fitted, self.features.slice(5, 1))
        _hold(_close(alone, found[:, 5:6]), f"a record has the same {kind} alone and among others")
        single = _SEVERAL[kind](self.fit(np.arange(1)), self.features)
        for said in single:
            self.well_formed(said, self.n, f"each of the {kind} after one record only")

    def disk(self) -> None:
        with TemporaryDirectory() as place:
            self.stored(Path(place), "trained", self.fitted, lambda: self.told)
        with TemporaryDirectory() as place:
            row = int(np.flatnonzero(self.y == self.task.outputs - 1)[0]) if self.task.kind == "class" else 0
            single = self.fit(np.array([row]))
            self.stored(Path(place), "single", single, lambda: single.predict(self.features))

    def stored(self, place: Path, name: str, fitted: Fitted, told: Callable[[], npt.NDArray[Any]]) -> None:
        folder = place / name
        folder.mkdir()
        fitted.save(folder)
        files = [path for path in folder.rglob("*") if path.is_file()]
        _hold(bool(files), "save writes into the folder that it is given")
        for path in files:
            found = _pickle_in(path.name, path.read_bytes())
            _hold(found is None, f"nothing is saved as pickle, but {found} is")
        loaded = self.rebuilt().load(folder, task=self.task)
        _hold(_equal(loaded.predict(self.features), told()), "a model that was saved and loaded predicts the same")
        if "embeddings" in self.model.gives and name == "trained":
            same = _equal(loaded.embed(self.features), fitted.embed(self.features))
            _hold(same, "a model that was saved and loaded embeds the same")
        for kind in sorted(self.model.gives & set(_SEVERAL)):
            same = _equal(_SEVERAL[kind](loaded, self.features), _SEVERAL[kind](fitted, self.features))
            _hold(same, f"a model that was saved and loaded gives the same {kind}")


def _hold(kept: bool, promise: str) -> None:
    if not kept:
        raise AssertionError(f"broken promise of a Model: {promise}")


def _labels(features: pa.Table, task: Task) -> npt.NDArray[Any]:
    """Return labels that can be learned: by the rank of the first column's value among its values."""
    column = features.column(0).combine_chunks()
    if pa.types.is_fixed_size_list(column.type):
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)[:, 0]
    else:
        values = np.array([str(cell) if isinstance(cell, str | bytes) else cell for cell in column.to_pylist()])
    kinds, rank = np.unique(values, return_inverse=True)
    place = rank / max(1, len(kinds) - 1)
    if task.kind == "number":
        return np.asarray(10 + 5 * place, np.float64)
    k = task.outputs
    if len(kinds) < k:
        raise UsageError(f"the exam needs a first column with {k} different values or more, got {len(kinds)}")
    code = np.minimum((place * k).astype(np.int64), k - 1)
    if task.kind == "class":
        return code
    # Several classes: the record's own, and half of the time the next one too.
    table = np.eye(k, dtype=np.float32)[code]
    table[np.arange(0, len(code), 2), (code[::2] + 1) % k] = 1
    return table


def _equal(one: Any, two: Any) -> bool:
    return bool(np.array_equal(one, two))


def _close(one: Any, two: Any) -> bool:
    # Sums over batches of another size are rounded otherwise.
    return np.shape(one) == np.shape(two) and bool(np.allclose(one, two, rtol=1e-3, atol=1e-3))


def _pickle_in(name: str, data: bytes) -> str | None:
    """Return the name of what is a pickle, in a file or an archive: by its ending, first bytes, or dtype of objects."""
    starts = any(data.startswith(bytes([0x80, version])) for version in range(2, 6))
    if starts or Path(name).suffix in (".pkl", ".pickle", ".joblib"):
        return name
    if data.startswith(b"\x93NUMPY") and b"'|O'" in data[:256]:
        return f"{name} (an array of objects)"
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside = (_pickle_in(f"{name}/{part}", archive.read(part)) for part in archive.namelist())
            return next((found for found in inside if found is not None), None)
    return None
