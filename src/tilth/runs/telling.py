"""What a run says of itself, in words: its steps, and what each rule did."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tilth.html import clean
from tilth.metrics.verdicts import told
from tilth.state import Round
from tilth.words import count

__all__ = ["Did", "did", "metric_names", "step_said"]

_DONE = {
    "annotate": "asked",
    "recheck": "asked again",
    "relabel": "relabelled",
    "remove": "removed",
    "restore": "brought back",
    "reweight": "reweighted",
    "augment": "added",
}

_STEPS = {
    "start": "starting",
    "train": "training on version {version}",
    "evaluate": "evaluating",
    "keep": "saving the model",
    "propose": "choosing records",
    "commit": "writing the changes",
    "ask": "asking",
    "answers": "asking, and taking the answers",
    "wait": "waiting for people",
    "take": "taking the answers",
    "tune": "choosing the next model",
    "late": "taking answers that came late",
    "last": "taking the last answers",
    "plan": "choosing whom to ask",
    "gate/without": "training without its changes",
    "gate/with": "training with its changes",
    "gate/judge": "comparing",
    "gate/revert": "taking its changes back",
}


def step_said(key: str, version: int | None = None) -> str:
    """Return what a step of the loop is about.

    >>> step_said("r3/fix/gate/with", 7)
    'round 3, fix: training with its changes'
    >>> step_said("r3/fix/gate/with/2"), step_said("r3/gate/judge")
    ('round 3, fix: training with its changes, seed 2', 'round 3: comparing')
    >>> step_said("r0/train", 0)
    'round 0: training on version 0'
    """
    parts = key.split("/")
    number_of = parts[0].removeprefix("r")
    seed = f", seed {parts.pop()}" if len(parts) > 3 and parts[-1].isdigit() and "gate" in parts[-3] else ""
    training = "training" if version is None else _STEPS["train"].format(version=version)
    if key == "last":
        return _STEPS["last"]
    for length in (2, 1):
        said = training if parts[-1] == "train" else _STEPS.get("/".join(parts[-length:]))
        if said is not None and len(parts) > length:
            rule = "/".join(parts[1:-length])
            return clean(f"round {number_of}{f', {rule}' if rule else ''}: {said}{seed}")
    return clean(key)


@dataclass(frozen=True)
class Did:
    """What a rule did in a round; `mood` is kept, rejected, nothing, or done where no gate judged it."""

    text: str
    mood: Literal["kept", "rejected", "nothing", "done"]


def did(tag: str, said: Mapping[str, Any]) -> Did:
    """Return what a rule did in a round, from what the loop tells of it.

    >>> did("relabel", {"n": 12, "kept": True, "before": 0.81, "after": 0.83, "margin": 0.0}).text
    '12 relabelled, kept: 0.8100 → 0.8300'
    >>> did("remove", {"n": 3, "kept": False, "before": 0.81, "after": 0.8, "margin": 0.004}).text
    '3 removed, rejected: 0.8100 → 0.8000, needs +0.0040'
    >>> did("remove", {"n": 0, "why": "not when accuracy() = 0.95 < 0.9"})
    Did(text='not when accuracy() = 0.95 < 0.9', mood='nothing')
    """
    if not said["n"]:
        why = str(said.get("why", ""))
        nothing = not why or why.startswith(("nothing to change", "nothing to ask"))
        return Did("nothing" if nothing else clean(why), "nothing")
    text = f"{said['n']:,} {_DONE.get(tag, 'changed')}"
    if "answers" in said:
        text += f", {count(said['answers'], 'answer')}"
    if said.get("conflicts"):
        text += f", {said['conflicts']:,} left out because others changed them"
    if "kept" not in said:
        return Did(text, "done")
    joint = " with all of the round" if said.get("together") else ""
    return Did(f"{text},{joint} {clean(told(said))}", "kept" if said["kept"] else "rejected")


def metric_names(rounds: Iterable[Round]) -> list[str]:
    """Return the metrics of a run's rounds, those that are reported (on test too) first."""
    listed = list(rounds)
    return list(dict.fromkeys([*(m for r in listed for m in r.test), *(m for r in listed for m in r.metrics)]))
