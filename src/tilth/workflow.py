"""`Workflow`: a dataset, a model, the rules that change the data, and when to stop."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from tilth.actions.ingest import Ingest
from tilth.algebra import Comparison, Condition, Metric, Quantity, Value, from_json, to_json
from tilth.dataset import Dataset
from tilth.drawing import Drawing
from tilth.drawing.drawing import draw
from tilth.durations import seconds
from tilth.errors import UsageError, did_you_mean
from tilth.functions import find
from tilth.html import table
from tilth.labeling.panel import Panel
from tilth.metrics import accuracy, rmse
from tilth.metrics.reachable import out_of_reach
from tilth.metrics.verdicts import REJECTED
from tilth.outputs import Outputs
from tilth.protocols import Model, Source
from tilth.qualify import Verdict, qualify
from tilth.rules import Gate, Rule, named
from tilth.state import Round, State
from tilth.tuning import Tune

__all__ = ["Workflow"]

DEFAULT_PROBE = "tilth.integrations.probe:Probe"
"""Named, not imported: an integration is a leaf, and scikit-learn is loaded only where it is used."""


@dataclass(frozen=True, eq=False)
class Workflow:
    """A dataset, a model, the rules that change the data, and when to stop.

    `rules` run in the given order in every round; `until` is looked at after each training; `report`: metrics shown for
    every round (default accuracy, or rmse for numbers); `probe`: the model by which label quality is judged (default:
    random forest and nearest neighbours); `seed`: every draw follows from it. A finished project is
    entered again `every` so often ("1h"): its rules that `ingest` bring what is new, and if `trigger` holds then, a
    condition on the data and on what the last model says of it, a run begins; nothing is trained for the look. `tune`:
    another model in every round. `gate` judges what all rules of a round changed together, after their own gates, and
    takes all of it back where it did not help. Where nothing is labelled yet, the rules that read nothing of a model go
    before the first training. Held-out records are never chosen by a rule. UsageError names the wrong part.
    """

    dataset: Dataset
    model: Model
    rules: Mapping[str, Rule]
    until: Condition
    report: tuple[Quantity, ...] = ()
    probe: Model | None = None
    seed: int = 0
    name: str = ""
    every: str | None = None
    trigger: Condition | None = None
    tune: Tune | None = None
    gate: Gate | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, Dataset):
            raise UsageError(f"Workflow(dataset={self.dataset!r}): a Dataset, such as Dataset.open(path)")
        if not isinstance(self.model, Model):
            raise UsageError(
                f"Workflow(model={self.model!r}): a model such as SklearnModel(estimator), got "
                f"{type(self.model).__name__}"
            )
        object.__setattr__(self, "rules", named(self.rules))
        if not isinstance(self.until, Condition) or self.until.per_record:
            raise UsageError(
                f"Workflow(until={self.until!r}): a condition on the whole state, such as (accuracy() >= 0.95) | "
                "(rounds() >= 20)"
            )
        if self.every is not None:
            seconds(self.every, what="Workflow: every")
        if self.trigger is not None and (not isinstance(self.trigger, Condition) or self.trigger.per_record):
            raise UsageError(
                f"Workflow(trigger={self.trigger!r}): a condition on the whole state, such as pool_size() >= 500"
            )
        if self.tune is not None and not isinstance(self.tune, Tune):
            raise UsageError(f"Workflow(tune={self.tune!r}): Tune(OptunaSearch(space)), or None")
        self._sources()
        self._check_gates()
        kind = self.dataset.schema.label.kind
        if not self.report:
            object.__setattr__(self, "report", (rmse() if kind == "number" else accuracy(),))
        for where, value in self.parts():
            for part in value.walk():
                never = out_of_reach(part) if isinstance(part, Comparison) else ""
                if never:
                    raise UsageError(f"{where}: {part!r}: {never}")
                tasks = getattr(part, "tasks", None)
                if tasks is not None and kind not in tasks:
                    raise UsageError(
                        f"{where}: {part!r} is for labels of kind {', '.join(sorted(tasks))}, those of "
                        f"{self.dataset.name!r} are of kind {kind!r}"
                    )

    def _sources(self) -> None:
        seen: dict[str, Source] = {}
        for source in (rule.do.source for rule in self.rules.values() if isinstance(rule.do, Ingest)):
            if dict(seen.setdefault(source.name, source).spec) != dict(source.spec):
                raise UsageError(
                    f"{seen[source.name]!r} and {source!r} are both called {source.name!r}, under which the cursor is "
                    "kept; give one of them another name="
                )

    def _check_gates(self) -> None:
        if self.gate is not None:
            if not isinstance(self.gate, Gate):
                raise UsageError(f"Workflow(gate={self.gate!r}): a Gate, such as Gate(improves=accuracy())")
            asks = [name for name, rule in self.rules.items() if rule.do.asks]
            if asks and self.gate.rejected != "hold":
                raise UsageError(
                    f"rule {asks[0]!r} asks an annotator, whose answers are never taken back; write Workflow(gate="
                    'Gate(..., rejected="hold")) to set the labels back and keep the answers'
                )
        for where, value in self.parts():
            for part in value.walk():
                if not isinstance(part, Metric) or part.function.where != REJECTED:
                    continue
                name = part.args["rule"]
                if name not in self.rules:
                    raise UsageError(f"{where}: {part!r}: no rule {name!r}. {did_you_mean(name, self.rules)}")
                if self.gate is None and self.rules[name].gate is None:
                    raise UsageError(
                        f"{where}: {part!r}: nothing judges rule {name!r}, so that it is never rejected; give it a "
                        "gate: Rule(..., gate=Gate())"
                    )

    def parts(self) -> Iterable[tuple[str, Value]]:
        """Yield every value in it with the name of its place."""
        for name, rule in self.rules.items():
            yield f"rule {name!r}", rule
        yield "until", self.until
        if self.trigger is not None:
            yield "trigger", self.trigger
        if self.tune is not None:
            yield "tune", self.tune
        if self.gate is not None:
            yield "gate", self.gate
        for quantity in self.report:
            yield "report", quantity

    @property
    def judge(self) -> Model:
        """The probe: by which model label quality is judged."""
        return self.probe or find(DEFAULT_PROBE)()

    @property
    def needs(self) -> frozenset[str]:
        """What it reads of the model's state in all: only this is computed."""
        return frozenset({"probabilities"}).union(*(value.needs for _, value in self.parts()))

    def opening(self, version: int) -> tuple[str, ...]:
        """Return the rules that go before the first training: where nothing is labelled, those that need no model."""
        view = self.dataset.at(version).view
        if (view.train & view.labeled).any():
            return ()
        return tuple(name for name, rule in self.rules.items() if not rule.needs and rule.gate is None)

    def on(self, dataset: Dataset) -> "Workflow":
        """Return the same workflow on another dataset, or another branch of this one."""
        return replace(self, dataset=dataset)

    def qualifies(self) -> Verdict:
        """Return whether it is data-centric: it iterates changes of the data, and the model's state triggers them.

        Nothing is run: the verdict follows from the structure and from what each part `needs`. `when`, `select` and the
        trigger count, and what an action itself decides by; `until` ends, a gate judges, a panel checks answers.
        Embeddings that nothing was learned for, and a probe that is not the model, are not the model's state. Prendki
        2023, Workflows for Data-Centric AI.
        """
        return qualify(
            self.rules,
            until=self.until,
            model=self.model,
            probe=self.probe,
            trigger=self.trigger,
            every=self.every,
            tune=self.tune,
        )

    @property
    def asks_people(self) -> bool:
        """Whether some rule may have to wait for people."""
        return any(rule.waits for rule in self.rules.values())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON: enough to go on with it in another process."""
        return {
            "dataset": {
                "path": str(self.dataset.path.resolve()),
                "branch": self.dataset.branch_name,
                "durability": self.dataset.durability,
            },
            "model": to_json(self.model),
            "rules": {name: rule.to_json() for name, rule in self.rules.items()},
            "until": self.until.to_json(),
            "report": [q.to_json() for q in self.report],
            "probe": to_json(self.judge),
            "seed": self.seed,
            "name": self.name,
            "every": self.every,
            "trigger": None if self.trigger is None else self.trigger.to_json(),
            # left out where nothing is tuned, so that a run begun before there was such a thing goes on
            **({} if self.tune is None else {"tune": self.tune.to_json()}),
            **({} if self.gate is None else {"gate": self.gate.to_json()}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Workflow":
        """Rebuild it from JSON; the user's functions in it must be importable."""
        place = data["dataset"]
        return cls(
            dataset=Dataset.open(place["path"], branch=place["branch"], durability=place["durability"]),
            model=from_json(data["model"]),
            rules={name: from_json(rule) for name, rule in data["rules"].items()},
            until=from_json(data["until"]),
            report=tuple(from_json(q) for q in data["report"]),
            probe=from_json(data["probe"]),
            seed=data["seed"],
            name=data["name"],
            every=data.get("every"),
            trigger=from_json(data.get("trigger")),
            tune=from_json(data.get("tune")),
            gate=from_json(data.get("gate")),
        )

    def spec_hash(self) -> str:
        """Return a hash of all that decides what it does; where the dataset lies does not enter."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        spec = self.to_json() | {"dataset": self.dataset.branch_name}
        return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]

    def state(self, version: int, model: str | None, rounds: Iterable[Round] = ()) -> State:
        """Return the state of the dataset at a version with a trained model's outputs."""
        outputs = _outputs(self.dataset.path / "outputs" / model) if model else None
        return State(self.dataset.at(version), outputs, tuple(rounds), self.seed)

    def draw(
        self, *, direction: Literal["right", "down"] = "right", states: Mapping[str, str] | None = None
    ) -> Drawing:
        """Draw it: `workflow.draw().save("loop.svg")`, or as the last line of a notebook's cell.

        `direction`: "down" suits a narrow page. `states`: for nodes by name ("train", "rule:ask", "gate:fix",
        "gate", "panel:crowd", "panel:crowd/expert"; all are in `draw().graph.ids`) how they are: "running", "waiting",
        "skipped", "rolled-back", "done", "failed" or "idle". UsageError for what is not there.
        """
        return draw(self, direction=direction, states=states)

    def __repr__(self) -> str:
        rules = "".join(f"\n        {json.dumps(name)}: {rule!r}," for name, rule in self.rules.items())
        lines = [
            "Workflow(",
            f"    dataset={self.dataset!r},",
            f"    model={self.model!r},",
            f"    rules={{{rules}\n    }},",
            f"    until={self.until!r},",
            *([f"    every={json.dumps(self.every)},"] if self.every else []),
            *([f"    trigger={self.trigger!r},"] if self.trigger is not None else []),
            *([f"    tune={self.tune!r},"] if self.tune is not None else []),
            *([f"    gate={self.gate!r},"] if self.gate is not None else []),
            ")",
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            ["model", repr(self.model)],
            *[row for name, rule in self.rules.items() for row in _drawn(name, rule)],
            *([["tune", repr(self.tune)]] if self.tune is not None else []),
            *([["gate of each round", repr(self.gate)]] if self.gate is not None else []),
            ["until", repr(self.until)],
        ]
        return f"<div>{self.draw().svg}{table(f'Workflow on {self.dataset!r}', ['part', 'value'], rows)}</div>"


def _outputs(folder: Path) -> Outputs:
    try:
        made = (folder / "ids.npy").stat()
    except FileNotFoundError:
        return Outputs(folder)  # says what is missing when it is asked
    return _kept(folder, made.st_ino, made.st_mtime_ns)  # one made anew in its place is another


@lru_cache(maxsize=8)
def _kept(folder: Path, *_made: int) -> Outputs:
    # One round looks at the same few models a dozen times, and to open an array costs 0.3 ms.
    return Outputs(folder)


def _drawn(name: str, rule: Rule) -> list[list[str]]:
    """Return the rows that show a rule; the stages of a panel stand below it, as a workflow of their own."""
    panels = [value for value in rule.walk() if isinstance(value, Panel)]
    stages = [[f"rule {name}: {panel.name}, {stage}", what] for panel in panels for stage, what in panel.stages]
    return [[f"rule {name}", repr(rule)], *stages]
