"""Train a model on a version of a dataset and write down, once, what it says of every record."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.compute.folds import out_of_fold
from tilth.dataset import Dataset
from tilth.dataset.splits import draw
from tilth.errors import NotFound, UsageError
from tilth.functions import find
from tilth.outputs import KINDS, LEARNED, THERE, Outputs
from tilth.protocols import Fitted, FittedCommittee, FittedInEpochs, Model

__all__ = ["embeddings", "extend", "fitted_model", "model_ref", "train"]

T = TypeVar("T")
Ids = npt.NDArray[np.int64]

_ONLY_SOME: Mapping[str, tuple[str, str]] = {
    "draws": ("draws", "SklearnModel of a forest, of bagging or of voting estimators"),
    "epoch_probabilities": ("epochs", "SklearnModel(..., epochs=20) of an estimator with partial_fit, or of boosting"),
}
"""Outputs that not every model can give: the name in `gives` that says so, and which models have it."""

_CHUNK = 65_536
"""Records predicted at once: bounds the memory of features that must be decoded."""
_DRAWN = 8192
"""Records of which a committee is asked at once: a hundred members and ten classes are 33 MB of float32."""

_newest: dict[Path, Fitted] = {}
"""The model that was fitted last in this process, by its folder: it can still be saved without fitting it again."""


def model_ref(dataset: Dataset, model: Model, probe: Model, *, seed: int) -> str:
    """Return the name of a trained model: a hash of its spec, the data it is trained on and speaks of, and the seed.

    Ids and versions do not enter, so a reverted commit and a step that is run again find the model that is there.
    """
    spec = json.dumps([dict(model.spec), dict(probe.spec), seed], sort_keys=True)
    return hashlib.sha256(f"{spec}\\n{dataset.digest(asked=False)}".encode()).hexdigest()[:16]


def train(
    dataset: Dataset, model: Model, probe: Model, *, needs: Iterable[str], seed: int, keep: bool = False
) -> dict[str, Any]:
    """Make sure that the outputs in `needs` of the model trained on a dataset's version exist; return its ref.

    `dataset` must stand at a version. Trains on labelled living training records in an order drawn from their keys;
    speaks of every living record, held-out ones included. `keep=True` saves the model itself too, for `load`.
    UsageError where no record has a label.
    """
    started, watch = time.perf_counter(), _Watch()
    ref = model_ref(dataset, model, probe, seed=seed)
    folder = dataset.path / "outputs" / ref
    view = dataset.view
    ids = np.flatnonzero(view.alive)
    wanted = (set(needs) | {"probabilities"}) & set(KINDS)
    for kind in sorted(wanted & set(_ONLY_SOME)):
        _given(model, kind)
    learned = view.train & view.labeled & (view.weight > 0)
    about = {"seed": seed, "model": dict(model.spec), "labelled": int((view.train & view.labeled).sum())}
    part = np.where(learned[ids], LEARNED, THERE).astype(np.int8)
    outputs = Outputs.create(folder, ids, about | {"probe": dict(probe.spec)}, part)
    missing = wanted - outputs.kinds
    saved = folder / "model"
    if missing or (keep and not saved.exists()):
        own = {"probabilities", "embeddings", *_ONLY_SOME} & missing
        # what is spoken of holds what is learned: where all are read at once, they are read once
        every = dataset.features(ids, dataset.schema.features) if own and len(ids) <= _CHUNK else None
        lesson = _Lesson(dataset, seed, watch, ids, every)
        if own or (keep and not saved.exists()):
            fitted = _newest.get(folder)
            if fitted is None:
                _newest.clear()  # before the next is fitted: two might not fit into memory
                fitted = _newest[folder] = lesson.fit(model)
            if "probabilities" in missing:
                outputs.add("probabilities", _predict(dataset, fitted, ids, every, watch))
            if "embeddings" in missing:
                outputs.add("embeddings", _embed(dataset, model, fitted, ids, every, watch))
            if "draws" in missing:
                _draw(outputs, dataset, cast(FittedCommittee, fitted), ids, every, watch)
            if "epoch_probabilities" in missing:
                outputs.add("epoch_probabilities", lesson.epochs(cast(FittedInEpochs, fitted), ids))
            if keep and not saved.exists():
                _save(fitted, saved)
                _newest.clear()
        for kind, judge in (("out_of_fold_probabilities", model), ("probe_probabilities", probe)):
            if kind in missing:
                outputs.add(kind, lesson.out_of_fold(judge, outputs))
    seconds = time.perf_counter() - started
    return {"ref": ref, "trained": sorted(missing), "seconds": seconds, "model_seconds": watch.seconds}


def extend(dataset: Dataset, outputs: Outputs, *, needs: Iterable[str]) -> Outputs:
    """Return what a trained model says of every living record, those that came after its training included.

    The model that made `outputs` (see `fitted_model`) is asked about the new records; of the kinds in `needs` it can
    tell "probabilities" and "embeddings". Returns `outputs` where there is no new record. What is kept is that of the
    newest version only.
    """
    wanted = sorted({"probabilities", "embeddings"} & set(needs) & outputs.kinds)
    old = np.asarray(outputs.ids)
    new = np.setdiff1d(np.flatnonzero(dataset.view.alive), old)
    if not wanted or len(new) == 0:
        return outputs
    folder = outputs.folder.with_name(f"{outputs.ref}+{dataset.log()[-1].txn:x}")
    if not folder.exists():
        for earlier in folder.parent.glob(f"{outputs.ref}+*"):
            shutil.rmtree(earlier, ignore_errors=True)
    ids = np.concatenate([old, new])
    order = np.argsort(ids)
    lesson = np.concatenate([outputs.lesson, np.zeros(len(new), np.int8)])
    made = Outputs.create(folder, ids[order], outputs.about, lesson[order])
    missing = [kind for kind in wanted if kind not in made.kinds]
    if missing:
        (model, fitted), watch = fitted_model(dataset, outputs), _Watch()
        if "probabilities" in missing:
            said = np.concatenate([outputs.get("probabilities"), _predict(dataset, fitted, new, None, watch)], axis=1)
            made.add("probabilities", said[:, order])
        if "embeddings" in missing:
            said = np.concatenate([outputs.get("embeddings"), _embed(dataset, model, fitted, new, None, watch)])
            made.add("embeddings", said[order])
    return made


def fitted_model(dataset: Dataset, outputs: Outputs) -> tuple[Model, Fitted]:
    """Return the model that made some outputs, trained: for what it says of records that are not in the dataset.

    Read from where it was kept, or taken from this process where it was the last to be fitted, else trained again on
    the version of `dataset`, or of those before it, that it was trained on: that takes as long as the first time.
    NotFound where there is none such.
    """
    about = outputs.about
    model = _rebuilt(about["model"])
    saved = outputs.folder / "model"
    if saved.exists():
        return model, model.load(saved, task=dataset.schema.label.task)
    if outputs.folder in _newest:
        return model, _newest[outputs.folder]
    # what an earlier Tilth wrote does not say by which probe
    for version in range(dataset.version, -1, -1) if "probe" in about else ():
        then = dataset.at(version)
        if model_ref(then, model, _rebuilt(about["probe"]), seed=about["seed"]) == outputs.ref:
            return model, _Lesson(then, about["seed"], _Watch(), np.empty(0, np.int64), None).fit(model)
    raise NotFound(
        f"model {outputs.ref} was not kept, and none of the versions 0 to {dataset.version} is what it was trained on; "
        "train it again with keep=True"
    )


def _rebuilt(spec: Mapping[str, Any]) -> Model:
    return find(spec["model"]).from_spec(spec)


class _Watch:
    """How long the user's model itself was at work: what is left of a round is Tilth's own."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, call: Callable[[], T]) -> T:
        began = time.perf_counter()
        try:
            return call()
        finally:
            self.seconds += time.perf_counter() - began


class _Lesson:
    """The training records of a version, in an order that depends on their keys only."""

    def __init__(self, dataset: Dataset, seed: int, watch: _Watch, living: Ids, every: pa.Table | None) -> None:
        self.watch = watch
        view = dataset.view
        ids = np.flatnonzero(view.train & view.labeled & (view.weight > 0))
        if len(ids) == 0:
            raise UsageError(
                f"{dataset!r} has no labelled record in its train split, so there is nothing to train on; "
                "label some first (import them with labels, or ask for a random start)"
            )
        self.dataset, self.seed = dataset, seed
        self.task = dataset.schema.label.task
        self.ids = ids[np.argsort(draw(dataset.key_hash[ids], "order", seed), kind="stable")]
        if every is None:
            self.features = dataset.features(self.ids, dataset.schema.features)
        else:
            self.features = every.take(pa.array(np.searchsorted(living, self.ids)))
        self.weight = view.weight[self.ids]
        self.y = targets(dataset, self.ids)

    def fit(self, model: Model) -> Fitted:
        return self.watch(lambda: model.fit(self.features, self.y, self.weight, task=self.task, seed=self.seed))

    def epochs(self, fitted: FittedInEpochs, every: Ids) -> npt.NDArray[np.float32]:
        said = self.watch(lambda: fitted.epochs(self.features))
        full = np.full((len(said), said.shape[2], len(every)), np.nan, np.float32)
        full[:, :, np.searchsorted(every, self.ids)] = said.transpose(0, 2, 1)
        return full

    def out_of_fold(self, model: Model, outputs: Outputs) -> npt.NDArray[np.float32]:
        parent = self.dataset.parent
        root = self.ids.copy()
        while (
            parent[root] >= 0
        ).any():  # a derived record stays in its source's fold, or its source's label would leak
            root = np.where(parent[root] >= 0, parent[root], root)
        group, task = self.dataset.key_hash[root], self.task
        found = self.watch(
            lambda: out_of_fold(model, self.features, self.y, self.weight, task=task, group_hash=group, seed=self.seed)
        )
        every = np.asarray(outputs.ids)
        full = np.full((found.shape[1], len(every)), np.nan, np.float32)
        full[:, np.searchsorted(every, self.ids)] = found.T
        return full


def targets(dataset: Dataset, ids: Ids) -> npt.NDArray[Any]:
    """Return what models learn: int64 codes [n], float32 0/1 [n, k] for several classes, or float64 numbers [n]."""
    kind = dataset.schema.label
    if kind.kind == "class":
        return dataset.view.label[ids].astype(np.int64)
    if kind.kind == "number":
        return dataset.view.label[ids]
    table = np.zeros((len(ids), len(kind.classes)), np.float32)
    code = {name: i for i, name in enumerate(kind.classes)}
    for row, names in enumerate(dataset.labels(ids)):
        for name in names or ():
            table[row, code[name]] = 1
    return table


def _chunks(dataset: Dataset, ids: Ids, every: pa.Table | None) -> Iterable[tuple[slice, pa.Table]]:
    if every is not None:
        yield slice(0, len(ids)), every
        return
    for start in range(0, len(ids), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(ids)))
        yield part, dataset.features(ids[part], dataset.schema.features)


def _predict(
    dataset: Dataset, fitted: Fitted, ids: Ids, every: pa.Table | None, watch: _Watch
) -> npt.NDArray[np.float32]:
    out = np.empty((dataset.schema.label.task.outputs, len(ids)), np.float32)
    for part, features in _chunks(dataset, ids, every):
        out[:, part] = watch(lambda f=features: fitted.predict(f)).T
    return out


def _draw(
    outputs: Outputs, dataset: Dataset, fitted: FittedCommittee, ids: Ids, every: pa.Table | None, watch: _Watch
) -> None:
    def told() -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        for part, features in _chunks(dataset, ids, every):
            for at in range(0, features.num_rows, _DRAWN):
                some = features.slice(at, _DRAWN)
                start = part.start + at
                yield slice(start, start + some.num_rows), watch(lambda f=some: fitted.draws(f))

    parts = told()
    part, said = next(parts)
    # A hundred trees on a million records of ten classes are 4 GB: written as they come, never in memory at once.
    with outputs.filling("draws", (len(said), dataset.schema.label.task.outputs, len(ids))) as full:
        full[:, :, part] = said.transpose(0, 2, 1)
        for part, said in parts:
            full[:, :, part] = said.transpose(0, 2, 1)


def _given(model: Model, kind: str) -> None:
    name, those = _ONLY_SOME[kind]
    if name not in model.gives:
        raise UsageError(
            f"a signal or metric needs {kind}, and {model!r} gives none. Models that do: {those}, or one of your own "
            f"whose `gives` names {name!r}"
        )


def _embed(
    dataset: Dataset, model: Model, fitted: Fitted, ids: Ids, every: pa.Table | None, watch: _Watch
) -> npt.NDArray[np.float32]:
    if "embeddings" in model.gives:
        found = [watch(lambda f=features: fitted.embed(f)) for _, features in _chunks(dataset, ids, every)]
        return np.concatenate(found)
    kinds = {c.name: c.kind for c in dataset.schema.columns if not c.hidden}
    if not set(kinds.values()) <= {"vector", "number", "integer"}:
        odd = [name for name, kind in kinds.items() if kind not in ("vector", "number", "integer")]
        raise UsageError(
            f"{model!r} gives no embeddings, and the columns {', '.join(odd)} are no numbers that could stand for "
            "them; give SklearnModel(..., embed=STEP)"
        )
    return np.concatenate([_numbers(features) for _, features in _chunks(dataset, ids, every)])


def embeddings(model: Model, fitted: Fitted, features: pa.Table) -> npt.NDArray[np.float32]:
    """Return the embeddings of rows, float32[n, d]: the model's, or the numbers themselves where it gives none."""
    return fitted.embed(features) if "embeddings" in model.gives else _numbers(features)


def _numbers(features: pa.Table) -> npt.NDArray[np.float32]:
    parts: list[npt.NDArray[np.float32]] = []
    for column in features.columns:
        values = column.combine_chunks()
        flat = values.flatten() if pa.types.is_fixed_size_list(values.type) else values
        parts.append(flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(features.num_rows, -1))
    return np.concatenate(parts, axis=1)


def _save(fitted: Fitted, folder: Path) -> None:
    part = folder.with_name(f".{folder.name}.{time.monotonic_ns()}.part")
    part.mkdir()
    fitted.save(part)
    part.rename(folder)
