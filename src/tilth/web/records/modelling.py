"""`/model`: where a model is wrong: which classes it takes for which, how well it knows each, and since when."""

from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import Response

from tilth.dataset.schema import SPLITS
from tilth.errors import UsageError, did_you_mean
from tilth.metrics import accuracy, mae, r2, rmse
from tilth.metrics.measures import counts, numbers
from tilth.outputs import Outputs
from tilth.state import Round, State
from tilth.web.records.cells import cells, layout
from tilth.web.records.looking import Look, address, look, shelf_of
from tilth.web.records.ordering import Order
from tilth.web.records.plots import histogram, lines
from tilth.web.rendering import page
from tilth.web.routes import get

__all__ = ["ROUTES"]

Counts = npt.NDArray[np.int64]

_MATRIX = 24
"""Classes of a matrix that can be read: of more, those with the most confusions."""
_CONFUSIONS = 20
_ROUNDS = 40
_WORST = 24
_SHADES = 8


def model(request: Request) -> Response:
    """Show how a model does on a split, class by class; for numbers, how far it is off."""
    seen = look(request)
    split = request.query_params.get("split") or "valid"
    if split not in SPLITS:
        raise UsageError(f"split={split!r}. {did_you_mean(split, SPLITS)}")
    place = {k: v for k in ("branch", "version", "model") if (v := request.query_params.get(k))}
    shown: dict[str, Any] = {
        "look": seen,
        "split": split,
        "splits": [(name, address("/model", place, {"split": name})) for name in SPLITS],
        "n": 0,
        "metrics": [],
        "classes": [],
        "matrix": None,
        "confusions": [],
        "residuals": "",
        "worst": [],
        "layout": layout(seen.dataset.schema.columns),
        "rounds": [],
    }
    if seen.state.outputs is not None:
        ids = seen.state.judged(split)
        shown["n"] = len(ids)
        shown |= _of_numbers(seen, ids, split) if seen.kind == "number" else _of_classes(request, seen, ids, split)
    return page(request, "records/model.html", title="Model", **shown)


def _of_numbers(seen: Look, ids: npt.NDArray[np.int64], split: str) -> dict[str, Any]:
    truth, said = numbers(seen.state, ids)
    off = said - truth
    worst = ids[np.argsort(-np.abs(off), kind="stable")[:_WORST]]
    errors = np.full(len(seen.state), np.nan)
    errors[ids] = off
    return {
        "metrics": [(repr(m), m.on(seen.state, split)) for m in (mae(), rmse(), r2())],
        "residuals": histogram(off.tolist()),
        "worst": cells(seen, Order(worst, "how far the prediction is off", errors), 0, _WORST),
    }


def _of_classes(request: Request, seen: Look, ids: npt.NDArray[np.int64], split: str) -> dict[str, Any]:
    names = seen.dataset.schema.label.classes
    now = _tally(seen.state, split)
    rounds = seen.state.rounds[-_ROUNDS:]
    past = [shelf_of(request).get(_at(seen, r, split), lambda r=r: _past(seen, r, split)) for r in rounds]
    known = [_rates(*found)[1] for found in past]
    precision, recall, f1 = _rates(*now)
    rows: list[dict[str, Any]] = []
    for i in np.argsort(np.where(now[1] > 0, f1, 2), kind="stable").tolist():
        here = {"split": split, "label": names[i]}
        rows.append(
            {
                "name": names[i],
                "n": int(now[1][i]),
                "said": int(now[2][i]),
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "href": address("/records", seen.place, here),
                "said_href": address("/records", seen.place, {"split": split, "predicted": names[i]}),
                "line": lines(f"recall of {names[i]}", [float(k[i]) for k in known]) if len(known) > 1 else "",
            }
        )
    found: dict[str, Any] = {"classes": rows, "rounds": [r.round for r in rounds]}
    found["metrics"] = [("accuracy()", accuracy().on(seen.state, split)), ("mean recall", _mean(recall))]
    found["metrics"] += [("mean precision", _mean(np.where(now[1] > 0, precision, np.nan))), ("mean f1", _mean(f1))]
    if seen.kind == "class" and len(ids):
        found |= _confused(seen, ids, split)
    return found


def _confused(seen: Look, ids: npt.NDArray[np.int64], split: str) -> dict[str, Any]:
    """Return the matrix of label by prediction, and the largest confusions."""
    names = seen.dataset.schema.label.classes
    k = len(names)
    pairs = np.bincount(seen.dataset.view.label[ids].astype(np.int64) * k + seen.state.predicted[ids], minlength=k * k)
    table: Counts = pairs.reshape(k, k)
    wrong = table - np.diag(np.diag(table))
    shown = np.arange(k)
    if k > _MATRIX:
        most = np.argsort(-(wrong.sum(0) + wrong.sum(1)), kind="stable")[:_MATRIX]
        shown = np.sort(most)
    given = np.maximum(table.sum(1), 1)

    def href(i: int, j: int) -> str:
        return address("/records", seen.place, {"split": split, "label": names[i], "predicted": names[j]})

    body = [
        {
            "name": names[i],
            "cells": [
                {
                    "n": int(table[i, j]),
                    "href": href(i, j),
                    "shade": int(np.ceil(_SHADES * table[i, j] / given[i])),
                    "right": i == j,
                    "said": names[j],
                }
                for j in shown.tolist()
            ],
        }
        for i in shown.tolist()
    ]
    largest = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    return {
        "matrix": {"names": [names[i] for i in shown.tolist()], "rows": body, "of": k},
        "confusions": [
            {"label": names[i], "said": names[j], "n": int(wrong[i, j]), "href": href(i, j)}
            for i, j in (divmod(int(at), k) for at in largest)
            if wrong[i, j]
        ],
    }


def _at(seen: Look, one: Round, split: str) -> tuple[Any, ...]:
    return "tally", seen.branch, one.version, one.model, split


def _past(seen: Look, one: Round, split: str) -> tuple[tuple[Any, Any, Any], int]:
    """Return what `_tally` said in an earlier round; nothing where what that model said is gone."""
    outputs = Outputs(seen.dataset.path / "outputs" / one.model)
    k = len(seen.dataset.schema.label.classes)
    if not outputs.has("ids", "probabilities"):
        return (np.zeros(k), np.zeros(k), np.zeros(k)), 24 * k
    return _tally(State(seen.dataset.at(one.version), outputs), split), 24 * k


def _tally(state: State, split: str) -> tuple[Any, Any, Any]:
    """Return (right, labelled, predicted), float64[k] each."""
    ids = state.judged(split)
    return counts(state, ids)(np.ones(len(ids)))


def _rates(hits: Any, given: Any, said: Any) -> tuple[Any, Any, Any]:
    """Return (precision, recall, f1), float64[k] each; NaN where no label has the class."""
    with np.errstate(divide="ignore", invalid="ignore"):
        there = given > 0
        precision = np.where(there & (said > 0), hits / said, np.where(there, 0.0, np.nan))
        return precision, np.where(there, hits / given, np.nan), np.where(there, 2 * hits / (given + said), np.nan)


def _mean(rates: Any) -> float:
    return float(np.nanmean(rates)) if np.isfinite(rates).any() else float("nan")


ROUTES = (get("/model", model, role="reviewer"),)
