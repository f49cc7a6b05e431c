"""What records hold is read from disk once, and what comes later is seen all the same."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tilth.changes import Changes
from tilth.dataset import Dataset


def make(folder: Path, n: int) -> Dataset:
    source = {
        "k": [f"r{i}" for i in range(n)],
        "x": np.arange(float(n)),
        "note": [f"n{i}" for i in range(n)],
        "y": ["a", "b"] * (n // 2),
    }
    return Dataset.create(folder, source, key="k", label="y", splits={"train": 1}, durability="process")


def modify(ds: Dataset, keys: list[str], x: float) -> None:
    ids = ds.ids(keys)
    new = pa.table({"record_id": ids, "x": np.full(len(ids), x), "note": [f"changed to {x}"] * len(ids)})
    ds.commit(Changes(Changes.none().events, None, new))


def add(ds: Dataset, key: str) -> None:
    ds.append({"k": [key], "x": [-1.0], "note": [key], "y": ["a"]}, key="k", label="y", splits={"train": 1})


@settings(max_examples=40)
@given(st.data())
def test_every_reading_is_what_a_fresh_look_at_the_disk_gives(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ds = make(Path(folder) / "d", 12)
        for step in range(data.draw(st.integers(1, 5))):
            match data.draw(st.sampled_from(["modify", "add", "read"])):
                case "modify":
                    some = data.draw(st.lists(st.integers(0, 11), min_size=1, max_size=4, unique=True))
                    modify(ds, [f"r{i}" for i in some], 100.0 + step)
                case "add":
                    add(ds, f"new{step}")
                case _:
                    pass
            version = data.draw(st.integers(0, ds.version))
            at, fresh = ds.at(version), Dataset.open(ds.path, durability="process").at(version)
            ids = data.draw(st.permutations(range(len(at.view))))
            wanted = np.array([i for i in ids if at.view.known[i]][: data.draw(st.integers(0, len(ids)))], np.int64)
            columns = data.draw(st.sampled_from([None, ["x"], ["note", "x"]]))
            assert at.features(wanted, columns).to_pylist() == fresh.features(wanted, columns).to_pylist()


def test_rows_that_were_read_are_not_read_again(tmp_path: Path) -> None:
    ds = make(tmp_path / "d", 12)
    every = np.arange(12)
    before = ds.features(every)
    for file in (ds.path / "payload.lance" / "data").iterdir():
        file.unlink()
    assert ds.features(every) is before
    assert ds.features(every[::-3], ["note"]).to_pylist() == [{"note": f"n{i}"} for i in (11, 8, 5, 2)]
