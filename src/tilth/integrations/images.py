"""Image files as pictures: what Pillow reads, turned as the camera was held, on white."""

import io
import warnings
from typing import Any

import numpy as np

__all__ = ["extent", "picture"]

_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)


def picture(cell: bytes, mode: str, *, near: int | None = None) -> Any:
    """Return a decoded Pillow image in `mode`, "RGB" or "L" (grey: ITU-R 601 luma).

    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 3), "red").save(file, "PNG")
    >>> picture(file.getvalue(), "L").size
    (4, 3)

    What is transparent is laid on white, 16 bits become 8. A broken file makes a decoder raise anything. `near`: a JPEG
    may be decoded smaller, but no side below that, which takes a fraction of the time.
    """
    from PIL import Image, ImageOps  # here, so that who has no images does not pay for it

    with warnings.catch_warnings():
        # Pillow warns of damaged metadata and of very large images; what it can decode is used.
        warnings.simplefilter("ignore")
        opened: Any = Image.open(io.BytesIO(cell))
        if near is not None:
            opened.draft(mode, (near, near))
        image: Any = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # Pillow would cut 16 bits at 255
        elif image.mode in ("P", "PA", "LA", "RGBA"):
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return image.convert(mode)


def extent(cell: bytes) -> tuple[int, int]:
    """Return (width, height) in pixels as the image is looked at; only the head of the file is read."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(cell))
        width, height = image.size
        # For a PNG that names no EXIF before its pixels Pillow would decode them all, to look behind them.
        told = image.format != "PNG" or "exif" in image.info
        turned = told and image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    return (height, width) if turned else (width, height)
