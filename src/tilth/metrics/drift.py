"""Has what comes in changed? p-values of new records against what the model was trained on."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tilth.algebra import Metric, metric
from tilth.errors import UsageError
from tilth.metrics.exchangeability import anytime
from tilth.metrics.two_sample import classifier_test, column_test, mmd_test
from tilth.signals.making import count, one_of, refined
from tilth.signals.windows import (
    EMBEDDINGS,
    REFERENCES,
    SINGLE,
    Window,
    columns_of,
    current,
    reference,
    some,
    values,
    wide,
)
from tilth.state import State

__all__ = ["drift"]

Floats = npt.NDArray[np.float64]

ALL = ("class", "classes", "number")
TESTS = ("columns", "mmd", "classifier", "martingale")
MOST = 2000
"""Records of a window that are looked at, drawn by their keys: what 2000 do not show is too small to act on."""

_ROWS: Mapping[str, Callable[..., float]] = {"mmd": mmd_test, "classifier": classifier_test}


def _judged(made: Metric) -> Metric:
    told = made.args
    test = told.get("test")
    if test is not None:
        one_of("drift(test=...)", test, TESTS)
    one_of("drift(reference=...)", told.get("reference", REFERENCES[0]), REFERENCES)
    count("drift(permutations=...)", told.get("permutations", 999))
    if told.get("window") is not None:
        count("drift(window=...)", told["window"])
        if test == "martingale":
            raise UsageError('drift(test="martingale", window=...): it follows all records since the model was trained')
    if told.get("column") != EMBEDDINGS:
        return made
    if test == "columns":
        raise UsageError('drift("embeddings", test="columns"): embeddings are compared as rows: "mmd" or "classifier"')
    return replace(made, wants=frozenset({EMBEDDINGS}))


@refined(_judged)
@metric(tasks=ALL)
def drift(
    state: State,
    column: str | None = None,
    *,
    test: str | None = None,
    reference: str = "trained",
    window: int | None = None,
    permutations: int = 999,
) -> float:
    """How probable it is that new records differ from the reference as much as they do, had nothing changed.

    >>> drift() < 0.01
    drift() < 0.01
    >>> drift("embeddings", test="classifier", window=500) < 0.01
    drift("embeddings", test="classifier", window=500) < 0.01

    A p-value in (0, 1]: where nothing has changed, `drift() < 0.01` holds in at most 1 of 100 looks, exactly, because
    it is found by permuting the records. It takes them to be independent: a stream in which neighbours are alike (an
    hour, a user) differs from what came before at every look. NaN, so that no comparison holds, where one of the two
    windows has fewer than 20 records.

    - `column`: one column; without it all that models see; or `"embeddings"` of the model (only this needs the model).
    - `test`: `"columns"` (default): Kolmogorov-Smirnov for each column of numbers and chi-square for each of categories
      (texts of up to 50 different values), one p-value for all together, by the largest statistic over the permutations
      (Westfall and Young 1993). `"mmd"` (default for vectors and embeddings): maximum mean discrepancy (Gretton et al.
      2012). `"classifier"`: classifier two-sample test (Lopez-Paz and Oquab 2017). The last two see how columns hang
      together. `"martingale"`: see below.
    - `reference`: `"trained"`, what the model was trained on, or `"valid"`, the records of valid that were there then:
      the better one where the labels were asked for by a rule (what it chose is unlike the rest), and for embeddings
      that a model has learned, which look otherwise for what it learned from.
    - `window`: the last so many training records that the model did not learn from; without it all training records
      that came since it was trained. At most 2000 of each window are looked at, drawn by their keys.
    - `permutations`: the smallest p-value is 1 / (permutations + 1), so `< 0.001` needs more than 999 (a
      workflow refuses a bar that is out of reach).

    A stream is looked at many times, and each look may err: within 50 looks at fresh records `drift() < 0.01` held in
    37 % of streams where nothing had changed, the martingale in 1 % (150 streams, measured):
    `drift(test="martingale") < 0.01` holds for all looks since the model was trained together: where nothing changes,
    at most 1 of 100 models ever sees it hold, however often it is looked at. It ranks each new record, as it comes, by
    how far from the reference it lies among all before it, and bets against the ranks being even: a simple jumper on
    inductive conformal p-values; what is returned is 1 over the most it ever won, by Ville's inequality an
    anytime-valid p-value (Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman 2021, Retrain or Not Retrain).
    """
    what = "drift()"
    kind = test or _usual(state, column)
    if kind == "martingale":
        return anytime(state, column, reference, what)
    windows = _windows(state, reference, window)
    if windows.small:
        return float("nan")
    n = len(windows.reference)
    ids = np.concatenate([windows.reference, windows.current])
    if kind == "columns":
        names = [c for c in columns_of(state, column, what) if state.dataset.schema.column(c).kind in SINGLE]
        if not names:
            raise UsageError(f'drift({column!r}, test="columns"): vectors are compared as rows: "mmd" or "classifier"')
        return column_test(values(state, ids, names, what), n, times=permutations, seed=state.seed)[0]
    first = np.arange(len(ids)) < n
    # scaled over both: a scale that knew which is which would make the permutations unlike the truth
    rows = wide(state, ids, column, what, measure=np.ones(len(ids), bool))
    told = np.isfinite(rows).all(axis=1)
    x, y = rows[first & told], rows[~first & told]
    if Window(np.arange(len(x)), np.arange(len(y))).small:
        return float("nan")
    return _ROWS[kind](x, y, times=permutations, seed=state.seed)


def _usual(state: State, column: str | None) -> str:
    if column == EMBEDDINGS:
        return "mmd"
    kinds = {state.dataset.schema.column(c).kind for c in columns_of(state, column, "drift()")}
    return "columns" if kinds & set(SINGLE) else "mmd"


def _windows(state: State, which: str, window: int | None) -> Window:
    return Window(some(state, reference(state, which), MOST), some(state, current(state, window), MOST))
