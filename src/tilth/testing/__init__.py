"""Exams for what you bring, and the `Oracle`, which stands in for people in tests and simulations.

>>> from tilth.testing import check_model
>>> from tilth.integrations.sklearn import SklearnModel
>>> from sklearn.naive_bayes import GaussianNB
>>> check_model(SklearnModel(GaussianNB()))
"""

from tilth.labeling import Oracle
from tilth.testing.decisions import check_action, check_annotator
from tilth.testing.generators import check_generator
from tilth.testing.models import check_model
from tilth.testing.signals import check_metric, check_signal
from tilth.testing.sources import check_source
from tilth.testing.toys import toy

__all__ = [
    "Oracle",
    "check_action",
    "check_annotator",
    "check_generator",
    "check_metric",
    "check_model",
    "check_signal",
    "check_source",
    "toy",
]
