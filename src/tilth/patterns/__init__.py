"""The workflows of data-centric work as functions: each returns a `Workflow` that runs as it is, or is recomposed."""

from tilth.patterns.general import data_centric, dataprepops, model_centric
from tilth.patterns.growth import synthetic_generation
from tilth.patterns.labels import active_learning, plateau, stable, validated_active_learning
from tilth.patterns.repair import cleaning, curation
from tilth.patterns.streams import drift_repair, observability

__all__ = [
    "active_learning",
    "cleaning",
    "curation",
    "data_centric",
    "dataprepops",
    "drift_repair",
    "model_centric",
    "observability",
    "plateau",
    "stable",
    "synthetic_generation",
    "validated_active_learning",
]
