"""The commands that write: `tilth rollback`, `tilth export`, `tilth demo`."""

import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from tilth.cli.loading import newest_run, open_dataset
from tilth.cli.terminal import note, say, working
from tilth.cli.words import clean, count
from tilth.dataset import Dataset
from tilth.dataset.view import ANSWERED, PENDING
from tilth.errors import MissingExtra, UsageError

__all__ = ["demo", "export", "rollback", "would_change"]


def rollback(project: Path, version: int, *, yes: bool) -> None:
    """Say what going back to a version would do, ask, and do it."""
    dataset = open_dataset(project)
    counts = would_change(dataset, version)
    parts = [
        f"{does} {count(counts[what], one, many)}{end}"
        for does, what, one, many, end in (
            ("removes", "removed", "record", "records", ""),
            ("restores", "restored", "record", "records", ""),
            ("sets", "labels", "label", "labels", " back"),
            ("sets", "others", "weight, split or content", "weights, splits and contents", " back"),
            ("withdraws", "withdrawn", "question", "questions", ""),
        )
        if counts[what]
    ]
    if not parts:
        say(f"version {dataset.version} holds the data of version {version} already: nothing to do{_staying(counts)}")
        return
    say(f"from version {dataset.version} back to {version}: {', '.join(parts)}{_staying(counts)}")
    run = newest_run(dataset)
    if run is not None and run.at_work:
        note(f"{run.name} is running: it sees this from its next round on")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to ask: add --yes to do it")
        if not typer.confirm("Do it?", default=False, err=True):
            say("nothing was changed")
            return
    done = dataset.rollback(version)
    say(f"version {done.version}: {clean(done.message)}")


def would_change(dataset: Dataset, version: int) -> dict[str, int]:
    """Return what a rollback would do, in numbers.

    Records `removed` and `restored`, `labels` and `others` (weights, splits, contents) set back, questions `withdrawn`,
    and labels `kept` because people gave them since then.
    """
    then, now = dataset.at(version).view, dataset.view
    old = len(then)
    alive = now.alive[:old]
    given = (now.asked[:old] == ANSWERED) & (then.asked != ANSWERED)
    back = dict.fromkeys(("label", "weight", "split", "payload"), 0)
    kept = 0
    for name in back:
        before, after = getattr(then, name), getattr(now, name)[:old]
        differs = then.known & (before != after) & ~((before != before) & (after != after))  # NaN is no label
        if name == "label":
            kept = int((differs & given).sum())
            differs &= ~given
        back[name] = int(differs.sum())
    return {
        "removed": int((alive & ~then.alive).sum() + now.alive[old:].sum()),
        "restored": int((then.alive & ~alive).sum()),
        "labels": back["label"],
        "others": sum(back.values()) - back["label"],
        "withdrawn": int(((now.asked[:old] == PENDING) & (then.asked != PENDING)).sum())
        + int((now.asked[old:] == PENDING).sum()),
        "kept": kept,
    }


def _staying(counts: dict[str, int]) -> str:
    kept = counts["kept"]
    return f"; {count(kept, 'label')} that people gave {'stays' if kept == 1 else 'stay'}" if kept else ""


def export(project: Path, path: Path, *, version: int | None, history: bool) -> None:
    """Write a version to a file, or all of them to a folder."""
    dataset = open_dataset(project)
    if version is not None:
        dataset = dataset.at(version)
    with working(f"writing {path}"):
        written = dataset.export(path, history=history)
    if history:
        say(f"{written}: versions 0 to {dataset.version}, every table ({_size(written)})")
    else:
        say(f"{written}: version {dataset.version}, {count(len(dataset), 'record')} ({_size(written)})")


def demo(out: Path, *, seeds: int, budget: int) -> None:
    """Run the demo into a folder; MissingExtra where the libraries that it compares with are not installed."""
    for package in ("matplotlib", "optuna"):
        if find_spec(package) is None:
            raise MissingExtra("tilth demo", package, extra="demo")
    from tilth.demo import demo as go

    go(out, seeds=seeds, budget=budget)


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    size = sum(f.stat().st_size for f in files)
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"
