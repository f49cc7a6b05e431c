"""How many labels does active learning save? Labels to 95 % of the accuracy that all labels of the pool give."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.evidence.figures import Figure, spread
from bench.label_efficiency.arms import BASE, CASES
from bench.label_efficiency.report import SHARE, to_target
from bench.label_efficiency.trial import Work, one

__all__ = ["SEEDS", "TITLE", "measure"]

TITLE = "b. labels to 95 % of full-data accuracy (all figures: docs/how-to/choose-a-selector.md)"
SEEDS = 20
OURS = {
    "digits_small": "typical, then cluster-margin of 3 k",
    "digits": "typical, then cluster-margin of 3 k",
    "trec": "typical, then margin",
    "banking77": "typical, then cluster-margin of 3 k",
    "fashion": "typical, then margin",
}
TARGET = {"digits_small": 92.0, "digits": 92.0}


def measure(data: Path, seeds: int) -> list[Figure]:
    """Compare the arm that is best on each data set with random choice, paired."""
    out: list[Figure] = []
    for name, arm in OURS.items():
        case = CASES[name]
        if case.folder and not (data / case.folder).is_dir():
            continue
        # the large sets are measured in full by bench.label_efficiency; here two seeds say whether it still holds
        trials = [one(Work(name, s, data, (BASE, arm), True, False)) for s in range(seeds if not case.folder else 2)]
        needed = {a: [_bought(vars(t.curves[a]), SHARE * float(t.full or 0)) for t in trials] for a in (BASE, arm)}
        saved = [r - a for r, a in zip(needed[BASE], needed[arm], strict=True)]
        out += [
            spread(f"{case.title}: {arm}", needed[arm], target=TARGET.get(name), most=True, unit="labels"),
            spread(f"{case.title}: random (not reached: all that were bought)", needed[BASE], unit="labels"),
            spread(f"{case.title}: labels saved", saved, "seeds, paired", unit="labels"),
        ]
    return out


def _bought(curve: dict[str, Sequence[Any]], target: float) -> float:
    return min(to_target(curve, target), float(curve["labels"][-1]))
