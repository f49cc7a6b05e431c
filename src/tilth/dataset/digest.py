"""A hash over records that is the same wherever the records are the same."""

import hashlib

import numpy as np
import numpy.typing as npt

from tilth.changes import Field
from tilth.dataset.core import Core
from tilth.dataset.history import decode
from tilth.dataset.view import View

__all__ = ["digest"]


def digest(core: Core, view: View, *, asked: bool = True) -> str:
    """Return a SHA-256 over key, content, label, weight, split and question state of living records, by key hash.

    `asked=False` leaves the question state out: it does not matter to a model. Ids and versions do not enter: after a
    crash they may be others while the data is the same. A version's is computed once.
    """
    known = core.digests.get((view.version, asked))
    if known is None:
        known = core.digests[view.version, asked] = _computed(core, view, np.flatnonzero(view.alive), asked=asked)
    return known


def _computed(core: Core, view: View, ids: npt.NDArray[np.int64], *, asked: bool) -> str:
    keys = core.column("key_hash", view.version)[ids]
    order = np.argsort(keys, kind="stable")
    rows = ids[order]
    sha = hashlib.sha256()
    sha.update(keys[order].tobytes())
    sha.update(np.ascontiguousarray(core.column("content", view.version)[view.payload[rows]]).tobytes())
    if view.kind.kind == "classes":  # the row of a label may differ where the label does not
        sha.update(repr(decode(core, Field.LABEL, view.label[rows])).encode())
    elif view.kind.kind == "number":  # NaN, no label, comes in many bit patterns
        sha.update(np.where(np.isnan(view.label[rows]), np.nan, view.label[rows]).tobytes())
    else:
        sha.update(view.label[rows].tobytes())
    for array in (view.weight, view.split, *((view.asked,) if asked else ())):
        sha.update(array[rows].tobytes())
    return sha.hexdigest()
