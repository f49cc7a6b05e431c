"""The commands and their options; what they do stands in modules that are loaded when a command is called."""

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tilth.cli import lifecycle as _  # noqa: F401  its commands join the group
from tilth.cli.options import Engine, FilePath, Json, ProjectPath, RunName, Traceback, WorkflowName, app

__all__ = ["app", "main"]


class Kind(StrEnum):
    """What a label is."""

    CLASS = "class"
    CLASSES = "classes"
    NUMBER = "number"


class OnError(StrEnum):
    """What happens to a row that cannot be imported."""

    RAISE = "raise"
    QUARANTINE = "quarantine"


class Missing(StrEnum):
    """What a missing number is."""

    ERROR = "error"
    KEEP = "keep"


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tilth {version('tilth')}")
        raise typer.Exit


@app.callback()
def tilth(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Run the loop of data-centric AI: a model's state decides which records change, and how."""


@app.command()
def new(
    name: Annotated[Path | None, typer.Argument(metavar="NAME", help="The folder to make.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="SOURCE", help="A table, a text file, or a folder of images or wav files."),
    ] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column of labels.")] = None,
    key: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that names records.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="What a label is; found out by itself as a rule.")] = None,
    classes: Annotated[str | None, typer.Option(metavar="A,B,...", help="The classes, where no label tells.")] = None,
    split: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of splits: train, valid, test.")
    ] = None,
    hidden: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column that models must not see; several times.")
    ] = None,
    on_error: Annotated[OnError, typer.Option(help="quarantine: import the good rows, list the others.")] = (
        OnError.RAISE
    ),
    missing: Annotated[Missing, typer.Option(help="keep: numbers may be missing.")] = Missing.ERROR,
    stratify: Annotated[bool, typer.Option("--stratify", help="Draw the splits class by class.")] = False,
    seed: Annotated[int, typer.Option(help="The splits are drawn from it.")] = 0,
    pattern: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which workflow, such as active-learning; 'list' shows all.")
    ] = None,
    _traceback: Traceback = False,
) -> None:
    """Make a project: a dataset, and a workflow that runs at once."""
    from tilth.cli.new import new as make

    make(
        name,
        source,
        label=label,
        key=key,
        kind=kind and kind.value,
        classes=None if classes is None else [c.strip() for c in classes.split(",")],
        split=split,
        hidden=hidden or [],
        on_error=on_error.value,
        missing=missing.value,
        stratify=stratify,
        seed=seed,
        pattern=pattern,
    )


@app.command()
def run(
    file: FilePath,
    name: WorkflowName = None,
    which: RunName = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="Go on with an edited workflow from the next round.")] = False,
    inline: Annotated[bool, typer.Option("--inline", help="Train in this process instead of a child.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Where people have to answer, stop with exit code 3 instead of waiting.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; `tilth watch` shows it.")] = False,
    engine: Engine = None,
    json: Json = False,
    _traceback: Traceback = False,
) -> None:
    """Run a workflow, or go on with the run that was stopped."""
    from tilth.cli.running import Wish
    from tilth.cli.running import run as go

    wish = Wish(name=name, run=which, adopt=adopt, inline=inline, wait=not no_wait, engine=engine, json=json)
    go(file, wish, detach=detach)


@app.command()
def explain(file: FilePath, name: WorkflowName = None, json: Json = False, _traceback: Traceback = False) -> None:
    """Tell what each rule would change now; nothing is changed."""
    from tilth.cli.explaining import explain as look

    look(file, name=name, json=json)


@app.command()
def status(
    project: ProjectPath = Path(), engine: Engine = None, json: Json = False, _traceback: Traceback = False
) -> None:
    """Tell how the data and the last run are, and what to do next."""
    from tilth.cli.status import status as look

    look(project, engine=engine, json=json)


@app.command()
def log(
    project: ProjectPath = Path(),
    branch: Annotated[str, typer.Option(help="The branch to list.")] = "main",
    json: Json = False,
    _traceback: Traceback = False,
) -> None:
    """List the versions: when, by which rule, what changed."""
    from tilth.cli.history import log as look

    look(project, branch=branch, json=json)


@app.command()
def diff(
    project: ProjectPath,
    a: Annotated[int, typer.Argument(metavar="A", help="A version.")],
    b: Annotated[int | None, typer.Argument(metavar="B", help="Another one; the newest if left out.")] = None,
    limit: Annotated[int, typer.Option(help="Records to list; 0: all.")] = 20,
    json: Json = False,
    _traceback: Traceback = False,
) -> None:
    """Tell what differs between two versions, and why."""
    from tilth.cli.history import diff as look

    look(project, a, b, limit=limit, json=json)


@app.command()
def why(
    project: ProjectPath,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The record's key.")],
    json: Json = False,
    _traceback: Traceback = False,
) -> None:
    """Tell all that happened to one record, and why."""
    from tilth.cli.record import why as look

    look(project, key, json=json)


@app.command()
def rollback(
    project: ProjectPath,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="The version to go back to.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    _traceback: Traceback = False,
) -> None:
    """Go back to an earlier version; what people answered stays.

    It is a new version, so that nothing is lost.
    """
    from tilth.cli.changing import rollback as go

    go(project, version, yes=yes)


@app.command()
def export(
    project: ProjectPath,
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A .parquet, .csv or .jsonl file; with --history a folder.")
    ],
    version: Annotated[int | None, typer.Option(help="The version; the newest if left out.")] = None,
    history: Annotated[bool, typer.Option("--history", help="Every table, from which any version follows.")] = False,
    _traceback: Traceback = False,
) -> None:
    """Write a version to a file, or all of them to a folder."""
    from tilth.cli.changing import export as go

    go(project, path, version=version, history=history)


@app.command()
def signals(
    project: ProjectPath,
    signal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIGNAL", help='What to compute, such as "margin()"; several times. All that can be if left out.'
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A .parquet file to write: key, label, split, a column a signal."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the signals and what each needs; compute nothing.")
    ] = False,
    which: RunName = None,
    engine: Engine = None,
    json: Json = False,
    _traceback: Traceback = False,
) -> None:
    """Compute signals of every record, by the data and the newest model of a run."""
    from tilth.cli.signals import list_signals
    from tilth.cli.signals import signals as go

    if list_:
        list_signals(project, which, engine=engine, json=json)
    else:
        go(project, signal or [], out=out, which=which, engine=engine, json=json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder for its data and its report.")] = Path("tilth-demo"),
    seeds: Annotated[int, typer.Option(min=1, help="How often it is done, each time on other data.")] = 5,
    budget: Annotated[int, typer.Option(min=1, help="How many labels may be asked for each time.")] = 300,
    _traceback: Traceback = False,
) -> None:
    """See the whole loop run on real digits, and what it is worth."""
    from tilth.cli.changing import demo as go

    go(out, seeds=seeds, budget=budget)


def main() -> None:
    """Run the command that the command line names."""
    for stream in (sys.stdout, sys.stderr):
        # a key may hold what the terminal's encoding cannot show, and that is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app()
