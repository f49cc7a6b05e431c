"""`Mixture`: new records drawn from a density that was fitted to the examples."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.protocols import Want
from tilth.signals.making import count
from tilth.synthesis.space import Space, closest

__all__ = ["Mixture"]


@dataclass(frozen=True)
class Mixture:
    """New records drawn from a Gaussian mixture that is fitted to the examples: a density a class, or a slice.

    >>> from tilth.protocols import Want
    >>> cats = pa.table({"age": [1.0, 2.0, 4.0, 5.0], "coat": ["grey", "grey", "red", "red"]})
    >>> Mixture().generate(Want(2, "cat"), cats, 2, seed=0).to_pylist()
    [{'age': 5.0, 'coat': 'red', 'parent': 3}, {'age': 3.63, 'coat': 'red', 'parent': 2}]

    As many components, 1 to `components`, and such covariances (full or diagonal) as have the lowest Bayesian
    information criterion (Schwarz 1978). Numbers stay within the range of the examples, whole ones are rounded; the
    parent is the example nearest to what was drawn, and categories are the parent's. Nothing is made of a single
    example. All examples count alike, in whatever order. UsageError for columns of free text, images or sounds.
    """

    components: int = 5

    def __post_init__(self) -> None:
        count("Mixture(components=...)", self.components)

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it."""
        return {"generator": "tilth.synthesis.mixture:Mixture", **asdict(self)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Mixture":
        """Rebuild it from `spec`."""
        return cls(components=spec["components"])

    def generate(self, want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
        """Return n new rows, none where there is only one example or no column of numbers."""
        from tilth.integrations.density import drawn  # here, so that who fits no density does not load scikit-learn

        space = Space.of(exemplars, repr(self))
        numbers = space.numbers(exemplars)
        low, high = (numbers.min(axis=0, initial=np.inf), numbers.max(axis=0, initial=-np.inf))
        new = np.clip(drawn(numbers, n, most=self.components, seed=seed), low, high)
        parent = closest(new.astype(np.float32), numbers.astype(np.float32))[0]
        return space.table(exemplars, parent, new * space.spread + space.middle)
