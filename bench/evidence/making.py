"""Are records made where the model errs worth more than as many by SMOTE or a density?"""

import tempfile
from pathlib import Path

from bench.evidence.figures import Figure, spread
from bench.synthesis import CASES, one, sources

__all__ = ["SEEDS", "TITLE", "measure"]

TITLE = "f. as many made records: balanced accuracy and recall of the rare, points against what it is compared with"
SEEDS = 5
CHOSEN = (CASES[0], CASES[2])
SMART = ("smart", "smart, rare class")
PEERS = ("as it is", "SMOTE", "unconditioned")


def measure(data: Path, seeds: int) -> list[Figure]:
    """Run the arms on adult and Fashion-MNIST with logistic regression, paired by seed."""
    out: list[Figure] = []
    for case in CHOSEN:
        if not (data / case.data).is_dir():
            continue
        with tempfile.TemporaryDirectory() as place:
            made = sources(case, data, seeds, place)
            found = {arm: [one((case, arm, seed, path)).test for seed, path in made] for arm in (*PEERS, *SMART)}
        for arm in SMART:
            for peer in PEERS:
                for metric in ("balanced accuracy", "recall of the rare"):
                    gain = [a[metric] - b[metric] for a, b in zip(found[arm], found[peer], strict=True)]
                    target = None if peer == "as it is" else 0.0
                    what = f"{case.data}: {arm} - {peer}, {metric}"
                    out.append(spread(what, gain, "seeds, paired", target=target, unit="points"))
    return out
