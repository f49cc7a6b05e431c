"""A run with people in it, in a process of its own that the crash tests kill: a team, a panel with an expert, a lead.

It never waits: where somebody has to answer it exits with 3. It prints a line an event, and the digest at the end.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tilth import (
    Dataset,
    Panel,
    Rule,
    Team,
    Workflow,
    annotate,
    disagrees_with_model,
    labeled,
    margin,
    remove,
    rounds,
    run,
    unlabeled,
)
from tilth.demo.arms import base_model
from tilth.errors import Parked
from tilth.integrations.sklearn import SklearnModel
from tilth.runs import Run

TEAMS = ("crowd", "expert", "lead")


def workflow(folder: Path) -> Workflow:
    """Each kind of waiting there is: partial answers and late ones, a panel with all stages, an approval, a pick."""
    crowd = Team("crowd")
    panel = Panel(crowd, check=disagrees_with_model(), disputed_by=Team("expert"), gold=0.2)
    return Workflow(
        dataset=Dataset.open(folder),
        model=SklearnModel(base_model()),
        rules={
            "ask": Rule(select=unlabeled.top(8, by=margin()), do=annotate(by=crowd, votes=2, enough=0.5)),
            "check": Rule(select=unlabeled.sample(8), do=annotate(by=panel)),
            "weed": Rule(select=labeled.sample(4), do=remove(approve=Team("lead"))),
            "more": Rule(select=unlabeled.sample(6).picked_by(Team("lead")), do=annotate(by=crowd)),
        },
        until=rounds() >= 2,
    )


def say(event: Mapping[str, Any]) -> None:
    """Write a line at once, so that whoever waits for it knows how far the run has come."""
    sys.stdout.write(f"{event['what']} {event.get('key', '')}\n")
    sys.stdout.flush()


def start(folder: Path, engine: str) -> Run:
    """Run it until it is done, or somebody has to answer."""
    if not engine:
        return run(workflow(folder), inline=True, source=__file__, listen=say, wait=False)
    from tilth.runs import durable

    return durable.run(workflow(folder), engine=engine, inline=True, source=__file__, listen=say, wait=False)


def main(folder: str, engine: str = "") -> None:
    """Run it; exit with 3 where somebody has to answer, print the digest where it is done."""
    try:
        done = start(Path(folder), engine)
    except Parked as parked:
        sys.exit(3 if parked.state == "waiting" else f"{parked.state}: {parked}")
    say({"what": f"digest {done.dataset.digest()}"})
