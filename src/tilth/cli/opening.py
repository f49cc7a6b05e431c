"""From the argument of a command to the dataset that it names.

Apart from `loading`: a command that only reads a dataset need not wait until all that runs use is imported.
"""

from pathlib import Path

from tilth.dataset import Dataset

__all__ = ["open_dataset"]


def open_dataset(project: Path, *, branch: str = "main") -> Dataset:
    """Open the dataset of a project's folder, of a workflow's file in it, or a dataset itself."""
    return Dataset.open(project.parent if project.suffix == ".py" and project.is_file() else project, branch=branch)
