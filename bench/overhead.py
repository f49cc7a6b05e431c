"""What a round costs beside model work: `python -m bench.overhead [--quick]`.

Runs the demo's data arm (digits, two gated questions a round) and adds up, from the journal, how long the models were
at work (fit, predict, out-of-fold) and where the rest of each round went. The floor is the model work itself, measured
in the same run.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

from bench.machine import describe
from tilth.demo.arms import data_arm
from tilth.demo.data import digits
from tilth.runs import Run


def parts(run: Run) -> dict[str, float]:
    """Return seconds by kind of work, over all rounds of a run."""
    spent: dict[str, float] = defaultdict(float)
    for step in run.steps:
        if step["key"] == "outcome":
            continue
        kind = step["key"].rsplit("/", 1)[-1]
        if kind in ("train", "with", "without", "keep"):
            model = step["result"]["model_seconds"]
            spent["model work"] += model
            spent["around training (features, digest, outputs, saving)"] += step["seconds"] - model
        else:
            spent[kind] += step["seconds"]
    return dict(spent)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one run instead of five")
    repeats = 1 if parser.parse_args().quick else 5
    describe(["numpy", "scikit-learn", "pylance"], work="digits, demo's data arm", seeds=f"0 to {repeats - 1}")
    tables: list[dict[str, float]] = []
    walls: list[float] = []
    for seed in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            run = data_arm(digits(Path(folder) / "dataset", seed=seed), seed=seed, budget=300)
            table = parts(run)
            table["rounds"] = len(run.rounds)
            wall = (run.ended or run.started) - run.started
            table["the loop itself (journal, events, start)"] = wall - sum(v for k, v in table.items() if k != "rounds")
            tables.append(table)
            walls.append(wall)
    shares = [1 - t["model work"] / w for t, w in zip(tables, walls, strict=True)]
    print(f"demo's data arm, {repeats} seeds, {sum(t['rounds'] for t in tables):.0f} rounds, power-safe commits\n")
    print(f"{'where':58} {'ms a round':>10}   share of the round")
    kinds = sorted({k for t in tables for k in t if k != "rounds"}, key=lambda k: -sum(t.get(k, 0) for t in tables))
    for kind in kinds:
        each = [1000 * t.get(kind, 0) / t["rounds"] for t in tables]
        share = statistics.median(t.get(kind, 0) / w for t, w in zip(tables, walls, strict=True))
        print(f"{kind:58} {statistics.median(each):10.1f}   {share:6.2%}")
    spread = f"{min(shares):.2%} to {max(shares):.2%}"
    print(f"\nnot model work: {statistics.median(shares):.2%} of a round (median of seeds; {spread}); to reach: < 5 %")


if __name__ == "__main__":
    main()
