"""A small run on digits, in a process of its own that the crash tests kill; prints a line an event, and the digest at
the end.

    python crash_program.py FOLDER [inline] [small] [interrupt] [engine=URL]

`small` leaves a rule out; `engine`: run on a durable engine rather than the local one.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tilth import (
    Gate,
    Oracle,
    Record,
    Rule,
    Workflow,
    annotate,
    augment,
    label_quality,
    labeled,
    margin,
    relabel,
    rounds,
    run,
    unlabeled,
)
from tilth.dataset import Dataset
from tilth.demo.arms import base_model
from tilth.integrations.sklearn import SklearnModel
from tilth.runs import Run


def shift(record: Record) -> Record:
    """Move the picture one pixel to the right."""
    return record.change(pixels=np.roll(record["pixels"].reshape(8, 8), 1, axis=1).ravel())


def workflow(folder: Path, *, small: bool = False) -> Workflow:
    """Every kind of step there is: a question, a gated question, derived records; `small` has no gated question."""
    oracle = Oracle("truth", error=0.1)
    fix = Rule(
        select=labeled.bottom(20, by=label_quality(by="model")),
        do=relabel(by=oracle),
        gate=Gate(by=0.0, rejected="hold"),
    )
    rules = {
        "ask": Rule(select=unlabeled.top(15, by=margin()), do=annotate(by=oracle, votes=2)),
        "shift": Rule(select=labeled.where(label="3").sample(12), do=augment(shift), gate=Gate(by=0.02)),
    }
    return Workflow(
        dataset=Dataset.open(folder),
        model=SklearnModel(base_model()),
        rules=rules if small else {"fix": fix, **rules},
        until=rounds() >= 1,
    )


def say(event: Mapping[str, Any]) -> None:
    """Write a line at once, so that whoever waits for it knows how far the run has come."""
    sys.stdout.write(f"{event['what']}\n")
    sys.stdout.flush()


def interrupted(event: Mapping[str, Any]) -> None:
    """Press Ctrl-C at the first evaluation: from outside, a quick run may be over before the signal comes."""
    say(event)
    if event["what"] == "evaluated":
        os.kill(os.getpid(), signal.SIGINT)


def start(folder: Path, *flags: str) -> Run:
    """Run it as the flags say, until it is done."""
    made = workflow(folder, small="small" in flags)
    listen = interrupted if "interrupt" in flags else say
    engine = next((f.removeprefix("engine=") for f in flags if f.startswith("engine=")), "")
    if not engine:
        return run(made, inline="inline" in flags, source=__file__, listen=listen)
    from tilth.runs import durable

    return durable.run(made, engine=engine, inline="inline" in flags, source=__file__, listen=listen)


def main(folder: str, *flags: str) -> None:
    """Run it, and print the digest at the end."""
    done = start(Path(folder), *flags)
    say({"what": f"digest {done.dataset.digest()}"})


if __name__ == "__main__":
    main(*sys.argv[1:])
