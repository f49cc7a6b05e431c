"""Slices: parts of the data described by conditions on columns, and those of them in which the model is often wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import override

from tilth.algebra import Condition, show
from tilth.dataset.splits import uniform
from tilth.errors import UsageError, did_you_mean
from tilth.signals.clusters import centers, nearest, trials
from tilth.signals.expressions import KINDS, check, decide, literal, parse, quoted, terms
from tilth.signals.kernels import best, chunks
from tilth.signals.making import count
from tilth.signals.neighbours import unit
from tilth.signals.slicing import Coded, cuts, search
from tilth.state import State

__all__ = ["InSlice", "Slice", "WorstSlice", "find_slices", "in_slice", "worst_slice"]

Ids = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BINS = 20
"""Quantiles of a column of numbers."""
VALUES = 50
"""Values of a column of text, the most frequent ones."""
FITTED = 20_000
"""Records that clusters are fitted on."""


@dataclass(frozen=True, repr=False)
class InSlice(Condition, tag="in_slice"):
    """Whether a record is in a slice; made by `in_slice`."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise UsageError(
                f'in_slice({self.text!r}): a condition on columns as a text, such as in_slice("age < 25"); '
                f"got {type(self.text).__name__}"
            )
        parse(self.text)

    @property
    @override
    def needs(self) -> frozenset[str]:
        clustered = any(term.clusters for term in terms(parse(self.text)))
        return frozenset({"embeddings"}) if clustered else frozenset[str]()

    @property
    @override
    def per_record(self) -> bool:
        return True

    @override
    def decide(self, state: State) -> tuple[Flags, Flags]:
        if repr(self) not in state.memo:
            state.memo[repr(self)] = _decide(self.text, state)
        return state.memo[repr(self)]

    @override
    def explain(self, state: State) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"in_slice({show(self.text)})"


@dataclass(frozen=True, repr=False)
class WorstSlice(Condition, tag="worst_slice"):
    """Whether a record is in one of the worst slices of the model; made by `worst_slice`."""

    k: int
    depth: int
    clusters: int

    def __post_init__(self) -> None:
        count("worst_slice(k=...)", self.k)
        _depth("worst_slice", self.depth)
        _clusters("worst_slice", self.clusters)

    @property
    @override
    def needs(self) -> frozenset[str]:
        return frozenset({"out_of_fold_probabilities"} | ({"embeddings"} if self.clusters else set()))

    @property
    @override
    def per_record(self) -> bool:
        return True

    @override
    def decide(self, state: State) -> tuple[Flags, Flags]:
        yes, known = np.zeros(len(state), bool), np.array(state.view.alive)
        for text in self._found(state):
            inside, sure = InSlice(text).decide(state)
            yes, known = yes | inside, (known & sure) | yes | inside
        return yes, known

    @override
    def explain(self, state: State) -> str:
        found = self._found(state)
        return f"{self!r} = {show(' | '.join(found))}" if found else f"{self!r} = no slice"

    def _found(self, state: State) -> tuple[str, ...]:
        """Return the conditions of the slices."""
        if repr(self) not in state.memo:
            found = find_slices(state, depth=self.depth, clusters=self.clusters, most=self.k)
            state.memo[repr(self)] = tuple(f"({one.text})" if self.k > 1 else one.text for one in found)
        return state.memo[repr(self)]

    def __repr__(self) -> str:
        said = [f"k={self.k}"] if self.k != 1 else []
        said += [f"depth={self.depth}"] if self.depth != 2 else []
        said += [f"clusters={self.clusters}"] if self.clusters else []
        return f"worst_slice({', '.join(said)})"


def in_slice(text: str) -> InSlice:
    """Whether a record is in a part of the data that is described by conditions on its columns.

    >>> in_slice("age < 25 & job == 'student'")
    in_slice("age < 25 & job == 'student'")
    >>> in_slice("age < 25 & job = 'student'")
    Traceback (most recent call last):
        ...
    tilth.errors.UsageError: in_slice: cannot read '='; write ==
        age < 25 & job = 'student'
                       ^

    A column against a value by `< <= > >= == !=`, `in (1, 2)`, `is missing`, put together by `& | ~` and brackets;
    names with spaces stand in backquotes, text in quotes. What is missing is in no slice and in no complement of one.
    `cluster(16) == 3` is the fourth of 16 clusters of the embeddings: those of this model, so the next one's fourth is
    another. Columns of text and numbers can be compared; what is wrong is a UsageError that shows the place. Known of
    living records. Reads nothing of the model, but for clusters.
    Cost: one pass over the columns named. Use it to act on a part of the data that you can describe, such as one that
    `find_slices` printed. Do not use it for the label or the prediction: where(label=..., predicted=...) are for these.
    """
    return InSlice(text)


def worst_slice(k: int = 1, *, depth: int = 2, clusters: int = 0) -> WorstSlice:
    """Whether a record is in the part of the data in which the model is wrong most, found anew for each model.

    >>> worst_slice(k=3)
    worst_slice(k=3)
    >>> sorted(worst_slice().needs)
    ['out_of_fold_probabilities']

    Or in one of the k worst (see `find_slices`): also a record without a label, as long as the columns say so. Nothing
    is chosen where no slice is significant. `clusters`: look at so many clusters of the embeddings as if they were a
    column; 0: at columns only.
    Cost: that of find_slices (48,000 records of 14 columns: under a second). Use it to ask for labels, or to look at
    given ones, where the model fails as a group. Do not use it for single wrong labels (label_quality() finds these),
    or where records have no columns that mean something and no clusters are asked for.
    """
    return WorstSlice(k, depth, clusters)


@dataclass(frozen=True, repr=False)
class Slice:
    """A part of the labelled training records in which the model is wrong more often than elsewhere.

    `text`: what describes it, for `in_slice`. `size`, `errors`: its records, and those of them that are predicted
    wrongly; `error_rate`, `rest_rate`: their share inside and outside; `gap`: the difference. `p_value`: Fisher's exact
    test, one-sided; `q_value`: the least false-discovery rate at which it counts among all that was looked at.
    """

    text: str
    size: int
    errors: int
    error_rate: float
    rest_rate: float
    p_value: float
    q_value: float

    @property
    def gap(self) -> float:
        """How much higher the error rate is inside."""
        return self.error_rate - self.rest_rate

    @property
    def condition(self) -> InSlice:
        """The slice as a condition."""
        return in_slice(self.text)

    def __repr__(self) -> str:
        return (
            f"{self.text}: {self.size:,} records, {self.error_rate:.1%} wrong, {self.rest_rate:.1%} elsewhere "
            f"(q = {self.q_value:.1g})"
        )


def find_slices(
    state: State,
    *,
    columns: Sequence[str] | None = None,
    depth: int = 2,
    clusters: int = 16,
    most: int = 10,
    min_size: int | None = None,
    level: float = 0.05,
) -> list[Slice]:
    """Find where the model is wrong: slices whose error rate is above that of the rest, worst first.

    A record counts as wrong where the model, not having seen it, finds another class than the label most probable:
    labelled training records are judged by out-of-fold probabilities, held-out ones are not looked at. Looked at are
    all conjunctions of up to `depth` (1 to 3) conditions on the `columns` (default: all that are not hidden), numbers
    cut at 19 quantiles, and on the `clusters` of the embeddings where the model gave any (0: none). At least
    `min_size` records (default: 1 % of the judged, 32 or more). Counts what is significant at a false-discovery rate of
    `level` (Benjamini and Hochberg over all that was looked at); ranked by the error rate less three standard errors;
    one that is by half or more in those before it, or is bad for their sake only, is left out. A `text` goes to
    `in_slice` as it is. UsageError where labels are not one class; NotFound where there are no out-of-fold
    probabilities.

    Chung, Kraska, Polyzotis, Tae and Whang 2019, Slice Finder; Sagadeeva and Boehm 2021, SliceLine; for clusters of
    embeddings Eyuboglu et al. 2022, Domino.
    """
    _depth("find_slices", depth)
    _clusters("find_slices", clusters)
    if state.dataset.schema.label.kind != "class":
        raise UsageError("find_slices: an error is a wrong class, and these labels are no single class")
    if not 0 < level < 1:
        raise UsageError(f"find_slices(level={level!r}): a false-discovery rate between 0 and 1, such as 0.05")
    said = state.output("out_of_fold_probabilities")
    view = state.view
    ids = np.flatnonzero(view.train & view.labeled & ~np.isnan(np.asarray(said[0])))
    if not len(ids):
        return []
    wrong = best(said)[0][ids] != view.label[ids]
    least = max(32, len(ids) // 100) if min_size is None else count("find_slices(min_size=...)", min_size)
    coded = [one for one in _coded(state, ids, columns, least) if one.conditions]
    if clusters and state.outputs is not None and state.outputs.has("embeddings"):
        code = clustered(state, clusters)[ids]
        told = [(f"cluster({clusters}) == {c}", c + 1, c + 2) for c in range(int(code.max(initial=-1)) + 1)]
        coded.append(Coded(code + 1, len(told) + 1, tuple(told)))
    n, errors = len(ids), int(wrong.sum())
    return [
        Slice(f.text, f.size, f.errors, f.errors / f.size, (errors - f.errors) / (n - f.size), f.p_value, f.q_value)
        for f in search(coded, wrong, depth=depth, least=least, level=level, most=count("find_slices(most=...)", most))
    ]


def clustered(state: State, k: int) -> Ids:
    """Return the cluster of every record's embedding, int64[n] below k, -1 = none; fitted on training records."""
    text = f"cluster({k})"
    if text not in state.memo:
        array = state.output("embeddings")
        ids = np.flatnonzero(state.view.train)
        ids = ids[np.argsort(state.dataset.key_hash[ids], kind="stable")][:FITTED]
        rows = unit(array[ids])
        rows = rows[~np.isnan(rows).any(axis=1)]
        out = np.full(len(state), -1, np.int64)
        if len(rows):
            found = centers(rows, uniform(np.arange(k * trials(k), dtype=np.uint64), text).reshape(k, -1))
            for part in chunks(len(state)):
                out[part] = nearest(unit(array[part]), found)
        state.memo[text] = out
    return state.memo[text]


def _decide(text: str, state: State) -> tuple[Flags, Flags]:
    node = parse(text)
    check(node, text, {column.name: column.kind for column in state.dataset.schema.columns})
    names = list(dict.fromkeys(term.name for term in terms(node) if not term.clusters))
    sizes = {term.clusters for term in terms(node) if term.clusters}
    groups = {k: clustered(state, k) for k in sizes}
    yes, known = np.zeros(len(state), bool), np.zeros(len(state), bool)
    if not names:
        ids = np.flatnonzero(state.view.alive)
        yes[ids], known[ids] = decide(node, pa.table({}), lambda k: groups[k][ids])
        return yes, known
    for rows in state.dataset.stream(columns=names):
        ids = rows["record_id"].to_numpy()
        yes[ids], known[ids] = decide(node, rows, lambda k, some=ids: groups[k][some])
    return yes, known


def _coded(state: State, ids: Ids, columns: Sequence[str] | None, least: int) -> Iterator[Coded]:
    """Yield each column as bins, and the conditions on it."""
    schema = state.dataset.schema
    usable = [c.name for c in schema.columns if c.kind in KINDS]
    for name in columns or ():
        if name not in usable:
            raise UsageError(
                f"find_slices(columns=...): no column {name!r} of text or numbers. {did_you_mean(name, usable)}"
            )
    shown = set(schema.features)
    names = [name for name in usable if name in shown] if columns is None else list(columns)
    rows = state.dataset.features(ids, names)
    for name in names:
        cells = rows[name].combine_chunks()
        missing = pc.is_null(cells, nan_is_null=True).to_numpy(zero_copy_only=False)
        text = schema.column(name).kind == "text"
        made = _of_text(quoted(name), cells, least) if text else _of_numbers(quoted(name), cells, missing)
        codes, bins, told = made
        codes[missing] = 0
        if missing.any():
            told.append((f"{quoted(name)} is missing", 0, 1))
        yield Coded(codes, bins, tuple(told))


Told = list[tuple[str, int, int]]


def _of_text(name: str, cells: Any, least: int) -> tuple[Ids, int, Told]:
    """Return bins of a column of text: 0 for what is missing, 1 for what is rare, then one a value."""
    counts = pc.value_counts(cells.drop_null())
    pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    often = sorted((-n, value) for value, n in pairs if n >= least)[:VALUES]
    values = sorted(value for _, value in often)
    at = pc.index_in(cells, value_set=pa.array(values, cells.type)).fill_null(-1)
    codes = at.to_numpy(zero_copy_only=False).astype(np.int64) + 2
    return codes, len(values) + 2, [(f"{name} == {literal(value)}", i + 2, i + 3) for i, value in enumerate(values)]


def _of_numbers(name: str, cells: Any, missing: Flags) -> tuple[Ids, int, Told]:
    """Return bins of a column of numbers: 0 for what is missing, then one from each cut to the next."""
    values = cells.to_numpy(zero_copy_only=False).astype(np.float64)
    present = values[~missing]
    if not len(present) or not np.isfinite(present).all():
        return np.zeros(len(values), np.int64), 1, []
    at = cuts(present, BINS)
    last = len(at)
    codes = np.searchsorted(np.array(at), values, side="right") + 1
    exact = len(np.unique(present)) <= 2 * BINS  # then `cuts` makes each value a bin
    low = float(present.min())
    told: Told = [(f"{name} < {literal(at[i])}", 1, i + 2) for i in range(last)]
    told += [(f"{name} >= {literal(at[i])}", i + 2, last + 2) for i in range(last)]
    for i in range(1 if not exact else 0, last + (1 if exact else 0)):
        if exact:
            told.append((f"{name} == {literal([low, *at][i])}", i + 1, i + 2))
        else:
            told.append((f"{name} >= {literal(at[i - 1])} & {name} < {literal(at[i])}", i + 1, i + 2))
    return codes, last + 2, told


def _depth(what: str, depth: Any) -> None:
    if isinstance(depth, bool) or depth not in (1, 2, 3):
        raise UsageError(f"{what}(depth={depth!r}): conditions in a slice: 1, 2 or 3")


def _clusters(what: str, clusters: Any) -> None:
    if isinstance(clusters, bool) or not isinstance(clusters, int) or clusters < 0 or clusters == 1:
        raise UsageError(f"{what}(clusters={clusters!r}): a whole number of 2 or more, or 0 for none")
