"""Models whose embedding is not a step on the way to the prediction: what a linear model learned, or a column."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tilth.algebra import from_json, to_json
from tilth.integrations.inputs import cells, inputs
from tilth.integrations.sklearn import SklearnFitted, SklearnModel
from tilth.protocols import Task

__all__ = ["Embedded", "EmbeddedFitted"]


@dataclass(frozen=True)
class Embedded:
    """A model with an embedding of another making.

    `by`: a vector column, such as a frozen encoding of the text that the model reads; "" for the decision values, one a
    class, which are all that a linear model learns of a record.
    """

    model: SklearnModel
    by: str = ""

    @property
    def gives(self) -> frozenset[str]:
        """Embeddings."""
        return self.model.gives | {"embeddings"}

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it."""
        return {"model": "bench.label_efficiency.models:Embedded", "of": to_json(self.model), "by": self.by}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "Embedded":
        """Build it again."""
        return cls(from_json(spec["of"]), spec["by"])

    def fit(self, features: pa.Table, y: np.ndarray, weight: np.ndarray, *, task: Task, seed: int) -> "EmbeddedFitted":
        """Train the model."""
        return EmbeddedFitted(self.model.fit(features, y, weight, task=task, seed=seed), self.by)

    def load(self, folder: Path, *, task: Task) -> "EmbeddedFitted":
        """Read the trained model back."""
        return EmbeddedFitted(self.model.load(folder, task=task), self.by)


@dataclass(frozen=True, eq=False)
class EmbeddedFitted:
    """A trained one."""

    fitted: SklearnFitted
    by: str

    def predict(self, features: pa.Table) -> np.ndarray:
        """Return what the model predicts."""
        return self.fitted.predict(features)

    def embed(self, features: pa.Table) -> np.ndarray:
        """Return the column, or the decision values."""
        if self.by:
            return np.ascontiguousarray(cells(features, self.by), np.float32)
        found = self.fitted.estimator.decision_function(inputs(features, self.fitted.columns))
        return np.ascontiguousarray(found.reshape(features.num_rows, -1), np.float32)

    def save(self, folder: Path) -> None:
        """Write the trained model."""
        self.fitted.save(folder)
