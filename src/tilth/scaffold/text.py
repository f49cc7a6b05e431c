"""The source of a workflow file: what it imports, and a model that can learn from the columns."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc

from tilth.algebra import show
from tilth.dataset import Dataset
from tilth.dataset.schema import Column

__all__ = ["File", "LOOK", "model_code", "rounded", "truth_column"]

CATEGORIES = 50
"""Different texts up to which a column beside others is taken for categories, if each comes ten times on average."""
LOOK = 10_000
"""Records that are looked at to tell what a column holds."""


def truth_column(dataset: Dataset) -> str | None:
    """Return the first hidden column that holds what labels are: only class names or their codes, or numbers."""
    label = dataset.schema.label
    ids = np.flatnonzero(dataset.view.alive)[:LOOK]
    for column in dataset.schema.columns:
        if not column.hidden or (label.kind == "number") != (column.kind == "number") or column.kind == "vector":
            continue
        if label.kind == "number":
            return column.name
        values = {
            v for v in dataset.features(ids, [column.name])[column.name].unique().to_pylist() if v not in (None, "")
        }
        known = {*label.classes, *range(len(label.classes))} if column.kind == "integer" else set(label.classes)
        told = {name for v in values for name in str(v).split("|")} if label.kind == "classes" else values
        if values and told <= known:
            return column.name
    return None


@dataclass
class File:
    """The imports of the file that is being written, and a function of the user's own in it."""

    names: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    before: str = ""

    def use(self, module: str, *names: str) -> None:
        """Import names of a module."""
        self.names.setdefault(module, set()).update(names)

    def imports(self) -> str:
        """Return the lines that import them."""
        lines = ["import numpy as np"] if "np." in self.before else []
        for module, names in sorted(self.names.items()):
            row: list[str] = []
            for name in sorted(names, key=lambda n: (not n[0].isupper(), n)):
                # a new line where one is full, and between what is made once and what rules are written with
                if row and (len(", ".join([*row, name])) > 80 or (row[-1][0].isupper() and name[0].islower())):
                    lines.append(f"from {module} import {', '.join(row)}")
                    row = []
                row.append(name)
            lines.append(f"from {module} import {', '.join(row)}")
        return "\n".join(lines)


def model_code(file: File, dataset: Dataset, *, tuned: bool = False) -> str:
    """Return the code of a model that can learn from the columns; `tuned`: its strength is asked of a `trial`."""
    seen = [c for c in dataset.schema.columns if not c.hidden]
    vectors = [c for c in seen if c.kind == "vector"]
    if vectors and len(seen) > 1:  # a vector stands in no table: the widest is worth more than what is beside it
        seen = [max(vectors, key=lambda c: c.size)]
        features = f", features={show(seen[0].name)}"
    else:
        features = ""
    kinds = {c.kind for c in seen}
    steps: list[str] = []
    embed = ""
    if len(seen) == 1 and kinds <= {"image", "audio"}:
        name = "ImageFeatures" if kinds == {"image"} else "AudioFeatures"
        file.use("tilth.integrations.media", name)
        steps.append(f"{name}()")
        embed = f', embed="{name.lower()}"'
    elif len(seen) == 1 and kinds == {"text"}:
        file.use("sklearn.feature_extraction.text", "TfidfVectorizer")
        steps.append("TfidfVectorizer()")
    elif kinds <= {"vector", "number", "integer"}:
        steps += _numeric(file, dataset, seen)
    else:
        steps.append(_columns(file, dataset, seen))
    steps.append(_estimator(file, dataset, tuned))
    file.use("sklearn.pipeline", "make_pipeline")
    one_line = f"SklearnModel(make_pipeline({', '.join(steps)}){features}{embed})"
    if len(one_line) <= 110 and "\n" not in one_line:
        return one_line
    inside = "".join(f"            {step},\n" for step in steps)
    return f"SklearnModel(\n        make_pipeline(\n{inside}        ){features}{embed},\n    )"


def _estimator(file: File, dataset: Dataset, tuned: bool) -> str:
    kind = dataset.schema.label.kind
    if kind == "number":
        file.use("sklearn.linear_model", "Ridge")
        return 'Ridge(alpha=trial.suggest_float("alpha", 1e-3, 1e3, log=True))' if tuned else "Ridge()"
    file.use("sklearn.linear_model", "LogisticRegression")
    strength = 'C=trial.suggest_float("C", 1e-3, 1e2, log=True), ' if tuned else ""
    plain = f"LogisticRegression({strength}max_iter=1000)"
    if kind == "class":
        return plain
    file.use("sklearn.multiclass", "OneVsRestClassifier")
    return f"OneVsRestClassifier({plain})"


def _numeric(file: File, dataset: Dataset, columns: Sequence[Column]) -> list[str]:
    """Return the steps that make numbers fit: holes filled, if there are any, and all of one scale."""
    file.use("sklearn.preprocessing", "StandardScaler")
    ids = np.flatnonzero(dataset.view.alive)
    numbers = [c.name for c in columns if c.kind == "number"]
    holes = (
        any(pc.any(pc.is_nan(column)).as_py() for column in dataset.features(ids, numbers).columns)
        if numbers
        else False
    )
    if not holes:
        return ["StandardScaler()"]
    file.use("sklearn.impute", "SimpleImputer")
    return ["SimpleImputer()", "StandardScaler()"]


def _columns(file: File, dataset: Dataset, columns: Sequence[Column]) -> str:
    """Return a ColumnTransformer for columns of several kinds."""
    file.use("sklearn.compose", "make_column_transformer")
    ids = np.flatnonzero(dataset.view.alive)[:LOOK]
    parts: list[str] = []
    numbers = [c for c in columns if c.kind in ("number", "integer")]
    if numbers:
        steps = _numeric(file, dataset, numbers)
        made = steps[0] if len(steps) == 1 else f"make_pipeline({', '.join(steps)})"
        parts.append(f"({made}, {_listed(numbers)})")
    categories: list[Column] = []
    for column in columns:
        if column.kind == "text":
            different = len(dataset.features(ids, [column.name])[column.name].unique())
            if different <= min(CATEGORIES, max(2, len(ids) // 10)):
                categories.append(column)
            else:
                file.use("sklearn.feature_extraction.text", "TfidfVectorizer")
                parts.append(f"(TfidfVectorizer(), {show(column.name)})")
        elif column.kind in ("image", "audio"):
            name = "ImageFeatures" if column.kind == "image" else "AudioFeatures"
            file.use("tilth.integrations.media", name)
            parts.append(f"({name}(), {_listed([column])})")
    if categories:
        file.use("sklearn.preprocessing", "OneHotEncoder")
        parts.append(f'(OneHotEncoder(handle_unknown="ignore"), {_listed(categories)})')
    inside = "".join(f"                {part},\n" for part in parts)
    return f"make_column_transformer(\n{inside}            )"


def _listed(columns: Sequence[Column]) -> str:
    return f"[{', '.join(show(c.name) for c in columns)}]"


def rounded(n: float) -> int:
    """Return a number with one digit that is not 0, at least 10.

    >>> rounded(3), rounded(287)
    (10, 300)
    """
    digits = len(str(int(n))) - 1
    return max(10, round(n / 10**digits) * 10**digits)
