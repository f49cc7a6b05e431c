"""One number of a state: what conditions compare, gates judge and reports show."""

from tilth.metrics.annotators import agreement, annotator_quality
from tilth.metrics.compare import Paired, paired, standard_error
from tilth.metrics.cost import cost, gain, labeled_count, labels_spent, pool_size, rounds
from tilth.metrics.drift import drift
from tilth.metrics.quality import accuracy, f1, log_loss, mae, precision, r2, recall, rmse
from tilth.metrics.shift import class_share, confidence_shift, label_shift
from tilth.metrics.stopping import stability
from tilth.metrics.verdicts import rejected

__all__ = [
    "Paired",
    "accuracy",
    "agreement",
    "annotator_quality",
    "class_share",
    "confidence_shift",
    "cost",
    "drift",
    "f1",
    "gain",
    "label_shift",
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
    "stability",
    "standard_error",
]
