"""Patterns that put right what is there: wrong labels, twins, outliers, imbalance, records that do harm."""

from typing import Unpack

from tilth.actions import relabel, remove, reweight
from tilth.algebra import Condition
from tilth.dataset import Dataset
from tilth.errors import UsageError
from tilth.labeling import Panel
from tilth.metrics import rounds
from tilth.patterns.common import Options, holds_out, labels_of, opened, share_of
from tilth.protocols import Annotator, Model
from tilth.rules import Gate, Rule
from tilth.selectors import answered, labeled, records
from tilth.signals import duplicate, label_issue, label_quality, outlier, rarity, shapley
from tilth.workflow import Workflow

__all__ = ["cleaning", "curation"]


def cleaning(
    dataset: Dataset,
    model: Model,
    *,
    by: Annotator | Panel | str = "probe",
    below: float | None = 0.3,
    batch: float | int = 0.1,
    gate: Gate | None = None,
    until: Condition | None = None,
    **options: Unpack[Options],
) -> Workflow:
    """Find labels that are probably wrong by a more robust model, put them right, keep it only if it helped.

    >>> from tilth.testing import toy
    >>> dataset, model = toy()
    >>> cleaning(dataset, model, batch=50).rules["fix"].select
    (labeled & (~answered)).where((label_issue() > 0) | (label_quality() < 0.3)).bottom(50, by=label_quality())

    `by="probe"` sets what the probe finds most probable, `"model"` what the model itself does out of fold: the
    better judge where it is robust and knows more than the probe, as on text. An annotator, a `Team` or a `Panel`
    is asked about what the probe doubts, and their answers stay whatever the gate says. Doubted are as many labels
    as confident learning estimates to be wrong (`label_issue`), and those of a `label_quality` under `below` (None:
    no others). Neither alone fits all: a cautious probe is never sure (of CIFAR-10N's 40 % wrong labels 0.3 reaches
    4 %, the estimate 67 %), and where most wrong labels are put right the estimate stops too soon (digits: .94
    beside .95). `batch`: how many labels a round, or which share of them (the lowest first). `gate`: default, not
    worse on valid. `until`: when to stop (10 rounds, or when nothing is doubted any more). UsageError where nothing
    is labelled in train or valid, or where labels are not one class each.
    """
    opened("cleaning", dataset)
    if dataset.schema.label.kind != "class":
        raise UsageError(f"cleaning: labels of one class are judged; those of {dataset.name!r} are of another kind")
    held = labels_of("cleaning", dataset)
    holds_out("cleaning", dataset, what="every change")
    if below is not None and not 0 < below <= 1:
        raise UsageError(f"cleaning(below={below!r}): a probability above 0 and up to 1")
    many = share_of("cleaning(batch=...)", batch, held)
    people = not isinstance(by, str)
    proof = gate if gate is not None else Gate(by=0.0, rejected="hold") if people else Gate(by=0.0)
    # what a person has said of a label settles it: asking again would only take the place of others
    quality, issue = label_quality(), label_issue()
    if by == "model":  # who puts a label right is who doubts it
        quality, issue = label_quality(by="model"), label_issue(by="model")
    suspected = (labeled & ~answered).where(issue > 0 if below is None else (issue > 0) | (quality < below))
    return Workflow(
        dataset=dataset,
        model=model,
        rules={"fix": Rule(select=suspected.bottom(many, by=quality), do=relabel(by=by), gate=proof)},
        until=rounds() >= 10 if until is None else until,
        **options,
    )


def curation(
    dataset: Dataset,
    model: Model,
    *,
    duplicates: float | None = 0.99,
    outliers: float | int | None = 0.01,
    low_value: float | int | None = 0.01,
    balance: bool = True,
    gate: Gate | None = None,
    until: Condition | None = None,
    **options: Unpack[Options],
) -> Workflow:
    """Take out twins, outliers and records that do harm, and weigh rare classes up; each only if it helped.

    >>> from tilth.testing import toy
    >>> dataset, model = toy()
    >>> list(curation(dataset, model).rules)
    ['weed', 'trim', 'drop', 'weigh']

    `duplicates`: the cosine similarity from which records are twins, of which the first stays. `outliers`: how many
    records a round, or which share, those farthest from their neighbours first. `low_value`: the same of those with the
    lowest Shapley value, where it is below 0. `balance`: a record weighs the more the rarer its class. None
    or False leaves a step out. Every step has a gate of its own: default, not worse on valid. `until`: 3 rounds.
    UsageError where nothing is labelled, or every step is left out.
    """
    opened("curation", dataset)
    held = labels_of("curation", dataset)
    holds_out("curation", dataset, what="every change")
    kind = dataset.schema.label.kind
    proof = gate if gate is not None else Gate(by=0.0)
    rules: dict[str, Rule] = {}
    if duplicates is not None:
        rules["weed"] = Rule(select=records.where(duplicate(threshold=duplicates) > 0), do=remove(), gate=proof)
    if outliers is not None:
        many = share_of("curation(outliers=...)", outliers, held)
        rules["trim"] = Rule(select=labeled.top(many, by=outlier()), do=remove(), gate=proof)
    if low_value is not None and kind == "class":
        many = share_of("curation(low_value=...)", low_value, held)
        rules["drop"] = Rule(select=labeled.where(shapley() < 0).bottom(many, by=shapley()), do=remove(), gate=proof)
    if balance and kind == "class":
        rules["weigh"] = Rule(
            select=labeled, do=reweight(1 / (len(dataset.schema.label.classes) * (1 - rarity()))), gate=proof
        )
    if not rules:
        raise UsageError("curation(...): every step is left out; leave at least one in")
    return Workflow(
        dataset=dataset, model=model, rules=rules, until=rounds() >= 3 if until is None else until, **options
    )
