"""`tilth draw`: a workflow as a picture."""

import contextlib
import sys
from pathlib import Path
from typing import Literal

from tilth.cli.loading import workflow_in
from tilth.cli.terminal import note, say
from tilth.cli.words import as_json

__all__ = ["draw"]


def draw(file: Path, *, name: str | None, out: Path | None, direction: Literal["right", "down"], json: bool) -> None:
    """Write the workflow in a file as SVG, to a file or to stdout; with `json` say what it would show."""
    with contextlib.redirect_stdout(sys.stderr):  # what the user's own functions print is not the picture
        _, workflow = workflow_in(file, name)
        drawing = workflow.draw(direction=direction)
    if out is not None:
        drawing.save(out)
        note(f"drawn: {out}")
    if json:
        say(as_json(drawing.graph.to_json()))
    elif out is None:
        say(drawing.svg.rstrip("\n"))
