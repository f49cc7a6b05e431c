"""A pattern that makes records where the model is wrong for lack of examples."""

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from tilth.actions import synthesise
from tilth.algebra import Condition
from tilth.dataset import Dataset
from tilth.metrics import rounds
from tilth.patterns.common import Options, holds_out, labels_of, opened
from tilth.protocols import Generator, Model
from tilth.rules import Gate, Rule
from tilth.selectors import Wanted, wanted
from tilth.signals.making import count
from tilth.synthesis import agrees, apart
from tilth.workflow import Workflow

__all__ = ["synthetic_generation"]


def synthetic_generation(
    dataset: Dataset,
    model: Model,
    *,
    by: Generator | Callable[..., Any],
    batch: int = 100,
    where: Wanted | None = None,
    keep: Sequence[Any] | None = None,
    when: Condition | None = None,
    gate: Gate | None = None,
    until: Condition | None = None,
    **options: Unpack[Options],
) -> Workflow:
    """Make records where the model is wrong more often than elsewhere, keep those that hold up, train again.

    >>> from tilth.synthesis import Interpolation
    >>> from tilth.testing import toy
    >>> dataset, model = toy()
    >>> synthetic_generation(dataset, model, by=Interpolation(), batch=40).rules["grow"].select
    wanted(40, per="label", share="excess")

    `by`: a `Generator` such as `Interpolation()`, `Mixture()`, `Transforms([...])`, `ChatEndpoint(...)`, or a function.
    `where`: what is wanted, a `wanted(...)`; by default `batch` records a round, shared over the classes by how far the
    model's error out of fold is above that of all. `keep`: which of the made ones stay (default: those that the model
    gives the wanted label, and that are neither copies nor outliers). `gate`: default, not worse on valid. `until`: 3
    rounds. Made records are marked, linked to their parents, and never in valid or test. UsageError where nothing is
    labelled in train or valid.
    """
    opened("synthetic_generation", dataset)
    labels_of("synthetic_generation", dataset)
    holds_out("synthetic_generation", dataset, what="every batch")
    count("synthetic_generation(batch=...)", batch)
    plan = wanted(batch, per="label", share="excess") if where is None else where
    do = synthesise(by=by, keep=(agrees(), apart()) if keep is None else keep)
    grow = Rule(select=plan, do=do, when=when, gate=Gate(by=0.0) if gate is None else gate)
    return Workflow(
        dataset=dataset, model=model, rules={"grow": grow}, until=rounds() >= 3 if until is None else until, **options
    )
