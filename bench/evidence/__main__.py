"""What the patterns promise: `python -m bench.evidence --data DATA [--only NAME ...] [--seeds N] [--out FOLDER]`.

Seven questions, each with its target beside it, "reached" or "missed by ..." ("not beyond chance": the interval holds
the target): work on the data beside work on the model (models), labels saved (labels), labels of real people cleaned
(people), verified label errors found (verified), gates (gates), made records (making), streams (streams). Sizes are
modest; where a benchmark of its own measures the same in full (bench.label_efficiency, gates, synthesis, drift), this
calls it.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from bench.evidence import gates, labels, making, models_or_data, people, streams, verified
from bench.evidence.figures import Figure, show
from bench.evidence.picture import draw
from bench.machine import describe

QUESTIONS: dict[str, Any] = {
    "models": models_or_data,
    "labels": labels,
    "people": people,
    "verified": verified,
    "gates": gates,
    "making": making,
    "streams": streams,
}


def main() -> None:
    """Answer the questions one after another; each is printed as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the datasets; what is missing is skipped")
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS), metavar="NAME")
    parser.add_argument("--seeds", type=int, help="as many for every question")
    parser.add_argument("--out", type=Path, default=Path("evidence"), help="folder for the pictures and figures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of models that meet too few records to converge
    options.out.mkdir(parents=True, exist_ok=True)
    describe(
        ["numpy", "scikit-learn", "optuna", "pylance"],
        spread="[] is the 95 % interval, of Student's t over seeds where nothing else is said",
    )
    began = time.perf_counter()
    for name in options.only:
        _answer(name, options)
    print(f"\n{time.perf_counter() - began:.0f} s in all; pictures in {options.out}")


def _answer(name: str, options: argparse.Namespace) -> None:
    question = QUESTIONS[name]
    measure: Callable[[Path, int], list[Figure]] = question.measure
    began = time.perf_counter()
    try:
        with threadpool_limits(1):  # models this small take several times as long where threads wait for each other
            found = measure(options.data, options.seeds or question.SEEDS)
    except FileNotFoundError as error:
        print(f"\n{question.TITLE}\n  skipped: {error}")
        return
    show(question.TITLE, found, time.perf_counter() - began)
    if found:
        draw(question.TITLE, found, options.out / f"{name}.png")
        told = [asdict(f) | {"verdict": f.verdict} for f in found]
        (options.out / f"{name}.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
