"""`Look`: a version of a branch and what a model said of it, as an address names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlencode

import numpy as np
from starlette.requests import Request

from tilth.dataset import Dataset
from tilth.errors import NotFound
from tilth.outputs import Outputs
from tilth.state import Round, State
from tilth.web.routes import site_of, whole
from tilth.web.shelf import Shelf
from tilth.web.site import Site

__all__ = ["Look", "address", "look", "newest_model", "record_of", "shelf_of"]

_ARRAYS = 64
"""Bytes a record that a state may come to hold: a dozen signals, and what they rest on."""


@dataclass(frozen=True)
class Look:
    """A dataset at a version, and the state of the model that is looked through."""

    dataset: Dataset
    state: State

    @property
    def branch(self) -> str:
        """The branch."""
        return self.dataset.branch_name

    @property
    def version(self) -> int:
        """The version."""
        return self.dataset.version

    @property
    def model(self) -> str:
        """The name of the model, "" where there is none."""
        return "" if self.state.outputs is None else self.state.outputs.ref

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from others."""
        return self.branch, self.version, self.model

    @property
    def place(self) -> dict[str, str]:
        """Return it as the fields of an address."""
        return {"branch": self.branch, "version": str(self.version)} | ({"model": self.model} if self.model else {})

    @cached_property
    def kind(self) -> str:
        """What a label is: "class", "classes" or "number"."""
        return self.dataset.schema.label.kind


def look(request: Request) -> Look:
    """Return what the fields `branch`, `version` and `model` of a request name.

    By default the head of main, and the newest model that a run judged at or before that version.
    """
    asked = request.query_params
    site = site_of(request)
    following = site.dataset(asked.get("branch") or "main")
    version = whole(asked, "version", following.version)
    dataset = following.at(version)
    ref = asked.get("model") or newest_model(site, dataset)

    def make() -> tuple[Look, int]:
        found = _outputs(dataset, ref) if ref else None
        if ref and found is None:
            raise NotFound(f"no model {ref!r} has said anything of this dataset; leave model= out for the newest")
        every = _judged(site, dataset)
        rounds = next((rounds for rounds in reversed(every) if rounds[-1].model == ref), ())
        return Look(dataset, State(dataset, found, rounds)), _ARRAYS * len(dataset.view)

    return shelf_of(request).get(("look", dataset.branch_name, version, ref), make)


def newest_model(site: Site, dataset: Dataset) -> str:
    """Return the name of the newest model that a run judged at or before a version and that is still there, or ""."""
    every = sorted(
        _judged(site, dataset), key=lambda rounds: rounds[-1].version
    )  # of equals the newer run's comes last
    return next((r[-1].model for r in reversed(every) if _outputs(dataset, r[-1].model) is not None), "")


def _judged(site: Site, dataset: Dataset) -> list[tuple[Round, ...]]:
    """Return the rounds of all runs up to a version, oldest run first, each with those of its run before it.

    A run on another branch counts where both branches share the version that it judged: a fork begins so.
    """
    log = dataset.log()
    out: list[tuple[Round, ...]] = []
    for run in reversed(site.runs()):
        theirs = log if run.branch == dataset.branch_name else site.dataset(run.branch).log()
        shared = [a.txn == b.txn for a, b in zip(log, theirs, strict=False)]
        rounds = tuple(r for r in run.rounds if r.version < len(shared) and shared[r.version])
        out += [rounds[:n] for n in range(1, len(rounds) + 1)]
    return out


def shelf_of(request: Request) -> Shelf:
    """Return where what was computed last is kept."""
    shelf: Shelf = request.app.state.shelf
    return shelf


def record_of(request: Request) -> int:
    """Return the id of a record in the path of an address; NotFound for what can be none."""
    text = request.path_params["record"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound(f"no record {text!r}: addresses name records by their id, a whole number")
    return int(text)


def address(path: str, *parts: Mapping[str, object]) -> str:
    """Return an address with the fields that say something, later parts before earlier ones.

    >>> address("/records", {"split": "train", "q": ""}, {"label": "a&b"})
    '/records?split=train&label=a%26b'
    """
    fields: dict[str, object] = {}
    for part in parts:
        fields |= part
    said = {k: v for k, v in fields.items() if v not in (None, "")}
    return f"{path}?{urlencode(said)}" if said else path


def _outputs(dataset: Dataset, ref: str) -> Outputs | None:
    """Return what a model said; a name is letters and digits, so none leads out of the folder."""
    if not (ref.isascii() and ref.isalnum()):
        return None
    found = Outputs(dataset.path / "outputs" / ref)
    return found if found.has("ids", "probabilities") and np.ndim(found.ids) == 1 else None
