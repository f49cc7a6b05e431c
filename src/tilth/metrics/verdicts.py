"""What the gates of a run said so far: a metric for conditions, and the account of looks at the valid split."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tilth.algebra import Metric, metric
from tilth.errors import UsageError
from tilth.signals.making import refined
from tilth.state import Round, State

__all__ = ["REJECTED", "looked", "rejected", "told"]

REJECTED = f"{__name__}:rejected"
"""Where the metric stands: a workflow looks whether the rule that it names is there."""


def _named(made: Metric) -> Metric:
    rule = made.args["rule"]
    if not isinstance(rule, str) or not rule:
        raise UsageError(f'rejected({rule!r}): the name of a rule, such as rejected("grow")')
    if not isinstance(made.args.get("in_a_row", False), bool):
        raise UsageError(f"{made!r}: in_a_row is True or False")
    return made


@refined(_named)
@metric(tasks=("class", "classes", "number"))
def rejected(state: State, rule: str, *, in_a_row: bool = False) -> float:
    """How many times the gate has rejected a rule's changes in this run, in the rounds that are finished.

    >>> rejected("grow") < 2
    rejected("grow") < 2

    `when=rejected("grow") < 2` gives a rule up after two failures. `in_a_row=True` counts since its changes were last
    kept; rounds in which it changed nothing do not matter. UsageError, when the workflow is made, where there is no
    such rule or no gate judges it.
    """
    verdicts = [bool(r.rules[rule]["kept"]) for r in state.rounds if "kept" in r.rules.get(rule, {})]
    if in_a_row and True in verdicts:
        verdicts = verdicts[len(verdicts) - verdicts[::-1].index(True) :]
    return float(verdicts.count(False))


def looked(rounds: Iterable[Round], now: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
    """Return (looks of this run's gates at the valid split so far, how many of them ended in a rejection).

    `now`: what the rules did in the round under way. Changes judged together are one look; the same data judged again
    tells nothing new and is none.
    """
    seen = [did for did in _verdicts(rounds, now) if not did.get("again")]
    # what was kept by a rule's own gate and then judged with its round bears the later verdict
    return max((did["looks"] for did in seen), default=0), len({did["looks"] for did in seen if not did["kept"]})


def told(verdict: Mapping[str, Any]) -> str:
    """Return a verdict in words: the metric without and with the changes, and what was asked of them.

    >>> told({"kept": True, "before": 0.81, "after": 0.83})
    'kept: 0.8100 → 0.8300'
    >>> told({"kept": False, "before": 0.81, "after": 0.8, "gain": -0.01, "margin": 0.004})
    'rejected: 0.8100 → 0.8000, needs +0.0040'
    >>> told({"kept": True, "before": 0.81, "after": 0.83, "confidence": 0.95, "bound": 0.002, "looks": 7})
    'kept: 0.8100 → 0.8300, surely +0.0020 (look 7 at valid)'
    >>> lost = {"metric": 'recall("rare")', "before": 0.9, "after": 0.85, "tolerance": 0.02, "held": False}
    >>> told({"kept": False, "enough": True, "before": 0.81, "after": 0.83, "protects": [lost]})
    'rejected: 0.8100 → 0.8300; recall("rare") fell by 0.0500, allowed 0.02'
    """
    text = f"{'kept' if verdict['kept'] else 'rejected'}: {_moved(verdict)}"
    sure = "confidence" in verdict
    if verdict["kept"]:
        text += f", surely {verdict['bound']:+.4f}" if sure else ""
    elif not verdict.get("enough", False):
        text += f", needs {verdict['margin']:+.4f}"
    for one in verdict.get("protects", ()):
        if not one["held"]:
            fell = one["before"] - one["after"]
            may = f"may have fallen by {-one['bound']:.4f}" if "bound" in one else f"fell by {fell:.4f}"
            told_of = f", judged by {one['records']:,} records" if "bound" in one else ""
            text += f"; {one['metric']} {may}, allowed {one['tolerance']:g}{told_of}"
    return text + (f" (look {verdict['looks']} at valid)" if sure else "")


def _moved(one: Mapping[str, Any]) -> str:
    return f"{one['before']:.4f} → {one['after']:.4f}"


def _verdicts(rounds: Iterable[Round], now: Mapping[str, Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for rules in (*(r.rules for r in rounds), now):
        yield from (did for did in rules.values() if "looks" in did)
