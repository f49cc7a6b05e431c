"""The action that makes records which do not exist yet, and keeps those that the model and the real ones bear out."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.actions.approval import approved
from tilth.actions.base import Action
from tilth.actions.records import born
from tilth.algebra import Function, show
from tilth.changes import Changes, Op, events
from tilth.dataset.hashing import content_hashes
from tilth.errors import UsageError
from tilth.protocols import Annotator, Generator, Want
from tilth.selectors import Chosen, Selector, Wanted
from tilth.signals.expressions import decide, parse, terms
from tilth.signals.making import count
from tilth.state import State
from tilth.synthesis.keeping import Agrees, Keep, Made, agrees, apart
from tilth.synthesis.making import Batch, made, spec_of

__all__ = ["synthesise"]

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

KEEP = (agrees(), apart())


def synthesise(
    n: int | None = None,
    *,
    by: Generator | Callable[[Want, pa.Table, int, int], pa.Table],
    keep: Sequence[Keep] = KEEP,
    tries: int = 5,
    timeout: float = 600.0,
    approve: Annotator | None = None,
) -> Action:
    """Make records that do not exist yet, and keep those that the model and the real records bear out.

    >>> from tilth.selectors import labeled, wanted
    >>> from tilth.signals import entropy
    >>> from tilth.rules import Rule
    >>> from tilth.synthesis import Interpolation
    >>> Rule(select=wanted(200, per="label"), do=synthesise(by=Interpolation()))
    Rule(select=wanted(200, per="label"), do=synthesise(by=Interpolation(k=5)))
    >>> Rule(select=labeled.top(50, by=entropy()), do=synthesise(200, by=Interpolation(), keep=[agrees(0.6)]))
    Rule(select=labeled.top(50, by=entropy()), do=synthesise(200, by=Interpolation(k=5), keep=(agrees(0.6),)))

    `wanted(...)` says how many of what; where a selector chose records, they are the examples and `n` says how many.
    `by`: a `Generator` (see `tilth.synthesis`), or a function at the top level of a file that is called like
    `Generator.generate`. `keep`: what made records must pass, default `agrees()` and `apart()`; what is equal to a
    record that there is, or outside the slice that was asked for, is never kept. Where too few pass, more are made, at
    most `tries` for each one wanted; how many were accepted, and why others were not, stands in the message of the
    commit. `timeout`: seconds that one call of the generator may take. `approve` as for `remove`.

    A new record is in train, has the label of its parent, stays in its fold, follows its label and removal, and says in
    its history how it was made; it is never an example itself. It is known by its parent's content, the generator and
    the seed, so one that was rolled back is revived, and what was rejected is not tried again for luck. UsageError,
    naming the generator, where it raises, takes too long, or returns what does not fit; nothing is changed then.
    """
    if isinstance(by, type) or not (isinstance(by, Generator) or callable(by)):
        raise UsageError(
            f"synthesise(by={by!r}): a generator such as Interpolation(), or a function (want, exemplars, n, seed) "
            f"-> rows; got {type(by).__name__}"
        )
    for one in keep:
        if not isinstance(one, Keep):
            raise UsageError(f"synthesise(keep=[{one!r}]): agrees(...) and apart(...), got {type(one).__name__}")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise UsageError(f"synthesise(timeout={timeout!r}): a number of seconds above 0")
    if n is not None:
        count("synthesise(n)", n)
    count("synthesise(tries=...)", tries)
    maker = by if isinstance(by, Generator) else Function.of(by)
    return approved(Synthesise(n, maker, tuple(keep), tries, float(timeout)), approve)


@dataclass(frozen=True, repr=False)
class Synthesise(Action, tag="synthesise"):
    """See `synthesise`."""

    n: int | None
    by: Any
    keep: tuple[Keep, ...] = KEEP
    tries: int = 5
    timeout: float = 600.0

    def fits(self, select: Selector | Wanted) -> None:
        """With either, as long as one of both says how many."""
        if isinstance(select, Wanted) and self.n is not None:
            raise UsageError(f"{self!r}: {select!r} says how many already; leave {self.n} out")
        if not isinstance(select, Wanted) and self.n is None:
            raise UsageError(f"{self!r} does not say how many: synthesise(100, by=...), or select=wanted(100, ...)")

    def propose(self, chosen: Chosen, state: State) -> Changes:
        wants = chosen.wants or (Want(self.n or 0, reason=chosen.reason),)
        view = state.view
        works: list[_Work] = []
        for i, want in enumerate(wants):
            ids = chosen.examples(i)
            ids = ids[view.train[ids] & view.labeled[ids] & (state.dataset.parent[ids] < 0)]
            works.append(_Work(self, want, ids, state))
            works[-1].go()
        found = Changes.join([part for work in works for part in work.parts])
        return Changes(found.events, found.added, note=_told(works))

    def __repr__(self) -> str:
        said = [str(self.n)] if self.n is not None else []
        said.append(f"by={self.by!r}")
        defaults = {"keep": KEEP, "tries": 5, "timeout": 600.0}
        said += [f"{k}={show(getattr(self, k))}" for k, v in defaults.items() if getattr(self, k) != v]
        return f"synthesise({', '.join(said)})"


class _Work:
    """One want: batches of what the generator makes, until as many pass as are wanted or it was tried often enough."""

    def __init__(self, do: Synthesise, want: Want, ids: Ids, state: State) -> None:
        self.do, self.want, self.ids, self.state = do, want, ids, state
        self.dataset = state.dataset
        self.examples = self.dataset.features(ids, self.dataset.schema.features)
        self.parts: list[Changes] = []
        self.kept = self.judged = self.asked = self.made = 0
        self.lost: Counter[str] = Counter()
        # what was rolled back leaves as many as before, and so comes again; what was kept makes the next others
        self.there = int((state.view.alive & (self.dataset.parent >= 0)).sum())
        self.seen = set(self.dataset.content[state.view.alive].tolist())

    def go(self) -> None:
        """Ask for as many as are wanted, then for what is lacking, at the rate at which they passed so far."""
        most = self.do.tries * self.want.count
        while len(self.ids) and self.kept < self.want.count and self.asked < most:
            lacking = self.want.count - self.kept
            rate = max(self.kept / self.asked, 1 / self.do.tries) if self.asked else 1.0
            n = min(int(np.ceil(lacking / rate)), most - self.asked)
            if not self._batch(n):
                break

    def _batch(self, n: int) -> int:
        """Have n made, and keep what passes; return how many were made."""
        m = len(self.ids)
        turn = np.roll(np.arange(m), -(self.asked % m))  # the next in turn is the best one that is left
        told = hashlib.blake2b(self.dataset.content[self.ids[turn]].tobytes(), digest_size=16).hexdigest()
        seed = self._seed()
        batch = Batch(self.want, self.examples.take(pa.array(turn)), told, n, seed)
        home = self.state.outputs.folder if self.state.outputs is not None else self.dataset.path
        rows = made(self.do.by, batch, home / "generated", timeout=self.do.timeout)
        self.asked += n
        self.made += rows.num_rows
        if rows.num_rows:
            parent = self.ids[turn][rows["parent"].to_numpy()]
            self._keep(rows.drop_columns("parent"), parent, seed)
        return rows.num_rows

    def _seed(self) -> int:
        spec = [spec_of(self.do.by), self.want.label, self.want.within, self.state.seed, self.there, self.asked]
        told = hashlib.blake2b(json.dumps(spec, sort_keys=True).encode(), digest_size=8).digest()
        return int.from_bytes(told, "little") >> 1

    def _keep(self, rows: pa.Table, parent: Ids, seed: int) -> None:
        whole = self._whole(rows, parent)
        faults: list[tuple[str, Flags]] = [("copies", self._known(whole))]
        if self.want.within:
            faults.append(("outside the slice", ~_inside(self.want.within, rows)))
        found = Made(self.state, rows, parent, self.ids)
        for one in self.do.keep:
            faults += one.faults(found).items()
        spec = {"synthesise": spec_of(self.do.by), "label": self.want.label, "within": self.want.within, "seed": seed}
        recipes = [json.dumps(spec | {"row": int(row)}, sort_keys=True) for row in range(rows.num_rows)]
        added, free = born(self.state, whole, parent, recipes, "synthetic")
        faults.append(("copies", ~free))
        good = ~np.logical_or.reduce([wrong for _, wrong in faults])
        at = np.flatnonzero(good)[: self.want.count - self.kept]
        # what comes after the last that is needed is not judged
        left = np.arange(rows.num_rows) <= at[-1] if self.kept + len(at) == self.want.count else np.ones_like(good)
        self.judged += int(left.sum())
        for why, wrong in faults:
            self.lost[why] += int((wrong & left).sum())
            left &= ~wrong
        self.kept += len(at)
        if len(at):
            judged = any(isinstance(one, Agrees) for one in self.do.keep)
            because = f" ({self.want.reason})" if self.want.reason else ""
            why = events(
                Op.ADD,
                -1 - np.arange(len(at)),
                reason=f"{self.want.text}{because}; made by {self.do.by!r}",
                model=self.state.outputs.ref if self.state.outputs is not None else None,
                signal="probability of the label" if judged else None,
                score=found.probability[at] if judged else None,
            )
            self.parts.append(Changes(why, added.take(pa.array(at))))

    def _whole(self, rows: pa.Table, parent: Ids) -> pa.Table:
        """Return the rows with the hidden columns too, which are as the parent's."""
        schema = self.dataset.schema
        hidden = [c.name for c in schema.columns if c.hidden]
        more = self.dataset.features(parent, hidden) if hidden else None
        columns = {c.name: (more if c.hidden and more is not None else rows)[c.name] for c in schema.columns}
        return pa.table(columns).cast(pa.schema([(c.name, c.arrow) for c in schema.columns]))

    def _known(self, whole: pa.Table) -> Flags:
        """Return bool[n]: equal to a record that there is, or to one that was made before it."""
        hashes = content_hashes(whole, self.dataset.schema).to_pylist()
        out = np.zeros(len(hashes), bool)
        for i, sha in enumerate(hashes):
            short = int.from_bytes(sha[:8], "little")
            out[i] = short in self.seen
            self.seen.add(short)
        return out


def _told(works: Sequence[_Work]) -> str:
    """Return how many were accepted and why others were not, and which wants were not met."""
    lost: Counter[str] = Counter()
    for work in works:
        lost.update(work.lost)
    why = ", ".join(f"{n:,} {what}" for what, n in lost.items() if n)
    told = [f"accepted {sum(w.kept for w in works):,} of {sum(w.judged for w in works):,}{f' ({why})' if why else ''}"]
    for work in works:
        if not len(work.ids):
            told.append(f"no example of {work.want.text}")
        elif work.kept < work.want.count and (len(works) > 1 or work.made < work.asked):
            short = f", of {work.asked:,} asked for {work.made:,} were made" if work.made < work.asked else ""
            told.append(f"{work.kept:,} of {work.want.text}{short}")
    return "; ".join(told)


def _inside(text: str, rows: pa.Table) -> Flags:
    node = parse(text)
    names = [term.name for term in terms(node)]
    if any(term.clusters for term in terms(node)) or not set(names) <= set(rows.column_names):
        return np.ones(rows.num_rows, bool)  # a cluster is one of records that the model has seen
    columns = {name: rows[name].combine_chunks() for name in names}
    return decide(node, pa.table(columns), lambda _: np.full(rows.num_rows, -1))[0]
