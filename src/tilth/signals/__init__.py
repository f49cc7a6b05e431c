"""A number per record: what a selector ranks by and a per-record condition compares."""

from tilth.signals.basic import age, column, random, weight
from tilth.signals.geometry import (
    density,
    duplicate,
    duplicate_group,
    duplicate_groups,
    lof,
    novelty,
    outlier,
    typicality,
)
from tilth.signals.quality import label_quality, suggest
from tilth.signals.uncertainty import confidence, entropy, least_confident, margin
from tilth.signals.value import data_oob, leave_one_out, shapley

__all__ = [
    "age",
    "column",
    "confidence",
    "data_oob",
    "density",
    "duplicate",
    "duplicate_group",
    "duplicate_groups",
    "entropy",
    "label_quality",
    "least_confident",
    "leave_one_out",
    "lof",
    "margin",
    "novelty",
    "outlier",
    "random",
    "shapley",
    "suggest",
    "typicality",
    "weight",
]
