"""Run the arms over several seeds, show the rounds as they happen, and write down what came out."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from tilth.dataset import Dataset
from tilth.demo.arms import Tuned, base_model, clean_score, data_arm, data_workflow, random_score, split_arrays, tune
from tilth.demo.data import NOISE, SHARE, digits
from tilth.demo.page import write_page, write_picture
from tilth.demo.result import ARMS, Seed, shown, verdict
from tilth.errors import Exists
from tilth.runs import Run

__all__ = ["demo"]

INTRO = (
    f"scikit-learn's 1,797 real handwritten digits. Of the training records {SHARE:.0%} have a label, and {NOISE:.0%} "
    "of those labels are wrong "
    "on purpose: a wrong label is always the next digit. Valid and test labels are clean; decisions see valid, never "
    "test. Arm A changes only "
    "the data under a fixed logistic regression, arm B tunes only the model for the same wall time. Answers come from "
    "an oracle and are counted."
)


def demo(out: Path, *, seeds: int = 5, budget: int = 300, console: Console | None = None) -> list[Seed]:
    """Run the whole demo into the folder `out`: a dataset and run a seed, `demo.png`, `demo.html`; return the scores.

    `budget`: how many labels the data arm may ask for. Raises `Exists` where `out` is not empty.
    """
    console = console or Console()
    if out.exists() and any(out.iterdir()):
        raise Exists(f"{out} is not empty; remove it, or choose another folder with --out")
    began = time.perf_counter()
    done: list[Seed] = []
    runs: list[Run] = []
    for seed in range(seeds):
        dataset = digits(out / f"seed-{seed}" / "dataset", seed=seed)
        if seed == 0:
            _introduce(console, dataset, seeds)
        with threadpool_limits(1):  # models this small take several times as long where two threads wait for each other
            scores, run = _one_seed(console, dataset, seed, budget, first=seed == 0)
        done.append(scores)
        runs.append(run)
        if seed == 0:
            _why(console, dataset)
            console.print(
                f"\n[bold]The same for {seeds} seeds[/bold] (other splits, other wrong labels): test accuracy"
            )
        console.print(_line(scores), highlight=False, soft_wrap=True)
    _table(console, done)
    console.print()
    for sentence in verdict(done):
        console.print(f"- {sentence}", highlight=False)
    write_picture(out / "demo.png", done, runs)
    loop = data_workflow(runs[0].dataset, seed=0, budget=budget).draw()
    write_page(out / "demo.html", out / "demo.png", done, runs, INTRO, loop)
    for line in (
        f"\nPicture  {out / 'demo.png'}",
        f"Report   {out / 'demo.html'}",
        f"Go on    tilth log {out / 'seed-0'}   (after: . .venv/bin/activate)",
        f"{time.perf_counter() - began:.0f} s in all",
    ):
        console.print(line, highlight=False, soft_wrap=True)
    return done


def _introduce(console: Console, dataset: Dataset, seeds: int) -> None:
    view = dataset.view
    labelled = np.flatnonzero(view.train & view.labeled)
    truth = np.array(dataset.features(labelled, ["truth"])["truth"].to_pylist(), np.int64)
    wrong = int((truth != view.label[labelled]).sum())
    valid, test = int(view.among("valid").sum()), int(view.among("test").sum())
    console.print("[bold]Work on the data, or on the model?[/bold]")
    for line in (
        "scikit-learn's 1,797 real handwritten digits, 8x8 pixels.",
        f"  train  {int(view.train.sum())} records, {len(labelled)} of them with a label ({SHARE:.0%});",
        f"         {wrong} of these labels are wrong on purpose ({NOISE:.0%}): always the next digit",
        f"  valid  {valid}, test {test} records with clean labels; decisions see valid only",
        "  A  changes only the data, under a fixed logistic regression: it rechecks",
        "     labels that a probe finds suspicious, asks for digits on which the model",
        "     is least sure, and takes back what does not help on valid. An oracle",
        "     answers; each answer is counted.",
        "  B  tunes only the model: five families, Optuna, the same wall time.",
        f"  {seeds} {'seed' if seeds == 1 else 'seeds'}.",
    ):
        console.print(line, highlight=False)


def _one_seed(console: Console, dataset: Dataset, seed: int, budget: int, *, first: bool) -> tuple[Seed, Run]:
    before = split_arrays(dataset, "train")
    valid, test = split_arrays(dataset, "valid"), split_arrays(dataset, "test")
    start = float(base_model().fit(*before).score(*test))
    listen = _live(console) if first else None
    began = time.perf_counter()
    run = data_arm(dataset, seed=seed, budget=budget, listen=listen)
    seconds = time.perf_counter() - began
    after = split_arrays(dataset, "train")
    spent = dataset.view.labels_spent
    scores = {
        "start": start,
        "data": float(base_model().fit(*after).score(*test)),
        "random": random_score(dataset, spent, seed=seed),
        "ceiling": clean_score(dataset),
    }
    tuned: dict[str, Tuned] = {}
    for arm, train in (("model", before), ("both", after), ("clean tuned", split_arrays(dataset, "train", truth=True))):
        tuned[arm] = tune(train, valid, test, seed=seed, seconds=seconds)
        scores[arm] = tuned[arm].test
    return Seed(seed, scores, seconds, spent, tuned), run


def _live(console: Console) -> Callable[[Mapping[str, Any]], None]:
    """Return a listener that prints a row a round, and one below it for each rule, as they end."""
    console.print("\n[bold]Arm A, seed 0, round by round[/bold]")
    console.print("round  version  labels paid  valid   test", highlight=False)

    def listen(event: Mapping[str, Any]) -> None:
        if event["what"] == "evaluated":
            valid, test = (next(iter(event[k].values())) for k in ("metrics", "test"))
            row = f"{event['round']:>5}  {event['version']:>7}  {event['labels_spent']:>11}  {valid:.3f}  {test:.3f}"
            console.print(row, highlight=False)
            if event["done"]:
                console.print(f"       done: {event['why']}", highlight=False)
        elif event["what"] == "rule":
            said = event["why"] if event["n"] == 0 else f"{event['n']} records"
            if "kept" in event:
                end = "kept" if event["kept"] else "labels set back, answers kept"
                said = f"{event['n']} records, valid {event['before']:.3f} -> {event['after']:.3f}: {end}"
            console.print(f"       {event['rule']:<4} {said}", highlight=False, soft_wrap=True)

    return listen


def _line(seed: Seed) -> str:
    parts = "  ".join(f"{arm} {seed.scores[arm]:.3f}" for arm in ("start", "model", "data", "both"))
    return f"  seed {seed.seed}: {parts}  ({seed.seconds:.0f} s, {seed.labels} answers)"


def _table(console: Console, done: list[Seed]) -> None:
    console.print(
        f"\n[bold]Test accuracy, mean and 95 % interval over {len(done)} {'seed' if len(done) == 1 else 'seeds'}[/bold]"
    )
    for arm, what in ARMS.items():
        console.print(
            f"  {what:28} {shown([s.scores[arm] for s in done]):13}   {_spent(arm, done)}",
            highlight=False,
            soft_wrap=True,
        )


def _spent(arm: str, done: list[Seed]) -> str:
    seconds = np.mean([s.seconds for s in done])
    if arm == "random":
        return f"{np.mean([s.labels for s in done]):.0f} answers"
    if arm == "data":
        return f"{seconds:.1f} s, {np.mean([s.labels for s in done]):.0f} answers"
    if arm in done[0].tuned:
        return f"{seconds:.1f} s, {np.mean([s.tuned[arm].trials for s in done]):.0f} models tried"
    return ""


def _why(console: Console, dataset: Dataset) -> None:
    """Show the history of one record whose wrong label was repaired."""
    view = dataset.view
    answered = np.flatnonzero((view.asked == 2) & view.train)
    first = dataset.at(0).view.label[answered]
    repaired = answered[(first >= 0) & (first != view.label[answered])]
    if len(repaired) == 0:
        return
    key = dataset.keys(repaired[:1])[0]
    console.print(f"\n[bold]Why is {key} what it is?[/bold]  (tilth why {dataset.path.parent} {key})")
    for event in dataset.history(key):
        before = f"{event.before} -> " if event.before is not None else ""
        after = event.after if event.after is not None else ""
        what = "imported with label" if event.what == "added" else event.what
        console.print(f"  version {event.version}: {what} {before}{after}", highlight=False)
        if event.rule:
            score = f" ({event.signal} = {event.score:.3f})" if event.score is not None else ""
            console.print(
                f"    rule '{event.rule}': {event.reason}{score}", markup=False, highlight=False, soft_wrap=True
            )
