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

__all__ = [
    "age",
    "column",
    "confidence",
    "density",
    "duplicate",
    "duplicate_group",
    "duplicate_groups",
    "entropy",
    "label_quality",
    "least_confident",
    "lof",
    "margin",
    "novelty",
    "outlier",
    "random",
    "suggest",
    "typicality",
    "weight",
]
