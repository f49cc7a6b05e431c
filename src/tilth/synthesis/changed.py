"""One image, sound or text, changed a little by steps whose amounts are drawn."""

import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tilth.integrations.images import picture

__all__ = ["audio", "image", "text"]

Steps = Sequence[tuple[str, float]]
Chance = np.random.Generator


def image(cell: bytes, steps: Steps, chance: Chance) -> bytes:
    """Return an image file changed by steps, as PNG; grey stays grey.

    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (4, 3), 200).save(file, "PNG")
    >>> new = Image.open(io.BytesIO(image(file.getvalue(), [("rotate", 10.0)], np.random.default_rng(0))))
    >>> new.size, new.mode
    ((4, 3), 'L')
    """
    from PIL import Image

    with Image.open(io.BytesIO(cell)) as file:
        mode = "L" if file.mode in ("1", "L") or file.mode.startswith("I;16") else "RGB"
    new = picture(cell, mode)
    for name, amount in steps:
        new = _drawn(new, name, amount, chance)
    out = io.BytesIO()
    new.save(out, "PNG")
    return out.getvalue()


def _drawn(old: Any, name: str, amount: float, chance: Chance) -> Any:
    from PIL import Image, ImageEnhance, ImageOps

    width, height = old.size
    match name:
        case "flip":
            return ImageOps.mirror(old) if chance.random() < 0.5 else old
        case "rotate":
            smooth = Image.Resampling.BILINEAR
            return old.rotate(chance.uniform(-amount, amount), smooth, fillcolor=_border(old))
        case "shift":
            right, down = chance.uniform(-amount, amount, 2) * (width, height)
            matrix = (1, 0, -right, 0, 1, -down)
            smooth = Image.Resampling.BILINEAR
            return old.transform(old.size, Image.Transform.AFFINE, matrix, smooth, fillcolor=_border(old))
        case "crop":
            side = chance.uniform(amount, 1)
            left, top = chance.random(2) * (1 - side) * (width, height)
            box = (left, top, left + side * width, top + side * height)
            return old.resize(old.size, Image.Resampling.BILINEAR, box=box)
        case "brightness":
            return ImageEnhance.Brightness(old).enhance(1 + chance.uniform(-amount, amount))
        case _:
            values = np.asarray(old, np.float64)
            values = values + chance.normal(0, 255 * amount, values.shape)
            return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def _border(old: Any) -> int | tuple[int, ...]:
    """Return the usual colour of the outermost pixels."""
    values = np.asarray(old)
    rim = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    usual = np.median(rim, axis=0).astype(int)
    return int(usual) if usual.ndim == 0 else tuple(usual.tolist())


def audio(cell: bytes, steps: Steps, chance: Chance) -> bytes:
    """Return a wav file changed by steps, in its own rate and format.

    >>> import scipy.io.wavfile
    >>> file = io.BytesIO()
    >>> scipy.io.wavfile.write(file, 8000, np.full(800, 1000, np.int16))
    >>> rate, new = scipy.io.wavfile.read(io.BytesIO(audio(file.getvalue(), [("gain", 6.0)], np.random.default_rng(0))))
    >>> rate, new.dtype, len(new)
    (8000, dtype('int16'), 800)
    """
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks with titles and the like, which are not needed
        rate, old = wavfile.read(io.BytesIO(cell))
    silence = 128.0 if old.dtype == np.uint8 else 0.0
    new = old.astype(np.float64) - silence
    for name, amount in steps:
        new = _heard(new, name, amount, chance)
    new += silence
    if old.dtype.kind in "iu":
        held = np.iinfo(old.dtype)
        new = np.clip(np.rint(new), held.min, held.max)
    out = io.BytesIO()
    wavfile.write(out, rate, new.astype(old.dtype))
    return out.getvalue()


def _heard(old: npt.NDArray[np.float64], name: str, amount: float, chance: Chance) -> npt.NDArray[np.float64]:
    match name:
        case "gain":
            return old * 10 ** (chance.uniform(-amount, amount) / 20)
        case "shift":
            by = int(np.rint(chance.uniform(-amount, amount) * len(old)))
            new = np.zeros_like(old)
            new[max(by, 0) : len(old) + min(by, 0)] = old[max(-by, 0) : len(old) - max(by, 0)]
            return new
        case _:
            return old + chance.normal(0, amount * np.sqrt(np.mean(old**2)), old.shape)


def text(cell: str, steps: Steps, chance: Chance) -> str:
    """Return a text changed by steps; its words are what spaces part.

    >>> text("who wrote it", [("drop_words", 1.0)], np.random.default_rng(0)) in ("who", "wrote", "it")
    True
    """
    words = cell.split()
    for name, amount in steps:
        words = _said(words, name, amount, chance)
    return " ".join(words)


def _said(words: list[str], name: str, amount: float, chance: Chance) -> list[str]:
    if not words:
        return words
    match name:
        case "drop_words":
            stays = chance.random(len(words)) >= amount
            stays[chance.integers(len(words))] |= not stays.any()
            return [word for word, stay in zip(words, stays, strict=True) if stay]
        case "swap_words":
            words = list(words)
            for at in chance.integers(len(words) - 1, size=int(amount)) if len(words) > 1 else ():
                words[at], words[at + 1] = words[at + 1], words[at]
            return words
        case _:
            whole = " ".join(words)
            return [whole.lower, whole.upper, whole.capitalize][chance.integers(3)]().split()
