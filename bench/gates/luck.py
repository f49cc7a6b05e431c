"""Where the model itself is luck: a small neural network ends elsewhere whenever its data change by a record."""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from bench.gates.judges import CONFIDENCE
from bench.gates.tables import Count
from bench.gates.worlds import Codes, Floats, World, digits
from tilth.metrics.compare import compared
from tilth.metrics.proof import allowance

__all__ = ["luck"]

SEEDS = (1, 3, 5)
VALID = 4000


def luck(edits: int) -> list[dict[str, Any]]:
    """Print and return how many null and helpful edits are proved, each as a first look, by the seeds of a look."""
    print(f"\na network of 32 hidden units on digits, redrawn, {VALID:,} valid, {edits} null and {edits} helpful edits")
    world = digits(0, valid=VALID, test=1000)
    chance = np.random.default_rng(8)
    off = np.flatnonzero(world.given != world.truth)
    base = [_right(world, world.x, world.given, s) for s in range(max(SEEDS))]
    kept = {(kind, k): Count(edits=edits) for kind in ("null", "helpful") for k in SEEDS}
    for kind in ("null", "helpful"):
        for _ in range(edits):
            y, stays = world.given.copy(), np.ones(len(world.given), bool)
            if kind == "null":
                stays[chance.choice(len(y), 8, replace=False)] = False
            else:
                some = chance.choice(off, 60, replace=False)
                y[some] = world.truth[some]
            after = [_right(world, world.x[stays], y[stays], s) for s in range(max(SEEDS))]
            change = [a.astype(np.int64) - b for a, b in zip(after, base, strict=True)]
            for k in SEEDS:
                yes = compared(np.array(change[:k])).bound(allowance(CONFIDENCE, 0)) > 0
                kept[kind, k].add(np.array([yes]), np.array([True]))
    for k in SEEDS:
        print(f"    seeds={k}: null kept {kept['null', k]}, helpful kept {kept['helpful', k]}", flush=True)
    return [{"kind": kind, "seeds": k, "kept": c.share} for (kind, k), c in kept.items()]


def _right(world: World, x: Floats, y: Codes, seed: int) -> Codes:
    """Return on which valid records a network is right that was trained in an order drawn from the seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = MLPClassifier((32,), alpha=1e-3, max_iter=30, random_state=seed).fit(x, y)
    return (network.predict(world.valid[0]) == world.valid[1]).astype(np.int64)
