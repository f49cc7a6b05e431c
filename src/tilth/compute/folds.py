"""Predictions of each record by a model that never saw it or its relatives."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.dataset.splits import draw
from tilth.errors import UsageError
from tilth.protocols import Floats, Model, Task

__all__ = ["folds", "out_of_fold"]

Map = Callable[[Callable[[int], npt.NDArray[np.float32]], Iterable[int]], Iterable[npt.NDArray[np.float32]]]


def folds(
    group_hash: npt.NDArray[np.uint64], strata: npt.NDArray[Any] | None = None, *, k: int = 5, seed: int = 0
) -> npt.NDArray[np.int8]:
    """Return the fold of each record: relatives together, strata spread evenly, the order of rows without effect.

    >>> groups = np.array([11, 12, 13, 14, 14, 15], np.uint64)
    >>> folds(groups, np.array([0, 0, 1, 1, 1, 0]), k=2).tolist()
    [0, 1, 1, 0, 0, 0]

    Groups are dealt to the k folds in turn, stratum by stratum, in the order of their draws; each fold has as many
    groups of a stratum as another, or one more. A group counts for the stratum that most of its records have.

    `group_hash`: `uint64[n]`, hash of the key of the record that a record descends from (its own where it descends
    from none). `strata`: `int[n]`, for instance class codes. `k`: 2 to 127. Returns `int8[n]` in 0..k-1; with fewer
    groups than k the last folds are empty.
    """
    if not 2 <= k <= 127:
        raise UsageError(f"k={k}: records are dealt to 2 to 127 folds")
    if strata is not None and strata.shape != group_hash.shape:
        raise UsageError(f"strata of shape {strata.shape} for {len(group_hash)} records; give one number a record")
    groups, member = np.unique(group_hash, return_inverse=True)
    common = np.zeros(len(groups), np.int64) if strata is None else _commonest(member, strata)
    turn = np.lexsort((draw(groups, "folds", seed), common))
    fold = np.empty(len(groups), np.int8)
    fold[turn] = np.arange(len(groups)) % k
    return fold[member]


def out_of_fold(
    model: Model,
    features: pa.Table,
    y: npt.NDArray[Any],
    weight: Floats,
    *,
    task: Task,
    group_hash: npt.NDArray[np.uint64],
    seed: int,
    k: int = 5,
    key_hash: npt.NDArray[np.uint64] | None = None,
    warm: Map | None = None,
) -> npt.NDArray[np.float32]:
    """Return what the model says of each record when it is trained without the record's fold.

    k-fold cross-validation (Stone 1974) in folds by `folds`, stratified by class; of several classes, by the record's
    rarest. k shrinks to the number of groups. A record that no other group can teach about gets what is
    known without data: the same for each class, 0.5 for each of several classes, NaN for a number.

    **The order of rows has no effect**: the model meets records in the order of `draw(key_hash)`, so that permuted rows
    give permuted results, exactly, even with a model for which the order matters. Relatives without a `key_hash` of
    their own (`uint64[n]`) keep the order in which they came.

    `features`, `y`, `weight`, `task`: as in `Model.fit`; records of weight 0 teach nothing, but are predicted.
    `group_hash`: as in `folds`. `warm`: what runs the folds, called like `map(function, range(k))`, such as the `map`
    of a pool that is up already; None runs one after another, here. Returns `float32[n, k_classes]`.
    """
    n = features.num_rows
    own = group_hash if key_hash is None else key_hash
    if not len(y) == len(weight) == len(group_hash) == len(own) == n:
        raise UsageError(
            f"{n} records came with {len(y)} labels, {len(weight)} weights, "
            f"{len(group_hash)} groups and {len(own)} keys"
        )
    order = np.lexsort((draw(own, "order", seed), draw(group_hash, "order", seed)))
    weight = weight[order]
    parts = max(1, min(k, len(np.unique(group_hash))))
    strata = _strata(y[order], task)
    # Records without weight are dealt by themselves, last: else the few that teach could all be in one fold.
    strata = np.where(weight > 0, strata, strata.max(initial=0) + 1)
    fold = folds(group_hash[order], strata, k=parts, seed=seed) if parts > 1 else np.zeros(n, np.int8)
    job = partial(_fold, model, features.take(pa.array(order)), y[order], weight, task, fold, seed)
    told = map(job, range(parts)) if warm is None else warm(job, range(parts))
    out = np.empty((n, task.outputs), np.float32)
    for part, predicted in enumerate(told):
        out[order[fold == part]] = predicted
    return out


def _fold(
    model: Model,
    features: pa.Table,
    y: npt.NDArray[Any],
    weight: Floats,
    task: Task,
    fold: npt.NDArray[np.int8],
    seed: int,
    part: int,
) -> npt.NDArray[np.float32]:
    asked, teachers = np.flatnonzero(fold == part), np.flatnonzero((fold != part) & (weight > 0))
    if not len(teachers) or not len(asked):
        unknown = {"class": 1 / max(1, task.outputs), "classes": 0.5, "number": np.nan}[task.kind]
        return np.full((len(asked), task.outputs), unknown, np.float32)
    chance = int(draw(np.array([part], np.uint64), "fold", seed)[0] >> np.uint64(33))
    fitted = model.fit(features.take(pa.array(teachers)), y[teachers], weight[teachers], task=task, seed=chance)
    predicted = np.asarray(fitted.predict(features.take(pa.array(asked))), np.float32)
    if predicted.shape != (len(asked), task.outputs):
        raise UsageError(
            f"{model!r} predicted an array of shape {predicted.shape} for {len(asked)} records and {task.outputs} "
            "outputs; tilth.testing.check_model tells what a model must keep"
        )
    return predicted


def _strata(y: npt.NDArray[Any], task: Task) -> npt.NDArray[np.int64]:
    if task.kind == "number":
        return np.zeros(len(y), np.int64)
    if task.kind == "class":
        return y.astype(np.int64)
    # The rarest label of a record is the one that a fold could end up without (Sechidis, Tsoumakas and Vlahavas 2011).
    rarity = np.where(y > 0, y.sum(axis=0), np.inf)
    return np.where(np.isfinite(rarity).any(axis=1), rarity.argmin(axis=1), -1)


def _commonest(member: npt.NDArray[np.intp], strata: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    values, code = np.unique(strata, return_inverse=True)
    pairs, counts = np.unique(member * len(values) + code, return_counts=True)
    group, stratum = np.divmod(pairs, len(values))
    order = np.lexsort((stratum, -counts, group))
    _, first = np.unique(group[order], return_index=True)
    return stratum[order][first]
