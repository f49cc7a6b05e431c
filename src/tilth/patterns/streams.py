"""Patterns for data that keep coming: watch them, and train again or repair when they have changed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

from tilth.actions import annotate, ingest, remove
from tilth.algebra import Condition
from tilth.dataset import Dataset
from tilth.metrics import drift, labeled_count, rounds
from tilth.patterns.common import Basics, labels_of, opened
from tilth.protocols import Annotator, Model, Source
from tilth.rules import Rule
from tilth.selectors import labeled, unlabeled
from tilth.signals import age, moved
from tilth.signals.making import count
from tilth.workflow import Workflow

__all__ = ["drift_repair", "observability"]


def observability(
    dataset: Dataset,
    model: Model,
    *,
    source: Source,
    every: str = "1h",
    trigger: Condition | None = None,
    window: int | None = None,
    label: str | None = None,
    by: Annotator | None = None,
    budget: int = 100,
    ingesting: Mapping[str, Any] | None = None,
    until: Condition | None = None,
    **options: Unpack[Basics],
) -> Workflow:
    """Watch an incoming stream, and train again on all there is when it has drifted.

    >>> from tilth.sources import GrowingCsv
    >>> from tilth.testing import toy
    >>> dataset, model = toy()
    >>> flow = observability(dataset, model, source=GrowingCsv("scans.csv"), label="digit", window=500)
    >>> flow.trigger
    drift(window=500) < 0.01

    `every` so often what is new comes in, each record once, and the trigger is looked at: default, `drift()` of the
    last `window` records below 0.01, against what the model was trained on. `label`: the column of labels, where they
    come with the stream; else `by` is asked about `budget` of the new records, drawn at random, before training.
    `ingesting`: more arguments for `ingest`. `until`: 1 round. By the article it is a borderline case: the data are
    changed as one object. How false alarms add up over many looks is told in the guide to streams. UsageError where
    nothing is labelled yet.
    """
    flow = _watched("observability", dataset, model, source, every, trigger, window, label, ingesting, until, options)
    if by is None:
        return flow
    ask = Rule(select=unlabeled.sample(count("observability(budget=...)", budget)), do=annotate(by=by))
    return replace(flow, rules={**flow.rules, "ask": ask})


def drift_repair(
    dataset: Dataset,
    model: Model,
    *,
    source: Source,
    by: Annotator,
    budget: int = 100,
    every: str = "1h",
    trigger: Condition | None = None,
    window: int | None = None,
    ingesting: Mapping[str, Any] | None = None,
    until: Condition | None = None,
    **options: Unpack[Basics],
) -> Workflow:
    """Watch a stream, and when it has drifted label only the records that moved, and let the oldest go.

    >>> from tilth import Team
    >>> from tilth.sources import GrowingCsv
    >>> from tilth.testing import toy
    >>> dataset, model = toy()
    >>> list(drift_repair(dataset, model, source=GrowingCsv("scans.csv"), by=Team("lab"), budget=50).rules)
    ['arrive', 'ask', 'forget']

    The record-level sibling of `observability`: of what came in, the `budget` records that are least like what the
    model was trained on are asked about, and as many of the oldest labelled ones are taken out. Measured on three
    streams it was nowhere better than asking at random and training on the newest (see the guide to streams): use it
    where what is new is mixed with much that is not. The rest as for `observability`.
    """
    flow = _watched("drift_repair", dataset, model, source, every, trigger, window, None, ingesting, until, options)
    many = count("drift_repair(budget=...)", budget)
    held = labels_of("drift_repair", dataset)
    ask = Rule(select=unlabeled.top(many, by=moved(window=window)), do=annotate(by=by))
    forget = Rule(when=labeled_count() > held, select=labeled.top(many, by=age()), do=remove())
    return replace(flow, rules={**flow.rules, "ask": ask, "forget": forget})


def _watched(
    pattern: str,
    dataset: Dataset,
    model: Model,
    source: Source,
    every: str,
    trigger: Condition | None,
    window: int | None,
    label: str | None,
    ingesting: Mapping[str, Any] | None,
    until: Condition | None,
    options: Basics,
) -> Workflow:
    opened(pattern, dataset)
    labels_of(pattern, dataset)
    return Workflow(
        dataset=dataset,
        model=model,
        rules={"arrive": Rule(do=ingest(source, label=label, **(ingesting or {})))},
        every=every,
        trigger=drift(window=window) < 0.01 if trigger is None else trigger,
        until=rounds() >= 1 if until is None else until,
        **options,
    )
