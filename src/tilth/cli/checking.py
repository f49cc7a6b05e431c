"""`tilth check`: is the workflow data-centric, what proves it, and what would make it so."""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from tilth.cli.explaining import finished_rounds, trained
from tilth.cli.guard import Code
from tilth.cli.loading import workflow_in
from tilth.cli.terminal import interactive, note, paragraph, say, table, working
from tilth.cli.words import as_json, clean, number
from tilth.errors import UsageError, did_you_mean
from tilth.qualify import VERDICTS, Part, Verdict
from tilth.scramble import Scrambled
from tilth.scramble import scramble as permute
from tilth.workflow import Workflow

__all__ = ["check"]


def check(file: Path, *, name: str | None, scramble: bool, expect: str | None, json: bool) -> None:
    """Tell the verdict on the workflow in a file; exit with 1 where another was expected, or running contradicts it."""
    if expect is not None and expect not in VERDICTS:
        raise UsageError(f"--expect {expect!r}: no such verdict. {did_you_mean(expect, VERDICTS)}")
    with contextlib.redirect_stdout(sys.stderr):  # what the user's own functions print is not the result
        with working(f"loading {file}") if interactive() else contextlib.nullcontext():
            _, workflow = workflow_in(file, name)
        found = workflow.qualifies()
        ran = _scrambled(workflow) if scramble else None
    if json:
        say(as_json(found.to_json() | ({} if ran is None else {"scramble": _as_data(ran)})))
    else:
        _tell(found)
        if ran is not None:
            _tell_scrambled(ran)
    if expect is None:
        return
    if found.verdict != expect:
        note(f"expected {expect!r}, found {found.verdict!r}")
        raise typer.Exit(Code.FAILED)
    if ran is not None and ran.agrees is False:
        note(f"found {found.verdict!r}, as expected, but what it does on the data contradicts it")
        raise typer.Exit(Code.FAILED)


def _scrambled(workflow: Workflow) -> Scrambled:
    dataset = workflow.dataset.at(workflow.dataset.version)
    ref, _ = trained(workflow, dataset)
    with working("choosing again with outputs permuted") as report:
        del report
        return permute(workflow, workflow.state(dataset.version, ref, finished_rounds(workflow)), seed=workflow.seed)


def _as_data(ran: Scrambled) -> dict[str, Any]:
    return {"agrees": ran.agrees, "compared": [asdict(one) for one in ran.compared]}


def _tell(found: Verdict) -> None:
    say(found.verdict)
    paragraph(clean(" -> ".join(found.path)), indent=2)
    where = ""
    for part in found.parts:
        if part.where != where:
            where = part.where
            say()
            say(clean(where))
        _tell_part(part)
    _list("Why", found.reasons)
    _list("It would be data-centric if you", found.would)


def _tell_part(part: Part) -> None:
    paragraph(clean(f"{part.part:<8}{part.text}"), indent=2)
    paragraph(clean(f"reads {part.reads}{': this triggers' if part.triggers else ''}"), indent=10)


def _list(head: str, texts: Sequence[str]) -> None:
    if texts:
        say()
        say(head)
        for text in texts:
            paragraph(clean(f"- {text}"), indent=2)


def _tell_scrambled(ran: Scrambled) -> None:
    say()
    say(
        f"What it decides with the model's outputs permuted over records ({len(ran.compared[0].permuted)} times)"
        if ran.compared
        else "Nothing in it decides about records, so there is nothing to compare"
    )
    rows = [
        [
            f"{one.part.where} {one.part.part}",
            "yes" if one.part.listens else "no",
            number(one.control),
            number(sum(one.permuted) / len(one.permuted)),
            {True: "agrees", False: "CONTRADICTS", None: "cannot tell"}[one.agrees],
            one.why + (f"; its answer changed {one.flips} times" if one.flips else ""),
        ]
        for one in ran.compared
    ]
    head = ["part", "listens, it says", "same model twice", "permuted", "", "why"]
    if rows:
        table(head, rows, right=["same model twice", "permuted"], indent=2)
        say("  (1 = the same decisions, 0 = no record in common)")
    said = {
        True: f"This agrees with the verdict: {ran.verdict.verdict}.",
        False: f"This contradicts the verdict ({ran.verdict.verdict}): see above what to mend.",
        None: f"This neither confirms nor contradicts the verdict: {ran.verdict.verdict}.",
    }
    say(said[ran.agrees])
