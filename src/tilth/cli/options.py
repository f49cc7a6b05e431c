"""The group of commands, and the arguments and options that several of them share."""

from pathlib import Path
from typing import Annotated

import typer

from tilth.cli.guard import Guarded, trace

__all__ = ["Engine", "FilePath", "Json", "ProjectPath", "RunName", "Traceback", "WorkflowName", "app"]

app = typer.Typer(
    cls=Guarded,
    help="Run the loop of data-centric AI: a model's state decides which records change, and how.",
    epilog="Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 waiting for people, 130 stopped by Ctrl-C.",
    no_args_is_help=True,
    # rich would draw help and tracebacks: 120 ms for every command, and boxes that no pipe reads
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

ProjectPath = Annotated[Path, typer.Argument(metavar="PROJECT", help="The project's folder, or a dataset's.")]
FilePath = Annotated[Path, typer.Argument(metavar="FILE", help="The workflow's file, or the project's folder.")]
WorkflowName = Annotated[str | None, typer.Option("--name", help="Which workflow, where the file has several.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
Traceback = Annotated[
    bool,
    typer.Option(
        "--traceback",
        callback=trace,
        expose_value=False,
        envvar="TILTH_TRACEBACK",
        help="Show where in the code an error came from.",
    ),
]
RunName = Annotated[str | None, typer.Option("--run", metavar="RUN", help="Which run; the newest if left out.")]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="URL",
        envvar="TILTH_ENGINE",
        help="Where runs are kept, if not beside the dataset: postgresql://user@host/database.",
    ),
]
