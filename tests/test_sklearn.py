import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from tilth.errors import Damaged, DataError, UsageError
from tilth.integrations.inputs import inputs
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Task
from tilth.testing.models import toy_features

ABC = Task("class", ("a", "b", "c"))
SEVERAL = Task("classes", ("a", "b", "c"))
NUMBER = Task("number")
TEXTS = pa.table({"text": [f"word{i * 3 // 60} sign{i % 7}" for i in range(60)]})


def fit(model: Any, table: pa.Table | None = None, y: Any = None, weight: Any = None, task: Task = ABC) -> Any:
    table = toy_features() if table is None else table
    y = np.arange(table.num_rows) * 3 // table.num_rows if y is None else y
    return model.fit(table, y, np.ones(len(y)) if weight is None else weight, task=task, seed=0)


# What an estimator is given


def test_one_vector_column_is_not_copied() -> None:
    table = toy_features()
    x = inputs(table, ["x"])
    assert (x.shape, x.dtype) == ((60, 4), np.float32)
    start = table.column("x").chunk(0).flatten().buffers()[1].address
    assert x.ctypes.data == start
    np.testing.assert_array_equal(inputs(table.slice(10, 5), ["x"]), x[10:15])
    np.testing.assert_array_equal(inputs(pa.concat_tables([table, table]), ["x"]), np.vstack([x, x]))


def test_nothing_there_is_nan_in_numbers_and_empty_in_texts() -> None:
    table = pa.table(
        {
            "x": pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
            "n": pa.array([None, 3], pa.int64()),
            "b": pa.array([True, None]),
            "t": ["word", None],
            "c": pa.array(["word", None]).dictionary_encode(),
        }
    )
    np.testing.assert_array_equal(inputs(table, ["x"]), [[1, 2], [np.nan, np.nan]])
    np.testing.assert_array_equal(inputs(table, ["n"]), [[np.nan], [3]])
    np.testing.assert_array_equal(inputs(table, ["b"]), [[1], [np.nan]])
    assert inputs(table, ["t"]).tolist() == inputs(table, ["c"]).tolist() == ["word", ""]
    frame = inputs(table, ["n", "t"])
    assert list(frame.columns) == ["n", "t"]
    assert frame["t"].isna().tolist() == [False, True]
    assert len(inputs(table.slice(0, 0), ["x"])) == len(inputs(table.slice(0, 0), ["n", "t"])) == 0


def test_columns_that_do_not_fit_are_named() -> None:
    both = toy_features().append_column("age", pa.array(range(60)))
    with pytest.raises(UsageError, match=r"vector column 'x' cannot stand.*features='x'"):
        fit(SklearnModel(LogisticRegression()), both)
    with pytest.raises(UsageError, match=r"no column 'ag'. There is: x, age. Did you mean 'age'\?"):
        fit(SklearnModel(LogisticRegression(), features="ag"), both)
    with pytest.raises(UsageError, match="name one or several different columns"):
        SklearnModel(LogisticRegression(), features=["x", "x"])
    with pytest.raises(UsageError, match="column 'day' holds date32"):
        inputs(pa.table({"day": pa.array([1], pa.date32())}), ["day"])
    assert fit(SklearnModel(LogisticRegression(), features="x"), both).predict(both).shape == (60, 3)


# What it makes of labels and weights


def test_classes_without_a_record_have_probability_zero() -> None:
    y = np.where(np.arange(60) < 30, 0, 2)
    told = fit(SklearnModel(LogisticRegression()), y=y).predict(toy_features())
    assert told.dtype == np.float32
    assert (told[:, 1] == 0).all()
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-6)


def test_one_class_only_is_the_prediction_without_asking_the_estimator() -> None:
    fitted = fit(SklearnModel(LinearSVC()), y=np.full(60, 1))
    assert fitted.estimator is None
    assert fitted.predict(toy_features()).tolist() == [[0, 1, 0]] * 60


def test_margins_become_probabilities_in_the_same_order() -> None:
    task = Task("class", ("a", "b"))
    fitted = fit(SklearnModel(LinearSVC()), y=np.arange(60) // 30, task=task)
    margins = fitted.estimator.decision_function(inputs(toy_features(), ["x"]))
    assert (np.argsort(fitted.predict(toy_features())[:, 1]) == np.argsort(margins)).all()


def test_neighbours_that_are_none_at_all_leave_every_class_as_likely() -> None:
    model = SklearnModel(RadiusNeighborsClassifier(radius=0.5, outlier_label=0))
    far = pa.table({"x": pa.array([[99.0] * 4], pa.list_(pa.float32(), 4))})
    with pytest.warns(UserWarning, match="Outlier label"):
        told = fit(SklearnModel(RadiusNeighborsClassifier(radius=0.5, outlier_label=-1)), y=np.arange(60) % 2).predict(
            far
        )
    np.testing.assert_allclose(told, [[0.5, 0.5, 0]])
    assert fit(model, y=np.arange(60) % 2).predict(far).tolist() == [[1, 0, 0]]


def test_weight_zero_leaves_a_record_out_of_any_estimator() -> None:
    weight = (np.arange(60) % 3 > 0).astype(float)
    rows = pa.array(weight > 0)
    y = np.arange(60) * 3 // 60
    for estimator in (KNeighborsClassifier(), LogisticRegression(), RandomForestClassifier(5)):
        without = fit(SklearnModel(estimator), toy_features().filter(rows), y[weight > 0]).predict(toy_features())
        np.testing.assert_array_equal(fit(SklearnModel(estimator), weight=weight).predict(toy_features()), without)
    with pytest.raises(DataError, match="none of 60 records has a weight above 0"):
        fit(SklearnModel(LogisticRegression()), weight=np.zeros(60))


def test_other_weights_reach_the_last_step_or_are_refused() -> None:
    weight = np.linspace(0.1, 5, 60)
    model = SklearnModel(make_pipeline(StandardScaler(), LogisticRegression()))
    assert not np.array_equal(fit(model, weight=weight).predict(toy_features()), fit(model).predict(toy_features()))
    with pytest.raises(UsageError, match=r"KNeighborsClassifier takes no weights, and some records weigh 0\.1"):
        fit(SklearnModel(make_pipeline(StandardScaler(), KNeighborsClassifier())), weight=weight)


@pytest.mark.parametrize(
    ("y", "weight", "task", "message"),
    [
        (np.full(60, 3), np.ones(60), ABC, "row 0: label 3; expected a code of the 3 classes"),
        (np.zeros(59, int), np.ones(60), ABC, r"labels of shape \(60,\)"),
        (np.zeros(60, int), np.full(60, -1.0), ABC, "row 0: weight -1"),
        (np.zeros(60, int), np.full(60, np.nan), ABC, "row 0: weight nan"),
        (np.full((60, 3), 0.5), np.ones(60), SEVERAL, "0 or 1 for each of the 3 classes"),
    ],
)
def test_labels_and_weights_that_cannot_be_are_named(y: Any, weight: Any, task: Task, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit(SklearnModel(RandomForestClassifier()), y=y, weight=weight, task=task)


def test_an_estimator_that_does_not_fit_the_task_is_named() -> None:
    with pytest.raises(
        UsageError, match="labels are numbers, which takes a regressor; LogisticRegression is a classifier"
    ):
        fit(SklearnModel(LogisticRegression()), y=np.arange(60.0), task=NUMBER)
    with pytest.raises(
        UsageError, match="labels are class of a, b, c, which takes a classifier; LinearRegression is a"
    ):
        fit(SklearnModel(LinearRegression()))
    with pytest.raises(
        DataError, match=r"LogisticRegression cannot be trained on records of several.*OneVsRestClassifier"
    ):
        fit(SklearnModel(LogisticRegression()), y=np.eye(3)[np.arange(60) % 3], task=SEVERAL)
    with pytest.raises(UsageError, match="decision_function_shape='ovr'"):
        fit(
            SklearnModel(SVC(decision_function_shape="ovo")),
            y=np.arange(60) * 4 // 60,
            task=Task("class", ("a", "b", "c", "d")),
        ).predict(toy_features())


def test_an_error_of_the_estimator_is_told_with_its_name() -> None:
    holes = pa.table({"x": pa.array([None, *toy_features()["x"].to_pylist()[1:]], pa.list_(pa.float32(), 4))})
    with pytest.raises(
        DataError, match=r"StandardScaler \+ LogisticRegression cannot be trained: Input X contains NaN"
    ) as told:
        fit(SklearnModel(make_pipeline(StandardScaler(), LogisticRegression())), holes)
    assert isinstance(told.value.__cause__, ValueError)
    boosting = SklearnModel(HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5))
    assert fit(boosting, holes).predict(holes).shape == (60, 3)


def test_a_solver_that_stopped_early_is_a_warning() -> None:
    with pytest.warns(ConvergenceWarning):
        fit(SklearnModel(LogisticRegression(max_iter=1)))
    with pytest.raises(ConvergenceWarning):  # under `error`, it is no fault of the data
        fit(SklearnModel(LogisticRegression(max_iter=1)))


def test_the_seed_reaches_every_random_state_that_is_open() -> None:
    model = SklearnModel(make_pipeline(PCA(2, svd_solver="randomized"), RandomForestClassifier(3)))
    one = fit(model).estimator
    assert one[0].random_state is not None
    assert one[0].random_state != one[1].random_state
    fixed = SklearnModel(RandomForestClassifier(3, random_state=5))
    assert fit(fixed).estimator.random_state == 5


# Embeddings


def test_embeddings_are_the_output_of_the_named_step() -> None:
    model = SklearnModel(make_pipeline(StandardScaler(), PCA(2), LogisticRegression()), embed="pca")
    fitted = fit(model)
    assert model.gives == {"embeddings", "frozen"}
    found = fitted.embed(toy_features())
    assert (found.shape, found.dtype) == ((60, 2), np.float32)
    np.testing.assert_allclose(found, fitted.estimator[:2].transform(inputs(toy_features(), ["x"])), rtol=1e-5)


def test_the_last_hidden_layer_is_what_the_outputs_are_made_of() -> None:
    fitted = fit(SklearnModel(MLPClassifier((8,), solver="lbfgs", max_iter=2000), embed="mlpclassifier"))
    hidden = fitted.embed(toy_features())
    scores = hidden @ fitted.estimator.coefs_[-1] + fitted.estimator.intercepts_[-1]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), fitted.predict(toy_features()), atol=1e-5)


def test_embeddings_that_cannot_be_are_told() -> None:
    with pytest.raises(UsageError, match=r"embed='pac': no such step.*Did you mean 'pca'\?"):
        SklearnModel(make_pipeline(PCA(2), Ridge()), embed="pac")
    with pytest.raises(UsageError, match="LogisticRegression transforms nothing; name the step before it"):
        SklearnModel(LogisticRegression(), embed="logisticregression")
    sparse = SklearnModel(make_pipeline(TfidfVectorizer(), LogisticRegression()), embed="tfidfvectorizer")
    with pytest.raises(UsageError, match=r"sparse and \d+ columns wide.*TruncatedSVD"):
        fit(sparse, TEXTS).embed(TEXTS)
    with pytest.raises(UsageError, match="gives no embeddings"):
        fit(SklearnModel(LogisticRegression())).embed(toy_features())


# On disk


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    fit(SklearnModel(LogisticRegression())).save(tmp_path)
    return tmp_path


def test_a_file_that_names_foreign_code_is_refused_before_any_of_it_is_built(saved: Path) -> None:
    for foreign in (os.system, subprocess.run, np.load):
        (saved / "model.skops").write_bytes(skops.io.dumps(FunctionTransformer(foreign)))
        with pytest.raises(DataError, match=rf"the file names \S*{foreign.__name__}.*nothing of it was loaded"):
            SklearnModel(LogisticRegression()).load(saved, task=ABC)


def test_pickles_are_refused_in_whatever_clothes(saved: Path) -> None:
    model, file = SklearnModel(LogisticRegression()), saved / "model.skops"
    whole = file.read_bytes()
    file.write_bytes(b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.")
    with pytest.raises(Damaged, match="no model that Tilth wrote"):
        model.load(saved, task=ABC)
    file.write_bytes(whole)
    objects = (
        b"\x93NUMPY\x01\x00F\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(80) + b"\x80\x04N."
    )
    with zipfile.ZipFile(file) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(file, "w") as new:
        for name, data in parts.items():
            new.writestr(name, objects if name.endswith(".npy") else data)
    with pytest.raises(Damaged, match="allow_pickle=False"):
        model.load(saved, task=ABC)


def test_a_folder_of_another_model_or_task_is_refused(saved: Path) -> None:
    with pytest.raises(UsageError, match="trained by another model"):
        SklearnModel(LogisticRegression(C=3)).load(saved, task=ABC)
    with pytest.raises(UsageError, match="trained to tell class of a, b, c, not class of a, b"):
        SklearnModel(LogisticRegression()).load(saved, task=Task("class", ("a", "b")))
    (saved / "model.skops").unlink()
    with pytest.raises(Damaged, match="missing; delete the folder and train again"):
        SklearnModel(LogisticRegression()).load(saved, task=ABC)
    (saved / "task.json").write_text("{")
    with pytest.raises(Damaged, match="no trained model can be read"):
        SklearnModel(LogisticRegression()).load(saved, task=ABC)
