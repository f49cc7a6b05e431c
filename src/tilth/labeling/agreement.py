"""How far annotators agree beyond what chance would give."""

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from tilth.errors import UsageError, did_you_mean

__all__ = ["Level", "cohen_kappa", "cohen_kappas", "fleiss_kappa", "krippendorff_alpha"]

Level = Literal["nominal", "interval"]


def cohen_kappa(a: npt.NDArray[np.int32], b: npt.NDArray[np.int32]) -> float:
    """Return Cohen's kappa of two annotators' codes for the same records: 1 = always agree, 0 = as by chance.

    >>> cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    0.5

    `a`, `b` int32[n]; a record that one of them could not tell (-1) is left out. NaN where no record is left, or where
    both only ever say one and the same class. Cohen 1960, A Coefficient of Agreement for Nominal Scales.
    """
    if len(a) != len(b):
        raise UsageError(f"cohen_kappa(a, b): {len(a)} codes and {len(b)}; give both for the same records, -1 = none")
    records = np.arange(len(a))
    kappas, _ = cohen_kappas(np.tile(records, 2), np.repeat([0, 1], len(a)), np.concatenate([a, b]))
    return float(kappas[0]) if len(kappas) else float("nan")


def cohen_kappas(
    records: npt.NDArray[np.int64], annotators: npt.NDArray[np.int64], codes: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return Cohen's kappa of each pair of annotators who answered a record in common, and how many they share.

    >>> kappas, shared = cohen_kappas(np.array([0, 1, 2, 0, 1, 2]), np.repeat([0, 1], 3), np.array([0, 0, 1, 0, 1, 1]))
    >>> kappas.round(2).tolist(), shared.tolist()
    ([0.4], [3])

    `records`, `annotators` int64[n], `codes` int32[n]: one row an answer, -1 = could not tell; at most one answer of an
    annotator to a record. NaN for a pair that only ever says one and the same class. Memory follows the pairs of
    answers to one record, not the pairs of annotators. Cohen 1960.
    """
    told = np.asarray(codes) >= 0
    record, who, code = (np.asarray(x)[told] for x in (records, annotators, codes))
    order = np.lexsort((who, record))
    record, who, code = record[order], who[order], code[order]
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for lag in range(1, len(record)):
        near = np.flatnonzero(record[lag:] == record[:-lag])
        if len(near) == 0:  # nor do records have more answers than that
            break
        first.append(near)
        second.append(near + lag)
    i, j = np.concatenate(first), np.concatenate(second)
    pairs, at = np.unique(who[i] * (int(who.max(initial=0)) + 1) + who[j], return_inverse=True)
    shared = np.bincount(at, minlength=len(pairs))
    seen, chance = np.bincount(at, code[i] == code[j], len(pairs)) / shared, np.zeros(len(pairs))
    for c in range(int(code.max(initial=-1)) + 1):
        chance += np.bincount(at, code[i] == c, len(pairs)) * np.bincount(at, code[j] == c, len(pairs)) / shared**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(chance >= 1, np.nan, (seen - chance) / (1 - chance)), shared


def fleiss_kappa(counts: npt.NDArray[np.int64]) -> float:
    """Return Fleiss' kappa from how many annotators put each record into each class.

    >>> fleiss_kappa(np.array([[3, 0], [0, 3], [2, 1]]))
    0.55

    `counts` int64[n, k]; every record must have the same number of votes, 2 or more: others are left out, the most
    frequent number stays. NaN where none is left or only one class is ever named. Fleiss 1971, Measuring Nominal Scale
    Agreement Among Many Raters.
    """
    votes = counts.sum(axis=1) if len(counts) else np.empty(0, np.int64)
    usual = np.bincount(votes[votes >= 2])
    if len(usual) == 0:
        return float("nan")
    n = int(usual.argmax())
    table = counts[votes == n]
    share = table.sum(axis=0) / table.sum()
    seen = ((table * (table - 1)).sum(axis=1) / (n * (n - 1))).mean()
    return _beyond(float(seen), float((share**2).sum()))


def krippendorff_alpha(
    records: npt.NDArray[np.int64], values: npt.NDArray[np.float64], *, level: Level = "nominal"
) -> float:
    """Return Krippendorff's alpha of any number of answers a record: 1 = always agree, 0 = as by chance.

    >>> krippendorff_alpha(np.array([0, 0, 1, 1, 2, 2]), np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0]))
    0.44

    `records` int64[n], `values` float64[n]: one row an answer, NaN = could not tell; records with one answer are left
    out. `level`: "nominal" for classes, "interval" for numbers. NaN where nothing is left or all say the same.
    Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.
    """
    if level not in get_args(Level):
        raise UsageError(f"krippendorff_alpha(level=...): no {level!r}. {did_you_mean(str(level), get_args(Level))}")
    told = ~np.isnan(np.asarray(values, np.float64))
    record, value = np.unique(np.asarray(records)[told], return_inverse=True)[1], np.asarray(values)[told]
    votes = np.bincount(record) if len(record) else np.empty(0, np.int64)
    paired = votes[record] >= 2 if len(record) else np.empty(0, bool)
    record, value = record[paired], value[paired]
    n = len(value)
    if n == 0:
        return float("nan")
    if level == "interval":
        # sums of squares stand for all pairs: sum (x - y)^2 = 2 m sum x^2 - 2 (sum x)^2
        value = value - value.mean()
        m = np.bincount(record).astype(np.float64)
        squares, sums = np.bincount(record, weights=value**2), np.bincount(record, weights=value)
        pairs = 2 * m * squares - 2 * sums**2
        observed = (pairs[m >= 2] / (m[m >= 2] - 1)).sum() / n
        expected = (2 * n * (value**2).sum() - 2 * value.sum() ** 2) / (n * (n - 1))
    else:
        code = np.unique(value, return_inverse=True)[1]
        cell, size = np.unique(record * (int(code.max()) + 1) + code, return_counts=True)
        same = (size * (size - 1)).astype(np.float64)
        rows = cell // (int(code.max()) + 1)
        observed = 1 - (same / (np.bincount(record)[rows] - 1)).sum() / n
        total = np.bincount(code).astype(np.float64)
        expected = 1 - (total * (total - 1)).sum() / (n * (n - 1))
    return float("nan") if expected == 0 else float(1 - observed / expected)


def _beyond(observed: float, chance: float) -> float:
    return float("nan") if chance >= 1 else (observed - chance) / (1 - chance)
