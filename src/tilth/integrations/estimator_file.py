"""Trained scikit-learn estimators as a file without pickle, for a model's folder."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from tilth.errors import Damaged, DataError, UsageError
from tilth.integrations.estimator_spec import shown

__all__ = ["load_parts", "save_parts"]

# What fitted scikit-learn estimators hold beside estimators and arrays, found by fitting every estimator of 1.9
# and asking skops. Functions are left out on purpose: a file may only name those that the user's own estimator names.
_FITTED_TYPES = frozenset(
    {
        "numpy.dtype",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    }
)
_FITTED_MODULES = frozenset(
    {
        "sklearn._loss.loss",
        "sklearn.gaussian_process.kernels",
        "sklearn.metrics._dist_metrics",
        "sklearn.neural_network._stochastic_optimizers",
    }
)


def save_parts(parts: object, file: Path, *, like: object) -> None:
    """Write fitted estimators (one, or a dict or list of them) by skops, without pickle.

    `like` is the unfitted estimator that they came from. What could not be read back is refused now: a UsageError
    names the types in question.
    """
    try:
        data = _skops().dumps(parts)
        refused = _refused(_skops().get_untrusted_types(data=data), like)
    except Exception as error:
        raise UsageError(f"{shown(parts)} cannot be stored without pickle: {error}. Use another estimator") from error
    if refused:
        raise UsageError(
            f"{shown(parts)} cannot be stored without pickle: once trained it holds {', '.join(refused)}. "
            "Use another estimator, or hold these as arrays in your own class"
        )
    file.write_bytes(data)


def load_parts(file: Path, *, like: object) -> Any:
    """Read back what `save_parts` wrote; nothing is unpickled.

    A file may name arrays, scikit-learn's own estimators and their inner types, and the types and functions that `like`
    (the user's unfitted estimator) itself holds. Anything else is a DataError, and nothing of the file is built.
    (The numbers inside are not checked: a forged decision tree can crash the process that predicts with it.)
    """
    try:
        data = file.read_bytes()
        named = _skops().get_untrusted_types(data=data)
    except FileNotFoundError:
        raise Damaged(f"{file}: this part of a trained model is missing; delete the folder and train again") from None
    except (BadZipFile, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Damaged(
            f"{file}: this is no model that Tilth wrote ({error}); delete the folder and train again"
        ) from error
    refused = _refused(named, like)
    if refused:
        raise DataError(
            f"{file}: the file names {', '.join(refused)}, which {shown(like)} does not hold; nothing of it was "
            "loaded. If it is your own, delete the folder and train again"
        )
    try:
        return _skops().loads(data, trusted=named)
    except Exception as error:
        raise Damaged(
            f"{file}: this is no model that Tilth wrote ({error}); delete the folder and train again"
        ) from error


def _refused(named: Sequence[str], like: object) -> list[str]:
    foreign = [name for name in named if not _fitted_type(name)]
    if not foreign:
        return []
    own = set(_skops().get_untrusted_types(data=_skops().dumps(like)))
    # A script's own functions are `__main__` here and the module of the file's name in the process that trains.
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "__main__").stem
    own |= {f"{script}.{name.removeprefix('__main__.')}" for name in own if name.startswith("__main__.")}
    return [name for name in foreign if name not in own]


def _fitted_type(name: str) -> bool:
    if name in _FITTED_TYPES:
        return True
    module, _, attribute = name.rpartition(".")
    if module not in _FITTED_MODULES:
        return False
    # Such a module also holds names that it imported itself; only its own classes count.
    cls = getattr(importlib.import_module(module), attribute, None)
    return isinstance(cls, type) and cls.__module__ == module


def _skops() -> Any:
    # here: it looks through all of scikit-learn, .6 s that a process need not pay which neither saves nor loads
    import skops.io

    return skops.io
