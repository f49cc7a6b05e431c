"""Small real data to try things on."""

import atexit
import shutil
import tempfile
from pathlib import Path

import numpy as np

from tilth.dataset import Dataset
from tilth.demo.arms import base_model
from tilth.demo.data import NOISE, SHARE, digits
from tilth.integrations.sklearn import SklearnModel
from tilth.record import Record

__all__ = ["shifted", "toy"]


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


def shifted(record: Record) -> Record:
    """Move a digit one pixel to the right: something to `augment` by."""
    return record.change(pixels=np.roll(record["pixels"].reshape(8, 8), 1, axis=1).ravel())
