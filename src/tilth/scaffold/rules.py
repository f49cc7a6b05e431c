"""The rules that a workflow starts with where no pattern was asked for."""

from tilth.algebra import show
from tilth.dataset import Dataset
from tilth.scaffold.text import File, model_code, rounded, truth_column

__all__ = ["rules_code", "workflow_text"]


def workflow_text(dataset: Dataset) -> str:
    """Return the source of a workflow that suits a dataset, which lies in the folder `dataset` beside the file.

    The model follows from the columns, the rules from the labels. Nobody has to be there: labels are mended by what a
    second model suggests, duplicates go, and every change must prove itself on the valid split. Where a hidden column
    holds the truth (`truth_column`), an `Oracle` answers from it.
    """
    file = File()
    model = model_code(file, dataset)
    rules = "".join(f"        {line}\n" for line in rules_code(file, dataset))
    file.use("tilth", "Dataset", "Rule", "Workflow", "rounds")
    file.use("tilth.integrations.sklearn", "SklearnModel")
    return f'''"""Which records change, when, and how: by `tilth explain` look at it, by `tilth run` let it do so."""

from pathlib import Path

{file.imports()}
{file.before}
workflow = Workflow(
    dataset=Dataset.open(Path(__file__).parent / "dataset"),
    model={model},
    rules={{
{rules}    }},
    until=rounds() >= 3,
)
'''


_OFF = '''

@signal(needs={"out_of_fold_probabilities"}, tasks={"number"})
def off(state):
    """How far a label is from what a model says that was trained without it."""
    return np.abs(state.output("out_of_fold_probabilities")[0] - state.view.label)

'''


def rules_code(file: File, dataset: Dataset) -> list[str]:
    """Return the lines of the rules that suit the labels."""
    kind = dataset.schema.label.kind
    view = dataset.view
    labelled = int((view.train & view.labeled).sum())
    # Tried on digits with 15 to 20 % wrong labels: of a fiftieth at a time too little changes for the gate to see it.
    k = rounded(labelled / (5 if kind == "class" else 50))
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
        file.before = _OFF
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
    return lines


def _rule(name: str, select: str, do: str, gate: str = "") -> list[str]:
    """Return the lines of one rule: one where that is short enough."""
    parts = [f"select={select}", f"do={do}", *([f"gate={gate}"] if gate else [])]
    line = f'"{name}": Rule({", ".join(parts)}),'
    return [line] if len(line) <= 110 else [f'"{name}": Rule(', *(f"    {part}," for part in parts), "),"]


def _asking(file: File, dataset: Dataset, kind: str) -> list[str]:
    """Return the rule that asks for labels: live where an oracle can answer, a comment where nobody can yet."""
    pool = int(dataset.view.pool.sum())
    truth = truth_column(dataset)
    if not pool:
        return []
    k = min(pool, rounded(pool / 20))
    chosen = f"unlabeled.sample({k})" if kind == "number" else f"unlabeled.top({k}, by=margin())"
    if truth is None:
        return [
            f"# {pool:,} records have no label. This asks people (tilth label) about {k} of them in each round:",
            *(f"# {line}" for line in _rule("ask", chosen, 'annotate(by=Team("annotators"))')),
        ]
    file.use("tilth", "Oracle", "annotate", "unlabeled", *([] if kind == "number" else ["margin"]))
    return [
        "# A simulation: questions are asked, and the hidden column answers.",
        *_rule("ask", chosen, f"annotate(by=Oracle({show(truth)}))"),
    ]
