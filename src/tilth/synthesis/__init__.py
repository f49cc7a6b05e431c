"""Make records that do not exist yet: generators, and what decides which of the made ones are kept."""

from tilth.synthesis.interpolation import Interpolation
from tilth.synthesis.keeping import agrees, apart

__all__ = ["Interpolation", "agrees", "apart"]
