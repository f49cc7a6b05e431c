"""Workflow files that call a pattern: `tilth new --pattern NAME`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tilth.algebra import show
from tilth.dataset import Dataset
from tilth.scaffold.rules import rules_code
from tilth.scaffold.text import File, model_code, rounded, truth_column

__all__ = ["PATTERNS", "pattern_text"]


@dataclass(frozen=True)
class _Pattern:
    """A pattern in a file: its first line, the arguments after dataset and model, and the folders it reads from."""

    about: str
    arguments: Callable[[File, Dataset], list[str]]
    folders: tuple[str, ...] = ()


def pattern_text(dataset: Dataset, name: str) -> str:
    """Return the source of a workflow by a pattern, for a dataset in the folder `dataset` beside the file.

    `name` is one of `PATTERNS`. What the pattern cannot do with this dataset is a UsageError when the file is run.
    """
    file, pattern = File(), PATTERNS[name]
    function = name.replace("-", "_")
    model = model_code(file, dataset)
    arguments = pattern.arguments(file, dataset)
    file.use("tilth", "Dataset")
    file.use("tilth.integrations.sklearn", "SklearnModel")
    file.use("tilth.patterns", function)
    given = "".join(f"    {line}\n" for line in arguments)
    return f'''"""{pattern.about}.

By `tilth explain` look at what it would do, by `tilth run` let it do so.
"""

from pathlib import Path

{file.imports()}
{file.before}
workflow = {function}(
    Dataset.open(Path(__file__).parent / "dataset"),
    {model},
{given})
'''


def _who(file: File, dataset: Dataset) -> str:
    truth = truth_column(dataset)
    if truth is not None:
        file.use("tilth", "Oracle")
        return f"Oracle({show(truth)}),  # a simulation: the hidden column answers"
    file.use("tilth", "Team")
    return 'Team("annotators"),  # they answer by: tilth label'


def _budget(dataset: Dataset) -> str:
    pool = int(dataset.view.pool.sum())
    return f"budget={min(pool, rounded(pool / 4)) if pool else 100},"


def _active(file: File, dataset: Dataset) -> list[str]:
    return [f"by={_who(file, dataset)}", _budget(dataset)]


def _validated(file: File, dataset: Dataset) -> list[str]:
    truth = truth_column(dataset)
    file.use("tilth", "Panel", "disagrees_with_model", *(["Oracle"] if truth else ["Team"]))
    if truth is None:
        people, expert = 'Team("annotators")', 'Team("expert")'
    else:
        people = ", ".join(f'Oracle({show(truth)}, error=0.2, name="{n}", seed={i})' for i, n in enumerate(("a", "b")))
        people, expert = f"({people})", f'Oracle({show(truth)}, name="expert")'
    return [
        "# an answer that the model would not have given is looked at again; what stays disputed goes to the expert",
        "by=Panel(",
        f"    {people},",
        "    check=disagrees_with_model(),",
        f"    disputed_by={expert},",
        "),",
        _budget(dataset),
    ]


def _tuned(file: File, dataset: Dataset) -> list[str]:
    file.use("tilth.integrations.optuna", "OptunaSearch")
    file.before = f'''

def space(trial):
    """Which models there are to choose from: every choice is asked of the trial."""
    return {model_code(file, dataset, tuned=True)}

'''
    return ["tune=OptunaSearch(space),", "trials=30,"]


def _rules(file: File, dataset: Dataset) -> list[str]:
    file.use("tilth", "Rule")
    return ["rules={", *(f"    {line}" for line in rules_code(file, dataset)), "},"]


def _which(file: File, dataset: Dataset) -> list[str]:
    if dataset.schema.label.kind != "class":
        file.use("tilth", "Gate", "duplicate", "records", "remove")
        return ['which=records.where(duplicate(by="content") > 0),', "what=remove(),", "gate=Gate(),"]
    file.use("tilth", "Gate", "label_quality", "labeled", "relabel")
    return [
        "which=labeled.where(label_quality() < 0.3),",
        'what=relabel(by="probe"),',
        "gate=Gate(by=0.0),",
    ]


def _made(file: File, dataset: Dataset) -> list[str]:
    seen = {c.kind for c in dataset.schema.columns if not c.hidden}
    turns = {
        "image": "flip(), rotate(10), brightness()",
        "text": "drop_words(), swap_words()",
        "audio": "gain(), noise()",
    }
    for kind, names in turns.items():
        if seen == {kind}:
            file.use("tilth.synthesis", "Transforms", *(name.partition("(")[0] for name in names.split(", ")))
            return [f"by=Transforms([{names}]),", "batch=100,"]
    file.use("tilth.synthesis", "Interpolation")
    return ["by=Interpolation(),", "batch=100,"]


def _watched(file: File, dataset: Dataset) -> list[str]:
    file.use("tilth", "ParquetFolder")
    return [
        "# files that are put there come in, each row once; also GrowingCsv, SqlQuery, FromIterator",
        'source=ParquetFolder(Path(__file__).parent / "incoming"),',
        'every="1h",',
        f"by={_who(file, dataset)}",
        "budget=50,",
    ]


PATTERNS: Mapping[str, _Pattern] = {
    "active-learning": _Pattern("Ask about the records that the model learns most from", _active),
    "cleaning": _Pattern("Put labels right that are probably wrong", lambda _file, _dataset: []),
    "curation": _Pattern("Take out twins, outliers and records that do harm", lambda _file, _dataset: []),
    "data-centric": _Pattern("Change the data in every round, and leave the model as it is", _rules),
    "dataprepops": _Pattern("Decide which records, then what to do with them", _which),
    "drift-repair": _Pattern("Watch a stream, and label what moved when it has drifted", _watched, ("incoming",)),
    "model-centric": _Pattern("Tune the model, and leave the data as they are", _tuned),
    "observability": _Pattern("Watch a stream, and train again when it has drifted", _watched, ("incoming",)),
    "synthetic-generation": _Pattern("Make records where the model is wrong most", _made),
    "validated-active-learning": _Pattern("Ask, and validate the answers before they are used", _validated),
}
"""The patterns by the names of the command line; each is a function of `tilth.patterns` with `_` for `-`."""
