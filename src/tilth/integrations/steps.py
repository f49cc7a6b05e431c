"""The steps of a pipeline; an estimator by itself is a pipeline of one."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from tilth.errors import UsageError, did_you_mean

__all__ = ["before_last", "blind", "head", "is_mlp", "last", "last_hidden", "upto"]

_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "logistic": lambda z: 0.5 * (1 + np.tanh(0.5 * z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
}


def last(estimator: Any) -> Any:
    """Return the last step.

    >>> last(Pipeline([("a", "passthrough"), ("b", MLPClassifier())]))
    MLPClassifier()
    """
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def head(estimator: Any) -> Pipeline | None:
    """Return the steps before the last, None where there is none."""
    return estimator[:-1] if isinstance(estimator, Pipeline) and len(estimator.steps) > 1 else None


def before_last(estimator: Any, x: Any) -> Any:
    """Return what the steps before the last, which are trained, make of x."""
    first = head(estimator)
    return x if first is None else first.transform(x)


def last_hidden(mlp: Any, x: Any) -> Any:
    """Return what leaves the last hidden layer of a trained MLP."""
    out = x if scipy.sparse.issparse(x) else np.asarray(x)
    for weights, shift in zip(mlp.coefs_[:-1], mlp.intercepts_[:-1], strict=True):
        out = _ACTIVATIONS[mlp.activation](np.asarray(out @ weights) + shift)
    return out


def is_mlp(step: Any) -> bool:
    """Return whether a step is scikit-learn's own neural network.

    >>> is_mlp(MLPClassifier())
    True
    """
    return isinstance(step, MLPClassifier | MLPRegressor)


_BLIND = (
    "cluster",
    "decomposition",
    "feature_extraction",
    "impute",
    "kernel_approximation",
    "preprocessing",
    "random_projection",
)
"""scikit-learn's modules of steps that learn from features alone, as long as their tags require no labels: the tags of
others (`SelectKBest`, `PLSRegression`) require none either, and these learn from them all the same."""


def blind(step: Any) -> bool:
    """Return whether a step learns nothing from labels: it is frozen, needs no fit, or is of a kind that sees none.

    >>> from sklearn.preprocessing import StandardScaler
    >>> blind(StandardScaler()), blind(MLPClassifier()), blind(FrozenEstimator(MLPClassifier()))
    (True, False, True)
    """
    match step:
        case None | "passthrough" | "drop" | FrozenEstimator():
            return True
        case Pipeline():
            return all(blind(inner) for _, inner in step.steps)
        case FeatureUnion():
            return all(blind(inner) for _, inner in step.transformer_list)
        case ColumnTransformer():
            return all(blind(inner) for _, inner, _ in step.transformers) and blind(step.remainder)
        case _:
            tags = get_tags(step)
            known = any(type(step).__module__.startswith(f"sklearn.{name}.") for name in _BLIND)
            return not tags.requires_fit or (known and not tags.target_tags.required)


def upto(estimator: Any, name: str) -> Pipeline:
    """Return the pipeline's steps up to the one of that name."""
    whole = estimator if isinstance(estimator, Pipeline) else Pipeline([(type(estimator).__name__.lower(), estimator)])
    names = [step for step, _ in whole.steps]
    if name not in names:
        raise UsageError(f"embed={name!r}: no such step. {did_you_mean(name, names)}")
    return whole[: names.index(name) + 1]
