"""Signals and selectors against their peers, one thread each, on the same arrays.

`python -m bench.signals [--quick] [--shared] [--only PART ...]`. A peer that is not installed is named and skipped.
"""

import argparse
import importlib
import sys
from contextlib import nullcontext

from bench.machine import describe, in_processor_time, one_core
from bench.signals.table import show

PARTS = ("uncertainty", "batches", "quality", "geometry", "value", "streaming", "slices")


def main() -> None:
    """Measure, check that both give the same answer, and print; exit code 1 where one does not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, to see that it runs")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts only")
    parser.add_argument("--shared", action="store_true", help="count processor time: others use the machine as well")
    given = parser.parse_args()
    clock = "processor time" if given.shared else "wall clock"
    describe(["numpy", "pylance", "scikit-learn"], threads="one core for all", clock=clock, seed=0)
    with in_processor_time() if given.shared else nullcontext(), one_core():
        parts = [importlib.import_module(f"bench.signals.{part}") for part in given.only]
        good = show(row for part in parts for row in part.rows(quick=given.quick))
    sys.exit(not good)


if __name__ == "__main__":
    main()
