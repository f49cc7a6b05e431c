"""Does cleaning labels that real people got wrong help? CIFAR-10N, its worst labels, 40 % of them wrong."""

import sys
from pathlib import Path

from bench.evidence.figures import Figure, spread

# examples are run by hand, from their folder
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from cleaning import MODELS, Cleaned, cleaned, probe
from common import cifar

__all__ = ["SEEDS", "TITLE", "measure"]

TITLE = "c. CIFAR-10N, worse labels, edges and colours: test accuracy in points, on labels as they are and cleaned"
SEEDS = 3
ROWS = 11_000
HARMED = "network, 40 epochs"
"""The model that learns wrong labels by heart."""


def measure(data: Path, seeds: int) -> list[Figure]:
    """Clean for each model by a network as the probe, and for the one that is harmed most by the default probe too."""
    found: dict[str, list[Cleaned]] = {}
    for seed in range(seeds):
        rows = cifar(data, ROWS, seed=seed)
        for name in MODELS:
            found.setdefault(name, []).append(cleaned(rows, name, seed=seed, judge=probe()))
        found.setdefault(f"{HARMED}, default probe", []).append(cleaned(rows, HARMED, seed=seed, judge=None))
    out: list[Figure] = []
    for name, all_of in found.items():
        out += [
            spread(f"{name}: labels as they are", [100 * c.before for c in all_of], unit="% right"),
            spread(
                f"{name}: gained by cleaning",
                [100 * (c.after - c.before) for c in all_of],
                target=5.0,
                unit="points",
            ),
            spread(f"{name}: all labels right would gain", [100 * (c.right - c.before) for c in all_of], unit="points"),
        ]
    return out
