"""How good the annotators are and how far they agree: metrics that need no model."""

import json
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tilth.algebra import Metric, metric
from tilth.changes import Field
from tilth.labeling.agreement import cohen_kappas, fleiss_kappa, krippendorff_alpha
from tilth.labeling.judging import coded, quality
from tilth.signals.making import count, one_of, refined
from tilth.state import State

__all__ = ["agreement", "annotator_quality"]

KINDS = ("krippendorff", "fleiss", "cohen")


def _known(made: Metric) -> Metric:
    kind = one_of("agreement(kind=...)", made.args.get("kind", KINDS[0]), KINDS)
    return made if kind == KINDS[0] else replace(made, tasks=frozenset({"class"}))


@refined(_known)
@metric(tasks=("class", "number"))
def agreement(state: State, kind: str = "krippendorff") -> float:
    """How far annotators agree beyond chance where several answered: 1 = always, 0 = as by chance.

    >>> agreement() < 0.6
    agreement() < 0.6
    >>> agreement("fleiss")
    agreement("fleiss")

    `"krippendorff"`: any number of answers a record, numbers too. `"fleiss"`: records with the usual number of answers.
    `"cohen"`: the mean over all pairs of annotators, weighted by how many records they share; where these are a few
    only, it is too low. Of an annotator who answered a record twice the last answer counts. NaN while no record has
    answers of two. Krippendorff 2011; Fleiss 1971; Cohen 1960.
    """
    table, who = _last(state.dataset.answers())
    records, texts = table["record_id"].to_numpy(), table["label"].to_pylist()
    if not state.classes:
        said = np.array([np.nan if (v := json.loads(t)) is None else float(v) for t in texts], np.float64)
        return krippendorff_alpha(records, said, level="interval")
    codes = coded(state.dataset, texts)
    if kind == "krippendorff":
        return krippendorff_alpha(records, np.where(codes < 0, np.nan, codes.astype(np.float64)))
    ids, at = np.unique(records, return_inverse=True)
    k = len(state.classes)
    if kind == "fleiss":
        told = codes >= 0
        return fleiss_kappa(np.bincount(at[told] * k + codes[told], minlength=len(ids) * k).reshape(len(ids), k))
    kappas, shared = cohen_kappas(records, who, codes)
    known = ~np.isnan(kappas)
    return float(np.average(kappas[known], weights=shared[known])) if known.any() else float("nan")


def _last(table: pa.Table) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Return the last answer of each annotator to each record, gold ones and reviews left out, and who gave it."""
    table = table.filter(pa.array(table["field"].to_numpy() == Field.NONE))
    coded = table["annotator"].combine_chunks().dictionary_encode()
    who = coded.indices.to_numpy().astype(np.int64)
    record = np.unique(table["record_id"].to_numpy(), return_inverse=True)[1]
    last = len(who) - 1 - np.unique((record * max(len(coded.dictionary), 1) + who)[::-1], return_index=True)[1]
    return table.take(pa.array(last)), who[last]


def _least(made: Metric) -> Metric:
    count("annotator_quality(least=...)", made.args.get("least", 10))
    return made


@refined(_least)
@metric(tasks=("class",))
def annotator_quality(state: State, annotator: str | None = None, *, least: int = 10) -> float:
    """How often an annotator is right, in [0, 1]; without a name that of the worst of those judged `least` times.

    >>> annotator_quality() < 0.7
    annotator_quality() < 0.7
    >>> annotator_quality("ann") > 0.9
    annotator_quality("ann") > 0.9

    Judged by gold questions where the annotator had any, else by what all answers add up to. NaN where nobody, or not
    this annotator, could be judged often enough. Dawid and Skene 1979.
    """
    table = quality(state.dataset)
    names, judged = table["annotator"].to_pylist(), table["judged"].to_numpy()
    accuracy = table["accuracy"].to_numpy()
    if annotator is not None:
        return float(accuracy[names.index(annotator)]) if annotator in names else float("nan")
    enough = accuracy[judged >= least]
    return float(enough.min()) if len(enough) else float("nan")
