"""Estimators that say more than one thing of a record: each member of an ensemble, and each epoch of training."""

import inspect
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse
from sklearn.base import is_classifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.pipeline import Pipeline
from sklearn.utils import shuffle

from tilth.errors import UsageError
from tilth.integrations.scores import name_of, scores
from tilth.integrations.steps import before_last, head, last
from tilth.protocols import Floats, Task

__all__ = ["checked_epochs", "has_members", "has_stages", "in_epochs", "member_scores", "stage_scores"]

Scores = npt.NDArray[np.float64]

_FORESTS = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)
_BAGGING = (BaggingClassifier, BaggingRegressor)
_VOTING = (VotingClassifier, VotingRegressor)
_BOOSTING = (AdaBoostClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier)
_COUNTING = (BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB)


def has_members(estimator: Any) -> bool:
    """Return whether an estimator, or the last step of a pipeline, is a committee of others.

    >>> has_members(RandomForestClassifier())
    True
    """
    return isinstance(last(estimator), (*_FORESTS, *_BAGGING, *_VOTING))


def has_stages(estimator: Any) -> bool:
    """Return whether it can tell afterwards what it said at each stage of its training: boosting.

    >>> has_stages(GradientBoostingClassifier())
    True
    """
    return isinstance(last(estimator), _BOOSTING)


def checked_epochs(estimator: Any, epochs: Any) -> int:
    """Return the number of epochs; UsageError where the estimator cannot be trained in epochs.

    >>> checked_epochs(GaussianNB(), 20)
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: epochs=20: GaussianNB counts, so the same records once more teach it nothing; ...
    """
    final, those = last(estimator), "SGDClassifier and MLPClassifier (not with solver='lbfgs') are trained in epochs"
    if isinstance(epochs, bool) or not hasattr(epochs, "__index__") or epochs < 1:
        raise UsageError(f"epochs={epochs!r}: a whole number of 1 or more")
    if has_stages(estimator):
        raise UsageError(f"epochs={epochs}: {name_of(final)} tells of each of its stages anyway; leave epochs out")
    if isinstance(final, _COUNTING):
        raise UsageError(
            f"epochs={epochs}: {name_of(final)} counts, so the same records once more teach it nothing; {those}"
        )
    if not (is_classifier(final) and hasattr(final, "partial_fit")):
        raise UsageError(f"epochs={epochs}: {name_of(final)} has no partial_fit to learn classes by; {those}")
    return int(epochs)


def in_epochs(
    estimator: Any, x: Any, y: npt.NDArray[np.int64], weight: Floats, *, epochs: int, seed: int
) -> tuple[Any, tuple[Any, ...]]:
    """Train epoch by epoch; return (the estimator trained, its last step as it was after each epoch).

    The steps before the last are fitted once. Rows come in an order of their own in each epoch, drawn from the seed.
    """
    first, final = head(estimator), last(estimator)
    given: dict[str, Any] = {}
    if first is not None:
        x = first.fit_transform(x, y)
    if (weight != 1).any():
        if "sample_weight" not in inspect.signature(final.partial_fit).parameters:
            raise UsageError(
                f"{name_of(final)} takes no weights epoch by epoch, and some records weigh "
                f"{weight[weight != 1][0]:g}; reweight to 0 and 1 only, or choose SGDClassifier"
            )
        given["sample_weight"] = weight
    chance, classes = np.random.RandomState(seed % 2**32), np.unique(y)
    stages: list[Any] = []
    for _ in range(epochs):
        rows, codes, *weights = cast(list[Any], shuffle(x, y, *given.values(), random_state=chance))
        final.partial_fit(rows, codes, classes=classes, **dict(zip(given, weights, strict=True)))
        stages.append(deepcopy(final))
    whole = final if first is None else Pipeline([*first.steps, (estimator.steps[-1][0], final)])
    return whole, tuple(stages)


def stage_scores(estimator: Any, stages: Sequence[Any], x: Any, task: Task) -> Iterator[Scores]:
    """Yield what was said after each epoch (`stages`), or at each stage of boosting."""
    x = before_last(estimator, x)
    if stages:
        yield from (scores(stage, x, task) for stage in stages)
    else:
        yield from (np.asarray(told, np.float64) for told in last(estimator).staged_predict_proba(x))


def member_scores(estimator: Any, x: Any, task: Task) -> Iterator[Scores]:
    """Yield what each member says, `float64[n, m]`: of the classes that the whole has learned, in its order."""
    final, x = last(estimator), before_last(estimator, x)
    if isinstance(final, _VOTING):
        yield from (scores(member, x, task) for member in final.estimators_)
        return
    # members were trained on the bare array, and would warn of names of columns
    bare = x if scipy.sparse.issparse(x) else np.asarray(x, np.float32 if isinstance(final, _FORESTS) else None)
    if isinstance(final, _FORESTS):
        yield from (scores(tree, bare, task) for tree in final.estimators_)
        return
    for member, columns in zip(final.estimators_, final.estimators_features_, strict=True):
        told = scores(member, bare[:, columns], task)
        if task.kind == "number":
            yield told
            continue
        full = np.zeros((len(told), len(final.classes_)))
        full[:, np.asarray(member.classes_, np.int64)] = told  # a sample may be without a class
        yield full
