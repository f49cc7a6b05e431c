"""The record store: immutable payload, an append-only event log, and a commit log that is the only commit point."""

from tilth.dataset.dataset import Dataset
from tilth.dataset.history import Event
from tilth.dataset.log import Commit
from tilth.dataset.schema import Column, LabelType, Schema
from tilth.dataset.view import View

__all__ = ["Column", "Commit", "Dataset", "Event", "LabelType", "Schema", "View"]
