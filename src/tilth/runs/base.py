"""`Run`: what a run did, read from the journal and the record store."""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.html import table
from tilth.runs.engines import database_of, project_of
from tilth.runs.home import home_of, is_held, journal_of
from tilth.runs.workers import Workers
from tilth.state import Round
from tilth.tuning import best

__all__ = ["Run"]


class Run:
    """A run of a workflow: its state, its rounds, what each rule did; as a table, a plot, or HTML in a notebook."""

    def __init__(self, dataset: Dataset, name: str | None = None, *, engine: str | None = None) -> None:
        self.dataset = dataset
        journal = journal_of(dataset.path, engine)
        try:
            about = journal.run(name)
            self.name: str = about["run"]
            self.state: str = about["state"]
            self.why: str = about["why"]
            self.branch: str = about["branch"]
            self.started: float = about["started"]
            self.ended: float | None = about["ended"]
            self.source: str = about["source"]
            self.spec = journal.spec(about["spec"])
            self.steps = journal.steps(self.name)
        finally:
            journal.close()
        self.engine = engine
        self.home: Path = home_of(dataset.path)

    @property
    def at_work(self) -> bool:
        """Whether a process is at work on it now."""
        if self.state not in ("running", "waiting", "queued"):
            return False
        if self.engine is None:
            return is_held(self.home, self.name)
        with contextlib.closing(Workers(database_of(self.engine))) as workers:
            return any(held["run"] == self.name for held in workers.held(project_of(self.dataset.path)))

    @property
    def standing(self) -> str:
        """Its state, or "resting" where it should be running and no process is at work on it."""
        return "resting" if self.state == "running" and not self.at_work else self.state

    @property
    def rounds(self) -> list[Round]:
        """The rounds that have been evaluated, with what each rule did as far as it has come."""
        results = {step["key"]: step["result"] for step in self.steps}
        if "outcome" in results:
            return [Round(**r) for r in results["outcome"]["rounds"]]
        out: list[Round] = []
        while f"r{len(out)}/evaluate" in results:
            r = len(out)
            found, start, model = results[f"r{r}/evaluate"], results[f"r{r}/start"], results[f"r{r}/train"]
            out.append(
                Round(
                    r,
                    start["version"],
                    model["ref"],
                    found["metrics"],
                    found["test"],
                    found["labels_spent"],
                    found["cost"],
                    self._rules(r, results),
                    tuned=found.get("tuned", {}),
                )
            )
        return out

    @property
    def best(self) -> Round:
        """The round that it stands for: the newest, or where the model is tuned the one with the best so far."""
        rounds = self.rounds
        if not rounds:
            raise UsageError(f"{self.name} has not evaluated a model yet; look again when its first round is trained")
        return rounds[best(rounds)]

    @property
    def version(self) -> int:
        """The version of its newest round."""
        rounds = self.rounds
        return rounds[-1].version if rounds else 0

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, one row a round: spent, metrics (`test:` on test), changes by each rule."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for r in self.rounds:
            row: dict[str, Any] = {
                "round": r.round,
                "version": r.version,
                "labels_spent": r.labels_spent,
                "cost": r.cost,
            }
            row |= dict(r.metrics) | {f"test:{k}": v for k, v in r.test.items()}
            row |= {f"rule:{name}": did.get("n", 0) if did.get("kept", True) else 0 for name, did in r.rules.items()}
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(self, metric: str | None = None) -> Any:
        """Return a matplotlib figure: the metric against labels spent and rounds, changes marked."""
        from tilth.runs.plot import plot

        why = f": {self.why}" if self.why else ""
        return plot(self.rounds, f"{self.dataset.name}, {self.name} ({self.state}{why})", metric)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "run": self.name,
            "state": self.standing,
            "why": self.why,
            "branch": self.branch,
            "dataset": str(self.dataset.path),
            "version": self.version,
            "rounds": [asdict(r) for r in self.rounds],
        }

    def __repr__(self) -> str:
        why = f", {self.why}" if self.why else ""
        return f"Run({self.name!r} on {self.dataset.name!r}: {self.state}, {len(self.rounds)} rounds{why})"

    def _repr_html_(self) -> str:
        frame = self.to_frame()
        return table(repr(self), [str(c) for c in frame.columns], frame.to_numpy().tolist())

    def _rules(self, r: int, results: dict[str, Any]) -> dict[str, dict[str, Any]]:
        out: dict[str, dict[str, Any]] = {}
        for name in self.spec["rules"]:
            did = results.get(f"r{r}/{name}/propose")
            if did is not None:
                verdict = results.get(f"r{r}/{name}/gate/judge", {})
                if did["n"] and verdict.get("kept") is not False and f"r{r}/gate/judge" in results:
                    verdict = results[f"r{r}/gate/judge"] | {"together": True}
                out[name] = {"n": did["n"], "why": did["why"], **verdict}
        return out
