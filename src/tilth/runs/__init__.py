"""Durable runs: the journal, the local engine, and what a run did."""

from tilth.runs.base import Run
from tilth.runs.local import run

__all__ = ["Run", "run"]
