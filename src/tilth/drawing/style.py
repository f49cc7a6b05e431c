"""How a drawing looks: colours for light and dark, icons, and the style sheet that stands in every SVG."""

import base64
import hashlib
from collections.abc import Mapping

__all__ = ["ICONS", "MARKS", "STYLE", "STYLE_HASH"]

# Text on its ground has a contrast of 4.5 : 1 or more, lines and marks 3 : 1 (WCAG 2.2 AA), in light and in dark.
_COLOURS: Mapping[str, tuple[str, str]] = {
    "paper": ("#fbfcfa", "#141814"),
    "frame": ("#f1f5ee", "#1a201a"),
    "frame-line": ("#d6dfd0", "#323b31"),
    "card": ("#ffffff", "#212721"),
    "line": ("#c3ccbd", "#4a5548"),
    "ink": ("#1b231a", "#e9eee6"),
    "soft": ("#566152", "#a6b1a1"),
    "edge": ("#7b8776", "#869282"),
    "data": ("#2b6a99", "#7fbbe8"),
    "model": ("#6a4ca3", "#b9a2f2"),
    "rule": ("#2a7548", "#74c795"),
    "people": ("#a05200", "#f0b265"),
    "people-card": ("#fff7ea", "#2d2518"),
    "gate": ("#9a3b6b", "#eba0c8"),
    "running": ("#1f66d6", "#7fb0ff"),
    "waiting": ("#a05200", "#f0b265"),
    "back": ("#b3261e", "#ff9d92"),
}

_PERSON = "M8 8.3a3.1 3.1 0 1 0 0-6.2 3.1 3.1 0 0 0 0 6.2zM2.3 14.3c.5-2.7 2.7-4.2 5.7-4.2s5.2 1.5 5.7 4.2"
_TICK = "M2.5 8.5l3.5 3.5 7.5-8"
ICONS: Mapping[str, str] = {
    "dataset": "M2.5 4c0-1.4 2.5-2.3 5.5-2.3S13.5 2.6 13.5 4s-2.5 2.3-5.5 2.3S2.5 5.4 2.5 4z"
    "M2.5 4v8c0 1.4 2.5 2.3 5.5 2.3s5.5-.9 5.5-2.3V4M2.5 8c0 1.4 2.5 2.3 5.5 2.3S13.5 9.4 13.5 8",
    "train": "M13.8 8a5.8 5.8 0 1 1-1.9-4.3M12.3.9v3h-3M8 5v3l2 1.5",
    "model": "M8 1.8l6 3-6 3-6-3zM2 8l6 3 6-3M2 11.2l6 3 6-3",
    "evaluate": "M2 14.2h12M3.8 11.5V8M8 11.5V2.5M12.2 11.5V5.5",
    "until": "M3.5 14.5V1.8M3.5 2.5h8.5l-2 3 2 3H3.5",
    "done": _TICK,
    "labels": _TICK,
    "entry": "M8 14.2A6.2 6.2 0 1 0 8 1.8a6.2 6.2 0 0 0 0 12.4zM8 4.5V8l2.5 1.7",
    "tune": "M1.8 4.5h6M11.5 4.5h2.7M1.8 11.5h2.7M8.2 11.5h6M9.7 2.6v3.8M6.3 9.6v3.8",
    "rule": "M5 3.5L1.8 8 5 12.5M11 3.5L14.2 8 11 12.5M9.2 2.5l-2.4 11",
    "question": _PERSON,
    "votes": _PERSON,
    "gate": "M8 1.7v12.5M4.5 14.2h7M2.5 4h11M4 4L1.7 9.2h4.6zM12 4L9.7 9.2h4.6z",
    "panel": "M5.7 7.7a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM1.2 13.3c.3-2.4 2-3.7 4.5-3.7s4.2 1.3 4.5 3.7"
    "M10.5 3a2.3 2.3 0 0 1 0 4.5M12 9.9c1.6.5 2.6 1.7 2.8 3.4",
    "check": "M7 12.5A5.5 5.5 0 1 0 7 1.5a5.5 5.5 0 0 0 0 11zM11 11l3.5 3.5",
    "rules": "M5.5 3.5h9M5.5 8h9M5.5 12.5h9M1.5 3.5h.8M1.5 8h.8M1.5 12.5h.8",
}
"""Lines on a square of 16, drawn with a pen of 1.5."""

MARKS: Mapping[str, str] = {
    "running": "M-2.5-4l6 4-6 4z",
    "waiting": "M0-4V0l3 2",
    "skipped": "M-4 0h8",
    "rolled-back": "M-2-4.5l-2.5 2.5 2.5 2.5M-4.5-2h5a3 3 0 0 1 0 6h-2.5",
    "done": "M-4 .5l3 3 5-6.5",
    "failed": "M-3.5-3.5l7 7M3.5-3.5l-7 7",
}
"""One for each state, on a disc around (0, 0)."""

_OF_KIND: Mapping[str, str] = {
    "dataset": "data",
    "train": "model",
    "evaluate": "model",
    "tune": "model",
    "until": "soft",
    "check": "soft",
    "done": "rule",
    "labels": "rule",
    "entry": "soft",
    "rule": "rule",
    "question": "people",
    "votes": "people",
    "panel": "people",
    "rules": "soft",
    "model": "soft",
    "gate": "gate",
}
_SANS = '"Helvetica Neue",Helvetica,Arial,"Liberation Sans",sans-serif'
_MONO = 'ui-monospace,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace'


def _paint(what: str, name: str) -> str:
    """Return a declaration twice: readers that know no custom properties take the first."""
    return f"{what}:{_COLOURS[name][0]};{what}:var(--tilth-{name},{_COLOURS[name][0]})"


def _sheet() -> str:
    scope = ".tilth-drawing"
    both = ";".join(f"--tilth-{name}:light-dark({light},{dark})" for name, (light, dark) in _COLOURS.items())
    rules = [
        # light or dark as the page around it is; a file of its own follows the reader's choice
        f"@supports (color:light-dark(#000,#fff)){{{scope}{{{both}}}}}",
        f"{scope}:root{{color-scheme:light dark}}",
        f"{scope}{{max-width:100%;height:auto}}",
        f"{scope} text{{white-space:pre;{_paint('fill', 'ink')};font-family:{_SANS}}}",
        f"{scope} .paper{{{_paint('fill', 'paper')}}}",
        f"{scope} .code{{font-family:{_MONO}}}",
        f"{scope} .head,{scope} .title{{font-weight:bold}}",
        f"{scope} .word,{scope} .title,{scope} .label{{{_paint('fill', 'soft')}}}",
        f"{scope} .label{{text-anchor:middle;paint-order:stroke;stroke-width:5px;{_paint('stroke', 'paper')}}}",
        f"{scope} .label,{scope} .box{{stroke-linejoin:round}}",
        f"{scope} .inner .label{{{_paint('stroke', 'frame')}}}",
        f"{scope} .frame>.box{{{_paint('fill', 'frame')};{_paint('stroke', 'frame-line')}}}",
        f"{scope} .node>.box{{{_paint('fill', 'card')};{_paint('stroke', 'line')};stroke-width:1.2px}}",
        f"{scope} .question>.box,{scope} .votes>.box{{{_paint('fill', 'people-card')};{_paint('stroke', 'people')}}}",
        f"{scope} .icon{{fill:none;stroke-width:1.5px}}",
        f"{scope} .bar{{stroke:none}}",
        f"{scope} .edge path{{fill:none;stroke-width:1.5px;{_paint('stroke', 'edge')}}}",
        f"{scope} .edge .tip{{{_paint('fill', 'edge')};stroke:none}}",
        f"{scope} .data path{{stroke-dasharray:2 4;stroke-linecap:round;{_paint('stroke', 'model')}}}",
        f"{scope} .data .tip{{{_paint('fill', 'model')}}}",
        f"{scope} .data .label{{{_paint('fill', 'model')}}}",
        f"{scope} .undo path{{stroke-dasharray:5 4;{_paint('stroke', 'gate')}}}",
        f"{scope} .undo .tip{{{_paint('fill', 'gate')}}}",
        *(
            f"{scope} .{kind}>.icon{{{_paint('stroke', colour)}}}{scope} .{kind}>.bar{{{_paint('fill', colour)}}}"
            for kind, colour in _OF_KIND.items()
        ),
        *_states(scope),
    ]
    return "".join(rules)


def _states(scope: str) -> list[str]:
    """Return how states look, by an attribute alone, so that a page can change it while it is shown."""
    colours = {"running": "running", "waiting": "waiting", "skipped": "soft", "rolled-back": "back", "done": "rule"}
    colours |= {"failed": "back"}
    out = [
        f"{scope} .mark{{display:none}}",
        f"{scope} .mark circle{{{_paint('stroke', 'paper')};stroke-width:2px}}",
        f"{scope} .mark path{{fill:none;stroke-width:1.8px;{_paint('stroke', 'paper')}}}",
        f"{scope} .mark path,{scope} .icon{{stroke-linecap:round;stroke-linejoin:round}}",
        f"{scope} [data-state=skipped]>.box{{stroke-dasharray:5 4}}{scope} [data-state=skipped]>.bar{{display:none}}",
        f"{scope} [data-state=skipped]>text{{{_paint('fill', 'soft')}}}",
        f"{scope} [data-state=rolled-back]>.head{{text-decoration:line-through}}",
        f"{scope} [data-state=waiting]>.box{{stroke-dasharray:7 4}}",
        "@keyframes tilth-breathe{50%{stroke-width:5px}}",
        f"{scope} [data-state=running]>.box{{animation:tilth-breathe 1.6s ease-in-out infinite}}",
        f"@media (prefers-reduced-motion:reduce){{{scope} .box{{animation:none!important}}}}",
    ]
    for state, colour in colours.items():
        it = f"{scope} [data-state={state}]"
        if state not in ("skipped", "done"):
            out.append(f"{it}>.box{{stroke-width:2.5px;{_paint('stroke', colour)}}}")
        out.append(f"{it}>.mark.{state}{{display:inline}}{it}>.mark circle{{{_paint('fill', colour)}}}")
    return out


STYLE = _sheet()
"""Scoped to the drawing, so that a page or notebook around it keeps its own looks."""

STYLE_HASH = f"sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}"
"""What a Content-Security-Policy names to let a page show the style sheet."""
