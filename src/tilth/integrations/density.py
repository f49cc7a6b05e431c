"""A Gaussian mixture fitted to rows, and rows drawn from it."""

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

__all__ = ["drawn"]

Doubles = npt.NDArray[np.float64]

_SETTLED = 1e-4
"""Added to variances: in spreads, so that a column of one value has some."""


def drawn(rows: Doubles, n: int, *, most: int, seed: int) -> Doubles:
    """Return n draws from a Gaussian mixture fitted to rows, float64[n, d]; none where there is one row only.

    >>> rows = np.random.default_rng(0).normal(size=(50, 2)) + [[5.0, -5.0]]
    >>> drawn(rows, 1000, most=3, seed=0).mean(axis=0).round(1).tolist()
    [5.0, -4.8]

    Of 1 to `most` components, with covariances that are full (where there are more rows than columns) or diagonal,
    those with the lowest Bayesian information criterion (Schwarz 1978).
    """
    m, d = rows.shape
    if m < 2 or n == 0 or d == 0:
        return np.empty((0, d))
    chance = np.random.RandomState(seed % 2**32)
    kinds = ("full", "diag") if m > d else ("diag",)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of components that are too many for the rows
        tried = [
            GaussianMixture(k, covariance_type=kind, reg_covar=_SETTLED, random_state=seed % 2**32).fit(rows)
            for kind in kinds
            for k in range(1, min(most, m // 2) + 1)
        ]
        best = min(tried, key=lambda one: one.bic(rows))
    best.random_state = chance
    return best.sample(n)[0][chance.permutation(n)]
