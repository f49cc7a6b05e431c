"""A number per record: what a selector ranks by and a per-record condition compares."""

from tilth.signals.basic import age, column, random, weight
from tilth.signals.geometry import density, duplicate, novelty
from tilth.signals.quality import label_quality, suggest
from tilth.signals.slices import find_slices, in_slice, worst_slice
from tilth.signals.uncertainty import confidence, entropy, least_confident, margin

__all__ = [
    "age",
    "column",
    "confidence",
    "density",
    "duplicate",
    "entropy",
    "find_slices",
    "in_slice",
    "label_quality",
    "least_confident",
    "margin",
    "novelty",
    "random",
    "suggest",
    "weight",
    "worst_slice",
]
