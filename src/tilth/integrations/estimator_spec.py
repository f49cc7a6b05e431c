"""A scikit-learn estimator as JSON, for a run's journal."""

import importlib
import io
import json
import math
import sys
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, cast

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector

from tilth.errors import NotFound, UsageError
from tilth.functions import find, source_hash, where

__all__ = ["estimator_from_spec", "estimator_spec", "package_versions", "shown"]

_LIBRARIES = ("numpy", "scipy", "sklearn")
"""Packages whose code is told by their version; everything else is told by a hash of its source as well."""

_PLAIN_TYPES = {"float": float, "int": int, "str": str, "bool": bool, "object": object}


def estimator_spec(estimator: object, *, path: str = "estimator") -> dict[str, Any]:
    """Return the JSON that describes an unfitted estimator completely, nested estimators and functions included.

    >>> from sklearn.preprocessing import Binarizer
    >>> estimator_spec(Binarizer(threshold=0.5))
    {'class': 'sklearn.preprocessing:Binarizer', 'params': {'copy': True, 'threshold': 0.5}}

    All parameters are told, not only the changed ones, in the order of their names. What JSON does not know becomes an
    object of one marker: `tuple`, `dict`, `float` (nan, inf), `scalar`, `array`, `dtype`, `type`, `slice`, `selector`,
    `ufunc`, `function`. Classes and functions from outside scikit-learn carry a hash of their source. A lambda, a
    function inside a function, a generator of random numbers and whatever else cannot be told is a UsageError
    that names the parameter, counted from `path`.
    """
    cls = type(estimator)
    if not _is_part(cls):
        raise UsageError(
            f"{path}: {shown(estimator)} is no scikit-learn estimator; a class of yours must extend BaseEstimator"
        )
    name, params = _place(cls, path), cast(Any, estimator).get_params(deep=False)
    if params.get("memory") is not None:
        raise UsageError(
            f"{path}.memory: joblib's cache reads pickle files, which Tilth never does. Leave memory out: a model that "
            "was trained on the same records is not trained again anyway"
        )
    if name == "sklearn.frozen:FrozenEstimator":
        raise UsageError(
            f"{path}: what a FrozenEstimator has learned cannot be told by its parameters; give the estimator itself"
        )
    told: dict[str, Any] = {"class": name}
    if not _of_library(cls.__module__):
        told["source"] = source_hash(cls)
    return told | {"params": {key: _encode(params[key], f"{path}.{key}") for key in sorted(params)}}


def estimator_from_spec(spec: Mapping[str, Any], *, path: str = "estimator") -> Any:
    """Build the unfitted estimator that `estimator_spec` described.

    >>> estimator_from_spec({"class": "sklearn.preprocessing:Binarizer", "params": {"copy": True, "threshold": 0.5}})
    Binarizer(threshold=0.5)

    Only subclasses of scikit-learn's BaseEstimator are built, and a class or function whose source has changed since is
    a UsageError. The modules that the spec names are imported: trust a spec like the program that it came from.
    """
    cls = _imported(spec["class"], path)
    if not (isinstance(cls, type) and _is_part(cls)):
        raise UsageError(f"{path}: {spec['class']} is no scikit-learn estimator, so it is not built")
    _check_source(spec, cls, spec["class"], path)
    return cls(**{key: _decode(value, f"{path}.{key}") for key, value in spec["params"].items()})


def package_versions(spec: object) -> dict[str, str]:
    """Return name and version of every package whose classes or functions a spec names; scikit-learn always.

    >>> list(package_versions({"class": "sklearn.svm:SVC", "params": {}}))
    ['sklearn']
    """
    found = {"sklearn"}
    stack = [spec]
    while stack:
        item = stack.pop()
        if isinstance(item, Mapping):
            for key in ("class", "function", "ufunc"):
                if isinstance(item.get(key), str):
                    found.add(str(item[key]).partition(":")[0].partition(".")[0])
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(cast(list[object], item))
    versions = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(found)}
    return {name: str(version) for name, version in versions.items() if version is not None}


def _encode(value: Any, path: str) -> Any:
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, list):
        return [_encode(item, f"{path}[{i}]") for i, item in enumerate(cast(list[Any], value))]
    if isinstance(value, tuple):
        return {"tuple": [_encode(item, f"{path}[{i}]") for i, item in enumerate(cast(tuple[Any, ...], value))]}
    if type(value) is dict:
        pairs = [[_encode(key, f"{path} key"), _encode(item, f"{path}[{key!r}]")] for key, item in value.items()]
        return {"dict": sorted(pairs, key=lambda pair: json.dumps(pair[0], sort_keys=True))}
    if isinstance(value, slice):
        return {"slice": [_encode(part, path) for part in (value.start, value.stop, value.step)]}
    if isinstance(value, np.dtype):
        return {"dtype": value.str}
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufUO":
        items = [_encode(item, f"{path}[{i}]") for i, item in enumerate(value.ravel().tolist())]
        what = "array" if isinstance(value, np.ndarray) else "scalar"
        return {what: items, "dtype": value.dtype.str} | ({"shape": list(value.shape)} if what == "array" else {})
    if isinstance(value, type):
        return _encode_type(value, path)
    if _is_part(type(value)):
        return estimator_spec(value, path=path)
    if type(value) is make_column_selector:
        held = {"pattern": value.pattern, "dtype_include": value.dtype_include, "dtype_exclude": value.dtype_exclude}
        return {"selector": {key: _encode(item, f"{path}.{key}") for key, item in held.items()}}
    if isinstance(value, np.ufunc):
        for module in ("numpy", "scipy.special"):
            if getattr(importlib.import_module(module), value.__name__, None) is value:
                return {"ufunc": f"{module}:{value.__name__}"}
    elif callable(value):
        return _encode_function(value, path)
    raise UsageError(
        f"{path}: {shown(value)} cannot be told in JSON, so equal models could not be recognised. "
        "Give a number, text, list, estimator or top-level function there (random_state and cv: an integer)"
    )


def _encode_type(value: type, path: str) -> dict[str, str]:
    if issubclass(value, np.generic):
        return {"type": f"numpy:{value.__name__}"}
    if value in _PLAIN_TYPES.values():
        return {"type": f"builtins:{value.__name__}"}
    raise UsageError(f"{path}: the class {value.__name__} cannot be told in JSON; types of numbers and text can")


def _encode_function(value: Callable[..., Any], path: str) -> dict[str, str]:
    if type(value) is not FunctionType and not _of_library(str(getattr(value, "__module__", ""))):
        raise UsageError(
            f"{path}: {shown(value)} has no name under which it can be found again. "
            "Define a function with `def` at the top level of a file and name it here"
        )
    told = {"function": _place(value, path)}
    return told if _of_library(value.__module__) else told | {"source": source_hash(value)}


def _decode(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_decode(item, path) for item in cast(list[Any], value)]
    if not isinstance(value, Mapping):
        return value
    match value:
        case {"class": _}:
            return estimator_from_spec(cast(Mapping[str, Any], value), path=path)
        case {"float": text}:
            return float(text)
        case {"tuple": items}:
            return tuple(_decode(items, path))
        case {"dict": pairs}:
            return {_decode(key, path): _decode(item, path) for key, item in pairs}
        case {"slice": parts}:
            return slice(*_decode(parts, path))
        case {"array": items, "dtype": dtype, "shape": shape}:
            flat = np.empty(len(items), dtype=np.dtype(dtype))
            flat[:] = _decode(items, path)
            return flat.reshape(shape)
        case {"scalar": items, "dtype": dtype}:
            return np.array(_decode(items, path), dtype=np.dtype(dtype))[0]
        case {"dtype": text}:
            return np.dtype(text)
        case {"selector": held}:
            return make_column_selector(**{key: _decode(item, path) for key, item in held.items()})
        case {"type": written} | {"ufunc": written} | {"function": written}:
            return _decode_named(written, cast(Mapping[str, Any], value), path)
        case _:
            raise UsageError(f"{path}: {json.dumps(value, default=str)[:200]} is not what Tilth writes for a parameter")


def _decode_named(written: str, spec: Mapping[str, Any], path: str) -> Any:
    found = _imported(written, path)
    module = written.partition(":")[0]
    if "type" in spec:
        fits = isinstance(found, type) and (found in _PLAIN_TYPES.values() or issubclass(found, np.generic))
    elif "ufunc" in spec:
        fits = isinstance(found, np.ufunc)
    else:
        fits = type(found) is FunctionType or (_of_library(module) and callable(found) and not isinstance(found, type))
    if not fits:
        raise UsageError(f"{path}: {written} is not a {next(iter(spec))}, so it is not used")
    if "function" in spec:
        _check_source(spec, found, written, path)
    return found


def _check_source(spec: Mapping[str, Any], found: Any, written: str, path: str) -> None:
    if not _of_library(written.partition(":")[0]) and spec.get("source") != source_hash(found):
        raise UsageError(
            f"{path}: {written} has changed since this was written down; describe the model anew from the program"
        )


def _imported(written: str, path: str) -> Any:
    try:
        return find(written)
    except (NotFound, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error


def _place(value: Any, path: str) -> str:
    """`module:qualname`, by the public package where that has the same object (private files move between versions)."""
    module, name = str(value.__module__), str(value.__qualname__)
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    try:
        written = where(value)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    if found is not value:
        # A name that leads to something else would rebuild another model in the next process.
        raise UsageError(
            f"{path}: {written} does not lead back to it. Define it at the top level of a file, under that name"
        )
    parts = module.split(".")
    private = next((i for i, part in enumerate(parts) if part.startswith("_")), 0)
    public = ".".join(parts[:private])
    if public and getattr(sys.modules.get(public), name, None) is value:
        return f"{public}:{name}"
    return written if module == "__main__" else f"{module}:{name}"


def _is_part(cls: type) -> bool:
    # Kernels of Gaussian processes are parameters with parameters of their own, but no BaseEstimator.
    return issubclass(cls, BaseEstimator) or (
        cls.__module__ == "sklearn.gaussian_process.kernels" and hasattr(cls, "get_params")
    )


def _of_library(module: str) -> bool:
    return module.partition(".")[0] in _LIBRARIES


def shown(value: object) -> str:
    """Return a value in one line of at most 80 characters, for an error.

    >>> shown("a" * 200)[-5:]
    'aa...'
    """
    text = io.StringIO(repr(value)).readline().rstrip()
    return text if len(text) <= 80 else f"{text[:77]}..."
