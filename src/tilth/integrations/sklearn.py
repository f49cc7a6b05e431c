"""Any scikit-learn classifier, regressor or pipeline as a model of Tilth."""

import hashlib
import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from tilth.errors import Damaged, DataError, TilthError, UsageError
from tilth.integrations.ensembles import checked_epochs, has_members, has_stages, in_epochs, member_scores, stage_scores
from tilth.integrations.estimator_file import load_parts, save_parts
from tilth.integrations.estimator_spec import (
    estimator_from_spec,
    estimator_spec,
    package_versions,
)
from tilth.integrations.inputs import inputs, taught
from tilth.integrations.scores import name_of, scores
from tilth.integrations.steps import blind, is_mlp, last_hidden, upto
from tilth.protocols import Floats, Task

__all__ = ["SklearnFitted", "SklearnModel", "seeded"]

_Tell = Callable[[Any, Any, Task], Iterator[npt.NDArray[np.float64]]]


@dataclass(frozen=True, eq=False, repr=False, init=False)
class SklearnModel:
    """A scikit-learn estimator as a model: a classifier, a regressor, or a pipeline that ends in one.

    >>> from sklearn.linear_model import LogisticRegression
    >>> model = SklearnModel(LogisticRegression(C=100), features="pixels")
    >>> model
    SklearnModel(LogisticRegression(C=100), features='pixels')
    >>> table = pa.table({"pixels": pa.array([[0.0], [0.1], [0.9], [1.0]], pa.list_(pa.float32(), 1))})
    >>> task = Task("class", ("dark", "light", "grey"))
    >>> fitted = model.fit(table, np.array([0, 0, 1, 1]), np.ones(4), task=task, seed=0)
    >>> fitted.predict(table).argmax(1).tolist()
    [0, 0, 1, 1]

    What the estimator gets for X: one vector column is `float32[n, d]`; one text column n texts; one image or audio
    column n bytes (put `ImageFeatures()` or `AudioFeatures()` first); anything else a pandas DataFrame with the names
    of the columns. `features` names them, all by default. A `class_weight` goes by position in the dataset's classes.

    `embed` is the name of the pipeline step whose output is the record's embedding; of a scikit-learn MLP it is the
    last hidden layer. An estimator without pipeline is called as `make_pipeline` would call it ("mlpclassifier").

    Every `random_state` that is None is set from the seed. Weights reach estimators that take `sample_weight`; with
    others, weights besides 0 and 1 are a UsageError, and 0 leaves the record out. Estimators without `predict_proba`
    get the softmax (for two classes the logistic function) of their decision values: good for order, not calibrated.
    What scikit-learn warns of (a solver that did not converge) stays a warning.

    Forests, bagging and voting estimators give "draws": what each member says. `epochs`: train a classifier by so many
    calls of its `partial_fit` (SGDClassifier, MLPClassifier), each with all records in another order drawn from the
    seed, and keep a copy an epoch; such a model, and boosting by its stages, gives "epochs".
    """

    estimator: Any
    features: tuple[str, ...] | None
    embed: str | None
    epochs: int | None

    def __init__(
        self,
        estimator: Any,
        *,
        features: str | Sequence[str] | None = None,
        embed: str | None = None,
        epochs: int | None = None,
    ) -> None:
        if isinstance(estimator, type) or not (hasattr(estimator, "fit") and hasattr(estimator, "get_params")):
            raise UsageError(f"SklearnModel takes an estimator such as LogisticRegression(), got {estimator!r}")
        names = (features,) if isinstance(features, str) else None if features is None else tuple(features)
        if names is not None and (not names or len(set(names)) < len(names)):
            raise UsageError(f"features={features!r}: name one or several different columns, or leave it out for all")
        estimator_spec(estimator)  # what cannot be described is refused here, not after hours of labelling
        own = clone(estimator)  # whatever the caller does to the estimator later, this stays a value
        if not (is_classifier(own) or is_regressor(own)):
            raise UsageError(f"{name_of(own)} is no classifier and no regressor; a pipeline must end in one")
        object.__setattr__(self, "estimator", own)
        object.__setattr__(self, "features", names)
        object.__setattr__(self, "embed", embed)
        object.__setattr__(self, "epochs", None if epochs is None else checked_epochs(own, epochs))
        if embed is not None:
            step = upto(own, embed)[-1]
            if not (is_mlp(step) or step in (None, "passthrough") or hasattr(step, "transform")):
                raise UsageError(f"embed={embed!r}: {type(step).__name__} transforms nothing; name the step before it")

    def __repr__(self) -> str:
        shown = re.sub(r"\n\s*", " ", self.estimator.__repr__(N_CHAR_MAX=10_000))
        if self.features is not None:
            shown += f", features={self.features[0] if len(self.features) == 1 else list(self.features)!r}"
        for name in ("embed", "epochs"):
            shown += f", {name}={getattr(self, name)!r}" if getattr(self, name) is not None else ""
        return f"SklearnModel({shown})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SklearnModel) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def gives(self) -> frozenset[str]:
        """Of "embeddings", "draws" and "epochs" those that it has: `embed` is set, it has members, learns in epochs.

        "frozen" where no step up to `embed` learns from labels: wrap an encoder of your own in scikit-learn's
        `FrozenEstimator`, or let its tags say that it requires no fit.
        """
        told = {
            "embeddings": self.embed is not None,
            "frozen": self.embed is not None and blind(upto(self.estimator, self.embed)),
            "draws": has_members(self.estimator),
            "epochs": self.epochs is not None or has_stages(self.estimator),
        }
        return frozenset(name for name, there in told.items() if there)

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it: the estimator with all its parameters, the columns, the versions of packages."""
        return self._spec

    @cached_property
    def _spec(self) -> Mapping[str, Any]:
        told = estimator_spec(self.estimator)
        return {
            "model": "tilth.integrations.sklearn:SklearnModel",
            "estimator": told,
            "features": None if self.features is None else list(self.features),
            "embed": self.embed,
            "versions": package_versions(told),
            # left out where it is not set, so that models trained before there was such a thing are found again
            **({"epochs": self.epochs} if self.epochs is not None else {}),
        }

    @cached_property
    def digest(self) -> str:
        """A SHA-256 of the spec without the versions: models that compare equal have the same."""
        told = {key: value for key, value in self.spec.items() if key != "versions"}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "SklearnModel":
        """Build the model that a spec describes, with the packages that are installed now."""
        told = {name: spec.get(name) for name in ("features", "embed", "epochs")}
        return cls(estimator_from_spec(spec["estimator"]), **told)

    def fit(self, features: pa.Table, y: npt.NDArray[Any], weight: Floats, *, task: Task, seed: int) -> "SklearnFitted":
        """Train a clone of the estimator on n records.

        A class without a record gets probability 0. Where all records have the same label, that is the prediction and
        the estimator is not asked. An error of the estimator is a DataError with its name and text.
        """
        self._check(task)
        features, y, weight = taught(features, y, weight, task)
        columns = self.features or tuple(features.column_names)
        x = inputs(features, columns)
        estimator = seeded(self.estimator, seed)
        base, live = _constant_part(y, task)
        stages: tuple[Any, ...] = ()
        if task.kind == "classes":
            # One column would be taken for two classes instead of one label, so a single one is learned twice.
            y = np.repeat(y[:, live], 2 if len(live) == 1 else 1, axis=1).astype(np.int64) if live else y[:, 0]
        if live:
            several = " on records of several classes (if it learns one only, wrap it in OneVsRestClassifier)"
            with _told_by(estimator, f"cannot be trained{several if task.kind == 'classes' else ''}"):
                if self.epochs is not None:
                    estimator, stages = in_epochs(estimator, x, y, weight, epochs=self.epochs, seed=seed)
                else:
                    estimator.fit(x, y, **_weight_argument(estimator, weight))
        elif self.embed is not None:
            estimator = upto(estimator, self.embed)
            try:
                with _told_by(estimator, "cannot be trained"):
                    estimator.fit(x, y)
            except DataError:  # one record is enough for a prediction, but not for PCA; who asks to embed is told
                estimator = None
        else:
            estimator = None
        return SklearnFitted(self, task, columns, estimator, base, live, stages)

    def load(self, folder: Path, *, task: Task) -> "SklearnFitted":
        """Read back what `save` wrote; what would have to be unpickled, or is foreign to this estimator, is refused."""
        try:
            told = json.loads((folder / "task.json").read_text(encoding="utf-8"))
            written = Task(told["kind"], tuple(told["classes"]))
            base, live, columns = np.array(told["base"], np.float64), tuple(told["live"]), tuple(told["columns"])
            digest, trained = told["model"], bool(told["trained"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Damaged(
                f"{folder}: no trained model can be read ({error}); delete the folder and train again"
            ) from error
        if written != task:
            raise UsageError(f"{folder}: trained to tell {_told_task(written)}, not {_told_task(task)}; train again")
        if digest != self.digest:
            raise UsageError(f"{folder}: trained by another model than {self!r}; load it by that one, or train again")
        estimator = load_parts(folder / "model.skops", like=self.estimator) if trained else None
        staged = trained and bool(live) and self.epochs is not None
        stages = load_parts(folder / "epochs.skops", like=self.estimator) if staged else ()
        return SklearnFitted(self, task, columns, estimator, base, live, tuple(stages))

    def _check(self, task: Task) -> None:
        name, number = name_of(self.estimator), is_regressor(self.estimator)
        if number != (task.kind == "number"):
            needed, is_one = ("classifier", "regressor") if number else ("regressor", "classifier")
            raise UsageError(f"the labels are {_told_task(task)}, which takes a {needed}; {name} is a {is_one}")
        if self.epochs is not None and task.kind != "class":
            raise UsageError(f"epochs={self.epochs}: labels of one class are learned in epochs, not {_told_task(task)}")


@dataclass(frozen=True, eq=False)
class SklearnFitted:
    """A trained `SklearnModel`.

    `base`: `float64[k]`, the outputs where all records said the same; `live`: the outputs that the estimator tells;
    `stages`: the last step of the estimator as it was after each epoch.
    """

    model: SklearnModel
    task: Task
    columns: tuple[str, ...]
    estimator: Any
    base: npt.NDArray[np.float64]
    live: tuple[int, ...]
    stages: tuple[Any, ...] = ()

    def predict(self, features: pa.Table) -> Floats:
        """Return `float32[n, k]` probabilities in the order of the task's classes, or `float64[n, 1]` numbers."""
        x = inputs(features, self.columns)
        if not (self.live and len(x)):
            return self._whole(None, len(x))
        with _told_by(self.estimator, "cannot predict"):
            return self._whole(scores(self.estimator, x, self.task), len(x))

    def draws(self, features: pa.Table) -> Floats:
        """Return `[d, n, k]`: what each member of the ensemble says, as `predict` would; one where nothing varied."""
        if not has_members(self.model.estimator):
            raise UsageError(f"{self.model!r} is no ensemble, so it has no draws; forests, bagging and voting have")
        return self._each(member_scores, features)

    def epochs(self, features: pa.Table) -> Floats:
        """Return `[e, n, k]`: what was predicted after each epoch, or stage; one where nothing had to be learned."""
        if "epochs" not in self.model.gives:
            raise UsageError(f"{self.model!r} keeps no epochs; give SklearnModel(..., epochs=20), or use boosting")
        return self._each(lambda estimator, x, task: stage_scores(estimator, self.stages, x, task), features)

    def _each(self, tell: _Tell, features: pa.Table) -> Floats:
        x = inputs(features, self.columns)
        if not (self.live and len(x)):
            return self._whole(None, len(x))[None]
        with _told_by(self.estimator, "cannot predict"):
            each: Any = [self._whole(said, len(x)) for said in tell(self.estimator, x, self.task)]
        return np.array(each)

    def _whole(self, said: npt.NDArray[np.float64] | None, n: int) -> Floats:
        """Return what the estimator said of its live outputs among all outputs of the task."""
        out = np.tile(self.base, (n, 1))
        if said is not None:
            said = said[:, : len(self.live)]
            _refuse_not_finite(said, self.estimator, "predictions")
            out[:, list(self.live)] = said
        if self.task.kind == "number":
            return out
        out = out.clip(0, 1)
        if self.task.kind == "class":
            total = out.sum(axis=1, keepdims=True)
            # Neighbours within a radius may be none at all: then every class that was seen is as likely as the others.
            out = np.where(total > 0, out / np.where(total > 0, total, 1), 0)
            out[np.ix_(total[:, 0] == 0, list(self.live))] = 1 / max(1, len(self.live))
        return out.astype(np.float32)

    def embed(self, features: pa.Table) -> npt.NDArray[np.float32]:
        """Return `float32[n, d]`: the output of the step that the model's `embed` names."""
        name = self.model.embed
        if name is None:
            raise UsageError(f"{self.model!r} gives no embeddings; name a pipeline step: SklearnModel(..., embed=STEP)")
        if self.estimator is None:
            raise DataError(f"{self.model!r} could not learn to embed from so few records; label more")
        x: Any = inputs(features, self.columns)
        part = upto(self.estimator, name)
        with _told_by(self.estimator, "cannot embed"):
            if is_mlp(part[-1]):
                out: Any = last_hidden(part[-1], part[:-1].transform(x) if len(part) > 1 else x)
            else:
                out = part.transform(x)
        if scipy.sparse.issparse(out):
            raise UsageError(
                f"embed={name!r}: the output of that step is sparse and {out.shape[1]} columns wide, too wide for an "
                "embedding; put TruncatedSVD(100) after it and name that step"
            )
        dense = np.ascontiguousarray(out, dtype=np.float32).reshape(len(x), -1)
        _refuse_not_finite(dense, self.estimator, "embeddings")
        return dense

    def save(self, folder: Path) -> None:
        """Write `task.json`, `model.skops` where the estimator was trained, and `epochs.skops` where it kept epochs."""
        if self.estimator is not None:
            save_parts(self.estimator, folder / "model.skops", like=self.model.estimator)
        if self.stages:
            save_parts(list(self.stages), folder / "epochs.skops", like=self.model.estimator)
        told = {
            "model": self.model.digest,
            "kind": self.task.kind,
            "classes": self.task.classes,
            "columns": self.columns,
            "base": self.base.tolist(),
            "live": self.live,
            "trained": self.estimator is not None,
        }
        (folder / "task.json").write_text(json.dumps(told, sort_keys=True), encoding="utf-8")


def seeded(estimator: Any, seed: int) -> Any:
    """Return a clone in which every `random_state` that was None, at any depth, is an integer drawn from the seed.

    >>> from sklearn.linear_model import LogisticRegression
    >>> seeded(LogisticRegression(), 1)
    LogisticRegression(random_state=1791095845)
    """
    own: Any = clone(estimator)
    chance = np.random.RandomState(seed % 2**32)  # the same bits for ever, which Generator does not promise
    params = own.get_params(deep=True)
    names = [name for name in sorted(params) if name == "random_state" or name.endswith("__random_state")]
    drawn = {name: int(chance.randint(2**31 - 1)) for name in names}
    own.set_params(**{name: number for name, number in drawn.items() if params[name] is None})
    return own


def _constant_part(y: npt.NDArray[Any], task: Task) -> tuple[npt.NDArray[np.float64], tuple[int, ...]]:
    base = np.zeros(task.outputs)
    if task.kind == "classes":
        varied = (y != y[0]).any(axis=0)
        base[~varied] = y[0, ~varied]
        return base, tuple(np.flatnonzero(varied).tolist())
    values = np.unique(y)
    if len(values) == 1:
        base[0 if task.kind == "number" else values[0]] = values[0] if task.kind == "number" else 1
        return base, ()
    return base, (0,) if task.kind == "number" else tuple(values.tolist())


def _weight_argument(estimator: Any, weight: Floats) -> dict[str, Any]:
    if (weight == 1).all():
        return {}
    name, last = "sample_weight", estimator
    while isinstance(last, Pipeline):
        step, last = last.steps[-1]
        name = f"{step}__{name}"
    if has_fit_parameter(last, "sample_weight"):
        return {name: weight}
    raise UsageError(
        f"{name_of(last)} takes no weights, and some records weigh {weight[weight != 1][0]:g}; "
        "choose an estimator that has sample_weight, or reweight to 0 and 1 only"
    )


@contextmanager
def _told_by(estimator: Any, what: str) -> Generator[None]:
    try:
        # numpy's own warnings tell of numbers that are not finite, which are looked for in what comes out.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            yield
    except (TilthError, Warning, MemoryError):
        raise  # a warning that was made an error is the caller's wish, no fault of the data
    except Exception as error:
        raise DataError(f"{name_of(estimator)} {what}: {error}") from error


def _refuse_not_finite(told: npt.NDArray[Any], estimator: Any, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(told).all(axis=1))
    if len(bad):
        raise DataError(
            f"{name_of(estimator)} gave {what} that are no finite numbers for {len(bad)} of {len(told)} records "
            f"(first: row {bad[0]}); scale the features (StandardScaler), or choose another estimator"
        )


def _told_task(task: Task) -> str:
    return "numbers" if task.kind == "number" else f"{task.kind} of {', '.join(task.classes)}"
