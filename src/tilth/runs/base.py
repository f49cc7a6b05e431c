"""`Run`: what a run did, read from the journal and the record store."""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tilth.dataset import Dataset
from tilth.errors import NotFound, UsageError
from tilth.html import table
from tilth.runs.engines import database_of, project_of
from tilth.runs.home import home_of, is_held, journal_of
from tilth.runs.journal import Journal
from tilth.runs.workers import Workers
from tilth.state import Round
from tilth.tuning import best

__all__ = ["Run", "newest_run"]


class Run:
    """A run of a workflow: its state, its rounds, what each rule did; as a table, a plot, or HTML in a notebook."""

    def __init__(self, dataset: Dataset, name: str | None = None, *, engine: str | None = None) -> None:
        self.dataset = dataset
        journal = journal_of(dataset.path, engine)
        try:
            self.name: str = journal.run(name)["run"]
            self._spec = self.state = self.why = ""
            self.steps: list[dict[str, Any]] = []
            self.follow(journal)
        finally:
            journal.close()
        self.engine = engine
        self.home: Path = home_of(dataset.path)

    def follow(self, journal: Journal) -> bool:
        """Read on in its journal; return whether anything is new. NotFound where it was deleted."""
        about, new = journal.since(self.name, self.number)
        edited = about["spec"] != self._spec
        if edited:  # a workflow that was adopted may have changed a step that had finished
            self._spec = about["spec"]
            self.spec = journal.spec(self._spec)
            about, new = journal.since(self.name)
            self.steps = []
        before = (self.state, self.why)
        self.state = about["state"]
        self.why = about["why"]
        self.branch: str = about["branch"]
        self.started: float = about["started"]
        self.ended: float | None = about["ended"]
        self.source: str = about["source"]
        self.steps = [*self.steps, *new]
        return edited or bool(new) or before != (self.state, self.why)

    @property
    def number(self) -> int:
        """The number of its newest finished step in the journal, 0 before the first."""
        return self.steps[-1]["number"] if self.steps else 0

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
                came = _came_of(f"r{r}/{name}/", results, picks=not did["n"])
                out[name] = {"n": did["n"], "why": did["why"], **came, **verdict}
        return out


def _came_of(start: str, results: Mapping[str, Any], *, picks: bool) -> dict[str, Any]:
    """Return the version that a rule made in a round, what was left out of it, and the number of answers, if any.

    Or with `picks`, where nothing was picked, the number of answers that said so; else these are not counted.
    """
    ends = [k for k in results if k.startswith(start) and k.rsplit("/", 1)[1] in ("commit", "answers", "take")]
    ends = [k for k in ends if k.startswith(f"{start}pick/") == picks]
    out: dict[str, Any] = {"version": results[ends[-1]]["version"]} if ends and not picks else {}
    answers = [results[k]["n"] for k in ends if not k.endswith("/commit")]
    conflicts = sum(results[k].get("conflicts", 0) for k in ends)
    return out | ({"answers": sum(answers)} if answers else {}) | ({"conflicts": conflicts} if conflicts else {})


def newest_run(dataset: Dataset, name: str | None = None, *, engine: str | None = None) -> Run | None:
    """Return a run on a dataset, the newest without `name`; None where there has been none; nothing is written."""
    if engine is None and not (home_of(dataset.path) / "journal.sqlite").exists():
        return None
    try:
        return Run(dataset, name, engine=engine)
    except NotFound:
        if name is not None:
            raise
        return None
