"""The commands on runs (list, watch, pause, resume, cancel, fork, delete, worker) and on people (label, retry)."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tilth.cli.options import Engine, Json, ProjectPath, RunName, Traceback, WorkflowName, app

__all__: list[str] = []


class RoleName(StrEnum):
    """What somebody may do on the page."""

    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    OWNER = "owner"


PanelName = Annotated[
    str | None, typer.Option("--panel", metavar="NAME", help="Only a panel: whether its tasks are given out.")
]


@app.command("list")
def list_(
    project: ProjectPath = Path(), engine: Engine = None, json: Json = False, _traceback: Traceback = False
) -> None:
    """List the runs of a project, forks included: how each is and what it waits for."""
    from tilth.cli.lives import list_runs

    list_runs(project, engine=engine, json=json)


@app.command()
def watch(
    project: ProjectPath = Path(), which: RunName = None, engine: Engine = None, _traceback: Traceback = False
) -> None:
    """Show a run that goes on elsewhere, step by step, until it stops. Ctrl-C leaves it running."""
    from tilth.cli.lives import watch as look

    look(project, which, engine=engine)


@app.command()
def pause(
    project: ProjectPath = Path(),
    which: RunName = None,
    panel: PanelName = None,
    engine: Engine = None,
    _traceback: Traceback = False,
) -> None:
    """Let a run stop after the step that is under way; `tilth resume` goes on."""
    from tilth.cli.lives import pause as go

    go(project, which, panel=panel, engine=engine)


@app.command()
def resume(
    project: ProjectPath = Path(),
    which: RunName = None,
    panel: PanelName = None,
    name: WorkflowName = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="Go on with an edited workflow from the next round.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Where people have to answer, stop with exit code 3 instead of waiting.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background; `tilth watch` shows it.")] = False,
    engine: Engine = None,
    json: Json = False,
    _traceback: Traceback = False,
) -> None:
    """Go on with a run that was paused, stopped, or failed; the same as `tilth run` on its file."""
    from tilth.cli.lives import resume as go
    from tilth.cli.lives import resume_panel
    from tilth.cli.running import Wish

    if panel is not None:
        resume_panel(project, panel, engine=engine)
        return
    wish = Wish(name=name, run=which, adopt=adopt, inline=False, wait=not no_wait, engine=engine, json=json)
    go(project, wish, detach=detach)


@app.command()
def report(
    what: Annotated[
        Path, typer.Argument(metavar="RUN", help="Such as run-1, birds/run-1, or a project for its newest run.")
    ] = Path(),
    which: RunName = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to; RUN.html if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    engine: Engine = None,
    _traceback: Traceback = False,
) -> None:
    """Write what a run did as one HTML file that opens offline: curves, changes and their worth, examples, cost."""
    from tilth.cli.reporting import report as go

    go(what, which, out=out, force=force, engine=engine)


@app.command()
def cancel(
    project: ProjectPath = Path(),
    which: RunName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    engine: Engine = None,
    _traceback: Traceback = False,
) -> None:
    """End a run for good, also in the middle of a training. What it changed stays; answers are taken first."""
    from tilth.cli.lives import cancel as go

    go(project, which, yes=yes, engine=engine)


@app.command()
def fork(
    project: ProjectPath,
    from_round: Annotated[int, typer.Option("--from-round", min=0, help="The first round that runs anew.")],
    which: RunName = None,
    edit: Annotated[
        Path | None, typer.Option("--edit", metavar="FILE", help="The workflow's file to go on with from there.")
    ] = None,
    name: WorkflowName = None,
    engine: Engine = None,
    json: Json = False,
    _traceback: Traceback = False,
) -> None:
    """Make a run that shares the earlier rounds of another, on a branch of its own; that one stays as it is."""
    from tilth.cli.lives import fork as go

    go(project, which, from_round=from_round, edit=edit, name=name, engine=engine, json=json)


@app.command()
def delete(
    project: ProjectPath,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run, such as run-2.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    engine: Engine = None,
    _traceback: Traceback = False,
) -> None:
    """Forget a run: its steps, its questions and files. What it changed in the data stays."""
    from tilth.cli.lives import delete as go

    go(project, run, yes=yes, engine=engine)


@app.command()
def worker(
    engine: Engine = None,
    at_once: Annotated[int, typer.Option("--at-once", min=1, help="How many runs at a time.")] = 1,
    _traceback: Traceback = False,
) -> None:
    """Work on the runs of all projects of an engine, beside other workers, until Ctrl-C."""
    from tilth.cli.lives import work as go

    go(engine, at_once=at_once)


@app.command()
def label(
    project: ProjectPath = Path(),
    who: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Your name, in the records' history.")] = None,
    team: Annotated[str, typer.Option(help="The team for which you answer; any if left out.")] = "",
    blind: Annotated[bool, typer.Option("--blind", help="Show no suggestions.")] = False,
    out: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write open tasks to a .jsonl or .csv file instead.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Read answers from a .jsonl or .csv file instead.")
    ] = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="With --import: take the good lines, list the others.")
    ] = False,
    engine: Engine = None,
    json: Json = False,
    _traceback: Traceback = False,
) -> None:
    """Answer the questions of a project in the terminal, or by files from another tool."""
    from tilth.cli.labelling import label as go

    go(project, who, team=team, blind=blind, out=out, answers=answers, quarantine=quarantine, engine=engine, json=json)


@app.command()
def retry(
    project: ProjectPath,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The record's key.")],
    engine: Engine = None,
    _traceback: Traceback = False,
) -> None:
    """Send a record that was quarantined through its rule again, alone."""
    from tilth.cli.retrying import retry as go

    go(project, key, engine=engine)


@app.command()
def ui(
    project: ProjectPath = Path(),
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")] = 8321,
    allow_remote: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-remote", metavar="HOST", help="Answer beyond this machine, under this name; several times."
        ),
    ] = None,
    certificate: Annotated[Path | None, typer.Option("--tls-certificate", metavar="FILE", help="For https.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key.")] = None,
    browse: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the link in a browser.")] = True,
    engine: Engine = None,
    _traceback: Traceback = False,
) -> None:
    """Serve the page: runs live, records with their history, labelling by keys. On this machine only, until Ctrl-C."""
    from tilth.cli.ui import ui as go

    go(
        project,
        port=port,
        remote=allow_remote or [],
        certificate=certificate,
        key=tls_key,
        browse=browse,
        engine=engine,
    )


@app.command()
def invite(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Their name, as it will stand in the records' history.")],
    project: ProjectPath = Path(),
    role: Annotated[RoleName, typer.Option(help="What they may do.")] = RoleName.ANNOTATOR,
    revoke: Annotated[bool, typer.Option("--revoke", help="Let them in no more.")] = False,
    at: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where the page is reached, as it stands in the link.")
    ] = "http://127.0.0.1:8321",
    _traceback: Traceback = False,
) -> None:
    """Print a link that lets somebody into the page of a project, as an annotator, a reviewer or an owner."""
    from tilth.cli.ui import invite as go

    go(project, name, role=role.value, revoke=revoke, at=at)
