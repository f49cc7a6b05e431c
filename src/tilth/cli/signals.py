"""`tilth signals`: a number per record, of every signal that is asked for, as a table in a file."""

import ast
import inspect
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tilth.algebra import Signal, show
from tilth.cli.opening import open_dataset
from tilth.cli.terminal import note, say, table, working
from tilth.cli.words import as_json, clean, count, number
from tilth.dataset.schema import SPLITS
from tilth.errors import Exists, NotFound, UsageError, did_you_mean
from tilth.outputs import Outputs
from tilth.runs import Run
from tilth.runs.base import newest_run
from tilth.runs.detaching import workflow_of
from tilth.signals.catalogue import Maker, makers, misfit, plain
from tilth.state import State

__all__ = ["list_signals", "read_signal", "signals"]


@dataclass(frozen=True)
class Source:
    """What signals are computed on: the newest version of a run's branch, and what its newest model said."""

    state: State
    run: Run | None

    def about(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "dataset": str(self.state.dataset.path.resolve()),
            "version": self.state.view.version,
            "run": None if self.run is None else self.run.name,
            "model": None if self.state.outputs is None else self.state.outputs.ref,
        }

    def told(self) -> str:
        """Return it in words."""
        version = f"version {self.state.view.version}"
        if self.state.outputs is None or self.run is None:
            return f"{version}, no model yet"
        last = self.run.best
        return f"{version}, and the model that {self.run.name} trained in round {last.round} on version {last.version}"

    def missing(self, signal: Signal) -> str:
        """Return why a signal cannot be computed here, and what would change that; "" where it can."""
        why = misfit(self.state, signal)
        if why:
            return why
        has: set[str] = set() if self.state.outputs is None else self.state.outputs.kinds
        lacking = sorted(signal.needs - has)
        if not lacking:
            return ""
        file = workflow_of(self.state.dataset, "" if self.run is None else self.run.source)
        where = "FILE" if file is None else str(file)
        if self.state.outputs is None or self.run is None:
            return f"needs {', '.join(lacking)} of a model, and there is none yet; tilth run {where} trains one"
        return (
            f"needs {', '.join(lacking)}, which the model of {self.run.name} was not asked for; use {signal!r} in a "
            f"rule of the workflow, and tilth run {where} computes it"
        )


def signals(
    project: Path, texts: Sequence[str], *, out: Path | None, which: str | None, engine: str | None, json: bool
) -> None:
    """Compute signals, all that can be where none is named, and write them to a file or tell what they are like."""
    if out is not None and out.suffix != ".parquet":
        raise UsageError(f"--out {out}: signals are written as Parquet; end the name with .parquet")
    if out is not None and out.exists():
        raise Exists(f"{out} exists already; remove it, or choose another path")
    source = _source(project, which, engine)
    wanted = {repr(signal): signal for signal in map(read_signal, texts)}
    for text, signal in wanted.items():
        why = source.missing(signal)
        if why:
            raise NotFound(f"{text} {why}")
    if not wanted:
        wanted = {repr(s): s for s in map(plain, makers().values()) if s is not None and not source.missing(s)}
        note(f"computing {', '.join(wanted)}; --signal chooses, --list tells of all")
    ids = np.flatnonzero(source.state.view.alive)
    columns: dict[str, npt.NDArray[Any]] = {}
    seconds: dict[str, float] = {}
    for text, signal in wanted.items():
        began = time.perf_counter()
        with working(f"computing {text}"):
            columns[text] = np.asarray(signal.value(source.state))[ids]
        seconds[text] = time.perf_counter() - began
    if out is not None:
        with working(f"writing {out}"):
            _write(source.state, ids, columns, out)
    found: list[dict[str, Any]] = [
        {"signal": text} | _summary(column) | {"seconds": seconds[text]} for text, column in columns.items()
    ]
    if json:
        say(as_json(source.about() | {"records": len(ids), "out": None if out is None else str(out), "signals": found}))
        return
    say(f"{clean(source.state.dataset.name)}: {count(len(ids), 'record')} of {source.told()}")
    rows = [[f["signal"], f"{f['known']:,}", *(number(f[key]) for key in ("least", "median", "most"))] for f in found]
    head = ["signal", "known", "least", "median", "most"]
    table(head, rows, right=head[1:])
    say(f"{out}: key, label, split and {count(len(found), 'signal')}" if out else "--out FILE.parquet writes them")


def list_signals(project: Path, which: str | None, *, engine: str | None, json: bool) -> None:
    """List all signals: what each is, what it needs of a model, and whether it can be computed now."""
    source = _source(project, which, engine)
    found: list[dict[str, Any]] = []
    for name, make in makers().items():
        signal = _shaped(make)
        why = source.missing(signal)
        about = {"signal": f"{name}({_parameters(make)})", "about": (inspect.getdoc(make) or "").split("\n")[0]}
        found.append(about | {"needs": sorted(signal.needs), "now": not why, "why": why})
    if json:
        say(as_json(source.about() | {"signals": found}))
        return
    say(f"{clean(source.state.dataset.name)}: {source.told()}")
    rows = [[f["signal"], "yes" if f["now"] else "no", ", ".join(f["needs"]) or "the data", f["about"]] for f in found]
    table(["signal", "now", "needs", "what it is"], rows)
    lacking = [f for f in found if not f["now"]]
    if lacking:
        say(
            f"{count(len(lacking), 'signal')} cannot be computed now: {clean(lacking[0]['signal'])} {lacking[0]['why']}"
        )


def read_signal(text: str) -> Signal:
    """Read a signal as it prints; nothing of the text is run, it may only name a signal and give it plain values.

    >>> read_signal("label_quality(by='model')")
    label_quality(by="model")
    >>> read_signal("margn()")
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: --signal 'margn()': no signal 'margn'. There is: ... Did you mean 'margin'?
    """
    what, known = f"--signal {text!r}", makers()
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as why:
        place = f" at character {why.offset}" if why.offset else ""
        raise UsageError(f"{what} cannot be read{place}; write a name and brackets, such as margin()") from why
    except (ValueError, RecursionError, MemoryError) as why:
        raise UsageError(f"{what} cannot be read; write a name and brackets, such as margin()") from why
    named = call.id if isinstance(call, ast.Name) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
        named = call.func.id
    if named is None:
        raise UsageError(
            f"{what} is more than one signal; each is a column here, such as margin(): arithmetic and comparisons "
            "belong into a workflow, or into what reads the file"
        )
    if named not in known:
        raise UsageError(f"{what}: no signal {named!r}. {did_you_mean(named, known)}")
    if not isinstance(call, ast.Call):
        raise UsageError(f"{what}: write it with brackets, {named}()")
    if any(word.arg is None for word in call.keywords):
        raise UsageError(f"{what}: write each argument by its name, key=value")
    given = [_value(what, argument) for argument in call.args]
    return known[named](*given, **{str(word.arg): _value(what, word.value) for word in call.keywords})


def _value(what: str, node: ast.expr) -> Any:
    try:
        found = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError) as why:
        raise UsageError(
            f"{what}: an argument is a text, a number, True, False or None, got {ast.unparse(node)}"
        ) from why
    return tuple(found) if isinstance(found, list) else found


def _shaped(make: Maker) -> Signal:
    """Return some signal of a kind, for what it needs."""
    required = [name for name, p in inspect.signature(make).parameters.items() if p.default is p.empty]
    return make(**dict.fromkeys(required, "..."))


def _parameters(make: Maker) -> str:
    parameters = inspect.signature(make).parameters.values()
    return ", ".join(p.name if p.default is p.empty else f"{p.name}={show(p.default)}" for p in parameters)


def _source(project: Path, which: str | None, engine: str | None) -> Source:
    dataset = open_dataset(project)
    run = newest_run(dataset, which, engine=engine)
    if run is None:
        return Source(State(dataset.at(dataset.version)), None)
    if run.branch != dataset.branch_name:
        dataset = open_dataset(project, branch=run.branch)
    rounds = run.rounds
    folder = dataset.path / "outputs" / run.best.model if rounds else None
    outputs = Outputs(folder) if folder is not None and folder.is_dir() else None
    return Source(State(dataset.at(dataset.version), outputs, tuple(rounds), run.spec["seed"]), run)


def _summary(column: npt.NDArray[Any]) -> dict[str, Any]:
    known = column[~np.isnan(column)]
    if not len(known):
        return {"known": 0, "least": float("nan"), "median": float("nan"), "most": float("nan")}
    least, median, most = (float(f(known)) for f in (np.min, np.median, np.max))
    return {"known": len(known), "least": least, "median": median, "most": most}


def _write(state: State, ids: npt.NDArray[np.int64], columns: dict[str, npt.NDArray[Any]], out: Path) -> None:
    """Write the table; it appears whole or not at all. What is not known of a record is null."""
    kind = {"class": pa.string(), "classes": pa.list_(pa.string()), "number": pa.float64()}
    found = pa.table(
        {
            "key": pa.array(state.dataset.keys(ids), pa.string()),
            "label": pa.array(state.dataset.labels(ids), kind[state.dataset.schema.label.kind]),
            "split": pa.array([SPLITS[split] for split in state.view.split[ids]], pa.string()),
        }
        | {text: pa.array(column, from_pandas=True) for text, column in columns.items()}
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        pq.write_table(found, part)
        part.rename(out)
    finally:
        part.unlink(missing_ok=True)
