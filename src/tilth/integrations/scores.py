"""What one estimator tells of records: numbers, or what stands for probabilities; and what it is called."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.pipeline import Pipeline

from tilth.errors import UsageError
from tilth.protocols import Task

__all__ = ["name_of", "scores"]


def scores(estimator: Any, x: Any, task: Task) -> npt.NDArray[np.float64]:
    """Return `float64[n, m]`, a column for each output that was learned: numbers, or what stands for probabilities."""
    if task.kind == "number":
        return np.asarray(estimator.predict(x), np.float64).reshape(len(x), -1)
    if hasattr(estimator, "predict_proba"):
        told = estimator.predict_proba(x)
        if isinstance(told, list):  # a table a label; its last column is the probability of 1
            told = np.column_stack([table[:, -1] for table in told])
        return np.asarray(told, np.float64)
    if not hasattr(estimator, "decision_function"):
        raise UsageError(
            f"{name_of(estimator)} tells neither probabilities nor decision values; choose one that does "
            "(voting='soft', or wrap it in CalibratedClassifierCV)"
        )
    margins = np.asarray(estimator.decision_function(x), np.float64)
    if task.kind == "classes" or margins.ndim == 1:
        logistic = 0.5 * (1 + np.tanh(0.5 * margins))
        return logistic if margins.ndim == 2 else np.column_stack([1 - logistic, logistic])
    if margins.shape[1] != len(estimator.classes_):
        raise UsageError(
            f"{name_of(estimator)} tells {margins.shape[1]} decision values for {len(estimator.classes_)} classes; "
            "set decision_function_shape='ovr'"
        )
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def name_of(estimator: Any) -> str:
    """Return what an estimator or pipeline is called in a message.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> name_of(Pipeline([("scale", StandardScaler()), ("tell", LogisticRegression())]))
    'StandardScaler + LogisticRegression'
    """
    if isinstance(estimator, Pipeline):
        return " + ".join(name_of(step) for _, step in estimator.steps)
    return estimator if isinstance(estimator, str) else type(estimator).__name__
