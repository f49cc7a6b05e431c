"""Do two samples come from one distribution? Tests by permutation: exact for any data, whatever depends on what."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tilth.signals.contrast import logistic

__all__ = ["classifier_test", "column_test", "mmd_test", "permuted"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Columns = Mapping[str, npt.NDArray[np.generic]]

_AT_ONCE = 4_000_000
"""Cells of labels that are permuted at once: int32, 16 MB."""
_PAIRED = 1000
"""Rows of each sample that are compared pair by pair: the kernel of both is then 32 MB."""


def permuted(n: int, m: int, times: int, seed: int) -> Flags:
    """Return bool[times + 1, n + m]: which rows are called current; the first row is the truth, the others chance.

    A p-value is the share of rows, the first included, whose statistic is at least the first's: under the null it is at
    most x with a probability of at most x, exactly (Phipson and Smyth 2010).
    """
    chance = np.random.default_rng([seed, n, m])
    labels = np.zeros((times + 1, n + m), bool)
    labels[:, n:] = True
    labels[1:] = chance.permuted(labels[1:], axis=1)
    return labels


def share(statistic: Floats) -> float:
    """Return the p-value of the first statistic among all; NaN where it is NaN."""
    first = statistic[0]
    # equal statistics come out of sums in another order: they are at least the first's all the same
    return float("nan") if np.isnan(first) else float((statistic >= first - 1e-9 * max(abs(first), 1.0)).mean())


def column_test(columns: Columns, n: int, *, times: int, seed: int) -> tuple[float, str]:
    """Return (p-value, the column that differs most) of whether the first n rows differ from the others in any column.

    >>> rng = np.random.default_rng(0)
    >>> x = np.concatenate([rng.normal(size=200), rng.normal(1, 1, size=100)])
    >>> p, column = column_test({"same": np.tile(np.arange(3), 100), "moved": x}, 200, times=999, seed=0)
    >>> p, column
    (0.001, 'moved')

    Columns of float64[n + m] are compared by Kolmogorov and Smirnov's largest difference of their cumulative
    distributions, those of int64 codes by chi-square. Each statistic is set against its mean and deviation over the
    permutations, and the largest of them against the largest of every permutation (Westfall and Young 1993, single-step
    maxT): so the chance that any column fires by mistake is the p-value, however they hang together.
    """
    names = list(columns)
    rows = len(next(iter(columns.values())))
    m = rows - n
    labels = permuted(n, m, times, seed)
    found = np.zeros((times + 1, len(names)))
    for j, name in enumerate(names):
        cells = columns[name]
        distinct, code = np.unique(cells, return_inverse=True)
        order = np.argsort(code, kind="stable")
        whole = np.bincount(code, minlength=len(distinct)).astype(np.float64)
        ends = np.cumsum(whole).astype(np.int64) - 1
        step = max(1, _AT_ONCE // rows)
        for at in range(0, times + 1, step):
            up_to = np.cumsum(labels[at : at + step][:, order], axis=1, dtype=np.int32)
            up_to = up_to if len(ends) == rows else up_to[:, ends]
            if cells.dtype == np.int64:
                now = np.diff(up_to, axis=1, prepend=0)
                expected = whole * (m / rows)
                chi = ((now - expected) ** 2 / expected).sum(axis=1)
                found[at : at + step, j] = chi * (rows / n)  # the other sample differs by as much, in units of n
            else:
                gap = up_to * (1 / m + 1 / n) - np.cumsum(whole) / n
                found[at : at + step, j] = np.abs(gap).max(axis=1)
    spread = found.std(axis=0)
    standard = (found - found.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return share(standard.max(axis=1)), names[int(np.argmax(standard[0]))]


def mmd_test(x: Floats, y: Floats, *, times: int, seed: int) -> float:
    """Return the p-value of whether rows x and y differ, by the maximum mean discrepancy.

    >>> rng = np.random.default_rng(0)
    >>> mmd_test(rng.normal(size=(100, 5)), rng.normal(0.5, 1, size=(60, 5)), times=999, seed=0)
    0.001

    The unbiased estimate of MMD^2 with a Gaussian kernel whose width is the median distance between rows (Gretton,
    Borgwardt, Rasch, Schoelkopf and Smola 2012, A Kernel Two-Sample Test, lemma 6 and section 8), on at most 1000 rows
    of each.
    """
    x, y = _few(x, _PAIRED, seed), _few(y, _PAIRED, seed + 1)
    n, m = len(x), len(y)
    rows = np.concatenate([x, y])
    square = np.einsum("ij,ij->i", rows, rows)
    apart = np.maximum(square[:, None] + square - 2 * rows @ rows.T, 0.0)
    width = np.median(apart[np.triu_indices(n + m, 1)])
    if width <= 0:
        width = apart.mean() or 1.0
    kernel = np.exp(-apart / width)
    np.fill_diagonal(kernel, 0.0)
    labels = permuted(n, m, times, seed).astype(np.float64)
    total, by_row = kernel.sum(), kernel.sum(axis=1)
    yy = np.einsum("ij,ij->i", labels @ kernel, labels)
    cross = labels @ by_row - yy
    xx = total - 2 * cross - yy
    return share(xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * cross / (n * m))


def classifier_test(x: Floats, y: Floats, *, times: int, seed: int) -> float:
    """Return the p-value of whether rows x and y differ, by whether a classifier learns to tell them apart.

    >>> rng = np.random.default_rng(0)
    >>> classifier_test(rng.normal(size=(200, 5)), rng.normal(1, 1, size=(100, 5)), times=999, seed=0)
    0.001

    A logistic regression on the numbers and their squares learns from half of the rows; on the other half the mean
    log-odds of y must be above those of x (Lopez-Paz and Oquab 2017, Revisiting Classifier Two-Sample Tests; with
    log-odds in place of right or wrong, Cheng and Cloninger 2022). The labels of that half alone are permuted, which is
    exact and trains once.
    """
    x, y = _few(x, 4 * _PAIRED, seed), _few(y, 4 * _PAIRED, seed + 1)
    chance = np.random.default_rng([seed, len(x), len(y)])
    half_x, half_y = (chance.permutation(len(part)) % 2 == 0 for part in (x, y))
    seen = np.concatenate([x[half_x], y[half_y]])
    odds = logistic(seen, np.repeat([0.0, 1.0], [half_x.sum(), half_y.sum()]))
    held_x, held_y = odds(x[~half_x]), odds(y[~half_y])
    score = np.concatenate([held_x, held_y])
    labels = permuted(len(held_x), len(held_y), times, seed)
    return share(labels @ score)


def _few(rows: Floats, most: int, seed: int) -> Floats:
    if len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng([seed, len(rows)]).permutation(len(rows))[:most])]
