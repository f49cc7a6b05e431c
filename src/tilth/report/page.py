"""The report of a run as one HTML file: no script, nothing from outside, every text escaped."""

import json
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tilth.dataset import Dataset
from tilth.drawing import Drawing, recall
from tilth.errors import Exists
from tilth.html import clean
from tilth.report.chart import chart
from tilth.report.examples import examples
from tilth.report.worth import Change, changes
from tilth.runs import Run
from tilth.runs.lighting import light
from tilth.runs.telling import did, metric_names
from tilth.state import Round
from tilth.words import count, duration, number

__all__ = ["render", "report"]


def report(run: Run, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the report of a run to a file and return its path; Exists where there is one and not `overwrite`."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise Exists(f"{path} is there already; name another file, or say --force")
    text = render(run)
    path.write_text(text, encoding="utf-8")
    return path


def render(run: Run) -> str:
    """Return the report of a run as the text of one HTML file.

    In it: the workflow as a picture, the learning curves, each round, what each rule changed and what that was worth,
    examples before and after, what it cost, and how to repeat it. A run that is not over is told as far as it is.
    """
    dataset = Dataset.open(run.dataset.path, branch=run.branch)
    rounds = run.rounds
    made = changes(run)
    results = {step["key"]: step["result"] for step in run.steps}
    graph = recall(run.spec, dataset)
    lit = graph.lit(light(graph, run.spec, results, run.standing))
    return (
        _templates()
        .get_template("report.html")
        .render(
            run=run,
            name=dataset.name,
            standing=run.standing,
            wide=Drawing(lit).svg,
            tall=Drawing(lit, "down").svg,
            charts=_charts(rounds),
            headline=_headline(rounds),
            rounds=[_row(run, r) for r in rounds],
            metrics=list(rounds[-1].test or rounds[-1].metrics) if rounds else [],
            rules=_rules(run, made),
            changes=made,
            examples=examples(dataset, run),
            cost=_cost(run, rounds),
            repeat=_repeat(run, dataset, rounds),
            spec=json.dumps(run.spec, indent=2, ensure_ascii=False),
        )
    )


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("tilth.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["clean"] = clean
    made.filters["number"] = number
    return made


def _headline(rounds: list[Round]) -> list[str]:
    """Return what came of it, a sentence a reported metric."""
    if not rounds:
        return []
    first, last = rounds[0], rounds[-1]
    told: list[str] = []
    for name in last.test or last.metrics:
        line = f"{name} on valid: {number(first.metrics.get(name))} → {number(last.metrics.get(name))}"
        if name in last.test:
            line += (
                f"; on test, which nothing was decided by: {number(first.test.get(name))} → {number(last.test[name])}"
            )
        told.append(f"{line}.")
    return told


def _charts(rounds: list[Round]) -> list[dict[str, Any]]:
    """Return a chart for each metric that moves, over labels spent, or over rounds where no label was spent."""
    spent = any(r.labels_spent for r in rounds)
    over = "labels spent" if spent else "round"
    x = [float(r.labels_spent if spent else r.round) for r in rounds]
    marks = [f"round {r.round}, version {r.version}" for r in rounds]
    reported = list(dict.fromkeys(m for r in rounds for m in r.test)) or metric_names(rounds)
    out: list[dict[str, Any]] = []
    for name in reported:
        lines = {"valid": [r.metrics.get(name) for r in rounds], "test": [r.test.get(name) for r in rounds]}
        drawn = chart(name, over, x, lines, marks=marks)
        if drawn:
            out.append({"name": name, "svg": drawn})
    return out


def _row(run: Run, r: Round) -> dict[str, Any]:
    rules = run.spec["rules"]
    said = [(name, did(rules[name]["do"]["$"] if name in rules else "", one)) for name, one in r.rules.items()]
    return {"round": r, "tuned": r.tuned.get("said", ""), "rules": said}


def _rules(run: Run, made: list[Change]) -> list[dict[str, Any]]:
    """Return what each rule did in the whole run, and what its gate measured in all."""
    out: list[dict[str, Any]] = []
    for name in run.spec["rules"]:
        mine = [c for c in made if c.rule == name]
        kept = [c for c in mine if c.mood != "rejected"]
        judged = [c.gain for c in kept if c.alone]
        out.append(
            {
                "name": name,
                "rounds": len(mine),
                "kept": len(kept),
                "rejected": len(mine) - len(kept),
                "records": sum(c.records for c in kept),
                "answers": sum(c.answers for c in mine),
                "gain": sum(judged) if judged else None,
            }
        )
    return out


def _cost(run: Run, rounds: list[Round]) -> list[tuple[str, str]]:
    trained = sum(s["seconds"] for s in run.steps if s["key"].endswith("/train") or "/gate/with" in s["key"])
    spent = rounds[-1].labels_spent if rounds else 0
    at = run.ended or (run.steps[-1]["finished"] if run.steps else run.started)
    return [
        ("answers", f"{spent:,}"),
        ("what they cost", number(rounds[-1].cost if rounds else 0.0)),
        ("time from begin to end", duration(max(0.0, at - run.started))),
        ("time in training", duration(trained)),
        ("steps", f"{len(run.steps):,}"),
    ]


def _repeat(run: Run, dataset: Dataset, rounds: list[Round]) -> list[tuple[str, str]]:
    """Return what somebody needs who does it again, and by what they see that it came out the same."""
    first = rounds[0].version if rounds else dataset.version
    last = rounds[-1].version if rounds else dataset.version
    return [
        ("command", f"tilth run {Path(run.source).name or 'FILE'}"),
        ("seed", str(run.spec["seed"])),
        ("data at the beginning", f"version {first}, digest {dataset.at(first).digest()}"),
        ("data at the end", f"version {last}, digest {dataset.at(last).digest()}"),
        ("branch", run.branch),
        ("begun", datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("Tilth", f"{version('tilth')}, Python {platform.python_version()}"),
        ("rounds", count(len(rounds), "round")),
    ]
