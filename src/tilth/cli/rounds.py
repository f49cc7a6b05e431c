"""A round of a run as a line or a row of the terminal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tilth.cli.words import clean, count, number
from tilth.runs.telling import Did
from tilth.workflow import Workflow

__all__ = ["Row", "read_row"]


@dataclass
class Row:
    """One round as it is shown: `valid` and `test` hold a number for each reported metric, None while there is none."""

    round: int
    version: int
    labels: int
    valid: list[float | None]
    test: list[float | None]
    rules: dict[str, Did] = field(default_factory=dict[str, Did])

    def line(self, metrics: list[str]) -> str:
        """Return it as one line of text."""
        shown = "; ".join(
            f"{name} {number(valid)}{f' (test {number(test)})' if test is not None else ''}"
            for name, valid, test in zip(metrics, self.valid, self.test, strict=True)
        )
        rules = "".join(f"; {clean(name)}: {did.text}" for name, did in self.rules.items())
        return f"round {self.round}: version {self.version}, {count(self.labels, 'label')} spent; {shown}{rules}"


def read_row(workflow: Workflow, event: Mapping[str, Any]) -> Row:
    """Return the row of a round that was just evaluated."""
    names = [repr(q) for q in workflow.report]
    tuned = event.get("tuned")
    return Row(
        event["round"],
        event["version"],
        event["labels_spent"],
        [event["metrics"].get(name) for name in names],
        [event["test"].get(name) for name in names],
        {} if tuned is None else {"model": Did(clean(tuned["said"]), "done")},
    )
