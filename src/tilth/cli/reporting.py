"""`tilth report`: what a run did, as one file that opens offline."""

from pathlib import Path

from tilth.cli.opening import open_dataset
from tilth.cli.terminal import say, working
from tilth.errors import NotFound
from tilth.report import report as write
from tilth.runs.base import newest_run

__all__ = ["report"]


def report(what: Path, which: str | None, *, out: Path | None, force: bool, engine: str | None) -> None:
    """Write the report of a run; `what` is a run in this folder or in another, or a project."""
    project, name = (what, which) if what.exists() else (what.parent, which or what.name)
    run = newest_run(open_dataset(project), name, engine=engine)
    if run is None:
        raise NotFound("no run yet; `tilth run FILE` starts one")
    path = out or Path(f"{run.name}.html")
    with working(f"writing {path}"):
        write(run, path, overwrite=force)
    say(f"{path}: {path.stat().st_size / 1e3:,.0f} kB, opens in any browser, offline")
