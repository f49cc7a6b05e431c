"""Annotators, and how their answers become labels."""

from tilth.labeling.oracle import Oracle

__all__ = ["Oracle"]
