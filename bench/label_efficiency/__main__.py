"""How many labels does each selector need? `python -m bench.label_efficiency --data DATA [--quick] [--out FILE.json]`.

Every arm is a whole run of a workflow in which an oracle answers, so what is measured is what users get; text goes by a
loop over the parts of a run, whose curves are the same (checked at the start), as a run keeps each model. All arms of a
seed have the same pool and test records; those that do not say otherwise begin with the same random labels. Measured
are the labels until 95 % of the accuracy that all labels of the pool give, and the mean accuracy over the labels bought
(the area under the learning curve); both are compared with random choice by seed. The study takes the better part of an
hour: with --out it goes on where it was stopped.
"""

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.label_efficiency.arms import CASES, Case, arms
from bench.label_efficiency.page import markdown
from bench.label_efficiency.report import show
from bench.label_efficiency.trial import Trial, Work, one, same_curves
from bench.machine import describe

ARMS = 4
"""Arms of one piece of work: small enough that both cores are busy to the end."""


class Kept:
    """The trials so far, in the file where one is given."""

    def __init__(self, path: Path | None, quick: bool) -> None:
        self.path, self.quick = path, quick
        self.trials: dict[str, dict[str, Any]] = {}
        if path and path.exists():
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["quick"] != quick:
                raise SystemExit(
                    f"{path} was written {'with' if told['quick'] else 'without'} --quick; name another file"
                )
            self.trials = told["trials"]

    def missing(self, name: str, case: Case, seeds: int, data: Path) -> list[Work]:
        """Return what is left to do of a case; curves of an arm that was written otherwise are dropped."""
        out: list[Work] = []
        every = {arm: said(case, arm) for arm in case.arms}
        for seed in range(seeds):
            trial = self.trials.setdefault(name, {}).setdefault(str(seed), {"full": None, "starts": {}, "curves": {}})
            trial["curves"] = {a: c for a, c in trial["curves"].items() if c["of"] == every.get(a)}
            left = [arm for arm in case.arms if arm not in trial["curves"]]
            parts = [left[i : i + ARMS] for i in range(0, len(left), ARMS)]
            whole = trial["full"] is None
            for i, some in enumerate(parts or ([[]] if whole else [])):
                out.append(Work(name, seed, data, tuple(some), whole and i == 0, self.quick))
        return out

    def add(self, trial: Trial, case: Case) -> None:
        """Keep what was found."""
        mine = self.trials[trial.case][str(trial.seed)]
        if trial.full is not None:
            mine |= {"full": trial.full, "starts": trial.starts}
        mine["curves"] |= {arm: asdict(curve) | {"of": said(case, arm)} for arm, curve in trial.curves.items()}
        if self.path:
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps({"quick": self.quick, "trials": self.trials}), encoding="utf-8")
            part.replace(self.path)


def said(case: Case, arm: str) -> str:
    """Return what an arm does, so that a change of it is noticed."""
    told = arms(case)[arm]
    return f"{told.start!r}; {told.select!r}; {case.model(told.embed)!r}; up to {case.most}"


def main() -> None:
    """Run what is missing, print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder that holds trec/, banking77/ and fashion_mnist/"
    )
    parser.add_argument("--quick", action="store_true", help="three rounds, two seeds: to see that it runs")
    parser.add_argument("--only", default="", help=f"some of {','.join(CASES)}")
    parser.add_argument("--seeds", type=int, help="instead of the number of each case (20, or 5 on large data)")
    parser.add_argument("--out", type=Path, help="keep the figures in this JSON file, and go on with it")
    parser.add_argument("--page", action="store_true", help="print what --out holds as Markdown, and run nothing")
    options = parser.parse_args()
    chosen = {name: case for name, case in CASES.items() if not options.only or name in options.only.split(",")}
    if not chosen:
        parser.error(f"--only {options.only}: there is {', '.join(CASES)}")
    for name, case in list(chosen.items()):
        if case.folder and not (options.data / case.folder / "train.parquet").exists():
            print(f"skipped {name}: no {case.folder}/train.parquet in {options.data}")
            del chosen[name]
    if options.quick:
        chosen = {name: case.shortened() for name, case in chosen.items()}
    if options.page and not (options.out and options.out.exists()):
        parser.error("--page prints what --out holds: name a file that a study was written to")
    if options.page:
        for name, trials in Kept(options.out, options.quick).trials.items():
            if name in chosen:
                print(f"\n{markdown(chosen[name], whole(chosen[name], trials))}")
        return
    seeds = {name: options.seeds or (2 if options.quick else case.seeds) for name, case in chosen.items()}
    describe(
        ["numpy", "scikit-learn", "pylance"],
        seeds=", ".join(f"{name} 0 to {n - 1}" for name, n in seeds.items()),
        spread="± is half the 95 % interval (Student) over seeds of the paired difference to random",
        test="Wilcoxon's signed rank, two-sided, by seed; p corrected by Holm over the arms of a table",
        target="a seed that never reaches the target counts with all the labels that it bought; > marks such means",
        area="mean test accuracy in % over the labels bought; ms: what one choice takes, on one core",
    )
    if any(case.looped for case in chosen.values()):
        same = same_curves(CASES["digits"].shortened(), options.data)
        assert same, (
            "the loop over state and selector gives another curve than a run: its figures are not those of users"
        )
        print("loop       the same curves as a run: yes (digits, two arms)")
    began = time.perf_counter()
    kept = Kept(options.out, options.quick)
    work = [part for name, case in chosen.items() for part in kept.missing(name, case, seeds[name], options.data)]
    # first what is furthest behind its number of seeds: where the study is stopped, every case has its share
    work.sort(key=lambda part: part.seed / seeds[part.case])
    left = {name: sum(part.case == name for part in work) for name in chosen}
    # before the workers start: one thread each, since there is a worker a core
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for name in [n for n in chosen if not left[n]]:
            show(chosen[name], _seeds(kept.trials[name], seeds[name]))
        for done in as_completed([pool.submit(one, part) for part in work]):
            trial = done.result()
            kept.add(trial, chosen[trial.case])
            left[trial.case] -= 1
            if not left[trial.case]:
                show(chosen[trial.case], _seeds(kept.trials[trial.case], seeds[trial.case]))
    print(f"\n{time.perf_counter() - began:.0f} s for {len(work)} pieces of work")


def whole(case: Case, trials: dict[str, Any]) -> dict[str, Any]:
    """Return the seeds that have every arm."""
    return {s: t for s, t in trials.items() if t["full"] is not None and set(case.arms) <= set(t["curves"])}


def _seeds(trials: dict[str, Any], seeds: int) -> dict[str, Any]:
    return {str(seed): trials[str(seed)] for seed in range(seeds)}


if __name__ == "__main__":
    main()
