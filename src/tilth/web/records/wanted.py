"""`Wanted`: which records an address asks for, and in which order."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tilth.dataset.schema import SPLITS
from tilth.errors import NotFound, UsageError, did_you_mean
from tilth.web.records.looking import Look
from tilth.web.routes import whole

__all__ = ["STATES", "Wanted", "no_label", "selected"]

Mask = npt.NDArray[np.bool_]

STATES = ("present", "quarantined", "removed", "all")
"""Which records are shown; the first unless something else is asked for."""
_LONGEST = 200
_ROWS = 65_536


@dataclass(frozen=True)
class Wanted:
    """The fields of an address that choose and order records; "" = not asked for.

    `label`: a class, or `no_label()`. `predicted`: a class. `changed_in`: a round, of the newest run of the branch or
    of `run`. `rule`: by which a record was changed. `q`: a part of the key or of a text. `like`: the id of a record
    whose neighbours come first. `sort`: "key" or a signal; `order`: "down" = the highest first.
    """

    split: str = ""
    label: str = ""
    predicted: str = ""
    state: str = ""
    changed_in: str = ""
    run: str = ""
    rule: str = ""
    q: str = ""
    like: str = ""
    sort: str = ""
    order: str = ""

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "Wanted":
        """Read the fields of an address; UsageError says what one may be."""
        found = cls(**{name: asked.get(name) or "" for name in cls.__dataclass_fields__})
        for name, values in (("split", SPLITS), ("state", STATES), ("order", ("up", "down"))):
            said = getattr(found, name)
            if said and said not in values:
                raise UsageError(f"{name}={said!r}. {did_you_mean(said, values)}")
        for name in ("changed_in", "like"):
            whole(asked, name, 0)
        if len(found.q) > _LONGEST:
            raise UsageError(f"q: at most {_LONGEST} characters are searched for, got {len(found.q)}")
        return found

    def fields(self, **changes: str) -> dict[str, str]:
        """Return it, with changes, as the fields of an address."""
        return asdict(self) | changes

    @property
    def filters(self) -> tuple[str, ...]:
        """What chooses, without the order."""
        return tuple(v for k, v in asdict(self).items() if k not in ("like", "sort", "order"))


def no_label(classes: tuple[str, ...]) -> str:
    """Return the word for records without a label, which is no class of theirs.

    >>> no_label(("cat",)), no_label(("(no label)",))
    ('(no label)', '((no label))')
    """
    word = "(no label)"
    while word in classes:
        word = f"({word})"
    return word


def selected(look: Look, wanted: Wanted) -> Mask:
    """bool[n]: the records that the filters choose; NotFound for a class, round or rule that there is not."""
    view = look.dataset.view
    mask = {
        "quarantined": view.known & view.quarantined & ~view.alive,
        "removed": view.known & ~view.alive & ~view.quarantined,
        "all": view.known,
    }.get(wanted.state, view.alive)
    if wanted.split:
        mask = mask & (view.split == SPLITS.index(wanted.split))
    if wanted.label:
        mask = mask & _labelled(look, wanted.label)
    if wanted.predicted:
        mask = mask & _said(look, wanted.predicted)
    if wanted.changed_in or wanted.rule:
        touched = np.zeros(len(view), bool)
        touched[look.dataset.touched(_versions(look, wanted))] = True
        mask = mask & touched
    if wanted.q:
        mask = mask & _matching(look, wanted.q)
    return mask


def _labelled(look: Look, label: str) -> Mask:
    view, classes = look.dataset.view, look.dataset.schema.label.classes
    if label == no_label(classes):
        return ~view.labeled
    if look.kind == "number":
        raise UsageError(f"label={label!r}: these labels are numbers; only {no_label(classes)!r} can be asked for")
    code = look.dataset.schema.label.code(label)
    if look.kind == "class":
        return view.label == code
    rows, first, again = np.unique(view.label, return_index=True, return_inverse=True)
    among = [row >= 0 and label in names for row, names in zip(rows, look.dataset.labels(first), strict=True)]
    return np.array(among, bool)[again]


def _said(look: Look, label: str) -> Mask:
    if look.state.outputs is None:
        raise NotFound(f"predicted={label!r}: no model has been judged up to version {look.version}")
    if look.kind == "number":
        raise UsageError(f"predicted={label!r}: these labels are numbers, which have no classes")
    code = look.dataset.schema.label.code(label)
    return look.state.predicted == code if look.kind == "class" else look.state.probabilities[code] >= 0.5


def _versions(look: Look, wanted: Wanted) -> list[int]:
    """Return the versions that a round, a rule or both made; NotFound says which there are."""
    log = look.dataset.log()
    if wanted.rule and not any(c.rule == wanted.rule for c in log):
        raise NotFound(f"no rule {wanted.rule!r} has changed anything. {did_you_mean(wanted.rule, _rules(look))}")
    found = [c for c in log if not wanted.rule or c.rule == wanted.rule]
    if wanted.changed_in:
        run = wanted.run or next((c.run for c in reversed(log) if c.round >= 0), "")
        found = [c for c in found if c.round == int(wanted.changed_in) and c.run == run]
    elif wanted.run:
        found = [c for c in found if c.run == wanted.run]
    return [c.version for c in found]


def _rules(look: Look) -> list[str]:
    return sorted({c.rule for c in look.dataset.log() if c.rule})


def _matching(look: Look, text: str) -> Mask:
    """bool[n]: the records with a text in their key, or in a column of text that is not hidden, whatever the case."""
    view = look.dataset.view
    out = np.zeros(len(view), bool)
    known = np.flatnonzero(view.known)
    texts = [c.name for c in look.dataset.schema.columns if c.kind == "text" and not c.hidden]
    for start in range(0, len(known), _ROWS):
        ids = known[start : start + _ROWS]
        rows = look.dataset.features(ids, texts) if texts else None
        columns = [pa.array(look.dataset.keys(ids), pa.string()), *([] if rows is None else rows.columns)]
        for column in columns:
            hit = pc.match_substring(column, text, ignore_case=True)
            out[ids] |= pc.fill_null(hit, False).to_numpy(zero_copy_only=False)
    return out
