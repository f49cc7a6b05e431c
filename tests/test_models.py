import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from tilth.errors import UsageError
from tilth.functions import load_file
from tilth.integrations.inputs import inputs
from tilth.integrations.probe import Probe
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Task
from tilth.testing.models import check_model

ABC = Task("class", ("a", "b", "c"))
SEVERAL = Task("classes", ("a", "b", "c"))
NUMBER = Task("number")
WORDS = ("alpha", "beta", "gamma")
N = 60

TEXTS = pa.table({"text": [f"{WORDS[i * 3 // N]} sign{i % 7} n{i}" for i in range(N)]})
MIXED = pa.table(
    {
        "age": np.linspace(10, 80, N),
        "job": [WORDS[i * 3 // N] for i in range(N)],
        "note": [f"{WORDS[i * 3 // N]} sign{i % 7}" for i in range(N)],
        "count": pa.array([None if i == 7 else i for i in range(N)], pa.int64()),
    }
)


def shout(texts: Any) -> list[str]:
    return [text.upper() for text in texts]


def by_columns(last: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    job, note = OneHotEncoder(handle_unknown="ignore"), TfidfVectorizer()
    return make_pipeline(
        ColumnTransformer([("numbers", numbers, ["age", "count"]), ("job", job, ["job"]), ("note", note, "note")]), last
    )


MLP = MLPClassifier((8,), solver="lbfgs", max_iter=2000)

EXAMS: dict[str, tuple[Any, pa.Table | None, Task]] = {
    "logistic regression": (SklearnModel(LogisticRegression()), None, ABC),
    "random forest": (SklearnModel(RandomForestClassifier(10)), None, ABC),
    "boosting": (SklearnModel(HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5)), None, ABC),
    "perceptron": (SklearnModel(make_pipeline(StandardScaler(), MLP), embed="mlpclassifier"), None, ABC),
    "linear svc": (SklearnModel(LinearSVC()), None, ABC),
    "nearest neighbours": (SklearnModel(KNeighborsClassifier()), None, ABC),
    "gaussian process": (SklearnModel(GaussianProcessClassifier(RBF())), None, ABC),
    "text": (
        SklearnModel(
            make_pipeline(FunctionTransformer(shout), TfidfVectorizer(), TruncatedSVD(2), LogisticRegression(C=10)),
            features="text",
            embed="truncatedsvd",
        ),
        TEXTS,
        ABC,
    ),
    "mixed columns": (SklearnModel(by_columns(LogisticRegression())), MIXED, ABC),
    "regressor": (SklearnModel(RandomForestRegressor(10)), None, NUMBER),
    "line": (SklearnModel(make_pipeline(PCA(2), Ridge()), embed="pca"), None, NUMBER),
    "several, one against the rest": (SklearnModel(OneVsRestClassifier(LogisticRegression())), None, SEVERAL),
    "several, margins": (SklearnModel(OneVsRestClassifier(LinearSVC())), None, SEVERAL),
    "several, forest": (SklearnModel(RandomForestClassifier(10)), None, SEVERAL),
    "several, neighbours": (SklearnModel(KNeighborsClassifier()), None, SEVERAL),
    "probe": (Probe(trees=10), None, ABC),
    "probe, numbers": (Probe(trees=10), None, NUMBER),
    "probe, several": (Probe(trees=10), None, SEVERAL),
    "probe, text": (Probe(trees=10), TEXTS, ABC),
    "probe, mixed columns": (Probe(trees=10), MIXED, ABC),
    "probe, embeddings": (
        Probe(trees=10, model=SklearnModel(make_pipeline(PCA(2), LogisticRegression()), embed="pca")),
        None,
        ABC,
    ),
}


@pytest.mark.parametrize("name", EXAMS)
def test_a_model_passes_the_exam(name: str) -> None:
    model, features, task = EXAMS[name]
    check_model(model, features=features, task=task)


@dataclass(frozen=True)
class Nearest:
    """A toy that can break one promise at a time: it knows the mean record of each class."""

    flaw: str = ""

    @property
    def gives(self) -> frozenset[str]:
        return frozenset({"probabilities"} if self.flaw == "gives" else ())

    @property
    def spec(self) -> Mapping[str, Any]:
        return {"model": f"{__name__}:Nearest", "flaw": (self.flaw,) if self.flaw == "spec" else self.flaw}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Nearest":
        return cls(spec["flaw"])

    def fit(self, features: pa.Table, y: Any, weight: Any, *, task: Task, seed: int) -> "NearestFitted":
        x = inputs(features, ["x"])
        share = np.ones(len(y)) if self.flaw == "weights" else np.asarray(weight)
        means = np.full((task.outputs, x.shape[1]), np.inf)
        for code in range(task.outputs):
            if share[y == code].sum() > 0:
                means[code] = np.average(x[y == code], axis=0, weights=share[y == code])
        if self.flaw == "missing":
            means = means[np.isfinite(means[:, 0])]
        if self.flaw == "order":
            means = means[np.argsort(means[:, 0])][::-1]
        if self.flaw == "arguments":
            weight[:] = 0.5
        if self.flaw == "seed":
            means = means + np.random.default_rng().normal(size=means.shape)
        return NearestFitted(self.flaw, means)

    def load(self, folder: Path, *, task: Task) -> "NearestFitted":
        means = np.load(folder / "means.npy", allow_pickle=False)
        return NearestFitted(self.flaw, means * (2 if self.flaw == "load" else 1))


@dataclass(frozen=True)
class NearestFitted:
    flaw: str
    means: Any

    def predict(self, features: pa.Table) -> Any:
        x = inputs(features, ["x"])
        far = ((x[:, None] - np.asarray(self.means, float)[None]) ** 2).sum(-1)
        near = np.exp(far.min(axis=1, keepdims=True) - far)
        if self.flaw == "batch" and len(x) == 1:
            near[:] = 1
        return near if self.flaw == "sum" else near / near.sum(axis=1, keepdims=True)

    def embed(self, features: pa.Table) -> Any:
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        np.save(folder / "means.npy", self.means, allow_pickle=False)
        if self.flaw == "pickle":
            (folder / "more.bin").write_bytes(b"\x80\x04N.")


@pytest.mark.parametrize(
    ("flaw", "promise"),
    [
        ("gives", "gives is a frozenset"),
        ("spec", "comes back from JSON"),
        ("sum", "sum to 1"),
        ("seed", "predicts the same as the model itself"),
        ("arguments", "changes neither its arguments"),
        ("batch", "alike alone and among others"),
        ("weights", "weights count or are refused"),
        ("order", "in the order of the task's classes"),
        ("missing", "shape"),
        ("pickle", "nothing is saved as pickle"),
        ("load", "saved and loaded predicts the same"),
    ],
)
def test_the_exam_names_the_promise_that_a_toy_breaks(flaw: str, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_model(Nearest(flaw))


def test_a_toy_without_flaw_passes_the_exam() -> None:
    check_model(Nearest())


# What a model is: a value


def test_a_model_prints_as_it_was_written_and_is_equal_by_what_it_says() -> None:
    model = SklearnModel(LogisticRegression(C=0.5), features=["age", "job"], embed=None)
    assert repr(model) == "SklearnModel(LogisticRegression(C=0.5), features=['age', 'job'])"
    assert "embed='pca'" in repr(SklearnModel(make_pipeline(PCA(2), Ridge()), embed="pca"))
    assert model == SklearnModel(LogisticRegression(C=0.5), features=("age", "job"))
    assert model != SklearnModel(LogisticRegression(C=0.6), features=("age", "job"))
    assert len({model, SklearnModel(LogisticRegression(C=0.5), features=["age", "job"])}) == 1


def test_changing_the_estimator_afterwards_changes_nothing() -> None:
    estimator = LogisticRegression(C=0.5)
    model = SklearnModel(estimator)
    estimator.set_params(C=7.0)
    assert model.spec["estimator"]["params"]["C"] == 0.5


def test_every_kind_of_parameter_survives_json() -> None:
    model = SklearnModel(
        make_pipeline(
            ColumnTransformer(
                [
                    ("some", SimpleImputer(missing_values=np.nan), slice(0, 2)),
                    ("rest", OneHotEncoder(dtype=np.float32), make_column_selector(dtype_include=object)),
                ],
                transformer_weights={"some": np.float64(0.5)},
            ),
            FunctionTransformer(np.log1p),
            FunctionTransformer(shout, kw_args={}),
            LogisticRegression(class_weight={0: 1.0, 1: 2.0}),
        )
    )
    written = json.dumps(model.spec, allow_nan=False, sort_keys=True)
    again = SklearnModel.from_spec(json.loads(written))
    assert json.dumps(again.spec, allow_nan=False, sort_keys=True) == written
    assert again == model
    assert again.estimator[-1].class_weight == {0: 1.0, 1: 2.0}
    assert np.isnan(again.estimator[0].transformers[0][1].missing_values)
    assert again.spec["versions"]["sklearn"]


def test_the_source_of_a_function_is_part_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "cleaning_of_a_test.py").write_text("def clean(x):\n    return x\n")
    clean = load_file(tmp_path / "cleaning_of_a_test.py").clean
    spec = json.loads(json.dumps(SklearnModel(make_pipeline(FunctionTransformer(clean), Ridge())).spec))
    assert SklearnModel.from_spec(spec).spec == spec
    spec["estimator"]["params"]["steps"][0]["tuple"][1]["params"]["func"]["source"] = "another"
    with pytest.raises(UsageError, match="cleaning_of_a_test:clean has changed since"):
        SklearnModel.from_spec(spec)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression, "an estimator such as LogisticRegression"),
        ("logistic", "an estimator such as LogisticRegression"),
        (StandardScaler(), "no classifier and no regressor"),
        (make_pipeline(FunctionTransformer(lambda x: x), Ridge()), r"steps\[0\]\[1\]\.func.*lambda.*top level"),
        (LogisticRegression(random_state=np.random.RandomState(0)), "random_state.*an integer"),
        (make_pipeline(StandardScaler(), Ridge(), memory="cache"), "memory.*reads pickle"),
        (FrozenEstimator(LogisticRegression()), "FrozenEstimator"),
        (make_pipeline(FunctionTransformer(json.JSONEncoder().encode), Ridge()), "func.*no name under which"),
    ],
)
def test_what_cannot_be_described_is_refused_where_it_is_written(estimator: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SklearnModel(estimator)


def test_a_function_inside_a_function_is_refused() -> None:
    def inner(x: Any) -> Any:
        return x

    with pytest.raises(UsageError, match="inside another function"):
        SklearnModel(make_pipeline(FunctionTransformer(inner), Ridge()))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"class": "subprocess:Popen", "params": {}}, "no scikit-learn estimator"),
        ({"class": "sklearn.gone:Gone", "params": {}}, "is gone"),
        ({"class": "sklearn.linear_model:Ridge", "params": {"alpha": {"strange": 1}}}, "not what Tilth writes"),
        ({"class": "sklearn.linear_model:Ridge", "params": {"alpha": {"type": "os:system"}}}, "is not a type"),
    ],
)
def test_a_spec_builds_estimators_and_nothing_else(told: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SklearnModel.from_spec({"estimator": told})


def test_importing_tilth_does_not_load_scikit_learn() -> None:
    look = "import sys, tilth; print([m for m in ('sklearn', 'pandas', 'skops', 'PIL') if m in sys.modules])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
