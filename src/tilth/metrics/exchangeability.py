"""Has anything changed up to now? A bet against the order of the records, valid however often it is looked at."""

import numpy as np
import numpy.typing as npt

from tilth.dataset.splits import uniform
from tilth.signals.contrast import distances
from tilth.signals.windows import SMALLEST, Window, current, reference, some, wide
from tilth.state import State

__all__ = ["anytime", "jumper", "ranks"]

Floats = npt.NDArray[np.float64]

MOST = 2000
"""Reference records: half of them are what distances are taken to, half are ranked with those that come."""
JUMP = 0.01


def anytime(state: State, column: str | None, which: str, what: str) -> float:
    """Return 1 over the most that the bet has won since the model was trained; NaN where there is too little to bet.

    Half of the reference (by key) is what distances are taken to, the other half are the first that are ranked; then
    come the new records in the order in which they came in.
    """
    windows = Window(some(state, reference(state, which), MOST), current(state, None))
    if len(windows.reference) < 2 * SMALLEST or len(windows.current) == 0:
        return float("nan")
    ids = np.concatenate([windows.reference, windows.current])
    first = np.arange(len(ids)) < len(windows.reference)
    hashes = state.dataset.key_hash[ids]
    proper = first & (uniform(hashes, "martingale", state.seed) < 0.5)
    # scaled by the half that is never ranked: the other half must look to it as new records do
    rows = wide(state, ids, column, what, measure=proper)
    told = np.isfinite(rows).all(axis=1)
    rows, first, proper, hashes = rows[told], first[told], proper[told], hashes[told]
    if proper.sum() < SMALLEST or (~first).sum() == 0:
        return float("nan")
    far = distances(rows[~proper], rows[proper])
    chance = uniform(hashes[~proper], "martingale ties", state.seed)
    known = int((first & ~proper).sum())
    return float(min(1.0, 1.0 / jumper(ranks(far, chance)[known:]).max(initial=1.0)))


def ranks(scores: Floats, chance: Floats) -> Floats:
    """Return each score's conformal p-value among those up to it: even in [0, 1) and independent while nothing changes.

    >>> ranks(np.array([1.0, 2.0, 1.5]), np.zeros(3)).round(2).tolist()
    [0.0, 0.0, 0.33]

    The share of scores so far that are higher, and of equal ones, itself included, a part that `chance` (float64[n] in
    [0, 1)) says. Vovk, Gammerman and Shafer 2005, Algorithmic Learning in a Random World.
    """
    # float sums in another order are not to tell equal scores apart
    _, code = np.unique(np.round(scores, 9), return_inverse=True)
    tree = np.zeros(int(code.max(initial=-1)) + 2, np.int64)
    out = np.empty(len(scores))
    levels = code.tolist()
    equal = np.zeros(len(tree), np.int64)
    for i, level in enumerate(levels):
        equal[level] += 1
        at = level + 1  # a Fenwick tree: how many so far are at most this high
        while at < len(tree):
            tree[at] += 1
            at += at & -at
        at, most = level + 1, 0
        while at:
            most += int(tree[at])
            at -= at & -at
        out[i] = (i + 1 - most + chance[i] * equal[level]) / (i + 1)
    return out


def jumper(p: Floats) -> Floats:
    """Return what a gambler has, who begins with 1, after each p-value: a martingale where they are even.

    >>> bool(jumper(np.full(50, 0.05))[-1] > 1000)
    True
    >>> bool(jumper(np.tile([0.2, 0.8], 25))[-1] < 2)
    True

    A third each bets on low p-values, on high ones and on nothing; after each, 1 % of all is dealt out anew (Vovk et
    al. 2021, algorithm 1, with J = 0.01).
    """
    bets = np.array([-1.0, 0.0, 1.0])
    have = np.full(3, 1 / 3)
    out = np.empty(len(p))
    for i, value in enumerate(p.tolist()):
        have = (1 - JUMP) * have + JUMP * have.sum() / 3
        have = have * (1 + bets * (value - 0.5))
        out[i] = have.sum()
    return out
