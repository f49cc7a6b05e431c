"""Annotators, how they are asked, and how their answers become labels."""

from tilth.labeling.oracle import Oracle
from tilth.labeling.panel import Panel, disagrees_with_model
from tilth.labeling.team import Team

__all__ = ["Oracle", "Panel", "Team", "disagrees_with_model"]
