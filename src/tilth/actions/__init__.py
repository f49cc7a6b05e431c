"""What to do with chosen records: on labels, on records that are there, and to make or bring new ones."""

from tilth.actions.base import Action, action
from tilth.actions.gather import collect, edit
from tilth.actions.grow import augment, modify
from tilth.actions.ingest import ingest
from tilth.actions.label import annotate, relabel
from tilth.actions.shape import remove, restore, reweight
from tilth.actions.synthesise import synthesise

__all__ = [
    "Action",
    "action",
    "annotate",
    "augment",
    "collect",
    "edit",
    "ingest",
    "modify",
    "relabel",
    "remove",
    "restore",
    "reweight",
    "synthesise",
]
