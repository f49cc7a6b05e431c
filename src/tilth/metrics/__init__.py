"""One number of a state: what conditions compare, gates judge and reports show."""

from tilth.metrics.annotators import agreement, annotator_quality
from tilth.metrics.compare import Paired, paired, standard_error
from tilth.metrics.cost import cost, gain, labeled_count, labels_spent, pool_size, rounds
from tilth.metrics.quality import accuracy, f1, log_loss, mae, precision, r2, recall, rmse
from tilth.metrics.verdicts import rejected

__all__ = [
    "Paired",
    "accuracy",
    "agreement",
    "annotator_quality",
    "cost",
    "f1",
    "gain",
    "labeled_count",
    "labels_spent",
    "log_loss",
    "mae",
    "paired",
    "pool_size",
    "precision",
    "r2",
    "recall",
    "rejected",
    "rmse",
    "rounds",
    "standard_error",
]
