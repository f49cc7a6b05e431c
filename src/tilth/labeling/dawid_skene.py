"""Labels and annotators judged together: who is right more often counts for more (Dawid and Skene 1979)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DawidSkene", "dawid_skene"]

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DawidSkene:
    """What expectation maximisation found.

    `records` int64[m], each once, sorted; `posterior` float64[m, k]: how probable each class is; `annotators`: a names,
    sorted; `confusion` float64[a, k, k]: the rate at which an annotator says column where the truth is row; `prior`
    float64[k]; `log_likelihood` of the answers; `steps` it took.
    """

    records: Ids
    posterior: Floats
    annotators: list[str]
    confusion: Floats
    prior: Floats
    log_likelihood: float
    steps: int


def dawid_skene(
    records: Ids,
    annotators: list[str],
    codes: npt.NDArray[np.int32],
    *,
    n_classes: int,
    smoothing: float = 0.1,
    steps: int = 100,
    tolerance: float = 1e-6,
) -> DawidSkene:
    """Estimate the true class of each record, and each annotator's confusion matrix, from their answers alone.

    >>> codes = np.array([0, 0, 1, 1, 1, 0])
    >>> found = dawid_skene(np.array([0, 0, 0, 1, 1, 1]), ["a", "b", "c"] * 2, codes, n_classes=2)
    >>> found.posterior.argmax(axis=1).tolist()
    [0, 1]

    `records` int64[n], `annotators` n names, `codes` int32[n]: one row an answer, -1 = could not tell (left out).
    Starts from the majority and is deterministic. `smoothing`: counts added to every cell of a confusion matrix, so
    that an annotator with few answers is neither trusted nor distrusted; `tolerance`: the change of log-likelihood an
    answer at which it stops. Dawid and Skene 1979, Maximum Likelihood Estimation of Observer Error-Rates Using the EM
    Algorithm.
    """
    told = np.asarray(codes) >= 0
    code = np.asarray(codes)[told]
    ids, record = np.unique(np.asarray(records)[told], return_inverse=True)
    names, who = np.unique(np.asarray(annotators, dtype=object)[told].astype(str), return_inverse=True)
    m, a, k = len(ids), len(names), n_classes
    cell = record * k + code
    posterior = np.bincount(cell, minlength=m * k).reshape(m, k).astype(np.float64)
    posterior /= np.maximum(posterior.sum(axis=1, keepdims=True), 1.0)
    confusion, prior = np.full((a, k, k), 1.0 / max(k, 1)), np.full(k, 1.0 / max(k, 1))
    before, likelihood, taken = -np.inf, -np.inf, 0
    # the prior that an annotator is right rather than wrong breaks the symmetry between renamed classes
    base = smoothing * (np.ones((k, k)) + np.eye(k))
    place = who * k + code
    while m and taken < steps:
        taken += 1
        counts = np.stack(
            [np.bincount(place, weights=posterior[record, t], minlength=a * k).reshape(a, k) for t in range(k)], axis=1
        )
        confusion = counts + base
        confusion /= confusion.sum(axis=2, keepdims=True)
        prior = (posterior.sum(axis=0) + smoothing) / (m + k * smoothing)
        said = np.log(confusion).transpose(0, 2, 1).reshape(a * k, k)[place]
        log = np.stack([np.bincount(record, weights=said[:, t], minlength=m) for t in range(k)], axis=1) + np.log(prior)
        top = log.max(axis=1, keepdims=True)
        weight = np.exp(log - top)
        total = weight.sum(axis=1, keepdims=True)
        posterior = weight / total
        likelihood = float((top + np.log(total)).sum())
        if abs(likelihood - before) <= tolerance * len(code):
            break
        before = likelihood
    return DawidSkene(ids, posterior, [str(n) for n in names], confusion, prior, likelihood, taken)
