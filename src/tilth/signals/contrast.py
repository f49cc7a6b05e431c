"""Two sets of rows set against each other: how far one lies from the other, and how well they are told apart."""

import numpy as np
import numpy.typing as npt

__all__ = ["Odds", "distances", "logistic"]

Floats = npt.NDArray[np.float64]

NEAREST = 10
"""Neighbours whose mean distance is taken: one alone is a matter of chance."""
_AT_ONCE = 4_000_000
"""Distances taken at once: float64, 32 MB."""


def distances(rows: Floats, among: Floats, *, own: bool = False) -> Floats:
    """Return the mean Euclidean distance of each row to its 10 nearest of `among`, float64[n].

    >>> distances(np.array([[0.0], [5.0]]), np.zeros((20, 1))).tolist()
    [0.0, 5.0]

    `own`: rows are `among` themselves, and none is its own neighbour.
    """
    k = min(NEAREST, len(among) - own)
    square = np.einsum("ij,ij->i", among, among)
    out = np.empty(len(rows))
    step = max(1, _AT_ONCE // len(among))
    for at in range(0, len(rows), step):
        part = rows[at : at + step]
        apart = np.einsum("ij,ij->i", part, part)[:, None] + square - 2 * part @ among.T
        if own:
            apart[np.arange(len(part)), at + np.arange(len(part))] = np.inf
        out[at : at + step] = np.sqrt(np.maximum(np.partition(apart, k - 1, axis=1)[:, :k], 0)).mean(axis=1)
    return out


def logistic(rows: Floats, y: Floats, *, ridge: float = 1.0, steps: int = 25) -> "Odds":
    """Return the log-odds that a logistic regression on numbers and their squares learns; both classes weigh the same.

    `rows` float64[n, d], `y` float64[n] of 0 and 1. Newton's method, with the square of each standardized coefficient
    as penalty (le Cessie and van Houwelingen 1992).
    """
    center, spread = rows.mean(axis=0), rows.std(axis=0)
    odds = Odds(center, np.where(spread > 0, spread, 1.0), np.zeros(2 * rows.shape[1] + 1))
    design = odds.design(rows)
    weight = np.where(y > 0, 0.5 / max(y.sum(), 1.0), 0.5 / max((1 - y).sum(), 1.0)) * len(y)
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-6
    w = odds.w
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(design @ w, -30, 30)))
        slope = design.T @ (weight * (p - y)) + penalty * w
        curve = (design * (weight * np.maximum(p * (1 - p), 1e-6))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        w = w - step * min(1.0, 5.0 / max(np.abs(step).max(), 1e-12))  # a first step may be far too long
        if np.abs(step).max() < 1e-6:
            break
    return Odds(odds.center, odds.spread, w)


class Odds:
    """What a logistic regression learned: rows -> log-odds."""

    def __init__(self, center: Floats, spread: Floats, w: Floats) -> None:
        self.center, self.spread, self.w = center, spread, w

    def design(self, rows: Floats) -> Floats:
        """Return rows as the regression sees them: 1, the numbers, their squares."""
        z = np.clip((rows - self.center) / self.spread, -10, 10)
        return np.column_stack([np.ones(len(rows)), z, z**2])

    def __call__(self, rows: Floats) -> Floats:
        """Return the log-odds, float64[n], that rows are of the second sample, had both the same size."""
        return self.design(rows) @ self.w
