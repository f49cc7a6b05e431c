"""What the page of a run shows of its rounds: the table, the curve, and each version with what changed in it."""

import math
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from tilth.dataset import Dataset
from tilth.runs import Run
from tilth.runs.telling import did, metric_names

__all__ = ["changed", "curve", "rounds", "versions"]


def rounds(run: Run) -> list[dict[str, Any]]:
    """Return a row for each round: metrics on valid and test, and what each rule did, or why not."""
    found = run.rounds
    took = _took(run)
    rows: list[dict[str, Any]] = []
    for r in found:
        rules = [_rule(run, name, said) for name, said in r.rules.items()]
        rows.append(
            {
                "round": r.round,
                "version": r.version,
                "spent": r.labels_spent,
                "cost": r.cost,
                "valid": r.metrics,
                "test": r.test,
                "rules": rules,
                "tuned": r.tuned.get("said", ""),
                "seconds": took.get(r.round, 0.0),
            }
        )
    for before, row in pairwise(rows):
        row["before"] = before["version"]
    return rows


def _rule(run: Run, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    rule = run.spec["rules"].get(name)
    done = did("" if rule is None else rule["do"]["$"], said)
    return {"name": name, "text": done.text, "mood": done.mood, "why": said.get("why", ""), "n": said.get("n", 0)} | {
        "version": said.get("version")
    }


def _took(run: Run) -> dict[int, float]:
    """Return the seconds that the finished steps of each round took."""
    out: dict[int, float] = {}
    for step in run.steps:
        head = step["key"].split("/")[0][1:]
        if head.isdigit():
            out[int(head)] = out.get(int(head), 0.0) + step["seconds"]
    return out


def curve(run: Run) -> dict[str, Any]:
    """Return the learning curve as columns, a place a round: what it is drawn over, and each metric; null = none."""
    found = run.rounds
    ended = {s["key"]: s["finished"] for s in run.steps}
    listed = metric_names(found)
    return {
        "round": [r.round for r in found],
        "version": [r.version for r in found],
        "labels": [r.labels_spent for r in found],
        "minutes": [
            round(max(0.0, ended.get(f"r{r.round}/evaluate", run.started) - run.started) / 60, 3) for r in found
        ],
        "valid": {name: [_finite(r.metrics.get(name)) for r in found] for name in listed},
        "test": {name: [_finite(r.test.get(name)) for r in found] for name in listed},
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def versions(dataset: Dataset, run: Run) -> list[dict[str, Any]]:
    """Return the versions that a run made or began with, oldest first: by which rule, in which round, and why."""
    wanted = {r.version for r in run.rounds}
    return [
        {
            "version": commit.version,
            "rule": commit.rule,
            "round": commit.round if commit.run == run.name else None,
            "message": commit.message,
            "undoes": commit.meta.get("undoes"),
        }
        for commit in dataset.log()
        if commit.run == run.name or commit.version in wanted
    ]


def changed(dataset: Dataset, version: int, *, most: int) -> dict[str, Any]:
    """Return what one version changed: counts by kind, and the first records of it."""
    if version == 0:
        return {"counts": [(len(dataset.at(0)), "records imported")], "rows": [], "total": 0}
    found = dataset.diff(version - 1, version)
    return {
        "counts": [(n, _many(what, n)) for what, n in Counter(found["what"].to_pylist()).most_common()],
        "rows": found.slice(0, most).to_pylist(),
        "total": found.num_rows,
    }


def _many(what: str, n: int) -> str:
    """Return what changed in words that follow a number: labels, weights, splits and contents are set, records come."""
    return f"{what}{'' if n == 1 else 's'} set" if what in ("label", "weight", "split", "content") else what
