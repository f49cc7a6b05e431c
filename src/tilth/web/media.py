"""Pictures and sounds of records: told by their bytes, checked before anything is decoded, and made small.

A browser gets bytes under no other type than that of a picture or a sound, whatever they are: what is neither is
refused, so nothing that a record holds can run in a page (SVG and HTML are neither).
"""

import base64
import io
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilth.errors import DataError
from tilth.integrations.images import picture
from tilth.integrations.sounds import samples

__all__ = ["THUMB", "Media", "data_uri", "grey", "placeholder", "sniffed", "thumb", "waveform"]

THUMB = 192
"""Pixels of the longer side of a small picture: 96 on a screen with two pixels for one."""

_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
"""Pictures that browsers show as they are."""
_OTHERS = ("BMP", "TIFF", "PPM", "TGA", "ICO", "PCX", "SGI", "JPEG2000")
"""Pictures that are turned into PNGs. No format is here that calls another program (EPS) or draws (WMF)."""
_MOST_PIXELS = 89_478_485
"""Pillow's own limit, above which a file is taken for a bomb: 256 MB as 24-bit colours."""
_MOST_SOUND = 32 * 2**20
"""Bytes of a sound of which a waveform is drawn: three minutes in stereo at 44.1 kHz."""
_STRIPES = 120


@dataclass(frozen=True)
class Media:
    """Bytes with their type; for pictures the width and height in pixels."""

    type: str
    data: bytes
    size: tuple[int, int] = (0, 0)


def sniffed(data: bytes) -> Media:
    """Return what bytes are, by looking at their beginning; DataError says why they cannot be shown.

    >>> sniffed(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    Traceback (most recent call last):
        ...
    tilth.errors.DataError: neither a picture nor a wav file
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return Media("audio/wav", data)
    from PIL import Image  # here, so that who looks at texts does not pay for it

    try:
        with Image.open(io.BytesIO(data), formats=[*_FORMATS, *_OTHERS]) as opened:
            kind, size = str(opened.format), opened.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as why:
        raise DataError("a picture of too many pixels") from why
    except Exception as why:  # a broken file makes a decoder raise anything
        raise DataError("neither a picture nor a wav file") from why
    if math.prod(size) > _MOST_PIXELS:
        raise DataError(f"a picture of too many pixels ({size[0]:,} x {size[1]:,})")
    if kind not in _FORMATS:
        return Media("image/png", _encoded(_decoded(data, None), "PNG"), size)
    return Media(_FORMATS[kind], data, size)


def thumb(data: bytes) -> Media:
    """Return a picture as it is shown among many: as it is where it is small, else at `THUMB` pixels.

    DataError says why it cannot be shown: no picture, too many pixels, or damaged.
    """
    found = sniffed(data)
    if not found.type.startswith("image/"):
        raise DataError("a sound, not a picture")
    small = max(found.size) <= THUMB
    image = _decoded(found.data, None if small else THUMB)  # small ones too: what is cut off must not be shown as whole
    if small and len(found.data) <= 2**15:
        return found
    image.thumbnail((THUMB, THUMB))
    return Media("image/jpeg", _encoded(image, "JPEG"), image.size)


def data_uri(media: Media) -> str:
    """Return it as an address that holds it."""
    return f"data:{media.type};base64,{base64.b64encode(media.data).decode()}"


def grey(values: Any) -> Media | None:
    """Return numbers as a picture in shades of grey, where they are as many as a square from 4 x 4 to 64 x 64 has."""
    from PIL import Image

    numbers = np.nan_to_num(np.asarray(values, np.float32))
    side = math.isqrt(len(numbers))
    if side * side != len(numbers) or not 4 <= side <= 64:
        return None
    low, high = float(numbers.min()), float(numbers.max())
    shades = np.zeros_like(numbers) if high <= low else (numbers - low) / (high - low) * 255
    image = Image.fromarray(shades.reshape(side, side).astype(np.uint8))
    return Media("image/png", _encoded(image, "PNG"), image.size)


def waveform(data: bytes) -> Media:
    """Return how loud a wav file is over time, as a drawing (SVG) of our own; DataError where that cannot be told."""
    if len(data) > _MOST_SOUND:
        raise DataError("too long a sound to be drawn")
    try:
        rate, sound = samples(data)
    except Exception as why:  # a broken file makes a decoder raise anything
        raise DataError(f"a damaged sound ({why})") from why
    edges = np.linspace(0, len(sound), min(_STRIPES, len(sound)) + 1).astype(int)[:-1]
    loud = np.maximum.reduceat(np.abs(sound), edges)
    loud = np.maximum(loud / max(float(loud.max()), 1e-9), 0.02) * 19
    step = 240 / len(loud)
    path = "".join(f"M{(i + 0.5) * step:.1f} {20 - y:.1f}v{2 * y:.1f}" for i, y in enumerate(loud.tolist()))
    title = f"{len(sound) / rate:.2f} s at {rate:,} Hz"
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 40" width="240" height="40" role="img" '
        'preserveAspectRatio="none">'
        f'<title>{title}</title><path d="{path}" stroke="#3f9a63" stroke-width="{max(step * 0.6, 0.4):.1f}"/></svg>'
    )
    return Media("image/svg+xml", drawn.encode(), (240, 40))


def placeholder(why: str) -> Media:
    """Return a drawing (SVG) of our own that says why something is not shown."""
    said = re.sub(r"[^\w ,.()-]", " ", why)[:60]
    words = 'font-family="sans-serif" text-anchor="middle" fill="#b3261e"'
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 120" width="240" height="120" role="img">'
        '<rect width="239" height="119" x=".5" y=".5" fill="#fff6f5" stroke="#b3261e"/>'
        f'<text x="120" y="56" font-size="13" {words}>not shown:</text>'
        f'<text x="120" y="74" font-size="11" {words}>{said}</text></svg>'
    )
    return Media("image/svg+xml", drawn.encode(), (240, 120))


def _decoded(data: bytes, near: int | None) -> Any:
    try:
        return picture(data, "RGB", near=near)
    except Exception as why:  # a broken file makes a decoder raise anything
        raise DataError(f"a damaged picture ({why})") from why


def _encoded(image: Any, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, quality=85)
    return file.getvalue()
