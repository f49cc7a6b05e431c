"""What a gate does: train without and with changes, compare on valid, and take back what did not help."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tilth.algebra import Quantity
from tilth.context import Context
from tilth.metrics.compare import paired
from tilth.metrics.proof import allowance
from tilth.metrics.verdicts import looked, told
from tilth.rules import Gate
from tilth.state import Round, State
from tilth.workflow import Workflow

__all__ = ["gated", "judge"]


def judge(
    workflow: Workflow,
    gate: Gate,
    before: tuple[int, Sequence[str]],
    after: tuple[int, Sequence[str]],
    *,
    rounds: tuple[Round, ...] = (),
    now: Mapping[str, Mapping[str, Any]] | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """Compare the models trained without and with changes on valid, and say whether the gate keeps the changes.

    `before`, `after`: a version and the models trained on it, one a seed. `rounds`, `now`: what the run did in its
    finished rounds, and in the one under way: how often its gates have looked at valid follows from these. `again`: the
    same data was judged and rejected before.
    """
    olds, news = ([workflow.state(version, model) for model in models] for version, models in (before, after))
    found = paired(gate.improves, olds, news)
    looks, rejections = looked(rounds, now or {})
    verdict = _values(gate.improves, olds, news) | {"gain": found.gain, "standard_error": found.standard_error}
    level: float | None = None
    if gate.confidence is None:
        margin = found.standard_error if gate.by is None else gate.by
        enough = bool(found.gain >= margin and (found.gain > 0 or gate.by is not None))
    else:
        level = allowance(gate.confidence, rejections)
        bound, least = found.bound(level), gate.by or 0.0
        margin, enough = least + found.gain - bound, bool(bound > least)
        verdict |= {"confidence": gate.confidence, "level": level, "bound": bound, "records": found.records}
    protects = [_protected(metric, tolerance, olds, news, level) for metric, tolerance in gate.protected]
    return (
        verdict
        | {"margin": margin, "enough": enough, "kept": enough and all(one["held"] for one in protects)}
        | {"looks": looks if again else looks + 1}
        | ({"protects": protects} if protects else {})
        | ({"seeds": gate.seeds} if gate.seeds > 1 else {})
        | ({"again": True} if again else {})
    )


async def gated(
    ctx: Context,
    workflow: Workflow,
    gate: Gate,
    key: str,
    versions: tuple[int, int],
    look: Callable[..., dict[str, Any]],
    refused: set[str],
    about: Mapping[str, Any],
    *,
    rules: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge what lies between two versions and undo it where it did not help enough; return the verdict and the `base`.

    `look`: `judge` with all that it has to know of the run. `refused`: the models whose data was rejected before, which
    this adds to. `rules`: whose changes these are, default the one in `about`. `base`: the version to go on from.
    """
    before, after = versions
    without = await _trained(ctx, workflow, gate, f"{key}/without", before)
    with_it = await _trained(ctx, workflow, gate, f"{key}/with", after)
    # the same data was rejected before: to wait for better luck would never end
    again = with_it[0] in refused
    verdict: dict[str, Any] = await ctx.step(
        f"{key}/judge", lambda: look((before, without), (after, with_it), again=again)
    )
    ctx.tell({"what": "judged", "round": about["round"], "rule": about.get("rule"), **verdict})
    if verdict["kept"]:
        return verdict | {"base": after}
    refused.add(with_it[0])
    names = set(rules or [about["rule"]])
    said = {**about, "message": f"{gate!r}: {told(verdict)}"}

    def undo() -> dict[str, Any]:
        version = after
        mine = [c for c in workflow.dataset.log() if before < c.version <= after and c.run == ctx.run]
        # what was asked stays asked: who is at work on it goes on
        wrong = [c for c in mine if c.rule in names and not c.key.endswith("/ask")]
        for commit in sorted(wrong, key=lambda c: -c.version):
            done = workflow.dataset.revert(
                commit.version,
                key=f"{ctx.run}/{key}/revert/{commit.version}",
                hold=gate.rejected == "hold",
                undone=_since(workflow, ctx.run, commit.version),
                **{**said, "rule": commit.rule},
            )
            version = done.version
        return {"version": version}

    return verdict | {"base": (await ctx.step(f"{key}/revert", undo))["version"]}


def _since(workflow: Workflow, run: str, version: int) -> Iterable[int]:
    """Return the later versions of a run: when this one is undone, they are undone already, or what undid them."""
    return [c.version for c in workflow.dataset.log() if c.version > version and c.run == run]


async def _trained(ctx: Context, workflow: Workflow, gate: Gate, key: str, version: int) -> list[str]:
    """Train on a version, once for each seed that the gate asks for."""
    needs = frozenset({"probabilities"}) | gate.needs
    refs: list[str] = []
    for i in range(gate.seeds):
        seeded = replace(workflow, seed=_seed(workflow.seed, i)) if i else workflow
        done = await ctx.train(f"{key}/{i + 1}" if i else key, seeded, version, needs=needs, keep=False)
        refs.append(done["ref"])
    return refs


def _seed(seed: int, i: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/gate/{i}".encode()).digest()[:4], "big")


def _protected(
    metric: Quantity, tolerance: float, before: Sequence[State], after: Sequence[State], level: float | None
) -> dict[str, Any]:
    found = paired(metric, before, after)
    sure = {} if level is None else {"bound": found.bound(level), "records": found.records}
    held = bool(sure.get("bound", found.gain) >= -tolerance - 1e-12)  # .90 - .88 is a little more than .02
    return {"metric": repr(metric), **_values(metric, before, after), **sure, "tolerance": tolerance, "held": held}


def _values(metric: Quantity, before: Sequence[State], after: Sequence[State]) -> dict[str, Any]:
    old, new = (float(np.mean([float(metric.value(s)) for s in states])) for states in (before, after))
    return {"before": old, "after": new}
