"""A project out of a source: its dataset, and a workflow of its own that runs as it stands."""

from tilth.scaffold.patterns import PATTERNS
from tilth.scaffold.project import Project, new_project

__all__ = ["PATTERNS", "Project", "new_project"]
