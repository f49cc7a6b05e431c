"""A small run on digits, in a process of its own that the crash tests kill; prints a line an event, and the digest at
the end."""

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


def shift(record: Record) -> Record:
    """Move the picture one pixel to the right."""
    return record.change(pixels=np.roll(record["pixels"].reshape(8, 8), 1, axis=1).ravel())


def workflow(folder: Path) -> Workflow:
    """Every kind of step there is: a question, a gated question, derived records."""
    oracle = Oracle("truth", error=0.1)
    return Workflow(
        dataset=Dataset.open(folder),
        model=SklearnModel(base_model()),
        rules={
            "fix": Rule(
                select=labeled.bottom(20, by=label_quality(by="model")),
                do=relabel(by=oracle),
                gate=Gate(by=0.0, rejected="hold"),
            ),
            "ask": Rule(select=unlabeled.top(15, by=margin()), do=annotate(by=oracle, votes=2)),
            "shift": Rule(select=labeled.where(label="3").sample(12), do=augment(shift), gate=Gate(by=0.02)),
        },
        until=rounds() >= 1,
    )


def say(event: Mapping[str, Any]) -> None:
    """Write a line at once, so that whoever waits for it knows how far the run has come."""
    sys.stdout.write(f"{event['what']}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    done = run(workflow(Path(sys.argv[1])), inline="inline" in sys.argv, source=__file__, listen=say)
    say({"what": f"digest {done.dataset.digest()}"})
