"""The commands that write: `tilth rollback`, `tilth export`, `tilth demo`."""

import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from tilth.cli.opening import open_dataset
from tilth.cli.terminal import note, say, working
from tilth.cli.words import clean, count
from tilth.dataset.undoing import spoken
from tilth.errors import MissingExtra, UsageError
from tilth.runs.base import newest_run

__all__ = ["demo", "export", "rollback"]


def rollback(project: Path, version: int, *, yes: bool) -> None:
    """Say what going back to a version would do, ask, and do it."""
    dataset = open_dataset(project)
    counts = dataset.would_roll_back(version)
    if not any(n for what, n in counts.items() if what != "kept"):
        say(f"version {dataset.version} holds the data of version {version} already: {spoken(counts)}")
        return
    say(f"from version {dataset.version} back to {version}: {spoken(counts)}")
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
