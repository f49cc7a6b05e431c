"""Is work on the data worth more than work on the model? Digits with wrong labels, 50 trials of Optuna."""

import tempfile
from pathlib import Path

from threadpoolctl import threadpool_limits

from bench.evidence.figures import Figure, spread
from tilth.demo.arms import data_arm, split_arrays, tune
from tilth.demo.data import digits

__all__ = ["SEEDS", "TITLE", "measure"]

TITLE = (
    "a. digits, half of the training records labelled, an oracle answers 300 questions;\n"
    "   50 Optuna trials over 5 families of models"
)
SEEDS = 5
TRIALS, BUDGET = 50, 300
WORLDS = {
    "30 % systematic noise": {"noise": 0.3},
    "30 % symmetric noise": {"noise": 0.3, "systematic": False},
    "clean labels": {"noise": 0.0},
}


def measure(_: Path, seeds: int) -> list[Figure]:
    """Tune the model on the data as they are, and on those that the data arm leaves."""
    out: list[Figure] = []
    for i, (world, how) in enumerate(WORLDS.items()):
        tuned: list[float] = []
        both: list[float] = []
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
                dataset = digits(Path(folder) / "digits", seed=seed, **how)
                valid, test = split_arrays(dataset, "valid"), split_arrays(dataset, "test")
                tuned.append(tune(split_arrays(dataset, "train"), valid, test, seed=seed, trials=TRIALS).test)
                data_arm(dataset, seed=seed, budget=BUDGET)
                both.append(tune(split_arrays(dataset, "train"), valid, test, seed=seed, trials=TRIALS).test)
        gain = [100 * (b - t) for b, t in zip(both, tuned, strict=True)]
        out += [
            spread(f"{world}: test accuracy, {TRIALS} trials, data as they are", tuned),
            spread(f"{world}: data work, then {TRIALS} trials", both, target=0.96 if i == 0 else None),
            spread(f"{world}: points by data work", gain, target=4.0 if i == 0 else None, unit="points"),
        ]
    return out
