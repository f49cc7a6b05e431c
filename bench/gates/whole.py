"""Whole runs of Tilth: 50 gated rules, each look on top of what was kept before."""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.gates.judges import CONFIDENCE, OURS
from bench.gates.tables import LOOKS, WORTH, Count
from bench.gates.worlds import KINDS, Floats, digits, model
from tilth import Dataset, Gate, Oracle, Rule, State, Workflow, accuracy, records, relabel, remove, rounds, run, signal
from tilth.integrations.sklearn import SklearnModel

__all__ = ["belongs", "runs"]


@signal()
def belongs(state: State, edit: str) -> Floats:
    """Return 1 for the records that an edit changes."""
    ids = np.arange(len(state))
    return np.array(state.dataset.features(ids, ["edit"])["edit"].to_pylist()) == edit


def _through_tilth(folder: Path, seed: int, gate: Gate, *, valid: int) -> list[tuple[str, float, bool]]:
    """Run 50 gated rules on digits; return for each look what was planted, its true worth, and whether it stayed."""
    world = digits(seed, train=1600, valid=valid, test=10_000)
    chance = np.random.default_rng([seed, 6])
    n, off = len(world.given), world.given != world.truth
    edit, to = np.full(n, "none", object), world.given.copy()
    kinds = [KINDS[i % 3] for i in chance.permutation(LOOKS)]
    for i, kind in enumerate(kinds):
        free = np.flatnonzero((edit == "none") & {"harmful": ~off, "null": np.ones(n, bool), "helpful": off}[kind])
        size = int(chance.integers(8, 17) if kind == "null" else chance.integers(10, 41))
        some = chance.choice(free, min(size, len(free)), replace=False)
        edit[some] = f"e{i}"
        to[some] = world.truth[some] if kind == "helpful" else (world.given[some] + 1) % 10
    parts = [(world.x, world.given, "train"), (*world.valid, "valid"), (*world.test, "test")]
    x = np.concatenate([p[0] for p in parts]).astype(np.float32)
    y = np.concatenate([p[1] for p in parts])
    held = len(x) - n
    table = pa.table(
        {
            "key": [f"d{i}" for i in range(len(x))],
            "pixels": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 64),
            "label": y.astype(str),
            "split": np.concatenate([[p[2]] * len(p[1]) for p in parts]),
            "edit": [*edit, *["none"] * held],
            "to": np.concatenate([to, y[n:]]).astype(str),
        }
    )
    dataset = Dataset.create(
        folder, table, key="key", label="label", classes=[str(d) for d in range(10)], split="split",
        hidden=["edit", "to"], durability="process",
    )  # fmt: skip
    rules = {
        f"e{i}": Rule(
            select=records.where(belongs(f"e{i}") > 0),
            do=remove() if kind == "null" else relabel(by=Oracle("to")),
            gate=gate,
        )
        for i, kind in enumerate(kinds)
    }
    flow = Workflow(dataset=dataset, model=SklearnModel(model()), rules=rules, until=rounds() >= 1, seed=seed)
    done = run(flow, inline=True)
    refs = {s["key"]: s["result"]["ref"] for s in done.steps if "/gate/with" in s["key"]}
    at = {name: did["version"] for name, did in done.rounds[0].rules.items()}
    out: list[tuple[str, float, bool]] = []
    for name, kind in zip(rules, kinds, strict=True):
        sides = [flow.state(at[name], refs[f"r0/{name}/gate/{side}"]) for side in ("without", "with")]
        before, after = (accuracy().on(state, "test") for state in sides)
        out.append((kind, after - before, bool(done.rounds[0].rules[name]["kept"])))
    return out


def runs(seeds: int, valid: int) -> list[dict[str, Any]]:
    """Print and return what whole runs kept, by gate."""
    print(f"\nwhole runs of Tilth: digits, redrawn, {valid:,} valid, {LOOKS} gated rules a run, seeds 0 to {seeds - 1}")
    gates = {
        "valid rose (naive)": Gate(by=1e-9, rejected="hold"),
        "Gate(): one standard error": Gate(rejected="hold"),
        OURS: Gate(confidence=CONFIDENCE, rejected="hold"),
    }
    out: list[dict[str, Any]] = []
    for name, gate in gates.items():
        looks: list[tuple[str, float, bool]] = []
        for seed in range(seeds):
            folder = Path(tempfile.mkdtemp(prefix="tilth-gates-"))
            try:
                looks += _through_tilth(folder / "digits", seed, gate, valid=valid)
            finally:
                shutil.rmtree(folder)
        kind, worth, kept = (np.array(column) for column in zip(*looks, strict=True))
        shares: dict[str, Count] = {}
        for group, mask in {
            "harmful or null": kind != "helpful",
            "worth nothing": worth <= 0,
            "worth a point": worth >= WORTH,
        }.items():
            shares[group] = Count(edits=int(mask.sum()))
            shares[group].add(kept, mask)
        said = ", ".join(f"{group} kept {count} of {count.edits}" for group, count in shares.items())
        print(f"    {name:30} {said}", flush=True)
        out.append({"gate": name, "valid": valid} | {g: asdict(c) for g, c in shares.items()})
    return out
