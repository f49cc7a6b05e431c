"""Importers: every source ends in the same table, and everything bad is named with its file and row.

600 lines because every sort of source and every way to be bad has its case, and they share what they are made of.
"""

import csv
import io
import json
import os
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tilth.dataset.readers import read
from tilth.dataset.schema import Column, LabelType, Schema
from tilth.errors import DataError, UsageError


def image(color: int = 0, fmt: str = "PNG", size: int = 8) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(color).integers(0, 255, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, fmt)
    return out.getvalue()


def sound(frames: int = 100) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x01\x00" * frames)
    return out.getvalue()


def put(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def kinds_of(schema: Schema) -> dict[str, Any]:
    return {c.name: (c.kind, c.size) if c.size else c.kind for c in schema.columns}


def error_of(source: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:  # noqa: PT011  the caller looks at the message
        read(source, **options)
    assert caught.value.problems, "an error lists its problems"
    return caught.value


# -- tables in memory --------------------------------------------------------------------------------------------------


def test_unusual_arrow_types_are_read_as_what_they_hold() -> None:
    views = pa.array([[1, 2], [9, 9], [3, 4]], pa.list_view(pa.int64()))
    ends = pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int32()), pa.array([5, 6]))
    tensors = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float32(), [1, 2]), pa.array([[1, 2]] * 3, pa.list_(pa.float32(), 2))
    )
    table = pa.table({"v": views, "r": ends, "t": tensors, "s": pa.array(["a", "b", "c"], pa.string_view())}).slice(1)
    found = read(table, classes=["k"])
    assert kinds_of(found.schema) == {"v": ("vector", 2), "r": "integer", "t": ("vector", 2), "s": "text"}
    assert (found.table["v"].to_pylist(), found.table["r"].to_pylist()) == ([[9, 9], [3, 4]], [6, 6])


def test_a_table_becomes_key_label_split_and_typed_columns() -> None:
    table = pa.table(
        {
            "id": [7, 8],
            "age": pa.array([1, 2], pa.int16()),
            "rich": [True, False],
            "x": pa.array([0.5, 1.5], pa.float32()),
            "job": pa.array(["a", "b"]).dictionary_encode(),
            "v": [[1.0, 2.0], [3.0, 4.0]],
            "png": [image(1), image(2)],
            "wav": [sound(), sound(5)],
            "part": ["validation", None],
            "y": ["dog", "cat"],
        }
    )
    found = read(table, key="id", label="y", split="part")
    assert kinds_of(found.schema) == {
        "age": "integer", "rich": "integer", "x": "number", "job": "text", "v": ("vector", 2),
        "png": "image", "wav": "audio",
    }  # fmt: skip
    assert found.schema.label == LabelType("class", ("cat", "dog"))
    assert found.table.schema.names == ["key", "label0", "split0", *found.schema.names]
    assert [found.table.schema.field(c.name).type for c in found.schema.columns] == [
        c.arrow for c in found.schema.columns
    ]
    assert found.table.schema.types[:3] == [pa.string(), pa.int32(), pa.int8()]
    rows = found.table.to_pydict()
    assert (rows["key"], rows["label0"], rows["split0"]) == (["7", "8"], [1, 0], [1, -1])
    assert (rows["rich"], rows["v"], rows["png"]) == ([1, 0], [[1, 2], [3, 4]], [image(1), image(2)])


def test_readers_of_batches_are_read_to_their_end() -> None:
    batch = pa.record_batch({"x": [1.0], "y": ["a"]})
    stream = pa.RecordBatchReader.from_batches(batch.schema, [batch, batch])
    assert read(stream, label="y").table["key"].to_pylist() == ["0", "1"]
    assert read(batch, label="y").table.num_rows == 1


def test_pandas_nullable_categorical_and_plain_columns_arrive() -> None:
    frame = pd.DataFrame(
        {
            "n": pd.array([1, 2], dtype="Int64"),
            "c": pd.Categorical(["u", "v"]),
            "o": pd.Series(["p", "q"], dtype=object),
            "l": [np.array([1.0, 2.0]), np.array([3.0, 4.0])],
            0: [0.5, 1.0],
            "y": [1.0, np.nan],
        }
    ).set_index(pd.Index(["k1", "k2"], name="name"))
    found = read(frame, label="y", key="name")
    assert kinds_of(found.schema) == {"n": "integer", "c": "text", "o": "text", "l": ("vector", 2), "0": "number"}
    assert found.table["key"].to_pylist() == ["k1", "k2"]
    assert found.schema.label.classes == ("1",)
    assert found.table["label0"].to_pylist() == [0, -1]


def test_times_must_be_converted_first() -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", "2021-01-01"])})
    assert "convert it to a number or text" in str(error_of(frame, classes=["a"]))
    assert read(frame, classes=["a"], kinds={"t": "text"}).table["t"].to_pylist()[0].startswith("2020-01-01")


def test_mixed_types_of_a_data_frame_are_bad_rows() -> None:
    frame = pd.DataFrame({"a": pd.Series(["x", 3, "y"], dtype=object)})
    assert "row 2: column 'a' is a number here and a text in most rows" in str(error_of(frame, classes=["k"]))
    assert read(frame, classes=["k"], on_error="quarantine").table["a"].to_pylist() == ["x", "y"]
    assert "row 1: column 'n' is a number beyond 64 bits" in str(error_of({"n": [2**70, 1]}, classes=["k"]))


def test_arrays_of_two_dimensions_are_vectors() -> None:
    x = np.arange(6, dtype=np.float64).reshape(3, 2)
    found = read(
        {"x": x[:, ::-1], "n": np.array([1, 2, 3]), "s": np.array(["a", "b", "c"]), "y": [10, 9, 10]}, label="y"
    )
    assert kinds_of(found.schema) == {"x": ("vector", 2), "n": "integer", "s": "text"}
    assert found.schema.label.classes == ("9", "10"), "whole numbers keep their order"
    assert found.table["x"].to_pylist() == [[1, 0], [3, 2], [5, 4]]
    assert "reshape" in str(error_of({"x": np.zeros((2, 3, 3))}, classes=["a"]))
    assert "x has 2, y has 3" in str(error_of({"x": [1, 2], "y": [1, 2, 3]}, label="y"))


def test_hugging_face_datasets_bring_classes_splits_and_bytes() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "img": datasets.Image(),
            "tags": datasets.List(datasets.ClassLabel(names=["p", "q"])),
            "y": datasets.ClassLabel(names=["z", "a"]),
        }
    )
    rows = {"img": [{"bytes": image(i), "path": None} for i in range(3)], "tags": [[1, 0], [], [1]], "y": [1, 0, -1]}
    part = datasets.Dataset.from_dict(rows, features=features)
    found = read(part.select([2, 0]), label="y", columns=["img"])
    assert found.schema.label.classes == ("z", "a"), "the order of the ClassLabel"
    assert found.table["label0"].to_pylist() == [-1, 1]
    assert found.table["img"].to_pylist() == [image(2), image(0)]
    both = read(datasets.DatasetDict({"train": part, "validation": part}), label="tags", columns=["img"])
    assert both.table["split0"].to_pylist() == [0, 0, 0, 1, 1, 1]
    assert both.table["label0"].to_pylist()[:3] == ['["p", "q"]', "[]", '["q"]']
    assert "no split is called 'pool'" in str(error_of({"pool": part}, label="y"))


def test_classes_that_hugging_face_wrote_into_parquet_are_found(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"t": datasets.Value("string"), "y": datasets.ClassLabel(names=["z", "a"])})
    path = tmp_path / "a.parquet"
    pq.write_table(datasets.Dataset.from_dict({"t": ["u"], "y": [1]}, features=features).data.table, path)
    assert read(path, label="y", classes=["a", "b", "z"]).table["label0"].to_pylist() == [0]
    assert read(path, label="y").schema.label.classes == ("z", "a")


def test_tables_of_a_dict_are_splits() -> None:
    found = read(
        {"train": pa.table({"x": [1.0]}), "test": pa.table({"x": [2.0, np.nan]})}, classes=["a"], on_error="quarantine"
    )
    assert found.table["split0"].to_pylist() == [0, 2]
    assert found.rejected.to_pylist()[0] | {"reason": ""} == {"source": "test", "row": 2, "key": "2", "reason": ""}


def test_what_is_no_source_is_refused() -> None:
    with pytest.raises(UsageError, match=r"builtins\.int; give a path"):
        read(3)


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "options", "kind", "classes", "stored"),
    [
        (["b", None, "a"], {}, "class", ("a", "b"), [1, -1, 0]),
        ([True, False, None], {}, "class", ("False", "True"), [1, 0, -1]),
        ([2, 10, -1], {}, "class", ("-1", "2", "10"), [1, 2, 0]),
        ([0.5, 2.0, None], {}, "number", (), [0.5, 2.0, None]),
        ([3, 1, 2], {"label_kind": "number"}, "number", (), [3.0, 1.0, 2.0]),
        ([["b", "a"], [], None], {}, "classes", ("a", "b"), ['["a", "b"]', "[]", None]),
        ([1, 0, 1], {"classes": ["no", "yes"]}, "class", ("no", "yes"), [1, 0, 1]),
        (["x", "y", "x"], {"classes": ["z", "y", "x"]}, "class", ("z", "y", "x"), [2, 1, 2]),
        ([None, None, None], {"classes": ["z"]}, "class", ("z",), [-1, -1, -1]),
    ],
)
def test_labels_are_inferred(labels: Any, options: Any, kind: str, classes: tuple[str, ...], stored: list[Any]) -> None:
    found = read(pa.table({"x": [1, 2, 3], "y": labels}), label="y", **options)
    assert found.schema.label == LabelType(kind, classes)  # type: ignore[arg-type]
    values = found.table["label0"].to_pylist()
    assert [None if v != v else v for v in values] == stored


def test_labels_that_do_not_fit_name_row_and_likely_class() -> None:
    error = error_of({"x": [1, 2], "y": ["cat", "cta"]}, label="y", classes=["cat", "dog"])
    assert "row 2: label 'cta' is not one of the classes. There is: cat, dog. Did you mean 'cat'?" in str(error)
    assert "row 2: label 'wolf'" in str(error_of({"x": [1, 2], "y": [["cat"], ["wolf"]]}, label="y", classes=["cat"]))
    assert "row 1: the label is infinite" in str(error_of({"x": [1, 2], "y": [np.inf, 0.5]}, label="y"))
    assert 'say label_kind="number"' in str(error_of({"x": range(2000), "y": np.arange(2000)}, label="y"))
    assert "no column 'lable' to be the label. There is: x, label. Did you mean 'label'?" in str(
        error_of({"x": [1], "label": [1]}, label="lable")
    )


def test_records_without_labels_need_classes() -> None:
    with pytest.raises(UsageError, match="no classes are given"):
        read({"x": [1.0]})
    assert read({"x": [1.0]}, classes=["a"]).table["label0"].to_pylist() == [-1]
    assert np.isnan(read({"x": [1.0]}, label_kind="number").table["label0"].to_pylist()).all()


# -- bad rows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "row", "reason", "options"),
    [
        ([1.0, np.nan, 2.0], 2, "is missing", {}),
        ([1.0, 2.0, np.inf], 3, "is infinite", {"missing": "keep"}),
        ([1, None, 2], 2, "is missing", {}),
        (["a", None, "b"], 2, "is missing (null); fill it in", {"missing": "keep"}),
        ([b"ok", b"\xff", b"ok"], 2, "is not valid UTF-8", {"kinds": {"c": "text"}}),
        (["1", "two", "3"], 2, "is not a number", {"kinds": {"c": "number"}}),
        ([1.0, 2.5, 3.0], 2, "is not a whole number", {"kinds": {"c": "integer"}}),
        (pa.array([1, 2**63, 2], pa.uint64()), 2, "is beyond 64-bit integers", {}),
        ([[1.0], [2.0, 3.0], [4.0]], 2, "has 2 numbers, the others have 1", {}),
        ([[1.0, 2.0], None, [4.0, 5.0]], 2, "is missing", {}),
        (pa.array([[1.0, 2.0], None, [4.0, 5.0]], pa.list_(pa.float32(), 2)), 2, "is missing", {}),
        ([[1.0, 2.0], [4.0, 5.0], [0.0, None]], 3, "holds a number that is missing, infinite or too large", {}),
        ([[1.0, 2.0], [4.0, 5.0], [0.0, 1e300]], 3, "too large for float32", {}),
        ([image(1), image(2)[:-30], image(3)], 2, "holds a damaged image", {}),
        ([image(1, "JPEG"), image(2, "JPEG", 64)[:-40], image(3)], 2, "holds a damaged image", {}),
        ([image(1), b"GIF?", image(3)], 2, "holds not an image", {}),
        ([sound(), sound(9)[:-4], sound()], 2, "ends too soon (7 of 9 frames)", {}),
        ([sound(), None, sound()], 2, "is missing", {}),
        (["abc", "abcdefgh", "x"], 2, "has a cell of 8 bytes or more", {"cell_limit": 8}),
        ([image(1), image(2, size=64), image(3)], 2, "has a cell of 4,000 bytes", {"cell_limit": 4000}),
    ],
)
def test_a_bad_row_among_good_ones_is_named_or_quarantined(column: Any, row: int, reason: str, options: Any) -> None:
    table = pa.table({"c": column, "k": ["p", "q", "r"]})
    error = error_of(table, key="k", classes=["a"], **options)
    assert error.problems[0][:2] == ("the table", row)
    assert f"the table, row {row}: column 'c'" in str(error)
    assert reason in str(error)
    found = read(table, key="k", classes=["a"], on_error="quarantine", **options)
    assert found.table["key"].to_pylist() == [k for i, k in enumerate("pqr", start=1) if i != row]
    assert found.rejected.column_names == ["source", "row", "key", "reason"]
    assert found.rejected.select(["row", "key"]).to_pylist() == [{"row": row, "key": "pqr"[row - 1]}]


def test_missing_numbers_may_be_kept() -> None:
    found = read({"a": pa.array([1, None]), "b": [np.nan, 1.0]}, classes=["k"], missing="keep")
    assert kinds_of(found.schema) == {"a": "number", "b": "number"}
    assert found.table["a"].null_count == 0
    assert np.isnan(found.table["a"][1].as_py())


def test_bytes_of_no_known_kind_ask_for_kinds() -> None:
    table = pa.table({"raw": [b"\x00\xff\x02", b"\x03\x04\x05"]})
    assert 'kinds={"raw": ...}' in str(error_of(table, classes=["a"]))
    found = read(table, classes=["a"], kinds={"raw": "vector"})
    assert found.table["raw"].to_pylist() == [[0, 255, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ([None, None], "has no value in any row"),
        ([{"a": 1}, {"a": 2}], "take its parts apart, or leave it out"),
        ([[[1.0]], [[2.0]]], "flatten it"),
        (pa.array([[], []], pa.list_(pa.float32())), "vectors without any number"),
        (pa.array(pd.period_range("2020", periods=2)), "leave it out"),
    ],
)
def test_columns_of_no_use_are_refused_as_a_whole(column: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(pa.table({"c": column}), classes=["a"], on_error="quarantine")


def test_keys_must_be_there_once() -> None:
    table = {"x": [1, 2, 3, 4], "k": ["a", None, "b", "a"]}
    error = error_of(table, key="k", classes=["c"])
    assert "row 2: the key (column 'k') is missing" in str(error)
    assert "row 4: key 'a' came already in the arrays, row 1" in str(error)
    assert read(table, key="k", classes=["c"], on_error="quarantine").table["key"].to_pylist() == ["a", "b"]
    bad_first = {"x": [np.nan, 2.0], "k": ["a", "a"]}
    assert read(bad_first, key="k", classes=["c"], on_error="quarantine").table["x"].to_pylist() == [2.0]


def test_splits_have_known_names() -> None:
    table = {"x": [1, 2, 3], "s": ["train", "Dev", "pool"]}
    assert "row 3: no split is called 'pool'" in str(error_of(table, split="s", classes=["c"]))
    assert read(table, split="s", classes=["c"], on_error="quarantine").table["split0"].to_pylist() == [0, 1]
    assert read({"x": [1, 2]}, split="test", classes=["c"]).table["split0"].to_pylist() == [2, 2]
    assert "no column 'tset' to be the split" in str(error_of({"x": [1, 2]}, split="tset", classes=["c"]))


def test_of_many_problems_the_first_five_are_shown() -> None:
    error = error_of({"x": [1.0] + [np.nan] * 30}, classes=["c"])
    assert len(error.problems) == 30
    assert "and 25 more" in str(error)
    assert "row 6:" in str(error)
    assert "row 7:" not in str(error)


def test_nothing_left_is_an_error_even_in_quarantine(tmp_path: Path) -> None:
    assert "None is left" in str(error_of({"x": [np.nan, np.inf]}, classes=["c"], on_error="quarantine"))
    path = put(tmp_path, {"a.csv": "x,y\n1\n2\n"}) / "a.csv"
    assert "line 2: 1 fields, the header has 2" in str(error_of(path, label="y", on_error="quarantine"))


def test_names_that_the_store_uses_are_refused_unless_they_play_that_part() -> None:
    assert "cannot be called 'key_hash'" in str(error_of({"key_hash": [1]}, classes=["c"]))
    assert read({"key": ["a"], "x": [1]}, key="key", classes=["c"]).table["key"].to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "drop"}, "missing cannot be 'drop'"),
        ({"on_error": "skip"}, "Did you mean|There is: raise, quarantine"),
        ({"kinds": {"x": "txt"}}, "Did you mean 'text'"),
        ({"kinds": {"z": "text"}}, "no column that is imported"),
        ({"classes": "cat"}, "takes a list of names"),
        ({"classes": ["a", "a"]}, "each once"),
        ({"label_kind": "number", "classes": ["a"]}, "so they have no classes"),
        ({"columns": ["x", "y"], "label": "y"}, "cannot be one of columns="),
    ],
)
def test_options_that_mean_nothing_are_usage_errors(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read({"x": [1], "y": ["a"]}, **options)


def test_rows_must_fit_the_schema_of_a_dataset() -> None:
    schema = Schema((Column("t", "text", hidden=True), Column("v", "vector", 2)), LabelType("class", ("cat", "dog")))
    good = {"y": ["dog"], "v": [[1.0, 2.0]], "t": ["hi"]}
    found = read(good, label="y", schema=schema)
    assert found.schema == schema
    assert found.table.column_names[3:] == ["t", "v"]
    assert "the others have 2" in str(error_of(good | {"v": [[1.0]]}, label="y", schema=schema))
    assert "There is: cat, dog" in str(error_of(good | {"y": ["wolf"]}, label="y", schema=schema))
    assert "leave them out by columns=['t', 'v']" in str(error_of(good | {"z": [1]}, label="y", schema=schema))
    assert "columns that are not here: v" in str(error_of({"t": ["a"], "y": ["cat"]}, label="y", schema=schema))
    assert "cannot be read as a vector" in str(error_of(good | {"v": ["a"]}, label="y", schema=schema))


def test_importing_the_readers_loads_no_heavy_library() -> None:
    code = "import sys, tilth.dataset.readers; print({'PIL', 'datasets', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr


# -- files -------------------------------------------------------------------------------------------------------------


def test_csv_infers_types_and_keeps_the_characters_of_keys_and_texts(tmp_path: Path) -> None:
    text = '\ufeffid,zip,x,ok,"a text",y\n007,01,1.5,true,"one\ntwo",spam\n\n7,02,2,false,,\n'
    path = put(tmp_path, {"a.csv": text}) / "a.csv"
    found = read(path, key="id", label="y", kinds={"zip": "text"})
    assert kinds_of(found.schema) == {"zip": "text", "x": "number", "ok": "integer", "a text": "text"}
    assert found.table.to_pydict() == {
        "key": ["007", "7"], "label0": [0, -1], "split0": [-1, -1],
        "zip": ["01", "02"], "x": [1.5, 2.0], "ok": [1, 0], "a text": ["one\ntwo", ""],
    }  # fmt: skip
    tabs = put(tmp_path, {"a.tsv": "x\ty\n1\t2\n2\t10\n"}) / "a.tsv"
    assert read(tabs, label="y").schema.label.classes == ("2", "10")
    codes = put(tmp_path, {"b.csv": "x,y\n1,1\n2,0\n"}) / "b.csv"
    assert read(codes, label="y", classes=["no", "yes"]).table["label0"].to_pylist() == [1, 0]
    assert read(codes, label="y", label_kind="number").table["label0"].to_pylist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("name", "text", "line", "reason"),
    [
        ("a.csv", 'x,t\n1,"two\nlines"\n\n2,b,c\n3,d\n', 5, "3 fields, the header has 2"),
        ("a.csv", 'x,t\n1,"two\nlines"\n2,b\n,c\n', 5, "column 'x' is missing"),
        ("a.csv", b"x,t\n1,a\n2,\xff\n3,c\n", 3, "not valid UTF-8"),
        ("a.csv", 'x,t\n1,a\n2,b\n3,"c\n4,d\n', 4, "a quote is opened here and never closed"),
        ("a.tsv", "x\tt\n1\ta\n2\n3\tb\n", 3, "1 fields, the header has 2"),
        ("a.jsonl", '{"x": 1, "t": "a"}\n\n{"x": "2", "t": "b"}\n{"x": 3, "t": "c"}', 3, "a text here and a number in"),
        ("a.jsonl", '{"x": 1, "t": "a"}\n{"x": 2, t}\n{"x": 3, "t": "c"}\n', 2, "not JSON"),
        ("a.ndjson", '{"x": 1, "t": "a"}\n[1, 2]\n', 2, "a JSON list, not an object"),
        ("a.jsonl", b'{"x": 1, "t": "a"}\n{"x": 2, "t": "\xff"}\n', 2, "not valid UTF-8"),
        ("a.jsonl", '{"x": 1, "t": "a"}\n\n{"x": 2}\n', 3, "column 't' is missing"),
        ("a.jsonl", '{"x": 1, "t": "a"}\n{"x": 2, "t": "\\ud800"}\n{"x": 2, "t": "b"}\n', 2, "a text of invalid"),
        ("a.txt", b"one\n\ntw\xffo\r\nthree", 3, "not valid UTF-8 (byte 0xff at position 3)"),
    ],
)  # fmt: skip
def test_a_bad_row_of_a_text_file_is_named_by_its_line(
    tmp_path: Path, name: str, text: Any, line: int, reason: str
) -> None:
    path = put(tmp_path, {name: text}) / name
    error = error_of(path, classes=["k"])
    assert error.problems[0][:2] == (str(path), line)
    assert f"{name}, line {line}: " in str(error)
    assert reason in str(error)
    found = read(path, classes=["k"], on_error="quarantine")
    assert found.rejected.select(["source", "row"]).to_pylist() == [{"source": str(path), "row": line}]
    assert found.table.num_rows >= 1
    assert found.table["key"].to_pylist()[0] == "0"


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(
    lambda t: t.strip()
)


@settings(max_examples=50)
@given(rows=st.lists(st.tuples(CELLS, st.floats(-1e6, 1e6)), min_size=1))
def test_a_bad_row_changes_nothing_about_the_good_ones(tmp_path_factory: Any, rows: list[tuple[str, float]]) -> None:
    """Files without fault are read by Arrow, others row by row: both must understand the same."""
    folder, plain = tmp_path_factory.mktemp("rows"), io.StringIO(newline="")
    csv.writer(plain, quoting=csv.QUOTE_ALL).writerows([("t", "x"), *rows])
    lines = "\n".join(json.dumps({"t": t, "x": x}, ensure_ascii=False) for t, x in rows)
    put(folder, {"a.csv": plain.getvalue(), "b.csv": plain.getvalue() + "only one field\r\n"})
    put(folder, {"a.jsonl": lines, "b.jsonl": lines + "\n?"})
    options: Any = {"classes": ["c"], "kinds": {"t": "text", "x": "number"}, "on_error": "quarantine"}
    for kind in ("csv", "jsonl"):
        good, sifted = read(folder / f"a.{kind}", **options), read(folder / f"b.{kind}", **options)
        assert good.table["t"].to_pylist() == [t for t, _ in rows]
        assert good.table["x"].to_pylist() == pytest.approx([x for _, x in rows])
        assert sifted.table.equals(good.table)
        assert (good.rejected.num_rows, sifted.rejected.num_rows) == (0, 1)


def test_rows_keep_their_numbers_when_others_are_lost(tmp_path: Path) -> None:
    path = put(tmp_path, {"a.csv": "x,y\n1,a\n2\n3,b\n", "a.jsonl": '{"x": 1}\n?\n{"x": 3}\n'})
    assert read(path / "a.csv", label="y", on_error="quarantine").table["key"].to_pylist() == ["0", "2"]
    assert read(path / "a.jsonl", classes=["c"], on_error="quarantine").table["key"].to_pylist() == ["0", "2"]


def test_json_lines_keep_texts_that_look_like_times(tmp_path: Path) -> None:
    lines = [{"t": "2020-01-01", "v": [1, 2.5], "y": ["2021-01-01"]}, {"t": "2020-01-02", "v": [3, 4], "y": None}]
    path = put(tmp_path, {"a.jsonl": "\r\n".join(map(json.dumps, lines))}) / "a.jsonl"
    found = read(path, label="y")
    assert kinds_of(found.schema) == {"t": "text", "v": ("vector", 2)}
    assert found.table["t"].to_pylist() == ["2020-01-01", "2020-01-02"]
    assert found.table["label0"].to_pylist() == ['["2021-01-01"]', None]


def test_one_text_a_line(tmp_path: Path) -> None:
    found = read(put(tmp_path, {"a.txt": "one\r\n\ntwo, \u2028too\n"}) / "a.txt", classes=["a"])
    assert found.table.select(["key", "text"]).to_pydict() == {"key": ["0", "1"], "text": ["one", "two, \u2028too"]}


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", "", "the file is empty"),
        ("a.csv", "x,y\n", "has a header and no rows"),
        ("a.csv", "x,x,y\n1,2,3\n", "'x' names more than one column"),
        ("a.csv", ",y\n1,a\n", "column 1 has no name"),
        ("a.csv", "x;y\n1;a\n", "its header is one field and holds ';'"),
        ("a.csv", b"x\xff,y\n1,2\n", "the header, line 1, is not valid UTF-8"),
        ("a.jsonl", "oops\n", "line 1: not JSON"),
        ("a.parquet", "PAR1 not", "cannot be read as Parquet"),
        ("a.json", "[]", "one object a line"),
        ("a.xlsx", "PK", "no reader for '.xlsx' files. There is: .parquet"),
    ],
)
def test_a_file_of_no_use_is_refused_as_a_whole(tmp_path: Path, name: str, data: Any, message: str) -> None:
    path = put(tmp_path, {name: data}) / name
    error = error_of(path, label="y", on_error="quarantine")
    assert message in str(error)
    assert error.problems[0][0] == str(path)


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    put(tmp_path, {"pets.csv": "x"})
    assert "Did you mean 'pets.csv'?" in str(error_of(tmp_path / "pet.csv"))
    assert "nor is there a folder" in str(error_of(tmp_path / "no" / "pet.csv"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = put(tmp_path, {"a.csv": "x\n1\n"}) / "a.csv"
    path.chmod(0)
    assert "Permission denied" in str(error_of(path, classes=["a"]))


def test_a_folder_of_parquet_is_one_table_with_the_splits_of_its_names(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2], "y": ["a", "b"]}), tmp_path / "train-00000-of-00001.parquet")
    pq.write_table(
        pa.table({"y": pa.array(["b", None]).dictionary_encode(), "x": [3, 4]}), tmp_path / "validation.parquet"
    )
    found = read(tmp_path, label="y")
    rows = found.table.to_pydict()
    assert (rows["key"], rows["x"]) == (["0", "1", "2", "3"], [1, 2, 3, 4])
    assert (rows["label0"], rows["split0"]) == ([0, 1, 1, -1], [0, 0, 1, 1])
    pq.write_table(pa.table({"x": ["1"], "y": ["a"]}), tmp_path / "test.parquet")
    put(tmp_path, {"train-2.parquet": "PAR1", "_tmp/part.parquet": "", "README.md": "hi"})
    error = error_of(tmp_path, label="y")
    assert "test.parquet: column 'x' is large_string here and int64 in " in str(error)
    assert read(tmp_path, label="y", on_error="quarantine").table["key"].to_pylist() == ["0", "1", "2", "3"]
    assert "train-2.parquet: cannot be read as Parquet" in str(error)


def test_the_index_that_pandas_writes_is_no_column(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1, 2]}, index=[5, 6]).to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", classes=["a"]).schema.names == ("x",)
    pq.write_table(pa.table({"x": [np.nan], "k": ["a"]}), tmp_path / "b.parquet")
    (problem,) = error_of(tmp_path / "b.parquet", key="k", classes=["a"]).problems
    assert problem[:2] == (str(tmp_path / "b.parquet"), 1)


# -- folders of images and sounds --------------------------------------------------------------------------------------


def test_class_folders_give_keys_labels_and_bytes(tmp_path: Path) -> None:
    files = {"dog/b.png": image(1), "dog/a.jpg": image(2, "JPEG"), "cat/deep/c.PNG": image(3), "d.gif": image(4, "GIF")}
    put(
        tmp_path,
        files | {"README.md": "", "labels.json": "{}", ".DS_Store": "", "cat/Thumbs.db": "", "dog/.hidden/x": "x"},
    )
    calls: list[tuple[int, int | None]] = []
    found = read(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert found.schema == Schema((Column("image", "image"),), LabelType("class", ("cat", "dog")))
    assert found.table["key"].to_pylist() == ["cat/deep/c.PNG", "d.gif", "dog/a.jpg", "dog/b.png"]
    assert found.table["label0"].to_pylist() == [0, -1, 1, 1]
    assert found.table["image"].to_pylist() == [files[k] for k in sorted(files)]
    assert calls[-1] == (4, 4)


def test_folders_of_sounds_flat_folders_and_folders_of_splits(tmp_path: Path) -> None:
    put(
        tmp_path,
        {"s/train/yes/1.wav": sound(), "s/val/no/2.wav": sound(), "s/test/no/3.wav": sound(), "flat/1.png": image()},
    )
    found = read(tmp_path / "s")
    assert kinds_of(found.schema) == {"audio": "audio"}
    assert found.table["key"].to_pylist() == ["test/no/3.wav", "train/yes/1.wav", "val/no/2.wav"]
    assert found.table["split0"].to_pylist() == [2, 0, 1]
    assert found.schema.label.classes == ("no", "yes")
    with pytest.raises(UsageError, match="no classes are given"):
        read(tmp_path / "flat")
    assert read(tmp_path / "flat", classes=["a"], split="test").table["split0"].to_pylist() == [2]
    put(tmp_path, {"s/extra/yes/4.wav": sound()})
    assert "has folders of splits (test, train, val) and 'extra' beside them" in str(error_of(tmp_path / "s"))
    put(tmp_path, {"t/train/1.png": image(), "t/plane/2.png": image()})
    assert read(tmp_path / "t").schema.label.classes == ("plane", "train"), "one class may be called so"


def test_bad_files_of_a_folder_are_listed(tmp_path: Path) -> None:
    root = put(
        tmp_path / "pets",
        {"cat/ok.png": image(), "cat/cut.jpg": image(1, "JPEG", 64)[:-50], "cat/no.txt": "hi", "cat/nil.png": ""},
    )
    put(tmp_path, {"outside.png": image()})
    (root / "cat/link.png").symlink_to(tmp_path / "outside.png")
    (root / "cat/inside.png").symlink_to(root / "cat/ok.png")
    (root / "dogs").symlink_to(root / "cat")
    (root / "cat/loop.png").symlink_to(root / "cat/loop.png")
    os.mkfifo(root / "cat/pipe.png")
    (root / "cat" / os.fsdecode(b"\xff.png")).write_bytes(image())
    found = read(root, on_error="quarantine")
    assert found.table["key"].to_pylist() == ["cat/inside.png", "cat/ok.png"]
    reasons = {row["key"]: row["reason"] for row in found.rejected.to_pylist()}
    assert "link" in reasons.pop("cat/loop.png")
    assert reasons.pop("cat/cut.jpg").startswith("a damaged image (")
    assert reasons == {
        "cat/?.png": "has a name that is not valid UTF-8; rename it",
        "cat/link.png": "is a link that leads out of the folder",
        "cat/nil.png": "is empty",
        "cat/no.txt": "not an image (no format that Pillow knows)",
        "cat/pipe.png": "is not a file",
        "dogs": "is a link to a folder; put the folder itself there, or links to files of this folder",
    }
    assert f"{root}/cat/no.txt: not an image" in str(error_of(root))


def test_images_of_too_many_pixels_are_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.new("1", (14_000, 14_000)).save(out, "PNG")
    put(tmp_path, {"a/bomb.png": out.getvalue(), "a/ok.png": image()})
    assert "a/bomb.png: an image of too many pixels" in str(error_of(tmp_path))


def test_folders_of_nothing_are_refused(tmp_path: Path) -> None:
    assert "the folder is empty" in str(error_of(tmp_path))
    put(tmp_path, {"a/1.png": image(), "a/2.wav": sound()})
    assert "1 images (a/1.png, ...) and 1 sounds (a/2.wav, ...)" in str(error_of(tmp_path))
    assert "holds neither images, wav nor Parquet files; it has .csv" in str(
        error_of(put(tmp_path / "c", {"a.csv": "x"}))
    )
    with pytest.raises(UsageError, match="leave out key= and label="):
        read(put(tmp_path / "d", {"a/1.png": image()}), label="y")
