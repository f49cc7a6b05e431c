"""A number per record: what a selector ranks by and a per-record condition compares."""

from tilth.signals.basic import age, column, random, weight
from tilth.signals.content import aspect, brightness, missing, rarity, sharpness, text_length
from tilth.signals.dynamics import aum, cartography_confidence, correctness, el2n, forgetting, loss, variability
from tilth.signals.geometry import density, duplicate, novelty
from tilth.signals.quality import detector, label_issue, label_quality, suggest
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
    "density",
    "detector",
    "disagreement",
    "duplicate",
    "el2n",
    "entropy",
    "forgetting",
    "label_issue",
    "label_quality",
    "least_confident",
    "loss",
    "margin",
    "missing",
    "novelty",
    "random",
    "rarity",
    "sharpness",
    "suggest",
    "temperature",
    "text_length",
    "variability",
    "weight",
]
