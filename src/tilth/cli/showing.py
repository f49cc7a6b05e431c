"""A record on a terminal: texts and numbers as they are, pictures as far as the terminal can, sounds by their path."""

import base64
import io
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tilth.cli.words import clean, number
from tilth.dataset import Dataset
from tilth.dataset.schema import Column

__all__ = ["shown"]

_SIDE = 32
"""The most columns and half lines that a picture takes."""
_ENDINGS = {"image": ".img", "audio": ".wav"}


def shown(dataset: Dataset, record: int) -> Iterator[str]:
    """Yield the lines that show a record's content; hidden columns are not shown, they may hold the truth."""
    columns = [c for c in dataset.schema.columns if not c.hidden]
    row = dataset.features(np.array([record]), [c.name for c in columns]).to_pylist()[0]
    for column in columns:
        yield from _column(column, row[column.name], f"{dataset.keys(np.array([record]))[0]}")


def _column(column: Column, value: Any, key: str) -> Iterator[str]:
    match column.kind:
        case "text":
            width = max(40, min(100, shutil.get_terminal_size().columns - 4))
            for paragraph in str(value).splitlines() or [""]:
                for line in textwrap.wrap(clean(paragraph), width) or [""]:
                    yield f"  {line}"
        case "image":
            yield from _picture(value)
            yield f"  {column.name}: {_saved(value, column.kind, key)}"
        case "audio":
            yield f"  {column.name}: {_saved(value, column.kind, key)}"
        case "vector":
            yield from _vector(column.name, np.asarray(value, np.float32))
        case _:
            yield f"  {column.name}: {number(float(value))}"


def _vector(name: str, values: np.ndarray[Any, Any]) -> Iterator[str]:
    side = round(len(values) ** 0.5)
    if side * side != len(values) or not 4 <= side <= 64 or not _colours():
        some = ", ".join(number(float(v)) for v in values[:8])
        yield f"  {name}: {some}{f', ... ({len(values)} numbers)' if len(values) > 8 else ''}"
        return
    # as many numbers as a square has: as a rule a small picture in shades of grey
    low, high = float(values.min()), float(values.max())
    grey = np.zeros_like(values) if high <= low else (values - low) / (high - low) * 255
    yield from _half_blocks(np.repeat(grey.reshape(side, side, 1), 3, axis=2).astype(np.uint8))


def _saved(data: bytes, kind: str, key: str) -> Path:
    """Write a file for a viewer to open, in a folder that only this user can read; the same record, the same file."""
    folder = Path(tempfile.gettempdir()) / f"tilth-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        folder = Path(tempfile.mkdtemp(prefix="tilth-"))
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in key)[-80:]
    path = folder / (name if Path(name).suffix else name + _ENDINGS[kind])
    path.write_bytes(data)
    return path


def _picture(data: bytes) -> Iterator[str]:
    from PIL import Image, UnidentifiedImageError

    if os.environ.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm") and sys.stdout.isatty():
        yield f"\x1b]1337;File=inline=1;height=16:{base64.b64encode(data).decode()}\a"
        return
    if not _colours():
        return
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (_SIDE * 2, _SIDE * 2))
            small = image.convert("RGB")
            small.thumbnail((_SIDE * 2, _SIDE * 2))
            yield from _half_blocks(np.asarray(small))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as why:
        yield f"  (not shown: {why})"


def _half_blocks(pixels: np.ndarray[Any, Any]) -> Iterator[str]:
    """Yield lines of half blocks, two pixels a character, by 24-bit colours; what is tiny is enlarged."""
    times = max(1, _SIDE // 2 // max(pixels.shape[:2]))
    pixels = pixels.repeat(times, axis=0).repeat(times, axis=1)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]};48;2;{b[0]};{b[1]};{b[2]}m▀"
            for a, b in zip(upper.tolist(), lower.tolist(), strict=True)
        ]
        yield "  " + "".join(cells) + "\x1b[0m"


def _colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
