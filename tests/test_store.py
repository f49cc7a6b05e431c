"""The record store through `Dataset`: versions, what they hold, and who may change what."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.pets import KINDS, NOTHING, child, label, make_pets, seen, table
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Column, Dataset, LabelType, Schema
from tilth.errors import Conflict, NotFound, UsageError


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    return make_pets(tmp_path)


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_a_source_becomes_version_0(pets: Dataset) -> None:
    assert (pets.version, len(pets), pets.name, pets.branches) == (0, 6, "pets", ["main"])
    assert seen(pets) == dict(zip([f"p{i}" for i in range(6)], KINDS, strict=True))
    assert pets.schema.names == ("x", "note")
    assert pets.features(pets.ids(["p4", "p1"]))["x"].to_pylist() == [[12, 13, 14], [3, 4, 5]]
    assert pets.log()[0].message == "import of dict"
    assert repr(pets) == "Dataset('pets', version 0: 6 records, 5 labelled)"
    assert "<table" in pets._repr_html_()


@pytest.mark.parametrize(
    ("kind", "labels", "expected"),
    [
        ("class", ["a", "b", None], ["a", "b", None]),
        ("classes", [["a", "b"], [], None], [["a", "b"], [], None]),
        ("number", [1.5, -2.0, None], [1.5, -2.0, None]),
    ],
)
def test_labels_of_every_kind_come_back(tmp_path: Path, kind: Any, labels: list[Any], expected: list[Any]) -> None:
    source = pa.table({"id": ["u", "v", "w"], "text": ["one", "two", "three"], "y": labels})
    ds = Dataset.create(tmp_path / "d", source, key="id", label="y", label_kind=kind, durability="process")
    again = Dataset.open(tmp_path / "d")
    assert again.schema.label.kind == kind
    assert again.labels(again.ids(["u", "v", "w"])) == expected
    assert again.view.labeled.tolist() == [True, True, False]
    assert [record.label for record in ds.records(ds.ids(["w", "u"]))] == [expected[2], expected[0]]


def test_several_classes_are_set_and_unset(tmp_path: Path) -> None:
    source = pa.table({"text": ["one", "two"], "y": [["a"], ["b"]]})
    ds = Dataset.create(tmp_path / "d", source, label="y", classes=["a", "b"], durability="process")
    ds.commit(Changes(events(Op.SET, ds.ids(["0"]), field=Field.LABEL, txt=['["a", "b"]'])))
    ds.commit(Changes(events(Op.SET, ds.ids(["1"]), field=Field.LABEL, num=-1)))
    assert ds.labels() == [["a", "b"], None]
    ds.revert(2)
    assert ds.labels() == [["a", "b"], ["b"]]
    before = ds.digest()
    ds.commit(Changes(events(Op.SET, ds.ids(["0"]), field=Field.LABEL, txt=['["a", "b"]'])))
    assert ds.digest() == before
    assert ds.diff(3, 4).num_rows == 0
    assert ds.diff(0, 4).select(["key", "before", "after"]).to_pylist() == [
        {"key": "0", "before": '["a"]', "after": '["a", "b"]'}
    ]


def test_images_and_text_come_back_byte_by_byte(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (2, 2), (255, 0, 0)).save(folder / "1.png")
    ds = Dataset.create(tmp_path / "d", tmp_path / "images", durability="process")
    (record,) = ds.records(np.array([0]))
    assert (record.key, record.label, record["image"]) == ("cat/1.png", "cat", (folder / "1.png").read_bytes())


def test_hidden_columns_are_kept_but_are_no_features(tmp_path: Path) -> None:
    Dataset.create(tmp_path / "d", table(), label="kind", hidden=["note"], missing="keep", durability="process")
    ds = Dataset.open(tmp_path / "d")
    assert ds.schema.features == ("name", "x")
    assert ds.features(np.array([0]), ["note"])["note"].to_pylist() == ["note 0"]
    with pytest.raises(NotFound, match=r"no column 'nte'.*Did you mean 'note'"):
        Dataset.create(tmp_path / "e", table(), label="kind", hidden=["nte"])
    assert not (tmp_path / "e").exists()


def test_an_empty_dataset_grows_by_appending(tmp_path: Path) -> None:
    schema = Schema((Column("x", "vector", 3), Column("note", "text")), LabelType("class", ("cat", "dog")))
    ds = Dataset.create(tmp_path / "d", schema=schema, durability="process")
    assert (ds.version, len(ds), ds.labels(), ds.table().num_rows) == (0, 0, [], 0)
    assert list(ds.stream()) == list(ds.batches()) == []
    first = ds.append(table(4), key="name", label="kind", batch="monday")
    again = ds.append(table(4), key="name", label="kind", batch="monday")
    assert (first.version, again, len(ds)) == (1, first, 4)
    ds.append(table(2, start=4), key="name", label="kind", batch="tuesday")
    assert [len(ds.at(v)) for v in range(3)] == [0, 4, 6]
    with pytest.raises(Conflict, match=r"2 of the new records have keys that the dataset has already \(p4, p5\)"):
        ds.append(table(2, start=4), key="name", label="kind")


def test_splits_rest_on_keys_alone(tmp_path: Path) -> None:
    source = {"name": [f"r{i}" for i in range(300)], "x": np.arange(300.0)}
    a = Dataset.create(tmp_path / "a", source, key="name", classes=["u"], durability="process")
    turned = {name: values[::-1] for name, values in source.items()}
    b = Dataset.create(tmp_path / "b", turned, key="name", classes=["u"], durability="process")
    ids = b.ids(source["name"])
    assert (a.view.split == b.view.split[ids]).all()
    assert set(a.table()["split"].to_pylist()) == {"train", "valid", "test"}
    assert a.digest() == b.digest()


# -- commits -----------------------------------------------------------------------------------------------------------


def test_a_version_never_changes(pets: Dataset) -> None:
    old = pets.at(0)
    digest = old.digest()
    pets.commit(label(pets, ["p1"], "cat"), message="a cat after all", actor="ann", round=3, metrics={"accuracy": 0.5})
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p0"]))))
    pets.commit(Changes(events(Op.SET, pets.ids(["p2"]), field=Field.WEIGHT, num=0.25)))
    pets.commit(Changes(events(Op.SET, pets.ids(["p2"]), field=Field.SPLIT, num=2)))
    assert (old.digest(), old.labels()[1], len(old)) == (digest, "dog", 6)
    assert seen(pets) == {"p1": "cat", "p2": "cat", "p3": "dog", "p4": "cat", "p5": None}
    row = pets.table(pets.ids(["p2"])).to_pylist()[0]
    assert (row["weight"], row["split"]) == (0.25, "test")
    assert (pets.log()[1].actor, pets.log()[1].round, dict(pets.log()[1].metrics)) == ("ann", 3, {"accuracy": 0.5})
    assert pets.at(-1).version == 4
    assert [len(Dataset.open(pets.path, version=v)) for v in range(5)] == [6, 6, 5, 5, 5]


def test_a_view_cannot_be_written_to(pets: Dataset) -> None:
    with pytest.raises(ValueError, match="read-only"):
        pets.view.label[0] = 1


def test_a_key_is_committed_once(pets: Dataset) -> None:
    first = pets.commit(label(pets, ["p1"], "cat"), key="run/1/fix")
    assert pets.commit(label(pets, ["p3"], "cat"), key="run/1/fix") == first
    assert Dataset.open(pets.path).commit(label(pets, ["p3"], "cat"), key="run/1/fix") == first
    assert (pets.version, seen(pets)["p3"]) == (1, "dog")


def test_changes_that_change_nothing_make_no_version(pets: Dataset) -> None:
    assert pets.commit(Changes.none()).version == 0
    assert pets.commit(Changes(NOTHING, child(pets, "p0", "q").added.slice(0, 0))).version == 0  # type: ignore[union-attr]
    assert pets.rollback(0).version == 0
    assert pets.version == 0


def test_a_version_that_is_held_still_refuses_to_write(pets: Dataset) -> None:
    old = pets.at(0)
    for write in (
        lambda: old.commit(label(pets, ["p1"], "cat")),
        lambda: old.append(table(), key="name"),
        lambda: old.rollback(0),
        lambda: old.revert(0),
    ):
        with pytest.raises(UsageError, match=r"this is version 0, held still by at\(\).*Dataset.open"):
            write()


def test_records_get_new_content_and_keep_the_old_in_the_history(pets: Dataset) -> None:
    vector = pa.array([[9.0, 9.0, 9.0]], pa.list_(pa.float32(), 3))
    revised = pa.table({"record_id": pets.ids(["p1"]), "x": vector, "note": ["new"], "reason": ["blurred"]})
    pets.commit(Changes(NOTHING, None, revised))
    assert pets.features(pets.ids(["p1"]))["note"].to_pylist() == ["new"]
    assert pets.at(0).features(pets.ids(["p1"]))["note"].to_pylist() == ["note 1"]
    ids = pets.ids([f"p{i}" for i in range(6)])
    assert (pets.content[ids] != pets.at(0).content[ids]).tolist() == [False, True, False, False, False, False]
    assert [(e.what, e.reason) for e in pets.history("p1")][1:] == [("content", "blurred")]
    pets.rollback(0)
    assert pets.digest() == pets.at(0).digest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (events(Op.REMOVE, np.array([99])), "record ids \\[99\\] are not in version 0"),
        (events(Op.REMOVE, np.array([-1])), "record ids \\[-1\\] are not in version 0"),
        (events(Op.SET, np.array([0]), field=Field.LABEL, num=2), "codes from 0 to 1"),
        (events(Op.SET, np.array([0]), field=Field.LABEL, num=0.5), "codes from 0 to 1"),
        (events(Op.SET, np.array([0]), field=Field.LABEL), "codes from 0 to 1"),
        (events(Op.SET, np.array([0]), field=Field.LABEL, txt=['"cat"']), "numbers in `new_num`"),
        (events(Op.SET, np.array([0]), field=Field.WEIGHT, num=-1), "weights are finite numbers of 0 or more, got -1"),
        (events(Op.SET, np.array([0]), field=Field.WEIGHT, num=np.inf), "weights are finite"),
        (events(Op.SET, np.array([0]), field=Field.SPLIT, num=3), "splits are positions in"),
        (events(Op.SET, np.array([0]), field=Field.PAYLOAD, num=1), "no content of that record"),
        (events(Op.SET, np.array([0]), num=1), "sets a field that is none of Field"),
        (events(Op.ANSWER, np.array([0]), txt=["cat"]), "an answer is JSON text"),
    ],
)
def test_impossible_changes_are_refused(pets: Dataset, change: pa.Table, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pets.commit(Changes(change))
    assert (pets.version, len(pets)) == (0, 6)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("key", pa.nulls(1, pa.string()), "has no key"),
        ("key", pa.array([""]), "has no key"),
        ("label0", pa.array([5], pa.int32()), "codes from 0 to 1"),
        ("split0", pa.array([3], pa.int8()), "split0 of a new record"),
        ("parent", pa.array([17]), "derives from a record that is not in version 0"),
        ("x", pa.nulls(1, pa.list_(pa.float32(), 3)), "have nulls in the columns x"),
        ("x", pa.array([[1.0, 2.0]]), "column 'x' is no vector"),
        ("note", None, "lack the columns note; every record has x, note"),
        ("label0", None, "lack the columns label0"),
    ],
)
def test_impossible_records_are_refused(pets: Dataset, column: str, values: Any, message: str) -> None:
    added = child(pets, "p0", "q").added
    assert added is not None
    at = added.column_names.index(column)
    added = added.remove_column(at) if values is None else added.set_column(at, column, values)
    with pytest.raises(UsageError, match=message):
        pets.commit(Changes(NOTHING, added))
    with pytest.raises(UsageError, match="same key"):
        pets.commit(Changes.join([child(pets, "p0", "q"), child(pets, "p1", "q")]))
    assert pets.version == 0


@pytest.mark.parametrize("text", ['"a"', "[a", '["c"]'])
def test_impossible_lists_of_classes_are_refused(tmp_path: Path, text: str) -> None:
    source = pa.table({"text": ["one"], "y": [["a"]]})
    ds = Dataset.create(tmp_path / "d", source, label="y", classes=["a", "b"], durability="process")
    with pytest.raises((UsageError, NotFound), match="class"):
        ds.commit(Changes(events(Op.SET, ds.ids(["0"]), field=Field.LABEL, txt=[text])))
    with pytest.raises(UsageError, match="JSON lists"):
        ds.commit(Changes(events(Op.SET, ds.ids(["0"]), field=Field.LABEL, num=12)))


def test_stale_changes_conflict_where_others_were_and_only_there(pets: Dataset) -> None:
    pets.commit(label(pets, ["p1"], "cat"))
    with pytest.raises(Conflict, match=r"1 records \(p1\) were changed by others in versions 1 to 1") as caught:
        pets.commit(label(pets, ["p1", "p2"], "dog"), base=0)
    assert caught.value.records == tuple(pets.ids(["p1"]).tolist())
    commit = pets.commit(label(pets, ["p1", "p2"], "dog"), base=0, on_conflict="skip")
    assert (commit.meta["conflicts"], seen(pets)["p1"], seen(pets)["p2"]) == (1, "cat", "dog")
    pets.commit(label(pets, ["p3"], "cat"), base=0)
    with pytest.raises(UsageError, match="base=9: this branch has versions 0 to 3"):
        pets.commit(label(pets, ["p3"], "cat"), base=9)
    with pytest.raises(UsageError, match='on_conflict is "raise" or "skip"'):
        pets.commit(label(pets, ["p3"], "cat"), on_conflict="ignore")  # type: ignore[arg-type]


def test_new_records_conflict_with_what_became_of_their_sources(pets: Dataset) -> None:
    both = Changes.join([child(pets, "p0", "p0~flip"), child(pets, "p2", "p2~flip")])
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p0"]))))
    with pytest.raises(Conflict, match="p0"):
        pets.commit(both, base=0)
    commit = pets.commit(both, base=0, on_conflict="skip")
    assert commit.meta["conflicts"] == 1
    assert pets.find(["p0~flip", "p2~flip"]).tolist()[0] == -1
    pets.commit(both, base=1, on_conflict="skip")
    with pytest.raises(Conflict, match=r"keys that the dataset has already \(p2~flip\)"):
        pets.commit(child(pets, "p2", "p2~flip"))
