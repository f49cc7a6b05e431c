import io
import wave
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.io.wavfile
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tilth.errors import DataError, UsageError
from tilth.integrations.media import AudioFeatures, ImageFeatures, ImagePixels
from tilth.integrations.probe import Probe
from tilth.integrations.sklearn import SklearnModel
from tilth.protocols import Task
from tilth.testing.models import check_model


def encoded(image: Image.Image, how: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, how, **options)
    return file.getvalue()


def picture(pixels: Any, how: str = "PNG") -> bytes:
    return encoded(Image.fromarray(np.asarray(pixels, np.uint8)), how)


def striped(across: bool, seed: int) -> bytes:
    """Return stripes of 4 pixels with some noise: lying or standing."""
    chance = np.random.default_rng(seed)
    line = (np.arange(32) // 4 % 2) * 120 + 60
    grey = np.broadcast_to(line[:, None] if across else line[None, :], (32, 32)) + chance.normal(0, 20, (32, 32))
    return picture(np.repeat(grey.clip(0, 255)[..., None], 3, axis=2))


def tone(hertz: float, seed: int = 0, *, rate: int = 8000, seconds: float = 0.4, kind: Any = np.int16) -> bytes:
    time = np.arange(int(rate * seconds)) / rate
    sound = 0.5 * np.sin(2 * np.pi * hertz * time) + np.random.default_rng(seed).normal(0, 0.01, len(time))
    file = io.BytesIO()
    if kind == np.uint8:
        scipy.io.wavfile.write(file, rate, (sound * 127 + 128).clip(0, 255).astype(np.uint8))
    else:
        size = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1
        scipy.io.wavfile.write(file, rate, (sound * size).astype(kind))
    return file.getvalue()


# Images


def test_pixels_are_told_row_by_row() -> None:
    file = picture([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]])
    told = ImagePixels(size=2).fit_transform([file])
    assert told.tolist() == [[1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1]]
    assert told.dtype == np.float32
    assert ImagePixels(size=2, mode="L").fit_transform([file]).shape == (1, 4)
    assert ImagePixels(size=8).fit_transform([file]).shape == (1, 192)
    assert ImagePixels().transform([]).shape == (0, 3072)


def test_every_format_is_read_as_it_is_seen() -> None:
    clear = encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    assert (ImagePixels(size=2).transform([clear]) == 1).all()
    deep = encoded(Image.fromarray(np.full((4, 4), 32768, np.uint16)))
    np.testing.assert_allclose(ImagePixels(size=2, mode="L").transform([deep]), 0.5, atol=0.01)
    palette = encoded(Image.new("RGB", (4, 4), "lime").convert("P"), "GIF")
    np.testing.assert_allclose(ImagePixels(size=1).transform([palette]), [[0, 1, 0]])
    lying = Image.fromarray(np.array([[[255] * 3, [0] * 3]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright: the left side is the top
    turned = ImagePixels(size=2, mode="L").transform([encoded(lying, "TIFF", exif=exif)])
    np.testing.assert_allclose(turned, [[1, 1, 0, 0]])


def test_features_tell_shapes_that_pixels_of_another_image_do_not() -> None:
    files = np.array([striped(i % 2 == 0, i) for i in range(40)], dtype=object)
    told = ImageFeatures().fit_transform(files)
    assert told.shape == (40, 528)
    assert told.dtype == np.float32
    assert told.min() >= 0
    assert told.max() <= 1
    lying, standing = told[::2].mean(axis=0), told[1::2].mean(axis=0)
    same, other = np.linalg.norm(told[0] - lying), np.linalg.norm(told[0] - standing)
    assert same < 0.5 * other
    assert ImageFeatures(size=64).transform(files[:1]).shape == (1, 7 * 7 * 48 + 96)


def test_a_file_is_told_alike_alone_and_among_others_and_again() -> None:
    files = np.array([striped(True, i) for i in range(300)], dtype=object)  # more than are worked on at once
    together = ImageFeatures(size=16).transform(files)
    alone = np.vstack([ImageFeatures(size=16).transform(files[i : i + 1]) for i in (0, 255, 256, 299)])
    np.testing.assert_array_equal(together[[0, 255, 256, 299]], alone)
    np.testing.assert_array_equal(ImageFeatures(size=16).transform(files), together)
    assert not np.array_equal(ImagePixels(size=16).transform(files[:1])[0, :240], together[0])


# Sounds


def test_pitch_is_told_and_loudness_is_not() -> None:
    low, high = tone(300), tone(1500)
    told = AudioFeatures(bands=16).fit_transform([low, high, tone(300, seed=5)])
    assert told.shape == (3, 160)
    assert told[0, :16].argmax() < told[1, :16].argmax()
    assert np.linalg.norm(told[0] - told[2]) < 0.3 * np.linalg.norm(told[0] - told[1])
    assert np.isfinite(told).all()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_samples_of_every_type_mean_the_same(kind: Any) -> None:
    told = AudioFeatures().transform([tone(440, kind=kind), tone(440)])
    assert told[0, :32].argmax() == told[1, :32].argmax()


def test_short_silent_and_two_channel_sounds_are_told() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(44100)
        sound.writeframes(np.zeros((10, 2), np.int16).tobytes())
    told = AudioFeatures().transform([file.getvalue(), tone(440, rate=44100), tone(440, rate=4000)])
    assert told.shape == (3, 320)
    assert np.isfinite(told).all()


# What cannot be read


@pytest.mark.parametrize("transformer", [ImagePixels(), ImageFeatures(), AudioFeatures()])
def test_every_row_that_cannot_be_read_is_named(transformer: Any) -> None:
    good = tone(440) if isinstance(transformer, AudioFeatures) else striped(True, 0)
    cells = np.array([good, b"junk", None, "text", good[:30], np.nan], dtype=object)
    with pytest.raises(
        DataError, match=r"cannot read 5 of 6 rows: row 1: .*row 2: nothing there; row 3: str instead"
    ) as told:
        transformer.transform(cells)
    assert [row for _, row, _ in told.value.problems] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (ImagePixels(size=0), "size=0: a whole number of 1 or more"),
        (ImagePixels(mode="HSV"), "'RGB' and 'L' are the modes"),
        (ImageFeatures(size=20), "a multiple of 8, 16 or more"),
        (AudioFeatures(bands=1.5), "bands=1.5: a whole number"),
        (AudioFeatures(top=10), "must be above 60"),
    ],
)
def test_settings_that_cannot_be_are_refused(transformer: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        transformer.transform([b""])
    with pytest.raises(UsageError, match="takes one column of bytes"):
        ImagePixels().transform(np.zeros((2, 2), dtype=object))


# In models


def test_they_stand_in_pipelines_of_scikit_learn() -> None:
    assert repr(clone(ImageFeatures(size=16))) == "ImageFeatures(size=16)"
    frame = pd.DataFrame({"picture": pd.Series([striped(True, 0)] * 2, dtype=object), "n": [1.0, 2.0]})
    both = ColumnTransformer([("picture", ImagePixels(size=2), "picture"), ("n", StandardScaler(), ["n"])])
    assert both.fit_transform(frame).shape == (2, 13)


def test_models_of_images_and_sounds_pass_the_exam() -> None:
    task = Task("class", ("one", "other"))
    # The exam takes its labels from the order of the first column.
    pictures = pa.table({"order": range(48), "file": pa.array([striped(i < 24, i) for i in range(48)], pa.binary())})
    sounds = pa.table({"order": range(48), "file": pa.array([tone(300 + 30 * i, i) for i in range(48)], pa.binary())})
    for features, table in ((ImageFeatures(), pictures), (AudioFeatures(), sounds)):
        estimator = make_pipeline(features, StandardScaler(), LogisticRegression())
        check_model(SklearnModel(estimator, features="file"), features=table, task=task)
        y = np.arange(48) // 24
        fitted = Probe(features="file", trees=5).fit(table, y, np.ones(48), task=task, seed=0)
        assert (fitted.predict(table).argmax(1) == y).mean() > 0.9
