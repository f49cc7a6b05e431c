"""Patterns that spend labels well: active learning, with or without a validation of what annotators say."""

from dataclasses import replace
from typing import Unpack

from tilth.actions import annotate, relabel
from tilth.algebra import Condition, Metric
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.labeling import Panel
from tilth.metrics import accuracy, gain, labeled_count, labels_spent, stability
from tilth.patterns.common import Options, opened, pool_of
from tilth.protocols import Annotator, Model
from tilth.rules import Rule
from tilth.selectors import Selector, answered, labeled, unlabeled
from tilth.signals import label_quality, margin
from tilth.signals.making import count
from tilth.workflow import Workflow

__all__ = ["active_learning", "plateau", "stable", "validated_active_learning"]


def plateau(metric: Metric | None = None, *, over: int = 3, by: float = 0.005) -> Condition:
    """Stop when a metric (accuracy) has risen by less than `by` within the last `over` rounds.

    >>> plateau()
    gain(accuracy(), over=3) < 0.005

    A small valid set moves by chance alone: `by` should be of the order of its standard error.
    """
    return gain(accuracy() if metric is None else metric, over=over) < by


def stable(at: float = 0.99, *, over: int = 3) -> Condition:
    """Stop when the model predicts what those of the last `over` rounds did (Cohen's kappa of `at` or more with each).

    >>> stable()
    ((stability() >= 0.99) & (stability(over=2) >= 0.99)) & (stability(over=3) >= 0.99)

    It needs no held-out labels. After Bloodgood and Vijay-Shanker 2009, see `stability`.
    """
    steady = stability() >= at
    for earlier in range(2, count("stable(over=...)", over) + 1):
        steady &= stability(over=earlier) >= at
    return steady


def active_learning(
    dataset: Dataset,
    model: Model,
    *,
    by: Annotator,
    budget: int,
    batch: int | None = None,
    start: int | None = None,
    select: Selector | None = None,
    stop: Condition | None = None,
    **options: Unpack[Options],
) -> Workflow:
    """Choose from the unlabelled pool what the model learns most from, annotate, append, train again.

    >>> from tilth import Oracle
    >>> from tilth.testing import toy
    >>> dataset, model = toy()
    >>> for name, rule in active_learning(dataset, model, by=Oracle("truth"), budget=200).rules.items():
    ...     print(name, rule.select)
    start unlabeled.typical(20, by="pixels")
    ask unlabeled.cluster_margin(20, by="pixels")

    `by`: who answers, an `Oracle`, a `Team`, or a `Panel`. `budget`: answers in all, to the end of the round in which
    they are spent; `batch` a round (a tenth of the budget). `start`: labels before a model is asked (one batch, at
    least two a class): typical records by cluster of a vector column, drawn at random where there is none. `select`:
    which then; by default the least sure by cluster (`cluster_margin`) of the model's embeddings, or of a vector column
    where it gives none; without either the least sure, `unlabeled.top(batch, by=margin())`, which is the one to give
    where the pool may hold junk. `stop`: ends it before the budget is spent, such as `plateau()` or `stable()`.
    UsageError where the pool is empty.
    """
    return _asking("active_learning", dataset, model, by, budget, batch, start, select, stop, options)


def validated_active_learning(
    dataset: Dataset,
    model: Model,
    *,
    by: Panel,
    budget: int,
    batch: int | None = None,
    start: int | None = None,
    select: Selector | None = None,
    stop: Condition | None = None,
    recheck: int | None = None,
    **options: Unpack[Options],
) -> Workflow:
    """Active learning in which annotations are validated, by a sub-workflow of questions, before the training resumes.

    >>> from tilth import Oracle, Panel, disagrees_with_model
    >>> from tilth.testing import toy
    >>> dataset, model = toy()
    >>> crowd = Oracle("truth", error=0.2, name="ann"), Oracle("truth", error=0.2, name="ben", seed=1)
    >>> panel = Panel(crowd, check=disagrees_with_model(), disputed_by=Oracle("truth", name="expert"))
    >>> list(validated_active_learning(dataset, model, by=panel, budget=200).rules)
    ['start', 'ask', 'recheck']

    `by`: the `Panel` says how: votes, a check against the model that sends a record to a second annotator, an expert
    for what stays disputed, gold questions, a budget of its own. The same panel looks again at `recheck` labels a round
    (half a batch; 0 = none) that came with the data and that the probe doubts. The rest as for `active_learning`.
    """
    if not isinstance(by, Panel):
        raise UsageError(
            f"validated_active_learning(by={by!r}): a Panel, which says how answers are validated, such as "
            "Panel(team, check=disagrees_with_model(), disputed_by=expert); to believe every answer is active_learning"
        )
    flow = _asking("validated_active_learning", dataset, model, by, budget, batch, start, select, stop, options)
    many = _batch("validated_active_learning", budget, batch) // 2 if recheck is None else recheck
    if not many or dataset.schema.label.kind != "class":
        return flow
    count("validated_active_learning(recheck=...)", many)
    doubted = (labeled & ~answered).where(label_quality() < 0.5).bottom(many, by=label_quality())
    again = Rule(when=labeled_count() >= 1, select=doubted, do=relabel(by=by))
    return Workflow(dataset=dataset, model=model, rules={**flow.rules, "recheck": again}, until=flow.until, **options)


def _asking(
    pattern: str,
    dataset: Dataset,
    model: Model,
    by: Annotator | Panel,
    budget: int,
    batch: int | None,
    start: int | None,
    select: Selector | None,
    stop: Condition | None,
    options: Options,
) -> Workflow:
    opened(pattern, dataset)
    pool_of(pattern, dataset)
    many = _batch(pattern, budget, batch)
    first = max(many, 2 * len(dataset.schema.label.classes)) if start is None else count(f"{pattern}(start=...)", start)
    if select is not None and not isinstance(select, Selector):
        raise UsageError(f"{pattern}(select={select!r}): a selector, such as unlabeled.top(100, by=margin())")
    near = _vectors(dataset)
    if "embeddings" in model.gives:
        unsure = unlabeled.cluster_margin(many)
    elif near is not None:
        unsure = unlabeled.cluster_margin(many, by=near)
    else:
        unsure = unlabeled.top(many, by=margin())
    # before there is a model, no answer can be checked against it
    unchecked = replace(by, check=None) if isinstance(by, Panel) else by
    spent = labels_spent() >= budget
    return Workflow(
        dataset=dataset,
        model=model,
        rules={
            "start": Rule(when=labeled_count() < first, select=_typical(dataset, first), do=annotate(by=unchecked)),
            "ask": Rule(when=labeled_count() >= first, select=unsure if select is None else select, do=annotate(by=by)),
        },
        until=spent if stop is None else spent | stop,
        **options,
    )


def _batch(pattern: str, budget: int, batch: int | None) -> int:
    whole = count(f"{pattern}(budget=...)", budget)
    return max(1, whole // 10) if batch is None else count(f"{pattern}(batch=...)", batch)


def _typical(dataset: Dataset, k: int) -> Selector:
    """Return what is asked first: typical records where a column says how near they are to each other."""
    near = _vectors(dataset)
    return unlabeled.sample(k) if near is None else unlabeled.typical(k, by=near)


def _vectors(dataset: Dataset) -> str | None:
    """Return the first column of vectors that a model may see."""
    return next((c.name for c in dataset.schema.columns if c.kind == "vector" and not c.hidden), None)
