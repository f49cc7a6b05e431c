"""A project out of a source: its dataset, and a workflow of its own that runs as it stands."""

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc

from tilth.algebra import show
from tilth.dataset import Dataset
from tilth.dataset.schema import Column
from tilth.errors import Exists, UsageError

__all__ = ["Project", "new_project", "truth_column", "workflow_text"]

CATEGORIES = 50
"""Different texts up to which a column beside others is taken for categories, if each comes ten times on average."""
LOOK = 10_000
"""Records that are looked at to tell what a column holds."""


@dataclass(frozen=True)
class Project:
    """A folder that holds a dataset and the workflow that runs on it."""

    path: Path
    dataset: Dataset

    @property
    def workflow(self) -> Path:
        """The workflow's file."""
        return self.path / "workflow.py"


def new_project(
    path: Path,
    source: Any,
    *,
    kind: Literal["class", "classes", "number"] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    **options: Any,
) -> Project:
    """Make the folder `path` with `dataset` and `workflow.py` in it; where that fails, nothing is left behind.

    `kind` is what a label is, `progress` is told (done, total) of the files read; the other options are those of
    `Dataset.create`. Raises `Exists` where the folder is there and not empty, UsageError for a path without a name.
    """
    if not path.name:
        raise UsageError(f"a project needs a name of its own, such as birds; {str(path)!r} is none")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Exists(f"{path} exists already and is not empty; choose another name, or move it away")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        dataset = Dataset.create(part / "dataset", source, label_kind=kind, progress=progress, **options)
        (part / "workflow.py").write_text(workflow_text(dataset), encoding="utf-8")
        if path.exists():
            path.rmdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Project(path, Dataset.open(path))


def workflow_text(dataset: Dataset) -> str:
    """Return the source of a workflow that suits a dataset, which lies in the folder `dataset` beside the file.

    The model follows from the columns, the rules from the labels. Nobody has to be there: labels are mended by what a
    second model suggests, duplicates go, and every change must prove itself on the valid split. Where a hidden column
    holds the truth (`truth_column`), an `Oracle` answers from it.
    """
    file = _File()
    model = _model(file, dataset)
    rules = "\n".join(_rules(file, dataset))
    file.use("tilth", "Dataset", "Rule", "Workflow", "rounds")
    file.use("tilth.integrations.sklearn", "SklearnModel")
    return f'''"""Which records change, when, and how: by `tilth explain` look at it, by `tilth run` let it do so."""

from pathlib import Path

{file.imports()}
{file.signal}
workflow = Workflow(
    dataset=Dataset.open(Path(__file__).parent / "dataset"),
    model={model},
    rules={{
{rules}
    }},
    until=rounds() >= 3,
)
'''


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
class _File:
    """The imports of the file that is being written, and the user's own signal in it."""

    names: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    signal: str = ""

    def use(self, module: str, *names: str) -> None:
        self.names.setdefault(module, set()).update(names)

    def imports(self) -> str:
        lines = ["import numpy as np"] if self.signal else []
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


def _model(file: _File, dataset: Dataset) -> str:
    """Return the code of a model that can learn from the columns."""
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
    steps.append(_estimator(file, dataset))
    file.use("sklearn.pipeline", "make_pipeline")
    one_line = f"SklearnModel(make_pipeline({', '.join(steps)}){features}{embed})"
    if len(one_line) <= 110 and "\n" not in one_line:
        return one_line
    inside = "".join(f"            {step},\n" for step in steps)
    return f"SklearnModel(\n        make_pipeline(\n{inside}        ){features}{embed},\n    )"


def _estimator(file: _File, dataset: Dataset) -> str:
    kind = dataset.schema.label.kind
    if kind == "number":
        file.use("sklearn.linear_model", "Ridge")
        return "Ridge()"
    file.use("sklearn.linear_model", "LogisticRegression")
    plain = "LogisticRegression(max_iter=1000)"
    if kind == "class":
        return plain
    file.use("sklearn.multiclass", "OneVsRestClassifier")
    return f"OneVsRestClassifier({plain})"


def _numeric(file: _File, dataset: Dataset, columns: Sequence[Column]) -> list[str]:
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


def _columns(file: _File, dataset: Dataset, columns: Sequence[Column]) -> str:
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


_OFF = '''

@signal(needs={"out_of_fold_probabilities"}, tasks={"number"})
def off(state):
    """How far a label is from what a model says that was trained without it."""
    return np.abs(state.output("out_of_fold_probabilities")[0] - state.view.label)

'''


def _rules(file: _File, dataset: Dataset) -> list[str]:
    """Return the lines of the rules that suit the labels."""
    kind = dataset.schema.label.kind
    view = dataset.view
    labelled = int((view.train & view.labeled).sum())
    # Tried on digits with 15 to 20 % wrong labels: of a fiftieth at a time too little changes for the gate to see it.
    k = _round(labelled / (5 if kind == "class" else 50))
    gate = "Gate(improves=-rmse(), by=0.0)" if kind == "number" else "Gate(by=0.0)"
    file.use("tilth", "Gate", "duplicate", "records", "remove", *(["rmse"] if kind == "number" else []))
    lines: list[str] = []
    if kind == "class":
        file.use("tilth", "label_quality", "labeled", "relabel")
        lines += [
            "# Labels that a second model doubts become what it suggests, unless the model gets worse by it on valid.",
            *_rule(
                "fix",
                f"labeled.where(label_quality() < 0.3).bottom({k}, by=label_quality())",
                'relabel(by="probe")',
                gate,
            ),
        ]
    if kind == "number":
        file.signal = _OFF
        file.use("tilth", "labeled", "signal")
        lines += [
            "# Records whose labels are farthest off are taken out, unless the model gets worse by it on valid.",
            *_rule("drop", f"labeled.top({k}, by=off())", "remove()", gate),
        ]
    media = {"image", "audio"} & {c.kind for c in dataset.schema.columns if not c.hidden}
    near = media and len(dataset.schema.features) == 1
    same = "duplicate(threshold=0.99)" if near else 'duplicate(by="content")'
    lines += [
        "# What another record says already is taken out, unless the model gets worse by it on valid.",
        *_rule("weed", f"records.where({same} > 0)", "remove()", gate),
        *_asking(file, dataset, kind),
    ]
    return [f"        {line}" for line in lines]


def _rule(name: str, select: str, do: str, gate: str = "") -> list[str]:
    """Return the lines of one rule: one where that is short enough."""
    parts = [f"select={select}", f"do={do}", *([f"gate={gate}"] if gate else [])]
    line = f'"{name}": Rule({", ".join(parts)}),'
    return [line] if len(line) <= 110 else [f'"{name}": Rule(', *(f"    {part}," for part in parts), "),"]


def _asking(file: _File, dataset: Dataset, kind: str) -> list[str]:
    """Return the rule that asks for labels: live where an oracle can answer, a comment where nobody can yet."""
    pool = int(dataset.view.pool.sum())
    truth = truth_column(dataset)
    if not pool:
        return []
    k = min(pool, _round(pool / 20))
    chosen = f"unlabeled.sample({k})" if kind == "number" else f"unlabeled.top({k}, by=margin())"
    if truth is None:
        return [
            f"# {pool:,} records have no label. Once somebody can answer, this asks about {k} of them in each round:",
            *(f"# {line}" for line in _rule("ask", chosen, "annotate(by=ANNOTATOR)")),
        ]
    file.use("tilth", "Oracle", "annotate", "unlabeled", *([] if kind == "number" else ["margin"]))
    return [
        "# A simulation: questions are asked, and the hidden column answers.",
        *_rule("ask", chosen, f"annotate(by=Oracle({show(truth)}))"),
    ]


def _round(n: float) -> int:
    """Return a number with one digit that is not 0, at least 10.

    >>> _round(3), _round(287)
    (10, 300)
    """
    digits = len(str(int(n))) - 1
    return max(10, round(n / 10**digits) * 10**digits)
