"""Is a workflow data-centric? Decided from its structure and from what its parts read, without running it."""

from tilth.qualify.judge import qualify
from tilth.qualify.reading import Part
from tilth.qualify.verdict import VERDICTS, Verdict

__all__ = ["VERDICTS", "Part", "Verdict", "qualify"]
