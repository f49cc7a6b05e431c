"""The demo's picture and its report, one HTML file that opens offline."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from tilth.demo.result import ARMS, Seed, interval, shown, verdict
from tilth.drawing import Drawing
from tilth.errors import MissingExtra
from tilth.runs import Run

__all__ = ["write_page", "write_picture"]

_COLOURS = {
    "start": "#7b8077",
    "model": "#b5651d",
    "random": "#8b6bb1",
    "data": "#2e7d4f",
    "both": "#1f5f99",
} | dict.fromkeys(("ceiling", "clean tuned"), "#3d413a")

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tilth demo: work on the data, or on the model?</title>
<style>
:root { color-scheme: light dark; --line: light-dark(#d5d9d0, #3b4038); --soft: light-dark(#f4f6f1, #22261f); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
img { max-width: 100%; background: #fff; border-radius: 6px; } code { background: var(--soft); padding: .1rem .3rem;
border-radius: 4px; } </style></head><body>
<h1>Work on the data, or on the model?</h1>
<p>{{ intro }}</p>
<ul>{% for sentence in verdict %}<li>{{ sentence }}</li>{% endfor %}</ul>
<img src="data:image/png;base64,{{ picture }}" alt="Test accuracy of each arm over the seeds, and arm A's learning
curve"> <h2>The arms</h2>
<table><tr><th>arm</th><th class="n">test accuracy</th>{% for s in seeds %}<th class="n">seed {{
s.seed }}</th>{% endfor %}</tr> {% for arm in arms %}<tr><td>{{ arm.what }}</td><td class="n">{{
arm.mean }}</td> {% for score in arm.scores %}<td class="n">{{ score }}</td>{% endfor %}</tr>{% endfor %}</table>
<h2>Arm A</h2>
{{ loop | safe }}
<h2>Arm A, round by round</h2>
{% for run in runs %}<h3>seed {{ run.seed }}</h3>
<table><tr><th class="n">round</th><th class="n">version</th><th class="n">labels paid</th><th class="n">valid</th><th
class="n">test</th><th>rules</th></tr> {% for r in run.rounds %}<tr><td class="n">{{ r.round }}</td><td class="n">{{
r.version }}</td><td class="n">{{ r.labels }}</td> <td class="n">{{ r.valid }}</td><td class="n">{{ r.test }}</td><td>{{
r.rules }}</td></tr>{% endfor %}</table> <p>{{ run.why }}</p>{% endfor %}
<h2>What tuning found</h2>
<table><tr><th class="n">seed</th><th>data</th><th>winner</th><th class="n">models tried</th><th class="n">valid</th><th
class="n">test</th></tr> {% for t in tuned %}<tr><td class="n">{{ t.seed }}</td><td>{{ t.arm }}</td><td>{{ t.winner
}}</td><td class="n">{{ t.trials }}</td> <td class="n">{{ t.valid }}</td><td class="n">{{ t.test }}</td></tr>{% endfor
%}</table> </body></html>
"""


def write_picture(path: Path, done: Sequence[Seed], runs: Sequence[Run]) -> None:
    """Draw the arms beside each other, every seed a dot, and arm A's learning curves."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as why:
        raise MissingExtra("the demo's picture", "matplotlib", extra="demo") from why
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    names = list(ARMS)[::-1]
    for row, arm in enumerate(names):
        scores = [s.scores[arm] for s in done]
        mean, half = interval(scores)
        left.plot(scores, [row] * len(scores), "o", ms=4, color=_COLOURS[arm], alpha=0.35, mew=0)
        left.errorbar(
            mean, row, xerr=half if np.isfinite(half) else 0, fmt="o", ms=7, color=_COLOURS[arm], capsize=3, lw=1.6
        )
        left.text(1.02, row, f"{mean:.3f}", transform=left.get_yaxis_transform(), va="center", fontsize=9)
    left.set_yticks(range(len(names)), [ARMS[a] for a in names], fontsize=9)
    left.set_ylim(-0.6, len(names) - 0.4)
    left.grid(axis="x", alpha=0.25)
    left.set_xlabel(f"test accuracy: mean, 95 % interval, each of {len(done)} seeds")
    for k, run in enumerate(runs):
        rounds = run.rounds
        spent = [r.labels_spent for r in rounds]
        right.plot(
            spent,
            [next(iter(r.test.values())) for r in rounds],
            "-o",
            ms=3,
            lw=1.4,
            color="#2e7d4f",
            alpha=0.9 if k == 0 else 0.35,
        )
    for arm, said in (("ceiling", "all labels true, same model"), ("model", "B: only the model tuned")):
        level = float(np.mean([s.scores[arm] for s in done]))
        right.axhline(level, color=_COLOURS[arm], ls="--", lw=1)
        where = right.get_yaxis_transform()
        right.text(0.99, level, said, transform=where, ha="right", va="bottom", fontsize=8, color=_COLOURS[arm])
    right.set_xlabel("labels paid for by arm A")
    right.set_ylabel("test accuracy of arm A")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(str(path), dpi=150)


def write_page(path: Path, picture: Path, done: Sequence[Seed], runs: Sequence[Run], intro: str, loop: Drawing) -> None:
    """Write the report; every text is escaped, by the template or by the drawing."""
    arms = [
        {
            "what": what,
            "mean": shown([s.scores[arm] for s in done]),
            "scores": [f"{s.scores[arm]:.3f}" for s in done],
        }
        for arm, what in ARMS.items()
    ]
    told = [
        {"seed": s.seed, "why": run.why, "rounds": [_round(r) for r in run.rounds]}
        for s, run in zip(done, runs, strict=True)
    ]
    tuned = [
        {
            "seed": s.seed,
            "arm": ARMS[arm],
            "winner": t.winner,
            "trials": t.trials,
            "valid": f"{t.valid:.3f}",
            "test": f"{t.test:.3f}",
        }
        for s in done
        for arm, t in s.tuned.items()
    ]
    image = base64.b64encode(picture.read_bytes()).decode()
    page = Environment(autoescape=True).from_string(_PAGE)
    path.write_text(
        page.render(
            intro=intro,
            verdict=verdict(done),
            picture=image,
            arms=arms,
            seeds=done,
            loop=loop.svg,
            runs=told,
            tuned=tuned,
        ),
        encoding="utf-8",
    )


def _round(r: Any) -> dict[str, Any]:
    did = [f"{name}: {d['n']}{'' if d.get('kept', True) else ' (rejected)'}" for name, d in r.rules.items()]
    valid, test = next(iter(r.metrics.values())), next(iter(r.test.values()))
    return {
        "round": r.round,
        "version": r.version,
        "labels": r.labels_spent,
        "valid": f"{valid:.3f}",
        "test": f"{test:.3f}",
        "rules": ", ".join(did),
    }
