"""The three loops that everything else is made of: tune the model, change the data, which records and what to do."""

from collections.abc import Mapping
from typing import Any, Unpack

from tilth.actions import Action
from tilth.algebra import Condition, Quantity
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.metrics import accuracy, rmse, rounds
from tilth.patterns.common import Options, holds_out, labels_of, opened
from tilth.protocols import Model, Tuner
from tilth.rules import Gate, Rule
from tilth.selectors import Selector
from tilth.signals.making import count
from tilth.tuning import Tune
from tilth.workflow import Workflow

__all__ = ["data_centric", "dataprepops", "model_centric"]


def model_centric(
    dataset: Dataset,
    model: Model,
    *,
    tune: Tuner,
    trials: int = 50,
    improves: Quantity | None = None,
    until: Condition | None = None,
    **options: Unpack[Options],
) -> Workflow:
    """Train, validate, tune the model, until satisfied; the data stand still: the honest other arm of a comparison.

    >>> from tilth.testing import toy
    >>> from tilth.integrations.optuna import OptunaSearch, example
    >>> dataset, model = toy()
    >>> model_centric(dataset, model, tune=OptunaSearch(example), trials=20).rules
    {}

    `model` is tried first, so the outcome is never below it on valid; then `trials` - 1 more, each suggested by `tune`
    in the light of those before. `improves`: the metric to raise (accuracy, for numbers `-rmse()`). `until` ends it
    earlier. The dataset has the same digest before and after. It is not data-centric: nothing changes the data.
    UsageError where nothing is labelled in train or valid.
    """
    opened("model_centric", dataset)
    labels_of("model_centric", dataset)
    holds_out("model_centric", dataset, what="a model")
    number = dataset.schema.label.kind == "number"
    aim = improves if improves is not None else -rmse() if number else accuracy()
    enough = rounds() >= count("model_centric(trials=...)", trials) - 1
    return Workflow(
        dataset=dataset,
        model=model,
        rules={},
        until=enough if until is None else until | enough,
        tune=Tune(tune, aim),
        **options,
    )


def data_centric(
    dataset: Dataset,
    model: Model,
    *,
    rules: Mapping[str, Rule],
    until: Condition | None = None,
    **options: Unpack[Options],
) -> Workflow:
    """Train, assess, change the data, again; the model stands still.

    >>> from tilth import Rule, label_quality, labeled, relabel
    >>> from tilth.testing import toy
    >>> dataset, model = toy()
    >>> doubtful = labeled.where(label_quality() < 0.2)
    >>> data_centric(dataset, model, rules={"fix": Rule(select=doubtful, do=relabel(by="probe"))}).until
    rounds() >= 10

    `rules`: what is done in every round, in order, one version each. `until`: when to stop (10 rounds). UsageError
    where there is no rule: then nothing would change the data.
    """
    opened("data_centric", dataset)
    if not rules:
        raise UsageError(
            'data_centric(rules={}): at least one rule, such as {"fix": Rule(select=..., do=...)}; without any, '
            "nothing changes the data"
        )
    return Workflow(
        dataset=dataset, model=model, rules=rules, until=rounds() >= 10 if until is None else until, **options
    )


def dataprepops(
    dataset: Dataset,
    model: Model,
    *,
    which: Selector | Any,
    what: Action,
    when: Condition | None = None,
    gate: Gate | None = None,
    until: Condition | None = None,
    **options: Unpack[Options],
) -> Workflow:
    """Decide which records, then what to do with them, train again: the general form, any `which` with any `what`.

    >>> from tilth import augment, recall, records, Record
    >>> from tilth.testing import toy
    >>> def brighter(record: Record) -> Record:
    ...     return record.change(pixels=record["pixels"] * 1.1)
    >>> dataset, model = toy()
    >>> flow = dataprepops(
    ...     dataset, model, when=recall("8") < 0.9, which=records.where(label="8"), what=augment(brighter)
    ... )
    >>> flow.rules
    {'augment': Rule(when=recall("8") < 0.9, select=records.where(label="8"), do=augment(brighter))}

    `which`: a selector, or a specification of records that do not exist yet. `what`: select from the pool and
    `annotate`, `collect`, `synthesise`, `remove`, `augment`, `modify`, `relabel`, `reweight`. `when`: in which rounds;
    `gate`: keep it only if it helped. `until`: when to stop (5 rounds). The rule has the action's name.
    """
    opened("dataprepops", dataset)
    if not isinstance(what, Action):
        raise UsageError(f"dataprepops(what={what!r}): an action, such as remove() or annotate(by=...)")
    rule = Rule(select=which, do=what, when=when, gate=gate)
    name = repr(what).partition("(")[0]
    return Workflow(
        dataset=dataset, model=model, rules={name: rule}, until=rounds() >= 5 if until is None else until, **options
    )
