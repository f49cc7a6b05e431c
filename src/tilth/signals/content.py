"""Signals of a record's own content: no model is needed, columns are read in chunks."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.algebra import signal
from tilth.errors import UsageError
from tilth.integrations.images import extent, picture
from tilth.state import State

__all__ = ["READS", "aspect", "brightness", "missing", "rarity", "readable", "sharpness", "text_length"]

Floats = npt.NDArray[np.float32]

ALL = ("class", "classes", "number")

READS: Mapping[str, str] = {"text_length": "text", "brightness": "image", "sharpness": "image", "aspect": "image"}
"""The kind of column that a signal looks at."""

_FILES = 64
"""Files read at once: a file may have some megabytes, and the store reads a few batches ahead."""
_ROWS = 65_536


@signal(tasks=ALL)
def text_length(state: State, column: str | None = None) -> npt.NDArray[np.float64]:
    """How many characters a text has.

    >>> text_length("review") < 20
    text_length("review") < 20

    float64[n], Unicode characters; NaN of what is no living record. `column`: a text column; it may be left out where
    there is only one. UsageError names the text columns where it cannot be told which.
    Cost: one scan of the column. Use it to find texts that are empty, cut off or pasted together. Do not use it as a
    measure of how hard a text is.
    """
    name = _column(state, "text_length", column)
    out = np.full(len(state), np.nan)
    for rows in state.dataset.stream(columns=[name], size=_ROWS):
        lengths = pc.utf8_length(rows[name]).cast(pa.float64())
        out[rows["record_id"].to_numpy()] = lengths.to_numpy()
    return out


@signal(tasks=ALL)
def brightness(state: State, column: str | None = None) -> Floats:
    """How bright an image is: the mean of its grey values.

    >>> brightness() < 0.1
    brightness() < 0.1

    float32[n] in [0, 1]: 0 = black, 1 = white; grey is the luma of ITU-R BT.601, what is transparent is white. NaN
    where there is no image that can be decoded. `column`: an image column; may be left out where there is only one.
    Cost: decodes each image, once a round for brightness and sharpness together. Use it to find pictures too dark or
    overexposed to be told, and what a sensor wrote while it was covered. Do not use it where dark pictures are a class.
    """
    return _measured(state, _column(state, "brightness", column))[0]


@signal(tasks=ALL)
def sharpness(state: State, column: str | None = None) -> Floats:
    """How sharp an image is: the variance of its Laplacian.

    >>> sharpness() < 100
    sharpness() < 100

    float32[n] of 0 or more, for grey values of 0 to 255 and mirrored borders, as is usual: 0 = one colour. NaN where
    there is no image that can be decoded. `column`: an image column; it may be left out where there is only one.
    Pech-Pacheco et al. 2000, Diatom Autofocusing in Brightfield Microscopy.
    Cost: decodes each image, once a round for brightness and sharpness together. Use it to find blurred pictures among
    others of the same size and kind. Do not use one threshold for pictures of several sizes or cameras: noise is sharp,
    and large pictures are smooth.
    """
    return _measured(state, _column(state, "sharpness", column))[1]


@signal(tasks=ALL)
def aspect(state: State, column: str | None = None) -> Floats:
    """How wide an image is for its height.

    >>> aspect("photo") > 3
    aspect("photo") > 3

    float32[n] above 0: width over height as it is looked at (EXIF), 1 = square. NaN where the head of the file cannot
    be read. `column`: an image column; it may be left out where there is only one.
    Cost: reads the column and the head of each file, no pixel. Use it to find banners, strips and crops gone wrong. Do
    not use it where all pictures were brought to one size before they were imported.
    """
    name = _column(state, "aspect", column)

    def ratio(cell: bytes) -> tuple[float]:
        width, height = extent(cell)
        return (width / height,)

    return _of_files(state, name, ratio, 1)[0]


@signal(tasks=ALL)
def missing(state: State) -> Floats:
    """The share of a record's columns in which there is nothing.

    >>> missing() > 0.5
    missing() > 0.5

    float32[n] in [0, 1]: 0 = complete. Nothing is: null, NaN, an empty text or file. Hidden columns are not counted.
    NaN of what is no living record.
    Cost: one scan of all columns, files included. Use it in tables, to find records that say little before money is
    spent on their labels. Do not use it where something missing is itself a sign, such as a test that was not made.
    """
    names = state.dataset.schema.features
    files = any(state.dataset.schema.column(name).kind in ("image", "audio") for name in names)
    out = np.full(len(state), np.nan, np.float32)
    for rows in state.dataset.stream(columns=names, size=_FILES if files else _ROWS):
        nothing = np.zeros(rows.num_rows)
        for name in names:
            nothing += _nothing(rows, name)
        out[rows["record_id"].to_numpy()] = nothing / max(1, len(names))
    return out


@signal()
def rarity(state: State) -> Floats:
    """How rare the given class of a record is: one minus its share among labelled training records.

    >>> rarity() > 0.99
    rarity() > 0.99

    float32[n] in [0, 1]: near 1 = few have this class. NaN without a label, and while no training record has one.
    Cost: one count of the labels. Use it to take more of rare classes, or to weigh them higher: He and Garcia 2009,
    Learning from Imbalanced Data. Do not use it to choose what to label, for it knows given labels only; see per().
    """
    view = state.view
    counts = np.bincount(view.label[view.train & view.labeled], minlength=len(state.classes))
    labelled = np.flatnonzero(view.alive & view.labeled)
    out = np.full(len(state), np.nan, np.float32)
    if counts.sum():
        out[labelled] = (1 - counts / counts.sum())[view.label[labelled]]
    return out


def readable(state: State, asks: str) -> list[str]:
    """Return the columns of the kind that a signal looks at: where there is just one, it need not be named."""
    columns = state.dataset.schema.columns
    return [column.name for column in columns if column.kind == READS[asks] and not column.hidden]


def _column(state: State, asks: str, given: str | None) -> str:
    kind, there = READS[asks], readable(state, asks)
    shown = f"columns of {kind}: {', '.join(there)}" if there else f"this dataset has no column of {kind}"
    if given is not None:
        held = state.dataset.schema.column(given).kind
        if held != kind:
            raise UsageError(f"{asks}({given!r}): that column holds {held}, not {kind}; {shown}")
        return given
    if len(there) != 1:
        raise UsageError(
            f"{asks}(): {shown}" + (f'; say which, such as {asks}("{there[0]}")' if there else ", which it reads")
        )
    return there[0]


def _measured(state: State, name: str) -> tuple[Floats, Floats]:
    """Return (brightness, sharpness) of a column: decoding is nearly all of the work, so it is done once for both."""
    memo = f"content:{name}"
    if memo not in state.memo:
        state.memo[memo] = _of_files(state, name, _light_and_edges, 2)
    light, edges = state.memo[memo]
    return light, edges


def _light_and_edges(cell: bytes) -> tuple[float, float]:
    grey = np.asarray(picture(cell, "L"))
    around = np.pad(grey.astype(np.int16), 1, mode="reflect")
    laplacian = around[:-2, 1:-1] + around[2:, 1:-1]
    laplacian += around[1:-1, :-2]
    laplacian += around[1:-1, 2:]
    laplacian -= 4 * around[1:-1, 1:-1]
    return float(grey.mean() / 255), float(laplacian.var(dtype=np.float64))


def _of_files(state: State, name: str, tell: Callable[[bytes], tuple[float, ...]], numbers: int) -> Floats:
    out = np.full((numbers, len(state)), np.nan, np.float32)
    for rows in state.dataset.stream(columns=[name], size=_FILES):
        for record, cell in zip(rows["record_id"].to_pylist(), rows[name], strict=True):
            out[:, record] = _attempted(tell, cell.as_py())
    return out


def _attempted(tell: Callable[[bytes], tuple[float, ...]], cell: bytes | None) -> tuple[float, ...] | float:
    if not cell:
        return np.nan
    try:
        return tell(cell)
    except Exception:  # noqa: BLE001 (a broken file makes a decoder raise anything, and is not known to look like anything)
        return np.nan


def _nothing(rows: pa.Table, name: str) -> npt.NDArray[np.bool_]:
    held = rows.schema.field(name).type
    if pa.types.is_floating(held) or pa.types.is_integer(held):
        absent = pc.is_null(rows[name], nan_is_null=True)
    elif pa.types.is_fixed_size_list(held):  # which the store refuses where it is not whole
        return np.zeros(rows.num_rows, bool)
    else:
        absent = pc.equal(pc.fill_null(pc.binary_length(rows[name]), 0), 0)
    return absent.to_numpy()
