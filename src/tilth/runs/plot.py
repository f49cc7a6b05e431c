"""A run as a picture: a metric over labels spent and over rounds, versions and what the rules changed marked."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tilth.errors import MissingExtra, NotFound, did_you_mean
from tilth.state import Round

__all__ = ["plot"]

VALID, TEST = "#0f4c81", "#d1742c"
RULES = ("#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6bb1", "#555555")
"""Colours that people who confuse red and green tell apart (Okabe and Ito 2008)."""


def plot(rounds: Sequence[Round], title: str, metric: str | None = None) -> Any:
    """Return a matplotlib Figure: a metric over labels spent and over rounds, on valid and on test.

    The lanes below have a mark for each round in which a rule changed something, the larger the more records: filled
    where it was kept, hollow where the gate rejected it. `metric` is the text of a reported metric, such as
    "accuracy()"; the first one if left out. Without any label spent, the first panel counts changed records
    instead. Works without a display and leaves matplotlib's global state alone. Raises MissingExtra without matplotlib,
    NotFound for an unknown metric or a run without an evaluated round.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator
    except ImportError as why:
        raise MissingExtra("run.plot()", "matplotlib", extra="plot") from why

    class Picture(Figure):
        """A figure that a notebook shows though pyplot never heard of it."""

        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    if not rounds:
        raise NotFound(f"no evaluated round yet in {title}, so there is nothing to draw; go on with `tilth run`")
    name = _metric(rounds, metric)
    rules = list(dict.fromkeys(rule for r in rounds for rule in r.rules))
    spent = np.array([r.labels_spent for r in rounds], float)
    changed = np.cumsum([0.0, *(sum(_kept(d) for d in r.rules.values()) for r in rounds[:-1])])
    sides = (
        (spent, "labels spent") if spent.any() else (changed, "records changed (no label was spent)"),
        (np.array([r.round for r in rounds], float), "round"),
    )
    figure = Picture(figsize=(11, 4.2 + 0.28 * len(rules)), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(
        2,
        2,
        sharex="col",
        sharey="row",
        height_ratios=(10, max(0.9 * len(rules), 0.5)),
        gridspec_kw={"hspace": 0.04, "wspace": 0.04},
        squeeze=False,
    )
    for column, (x, label) in enumerate(sides):
        top, lanes = axes[0, column], axes[1, column]
        _lines(top, rounds, x, name)
        _lanes(lanes, rounds, x, rules)
        lanes.set_xlabel(label)
        margin = max(0.08 * float(np.ptp(x)), 0.5) if np.ptp(x) else 1.0
        beyond = 0.6 * _step(x) if any(did.get("n") for did in rounds[-1].rules.values()) else 0.0
        top.set_xlim(float(x.min()) - margin, float(x.max()) + max(margin, beyond))
        lanes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes[0, 0].set_ylabel(name, parse_math=False)
    marks = [
        Line2D([], [], color=VALID, marker="o", markersize=4, label="valid"),
        Line2D([], [], color=TEST, linestyle=(0, (4, 2)), marker="s", markersize=3, label="test"),
        Line2D([], [], color="#555555", marker="o", linestyle="", label="kept"),
        Line2D([], [], color="#555555", marker="o", linestyle="", markerfacecolor="white", label="rejected"),
    ]
    figure.legend(handles=marks if rules else marks[:2], loc="outside upper right", ncols=4, frameon=False)
    figure.suptitle(title if len(title) <= 90 else f"{title[:89]}…", x=0.01, ha="left", fontsize=11, parse_math=False)
    return figure


def _metric(rounds: Sequence[Round], wanted: Any) -> str:
    known = list(dict.fromkeys([*rounds[-1].test, *rounds[-1].metrics]))
    name = known[0] if wanted is None else wanted if isinstance(wanted, str) else repr(wanted)
    if name not in known:
        raise NotFound(
            f"no metric {name!r} in this run. {did_you_mean(name, known)} Name others in Workflow(report=...)"
        )
    return name


def _kept(did: Any) -> int:
    return int(did.get("n", 0)) if did.get("kept", True) else 0


def _lines(axis: Any, rounds: Sequence[Round], x: Any, name: str) -> None:
    valid = np.array([r.metrics.get(name, np.nan) for r in rounds], float)
    test = np.array([r.test.get(name, np.nan) for r in rounds], float)
    axis.plot(x, test, color=TEST, linestyle=(0, (4, 2)), marker="s", markersize=3, linewidth=1.3)
    axis.plot(x, valid, color=VALID, marker="o", markersize=4, linewidth=1.8)
    axis.grid(visible=True, color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelbottom=False)
    axis.ticklabel_format(axis="y", useOffset=False)
    both = np.concatenate([valid, test])
    both = both[np.isfinite(both)]
    if len(both):
        room = max(0.15 * float(np.ptp(both)), 0.01 * float(np.abs(both).max()), 1e-6)
        axis.set_ylim(float(both.min()) - room, float(both.max()) + 1.6 * room)
    steep = 0.04 * max(float(np.ptp(both)), 1e-9) if len(both) else 0.0
    for i in _apart(x):
        if not np.isfinite(valid[i]):
            continue
        rise = valid[i + 1] - valid[i] if i + 1 < len(valid) and np.isfinite(valid[i + 1]) else 0.0
        # on the side where the test line is not, and beside the line where it climbs or falls
        up = not valid[i] < test[i]
        across = 0 if abs(rise) <= steep else -8 if up == (rise > 0) else 8
        axis.annotate(
            f"v{rounds[i].version}",
            (x[i], valid[i]),
            xytext=(across, 7 if up else -7),
            textcoords="offset points",
            ha={0: "center", 8: "left", -8: "right"}[across],
            va="bottom" if up else "top",
            fontsize=8,
            color=VALID,
        )


def _step(x: Any) -> float:
    """Return the mean distance of neighbouring rounds."""
    return float(x[-1] - x[0]) / max(len(x) - 1, 1) or 1.0


def _apart(x: Any, share: float = 0.075) -> list[int]:
    """Return positions, the last one for certain, that are far enough apart for a text at each."""
    least = max(float(np.ptp(x)), 1e-9) * share
    chosen = [len(x) - 1]
    for i in range(len(x) - 2, -1, -1):
        if abs(x[chosen[-1]] - x[i]) >= least:
            chosen.append(i)
    return chosen[::-1]


def _lanes(axis: Any, rounds: Sequence[Round], x: Any, rules: list[str]) -> None:
    """Draw a lane a rule: a change stands between the round that made it and the one that it bore fruit in."""
    step = _step(x)
    for lane, rule in enumerate(rules):
        colour = RULES[lane % len(RULES)]
        for i, r in enumerate(rounds):
            did = r.rules.get(rule, {})
            if not did.get("n"):
                continue
            place = (x[i] + x[i + 1]) / 2 if i + 1 < len(x) else x[i] + step / 2
            axis.scatter(
                place,
                lane,
                s=(18 + 14 * np.log10(did["n"])) * min(1.0, 25 / len(rounds)),
                facecolors=colour if did.get("kept", True) else "white",
                edgecolors=colour,
                linewidths=1.3,
                zorder=3,
            )
    axis.set_yticks(range(len(rules)), [rule if len(rule) <= 14 else f"{rule[:13]}…" for rule in rules])
    for text in axis.get_yticklabels():
        text.set_parse_math(False)
    axis.set_ylim(len(rules) - 0.4, -0.6)
    axis.hlines(range(len(rules)), 0, 1, transform=axis.get_yaxis_transform(), color="#e6e6e6", linewidth=0.8)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
