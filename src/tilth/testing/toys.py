"""Small real data to try things on."""

import atexit
import shutil
import tempfile
from pathlib import Path

from tilth.dataset import Dataset
from tilth.demo.arms import base_model
from tilth.demo.data import NOISE, SHARE, digits
from tilth.integrations.sklearn import SklearnModel

__all__ = ["toy"]


def toy(*, seed: int = 0, noise: float = NOISE, share: float = SHARE) -> tuple[Dataset, SklearnModel]:
    """Return scikit-learn's 1,797 handwritten digits in a folder that goes when the process ends, and a model for them.

    >>> dataset, model = toy(noise=0.0)
    >>> len(dataset)
    1797

    `share` of the training records have a label, of which `noise` is wrong (always the next class); the hidden column
    "truth" holds the right one, for an `Oracle("truth")`. `model` is a logistic regression.
    """
    folder = Path(tempfile.mkdtemp(prefix="tilth-toy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return digits(folder / "digits", seed=seed, noise=noise, share=share), SklearnModel(base_model())
