"""The key of every row, and the split where it is given."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.dataset.readers.columns import is_binary, is_number, plain, texts_of
from tilth.dataset.readers.problems import Problems, refuse
from tilth.dataset.readers.raw import Raw, is_text, split_code

__all__ = ["read_keys", "read_splits"]


def read_keys(raw: Raw, problems: Problems) -> pa.ChunkedArray:
    """Return the keys as `string[n]`; without a column of keys, the number of the row in the source, the first being 0.

    Null, empty and double keys are problems; of two equal keys the first stays, unless it has a problem of its own.
    """
    if raw.roles.key is None:
        numbers = raw.numbers if raw.numbers is not None else np.arange(len(raw.table))
        return pa.chunked_array([pa.array(numbers).cast(pa.string())])
    keys = _texts(raw, raw.roles.key, "key", problems)
    nulls = keys.is_null().to_numpy()
    empty = pc.equal(keys, "").fill_null(False).to_numpy()
    problems.add(np.flatnonzero(nulls), f"the key (column {raw.roles.key!r}) is missing (null)")
    problems.add(np.flatnonzero(empty), f"the key (column {raw.roles.key!r}) is an empty text")
    _find_doubles(keys, raw, problems)
    return keys.fill_null("").cast(pa.string())


def read_splits(raw: Raw, problems: Problems) -> npt.NDArray[np.int8]:
    """Return the split of each row as `int8[n]`: a position in `SPLITS`, -1 where none is given."""
    if raw.splits is not None:
        return raw.splits
    if raw.roles.split is None:
        return np.full(len(raw.table), raw.roles.everywhere, dtype=np.int8)
    texts = _texts(raw, raw.roles.split, "split", problems).combine_chunks().dictionary_encode()
    names: list[str] = texts.dictionary.to_pylist()
    at: npt.NDArray[np.int64] = texts.indices.cast(pa.int64()).fill_null(len(names)).to_numpy()
    codes = [split_code(name) for name in names]
    for i, name in enumerate(names):
        if codes[i] is None and not (raw.untyped and not name):
            reason = f"no split is called {name!r}; there is train, valid (or val, validation, dev) and test"
            problems.add(np.flatnonzero(at == i), reason)
    return np.array([-1 if code is None else code for code in [*codes, None]], dtype=np.int8)[at]


def _texts(raw: Raw, name: str, role: str, problems: Problems) -> pa.ChunkedArray:
    values = plain(raw.table[name])
    kind = values.type
    if is_text(kind) or is_binary(kind):
        texts, wrong = texts_of(values)
        problems.add(np.flatnonzero(wrong), f"the {role} (column {name!r}) is not valid UTF-8")
        return texts
    if is_number(kind) or pa.types.is_temporal(kind) or pa.types.is_null(kind):
        return values.cast(pa.large_string())
    raise refuse(raw.name, f"column {name!r} is {kind}, which cannot be the {role}: it takes texts or numbers")


def _find_doubles(keys: pa.ChunkedArray, raw: Raw, problems: Problems) -> None:
    good = np.flatnonzero(problems.good)
    codes = keys.combine_chunks().dictionary_encode().indices.fill_null(0).to_numpy()[good]
    if len(codes) == 0 or np.bincount(codes).max() == 1:
        return
    _, first, group = np.unique(codes, return_index=True, return_inverse=True)
    later = np.flatnonzero(first[group] != np.arange(len(codes)))
    at, before = good[later].tolist(), good[first[group[later]]].tolist()
    for position, place in zip(at, raw.where(before), strict=True):
        problems.add([position], f"key {keys[position].as_py()!r} came already in {place}")
