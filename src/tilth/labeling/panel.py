"""`Panel`: answers are validated before they are used; a sub-workflow of questions, with its own budget and pause."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast, get_args

from tilth.algebra import Condition, Value, show
from tilth.errors import UsageError
from tilth.labeling.consensus import Method
from tilth.protocols import Annotator
from tilth.questions import terms
from tilth.state import State

__all__ = ["Disagrees", "Panel", "disagrees_with_model"]


@dataclass(frozen=True, repr=False)
class Disagrees(Condition, tag="disagrees with the model"):
    """See `disagrees_with_model`."""

    @property
    def needs(self) -> frozenset[str]:
        """What the model finds most probable."""
        return frozenset({"probabilities"})

    @property
    def per_record(self) -> bool:
        """Always: it is about the label of each record."""
        return True

    def decide(self, state: State) -> tuple[Any, Any]:
        """Return (it disagrees, both are known), bool[n] each."""
        known = state.view.labeled & (state.predicted >= 0)
        return state.predicted != state.view.label, known

    def explain(self, state: State) -> str:
        """Return it as it was written: it holds for each record by itself."""
        return repr(self)

    def __repr__(self) -> str:
        return "disagrees_with_model()"


def disagrees_with_model() -> Disagrees:
    """Whether the label of a record is another than the class that the model finds most probable.

    >>> disagrees_with_model()
    disagrees_with_model()
    """
    return Disagrees()


@dataclass(frozen=True, repr=False)
class Panel(Value, tag="panel"):
    """Annotators whose answers are validated before they are used: consensus, a check, a second look, an expert.

    >>> from tilth.labeling import Team
    >>> Panel(Team("crowd"), votes=2, check=disagrees_with_model(), disputed_by=Team("expert"), budget=500)
    Panel(Team("crowd"), votes=2, check=disagrees_with_model(), disputed_by=Team("expert"), budget=500)

    Each record gets `votes` answers. Where `check` holds for the label that they agree on, one more annotator of `by`
    looks at it. What is still undecided goes to `disputed_by`, whose word counts; without one it stays without a label
    (select it as `answered.where(label=None)`).

    `by`: a `Team`, an annotator that answers at once, or a tuple of several of these, who take turns record by record.
    `consensus`: "majority" (a tie decides nothing) or "dawid_skene" (annotators weigh as much as they are found to be
    right; `sure` is the least probability that decides). `gold`: for every hundred questions `100 * gold` are about
    records whose label is verified; an annotator whose rate of right answers there is below `least` for certain (upper
    end of the 95 % interval, after ten or more) gets no more tasks. `budget`: the answers that it may pay for, over all
    rules and rounds that share a panel of this `name`. `enough` and `patience` as for `annotate`, for every stage.
    """

    by: Any
    votes: int = 1
    check: Condition | None = None
    disputed_by: Annotator | None = None
    consensus: Method = "majority"
    sure: float = 0.8
    gold: float = 0.0
    least: float = 0.6
    budget: int | None = None
    enough: float = 1.0
    patience: str | None = None
    name: str = "panel"
    checks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        members = self.members
        object.__setattr__(self, "by", members[0] if len(members) == 1 else members)
        if not members or not all(isinstance(m, Annotator) for m in members):
            raise UsageError(
                f"Panel({self.by!r}): a Team, an annotator such as Oracle(column), or a tuple of annotators"
            )
        if len(members) > 1 and not all(m.at_once for m in members):
            raise UsageError(
                "Panel((...)): one Team has as many people as come; a tuple is for annotators that answer at once"
            )
        if len({m.name for m in members}) < len(members):
            raise UsageError(
                f"Panel({self.by!r}): its annotators need different names, such as Oracle(column, name=...)"
            )
        terms("Panel", votes=self.votes, enough=self.enough, patience=self.patience)
        most = self.votes + (self.check is not None)
        if len(members) > 1 and most > len(members):
            raise UsageError(
                f"Panel(votes={self.votes}): {most} different annotators may be wanted for a record, and there are "
                f"{len(members)}"
            )
        if self.check is not None and (not isinstance(self.check, Condition) or not self.check.per_record):
            raise UsageError(f"Panel(check={self.check!r}): a condition on each record, such as disagrees_with_model()")
        if self.disputed_by is not None and not isinstance(self.disputed_by, Annotator):
            raise UsageError(f'Panel(disputed_by={self.disputed_by!r}): an annotator, such as Team("expert")')
        if self.consensus not in get_args(Method):
            raise UsageError(f"Panel(consensus={self.consensus!r}): one of {', '.join(get_args(Method))}")
        for what, low, high in (("sure", 0.5, 1.0), ("gold", 0.0, 0.5), ("least", 0.0, 1.0)):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise UsageError(f"Panel({what}={value!r}): a number from {low} to {high}")
        if self.budget is not None and (isinstance(self.budget, bool) or self.budget < 1):
            raise UsageError(f"Panel(budget={self.budget!r}): a number of answers, 1 or more")
        if not self.name or not self.name.isprintable() or "/" in self.name:
            raise UsageError(f"Panel(name={self.name!r}): a printable name without '/'")

    @property
    def members(self) -> tuple[Annotator, ...]:
        """Those who give the first answers, and the one more that a check asks for."""
        return cast(tuple[Annotator, ...], self.by) if isinstance(self.by, tuple) else (self.by,)

    @property
    def at_once(self) -> bool:
        """Whether all of its answers come at once."""
        return all(m.at_once for m in (*self.members, *((self.disputed_by,) if self.disputed_by else ())))

    @property
    def stages(self) -> tuple[tuple[str, str], ...]:
        """What it does in order, as (name, what happens): drawn wherever a workflow is drawn."""
        first = f"{self.votes} answer{'s' if self.votes > 1 else ''} a record by {_names(self.members)}"
        out = [("first", first)]
        if self.check is not None:
            out.append(("second", f"one more where {self.check!r}"))
        if self.disputed_by is not None:
            out.append(("expert", f"{self.disputed_by.name} decides what is disputed"))
        return (*out, ("labels", f"set by {self.consensus.replace('_', '-')}"))

    def __repr__(self) -> str:
        said = [show(self.by)]
        for name, value in vars(self).items():
            default = type(self).__dataclass_fields__[name].default
            if name != "by" and value != default:
                said.append(f"{name}={show(value)}")
        return f"Panel({', '.join(said)})"


def _names(members: tuple[Annotator, ...]) -> str:
    return members[0].name if len(members) == 1 else f"{', '.join(m.name for m in members[:-1])} or {members[-1].name}"
