"""Signals of content: text, images as they are on disk, missing values, rare classes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.ndimage
from PIL import Image

from tests.states import make_state, observed
from tilth.algebra import Quantity, Signal, from_json, to_json
from tilth.changes import EVENT, Changes
from tilth.dataset import Dataset
from tilth.errors import NotFound, UsageError
from tilth.selectors import records
from tilth.signals import aspect, brightness, missing, rarity, sharpness, text_length
from tilth.state import State
from tilth.testing.signals import check_signal


def image(pixels: np.ndarray | Image.Image, kind: str = "PNG", **about: Any) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **about)
    return file.getvalue()


def noise(seed: int, height: int = 9, width: int = 14) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def of_images(folder: Path, files: list[bytes]) -> State:
    table = pa.table(
        {
            "key": [f"k{i}" for i in range(len(files))],
            "label": ["a"] * len(files),
            "split": ["train"] * len(files),
            "photo": pa.array(files, pa.large_binary()),
        }
    )
    dataset = Dataset.create(folder, table, key="key", label="label", split="split", durability="process")
    return observed(dataset)


def broken(folder: Path, files: list[bytes]) -> State:
    """Return a state whose last two images a user's function has broken, as an import would not let them in."""
    dataset = Dataset.open(of_images(folder, [*files, files[0], files[0]]).dataset.path)
    n = len(files)
    revised = {"record_id": [n, n + 1], "photo": pa.array([files[0][:-40], b"no image"], pa.large_binary())}
    dataset.commit(Changes(EVENT.empty_table(), revised=pa.table({**revised, "recipe": ["", ""]})))
    return observed(dataset)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    n = 30
    return make_state(
        tmp_path_factory.mktemp("content"),
        [None if i % 3 == 0 else ["bird", "cat", "dog"][i % 7 % 3] for i in range(n)],
        split=["valid" if i % 5 == 0 else "train" for i in range(n)],
        columns={
            "x": [None if i % 4 == 0 else float(i) for i in range(n)],
            "n": [None if i == 3 else i for i in range(n)],
            "text": ["ä" * i for i in range(n)],
        },
    )


@pytest.mark.parametrize("one", [text_length(), text_length("text"), missing(), rarity()], ids=repr)
def test_signals_of_tables_pass_the_exam(one: Quantity, state: State) -> None:
    check_signal(one, state)
    assert from_json(to_json(one)) == one
    assert not one.needs


@pytest.mark.parametrize("one", [brightness(), sharpness("photo"), aspect()], ids=repr)
def test_signals_of_images_pass_the_exam(one: Signal, tmp_path: Path) -> None:
    files = [image(noise(i, 5 + i)) for i in range(70)]
    check_signal(one, of_images(tmp_path / "whole", files))
    s = broken(tmp_path / "broken", files)
    check_signal(one, s)
    found = one.value(s)
    assert found.dtype == np.float32
    unknown = [71] if one.name == "aspect" else [70, 71]  # the head of a file that is cut off is there
    assert np.flatnonzero(np.isnan(found) & s.view.alive).tolist() == unknown
    assert not set(unknown) & set(records.top(99, by=one).choose(s).ids.tolist())


def test_characters_are_counted_not_bytes(state: State) -> None:
    found = text_length().value(state)
    assert found[[0, 1, 29]].tolist() == [0, 1, 29]


def test_sharpness_is_what_scipy_says_at_every_size_and_brightness_the_mean(tmp_path: Path) -> None:
    grey = [noise(i, height, width) for i, (height, width) in enumerate([(9, 14), (2, 2), (3, 50), (1, 6), (1, 1)])]
    s = of_images(tmp_path / "pool", [image(pixels) for pixels in grey])
    edges = [scipy.ndimage.laplace(pixels.astype(np.float64), mode="mirror").var() for pixels in grey]
    assert sharpness().value(s)[:3] == pytest.approx(edges[:3], rel=1e-5)
    assert np.isfinite(sharpness().value(s)).all()
    assert brightness().value(s) == pytest.approx([pixels.mean() / 255 for pixels in grey], rel=1e-5)
    assert aspect().value(s) == pytest.approx([pixels.shape[1] / pixels.shape[0] for pixels in grey])


def test_images_of_every_mode_are_looked_at_as_they_are_shown(tmp_path: Path) -> None:
    on_its_side = Image.new("L", (20, 10), 128)
    exif = on_its_side.getexif()
    exif[0x0112] = 6
    files = [
        image(Image.new("RGB", (4, 4), "white")),
        image(Image.new("RGBA", (4, 4), (0, 0, 0, 0))),
        image(np.full((4, 4), 65535, np.uint16)),
        image(Image.new("1", (4, 4), 0)),
        image(on_its_side, "JPEG", exif=exif),
    ]
    s = of_images(tmp_path / "pool", files)
    assert brightness().value(s) == pytest.approx([1, 1, 1, 0, 128 / 255], abs=0.01)
    assert sharpness().value(s) == pytest.approx([0] * 5, abs=1e-6)
    assert aspect().value(s) == pytest.approx([1, 1, 1, 1, 0.5])


def test_columns_are_taken_where_there_is_one_and_asked_for_where_there_are_more(tmp_path: Path, state: State) -> None:
    s = make_state(
        tmp_path / "two", ["a", "b"], columns={"title": ["one", "two"], "body": ["three", ""], "x": [1.0, 2.0]}
    )
    with pytest.raises(
        UsageError, match=r'text_length\(\): columns of text: title, body; say which, such as text_length\("title"\)'
    ):
        text_length().value(s)
    assert text_length("title").value(s).tolist() == [3, 3]
    with pytest.raises(UsageError, match=r"brightness\(\): this dataset has no column of image"):
        brightness().value(state)
    with pytest.raises(
        UsageError, match=r"text_length\('x'\): that column holds number, not text; columns of text: tit"
    ):
        text_length("x").value(s)
    with pytest.raises(NotFound, match=r"no column 'titel'\. There is: title, body, x. Did you mean 'title'"):
        text_length("titel").value(s)


def test_hidden_columns_are_neither_guessed_nor_counted(tmp_path: Path) -> None:
    table = pa.table({"text": ["one", ""], "note": ["x", "y"], "label": ["a", "b"]})
    dataset = Dataset.create(tmp_path / "pool", table, label="label", hidden=["note"], missing="keep")
    s = observed(dataset)
    assert text_length().value(s).tolist() == [3, 0]
    assert text_length("note").value(s).tolist() == [1, 1]
    assert missing().value(s).tolist() == [0, 1]


def test_missing_is_null_nan_or_empty(tmp_path: Path) -> None:
    table = pa.table(
        {
            "x": [1.0, None, float("nan"), 2.0],
            "n": pa.array([1, 2, 3, None], pa.int64()),
            "text": ["a", "", "", "b"],
            "v": pa.array([[1, 2]] * 4, pa.list_(pa.float32(), 2)),
            "label": ["a", "b", "a", "b"],
        }
    )
    dataset = Dataset.create(tmp_path / "pool", table, label="label", missing="keep", durability="process")
    assert missing().value(observed(dataset)).tolist() == [0, 0.5, 0.5, 0.25]


def test_rarity_counts_labelled_training_records_alone(tmp_path: Path) -> None:
    labels = ["a", "a", "a", "b", None, "b", "c"]
    split = ["train"] * 5 + ["valid"] * 2
    s = make_state(tmp_path / "one", labels, split=split)
    found = rarity().value(s)
    assert found[:4] == pytest.approx([0.25, 0.25, 0.25, 0.75])
    assert np.isnan(found[4])
    assert found[5:] == pytest.approx([0.75, 1])
    none = make_state(tmp_path / "none", [None, "a"], split=["train", "valid"], classes=["a", "b"])
    assert np.isnan(rarity().value(none)).all()
    single = make_state(tmp_path / "single", ["a", "a"])
    assert rarity().value(single).tolist() == [0, 0]
