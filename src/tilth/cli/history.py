"""`tilth log` and `tilth diff`: what changed from version to version, and why."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from tilth.cli.opening import open_dataset
from tilth.cli.terminal import say, table, working
from tilth.cli.words import as_json, clean, count, number, rows
from tilth.dataset import Dataset

__all__ = ["diff", "log", "when"]


def log(project: Path, *, branch: str, json: bool) -> None:
    """List the versions of a branch, oldest first."""
    dataset = open_dataset(project, branch=branch)
    commits = dataset.log()
    found: list[dict[str, Any]] = []
    with working(f"reading {count(len(commits), 'version')}") as progress:
        for commit in commits:
            found.append(
                {
                    "version": commit.version,
                    "time": commit.time,
                    "rule": commit.rule,
                    "round": commit.round if commit.round >= 0 else None,
                    "run": commit.run,
                    "actor": commit.actor,
                    "message": commit.message,
                    "changes": _changes(dataset, commit.version, commit.n_added),
                    "meta": dict(commit.meta),
                }
            )
            progress(len(found), len(commits))
    if json:
        say(as_json({"dataset": str(dataset.path.resolve()), "branch": branch, "versions": found}))
        return
    shown = [
        [
            str(c["version"]),
            when(c["time"]),
            c["rule"] or c["actor"],
            "" if c["round"] is None else str(c["round"]),
            _counted(c["changes"]),
            c["message"],
        ]
        for c in found
    ]
    table(["version", "time", "rule", "round", "what", "why"], shown, right=["version", "round"])


def _changes(dataset: Dataset, version: int, added: int) -> dict[str, int]:
    if version == 0:
        return {"added": added} if added else {}
    return dict(Counter(dataset.diff(version - 1, version)["what"].to_pylist()))


def _counted(changes: dict[str, int]) -> str:
    """Return what a version changed: +added, -removed, ~changed, and what was asked and answered."""
    signs = {"added": "+{} added", "removed": "-{} removed", "asked": "{} asked", "answered": "{} answered"}
    return ", ".join(
        signs[what].format(f"{n:,}") if what in signs else f"~{count(n, what)}" for what, n in changes.items()
    )


def diff(project: Path, a: int, b: int | None, *, limit: int, json: bool) -> None:
    """Tell what differs between two versions: in numbers, then record by record."""
    dataset = open_dataset(project)
    b = dataset.version if b is None else b
    with working(f"comparing versions {a} and {b}"):
        found = dataset.diff(a, b)
    counts = Counter(zip(found["what"].to_pylist(), found["rule"].to_pylist(), strict=True))
    shown = (found if limit <= 0 else found.slice(0, limit)).to_pylist()
    if json:
        summary = [{"what": what, "rule": rule, "records": n} for (what, rule), n in counts.items()]
        out = {
            "dataset": str(dataset.path.resolve()),
            "a": a,
            "b": b,
            "summary": summary,
            "rows": shown,
            "total": found.num_rows,
        }
        say(as_json(out))
        return
    if not counts:
        say(f"versions {a} and {b} hold the same data")
        return
    say(f"from version {a} to {b}:")
    table(
        ["what", "by", "records"],
        [[what, f"rule {rule}" if rule else "", f"{n:,}"] for (what, rule), n in counts.most_common()],
        right=["records"],
        indent=2,
    )
    say()
    table(
        ["key", "what", "before", "after", "by", "score", "why"],
        [
            [r["key"], r["what"], r["before"], r["after"], r["rule"] or r["actor"], number(r["score"]), r["reason"]]
            for r in shown
        ],
        right=["score"],
    )
    more = rows(found.num_rows, limit)
    if more:
        say(clean(more))


def when(time: float) -> str:
    """Return a moment in this machine's own time, to the minute."""
    return datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d %H:%M")
