"""The training process keeps a dataset open from one request to the next, and still sees all that comes."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from tilth.algebra import to_json
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.errors import NotFound, RunFailed
from tilth.integrations.sklearn import SklearnModel
from tilth.metrics import rounds
from tilth.outputs import Outputs
from tilth.runs.child import serve
from tilth.runs.trainer import Child
from tilth.training import model_ref
from tilth.workflow import Workflow

MODEL = SklearnModel(GaussianNB())


def make(folder: Path, shift: float) -> Dataset:
    x = np.arange(40.0) % 20 + shift
    source = {"k": [f"r{i}" for i in range(40)], "x": x, "y": ["low", "high"] * 20}
    return Dataset.create(folder, source, key="k", label="y", splits={"train": 1}, durability="process")


def request(ds: Dataset, version: int, **other: Any) -> dict[str, Any]:
    place = {"path": str(ds.path.resolve()), "branch": "main", "durability": ds.durability}
    asked = {"source": "", "dataset": place, "version": version, "model": to_json(MODEL), "probe": to_json(MODEL)}
    return asked | {"needs": ["probabilities"], "seed": 0, "keep": False} | other


def test_it_sees_the_versions_that_come_between_requests(tmp_path: Path) -> None:
    ds = make(tmp_path / "d", 0)
    first = serve(request(ds, 0))
    ds.commit(Changes(events(Op.SET, ds.ids(["r1", "r2"]), field=Field.LABEL, num=0.0)))
    ds.append({"k": ["new"], "x": [3.0], "y": ["low"]}, key="k", label="y", splits={"train": 1})
    ds.compact()
    for version, n in ((1, 40), (2, 41), (0, 40)):
        done = serve(request(ds, version, keep=True))
        assert done["ref"] == model_ref(ds.at(version), MODEL, MODEL, seed=0)
        assert len(Outputs(ds.path / "outputs" / done["ref"]).ids) == n
    assert serve(request(ds, 0)) | {"seconds": 0} == first | {"trained": [], "seconds": 0, "model_seconds": 0.0}


def test_another_dataset_in_the_same_place_is_another(tmp_path: Path) -> None:
    old = serve(request(make(tmp_path / "d", 0), 0))
    shutil.rmtree(tmp_path / "d")
    ds = make(tmp_path / "d", 5)
    new = serve(request(ds, 0))
    assert new["ref"] == model_ref(ds.at(0), MODEL, MODEL, seed=0) != old["ref"]
    assert new["trained"] == ["probabilities"]
    shutil.rmtree(tmp_path / "d")
    with pytest.raises(NotFound, match="does not exist"):
        serve(request(ds, 0))


def test_what_was_stopped_before_it_began_trains_nothing(tmp_path: Path) -> None:
    ds = make(tmp_path / "d", 0)
    child = Child()
    child.stop()
    with pytest.raises(RunFailed, match="training on version 0 was stopped"):
        child.train(Workflow(ds, MODEL, {}, until=rounds() >= 1), 0, needs=frozenset({"probabilities"}), keep=False)
    child.close()
    assert not (ds.path / "outputs").exists()
