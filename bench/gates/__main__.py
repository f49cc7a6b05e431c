"""Does a gate keep what helps and nothing else? `python -m bench.gates [--data DATA] [--quick] [--out FILE.json]`.

100 harmful, 100 null and 100 helpful edits of a training set with wrong labels (systematic ones), on digits and on
adult: harmful edits give right labels a wrong one, null edits remove or double records drawn at random, helpful edits
set wrong labels right. What an edit is truly worth is the gain in accuracy on a large test set that no gate sees. Every
gate looks at the edits in the same random order, 50 looks a run, and each gate sees the same two models.

Digits are scikit-learn's 1,797, drawn anew: a record is one of them at random, moved by up to 0.6 pixels, with noise.
So there is a valid split of any size, and a test split on which a worth is known to a quarter of a point. Adult is
48,842 real records, skipped where --data does not hold it.

A network whose training is luck shows what repeated seeds are for. The last part lets whole runs of
Tilth do it: a workflow with 50 gated rules, each look on top of what was kept before.
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from bench.gates.luck import luck
from bench.gates.tables import report
from bench.gates.whole import runs
from bench.gates.worlds import LARGEST, adult, digits, planted
from bench.machine import describe

SIZES = (250, 500, 1000, 2000, 4000, LARGEST)


def main() -> None:
    """Plant the edits, let every gate judge them, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder that holds adult/; without it adult is skipped")
    parser.add_argument(
        "--quick", action="store_true", help="20 edits of each kind, three sizes of valid, one whole run"
    )
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    each, parts, repeats = (20, 1, 5) if options.quick else (50, 2, 20)
    sizes = (500, 2000, 8000) if options.quick else SIZES
    began = time.perf_counter()
    describe(
        ["numpy", "scikit-learn", "pylance"],
        edits=f"{each * parts} harmful, {each * parts} null, {each * parts} helpful on each data set",
        seeds=f"training sets 0 to {parts - 1}, with {each} edits of each kind; [] is the 95 % interval (Wilson)",
        model="logistic regression, C=0.1",
    )
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1):
        edits = [e for seed in range(parts) for e in planted(digits(seed), each, seed)]
        rows += report("digits, redrawn", edits, repeats, sizes)
        if options.data is None or not (options.data / "adult" / "adult.parquet").exists():
            print("\nadult: skipped, no adult/adult.parquet; give the folder with the datasets by --data")
        else:
            edits = [e for seed in range(parts) for e in planted(adult(options.data, seed), each, seed)]
            rows += report("adult", edits, repeats, sizes)
        rows += luck(5 if options.quick else 40)
        rows += runs(1 if options.quick else 6, 4000)
    print(f"\n{time.perf_counter() - began:.0f} s")
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
