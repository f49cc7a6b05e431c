"""A hash of each record's content: what makes two records the same, whatever their ids."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tilth.dataset.schema import Schema

__all__ = ["content_hashes"]


def content_hashes(table: pa.Table, schema: Schema) -> pa.Array:
    """Return the SHA-256 of every row over the user's columns, in the schema's order, as fixed-size binary [32].

    Cells are hashed as their little-endian bytes, variable ones behind their length (null: all ones), so that no two
    rows share the bytes of another by shifting. About 1 us a row.
    """
    cells = [_cells(table[c.name].combine_chunks()) for c in schema.columns]
    sha = hashlib.sha256
    digests = (
        (sha(row[0]).digest() for row in zip(*cells, strict=True))
        if len(cells) == 1
        else (sha(b"".join(row)).digest() for row in zip(*cells, strict=True))
    )
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), table.num_rows, [None, pa.py_buffer(b"".join(digests))])


def _cells(array: pa.Array) -> Iterator[bytes]:
    if pa.types.is_fixed_size_list(array.type):
        values = array.flatten().to_numpy(zero_copy_only=False)
        wide = np.ascontiguousarray(values).reshape(len(array), array.type.list_size).view(np.uint8)
        return map(bytes, wide)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        numbers = np.ascontiguousarray(array.to_numpy(zero_copy_only=False))
        return map(bytes, numbers.view(np.uint8).reshape(len(array), -1))
    binary = array.cast(pa.large_binary())
    return (
        b"\xff" * 8 if cell is None else len(cell).to_bytes(8, "little") + cell for cell in (s.as_py() for s in binary)
    )
