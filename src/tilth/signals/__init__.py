"""A number per record: what a selector ranks by and a per-record condition compares."""

from tilth.signals.basic import age, column, random, weight
from tilth.signals.content import aspect, brightness, missing, rarity, sharpness, text_length
from tilth.signals.dynamics import aum, cartography_confidence, correctness, el2n, forgetting, loss, variability
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
from tilth.signals.moved import moved, outdated
from tilth.signals.quality import detector, label_issue, label_quality, suggest
from tilth.signals.slices import find_slices, in_slice, worst_slice
from tilth.signals.uncertainty import (
    bald,
    calibrated_confidence,
    confidence,
    disagreement,
    entropy,
    least_confident,
    margin,
    temperature,
)
from tilth.signals.value import data_oob, leave_one_out, shapley

__all__ = [
    "age",
    "aspect",
    "aum",
    "bald",
    "brightness",
    "calibrated_confidence",
    "cartography_confidence",
    "column",
    "confidence",
    "correctness",
    "data_oob",
    "density",
    "detector",
    "disagreement",
    "duplicate",
    "duplicate_group",
    "duplicate_groups",
    "el2n",
    "entropy",
    "find_slices",
    "forgetting",
    "in_slice",
    "label_issue",
    "label_quality",
    "least_confident",
    "leave_one_out",
    "lof",
    "loss",
    "margin",
    "missing",
    "moved",
    "novelty",
    "outdated",
    "outlier",
    "random",
    "rarity",
    "shapley",
    "sharpness",
    "suggest",
    "temperature",
    "text_length",
    "typicality",
    "variability",
    "weight",
    "worst_slice",
]
