"""Steps that narrow a selector down: by conditions, by rank, by chance, so many of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from tilth.algebra import Condition, Quantity
from tilth.errors import UsageError
from tilth.protocols import Annotator
from tilth.selectors.checks import per_record, quotas, ranking, values
from tilth.selectors.picking import picker
from tilth.selectors.steps import First, Per, Quota, Sample, Step, Top, Where
from tilth.signals.making import count

__all__ = ["Narrowing"]


class Narrowing(ABC):
    """What can be written behind a selector in order to keep fewer records."""

    @abstractmethod
    def then(self, step: Step) -> Self:
        """Return this selector with one more step."""

    def where(self, *conditions: Condition, **equals: Any) -> Self:
        """Keep those for which all conditions hold and all fields have the value given, or one of several.

        >>> from tilth.selectors import records
        >>> records.where(label=["cat", "dog"])
        records.where(label=("cat", "dog"))

        Conditions are per record, such as `entropy() > 0.5`. Fields: `label`, `predicted` (class names; `label=None` =
        without one), `key`, and any text or number column. UsageError for a condition on the whole state, which belongs
        into `when=`; HeldOut for `split="valid"` and `split="test"`.
        """
        if not conditions and not equals:
            raise UsageError('where() needs a condition (where(entropy() > 0.5)) or a value (where(label="cat"))')
        for condition in conditions:
            per_record(condition)
        return self.then(Where(conditions, tuple((field, values(field, value)) for field, value in equals.items())))

    def top(self, k: int, *, by: Quantity) -> Self:
        """Keep the k of the highest value of a signal, highest first.

        >>> from tilth.selectors import unlabeled
        >>> from tilth.signals import density, margin
        >>> unlabeled.top(100, by=margin())
        unlabeled.top(100, by=margin())
        >>> unlabeled.top(100, by=margin() * density())
        unlabeled.top(100, by=margin() * density())

        Signals can be multiplied and added: the second is density-weighted uncertainty (Settles and Craven 2008, An
        Analysis of Active Learning Strategies for Sequence Labeling Tasks), which passes over outliers that the model
        is unsure of because nothing is like them. One pass over the signal.

        Use it for a budget of a few records a round, or of a score that is right in itself (label quality). Do not use
        it for a large batch by uncertainty alone: its first records may all be the same question.
        """
        return self.then(Top(count("top(k)", k), ranking(by, "top")))

    def bottom(self, k: int, *, by: Quantity) -> Self:
        """Keep the k of the lowest value of a signal, lowest first.

        >>> from tilth.signals import label_quality
        >>> from tilth.selectors import records
        >>> records.bottom(50, by=label_quality())
        records.bottom(50, by=label_quality())
        """
        return self.then(Top(count("bottom(k)", k), ranking(by, "bottom"), lowest=True))

    def sample(self, k: int) -> Self:
        """Keep k, drawn from the records' keys, this selector's text, the run's seed and the round.

        >>> from tilth.selectors import unlabeled
        >>> unlabeled.sample(100)
        unlabeled.sample(100)
        """
        return self.then(Sample(count("sample(k)", k)))

    def per(self, field: str, k: int, *, by: Quantity | None = None) -> Self:
        """Keep at most k of each `"label"`, `"predicted"` class, or value of a text or number column.

        >>> from tilth.signals import margin
        >>> from tilth.selectors import unlabeled
        >>> unlabeled.per("predicted", 10, by=margin())
        unlabeled.per("predicted", 10, by=margin())

        The first k in the order so far, or with `by` the k of the highest value of a signal. They come in turns: the
        first of each, then the second of each. Records without a value of the field are left out.
        """
        if field in ("split", "key"):
            raise UsageError(
                f'per({field!r}, ...) would be one group or one a record; group by "label", "predicted" or a column'
            )
        return self.then(Per(field, count("per(field, k)", k), None if by is None else ranking(by, "per")))

    def first(self, k: int) -> Self:
        """Keep the first k in their order.

        >>> from tilth.selectors import unlabeled
        >>> from tilth.signals import margin
        >>> unlabeled.top(1000, by=margin()).distinct().first(100)
        unlabeled.top(1000, by=margin()).distinct().first(100)

        Records that nothing has put in an order have one that is drawn from their keys, the same in every round.

        Use it at the end of a chain whose last step keeps an unknown number. Do not use it for a fair sample: it gives
        the same records in every round; `sample(k)` draws anew.
        """
        return self.then(First(count("first(k)", k)))

    def quota(self, field: str, counts: Mapping[Any, int]) -> Self:
        """Keep so many of each of some labels, predicted classes, or values of a text or number column.

        >>> from tilth.selectors import unlabeled
        >>> from tilth.signals import margin
        >>> unlabeled.top(1000, by=margin()).quota("predicted", {"cat": 10, "dog": 5})
        unlabeled.top(1000, by=margin()).quota("predicted", {"cat": 10, "dog": 5})

        The first in the order so far; they come in turns, the first of each, then the second of each. Values that are
        not named are left out; where there are fewer than asked, the reason says of what. A record that has several of
        the labels counts for the first of them. One look at the field for each value.

        Use it to fill up classes that are known to be short. Do not use it by `"predicted"` with a model that does not
        yet know the class: what it does not predict is never chosen.
        """
        return self.then(Quota(field, quotas(field, counts)))

    def picked_by(self, by: Annotator, *, votes: int = 1, enough: float = 1.0, patience: str | None = None) -> Self:
        """Let somebody pick: each record is shown to them, and those to which they say yes are kept.

        >>> from tilth.labeling import Team
        >>> from tilth.selectors import unlabeled
        >>> from tilth.signals import margin
        >>> unlabeled.top(100, by=margin()).picked_by(Team("lead"), patience="3d")
        unlabeled.top(100, by=margin()).picked_by(Team("lead"), patience="3d")

        The last step of a rule's selector: the rule does what it does with those that were picked, and with no others.
        `by`: a `Team`, whose answers come through the inbox (`tilth label`), or an annotator that answers "yes" or "no"
        at once. `votes`, `enough` and `patience` as for `annotate`: of those who looked at a record in time more must
        say yes than anything else, and what nobody looked at was not picked. Nobody is shown a record twice for the
        same selector and action: a yes stands, and what got none is left out before the other steps. UsageError for who
        is no annotator, and for steps that follow.

        Use it where somebody knows what no signal tells. Do not use it to look over changes before they are made: that
        is `approve=`, which shows them.
        """
        return self.then(picker(by, votes, enough, patience))
