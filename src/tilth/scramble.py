"""What a workflow decides when the model's outputs are dealt out to other records: does it listen to the model?"""

import shutil
from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from tilth.actions.approval import Approved
from tilth.actions.base import Action
from tilth.actions.label import Relabel
from tilth.actions.shape import Reweight
from tilth.algebra import Condition
from tilth.changes import Changes
from tilth.dataset.splits import draw
from tilth.errors import TilthError
from tilth.outputs import KINDS, Outputs
from tilth.qualify import Part, Verdict
from tilth.qualify.reading import Ear
from tilth.qualify.verdict import DATA_CENTRIC
from tilth.rules import Rule
from tilth.selectors import Chosen
from tilth.state import State
from tilth.workflow import Workflow

__all__ = ["Compared", "Scrambled", "scramble"]

Decided = frozenset[Hashable]
Decide = Callable[[State], Decided]


@dataclass(frozen=True)
class Compared:
    """What one part of a workflow decides by the model as it is, by the same again, and by permuted outputs.

    `control` and each of `permuted`: the Jaccard similarity of what is decided to what was decided first, 1.0 = the
    same; of a condition 1.0 where its numbers stay, else 0.0. `flips`: how often a condition's answer changed. `agrees`
    with what is read of the part: False = not, None = it cannot be told here, and `why`.
    """

    part: Part
    n: int
    control: float
    permuted: tuple[float, ...]
    flips: int
    agrees: bool | None
    why: str


@dataclass(frozen=True)
class Scrambled:
    """How far what was found by running agrees with a verdict: True, False, or None where it cannot be told."""

    verdict: Verdict
    compared: tuple[Compared, ...]

    @property
    def agrees(self) -> bool | None:
        """Whether all parts do as the verdict says, and, of a data-centric workflow, at least one listens."""
        if any(one.agrees is False for one in self.compared):
            return False
        if self.verdict.verdict != DATA_CENTRIC:
            return True
        return True if any(one.part.triggers and one.agrees for one in self.compared) else None


def scramble(workflow: Workflow, state: State, *, seed: int = 0, times: int = 5) -> Scrambled:
    """Choose again with the trained model's outputs permuted over records, `times` times, and compare.

    `state`: the workflow's state with a trained model that has all outputs it needs. Outputs stay in their split; kinds
    that are known of the same records stay together, and NaN stays where it is. Labels, columns, the probe and
    embeddings that were not learned from labels stay as they are. Nothing is changed: the permuted outputs lie in a
    temporary folder. What a number says of all records of a split together (their mean) cannot change so.
    """
    verdict = workflow.qualifies()
    ear = Ear.of(workflow.model, workflow.probe)
    ways = [(part, _decision(workflow, part, state)) for part in verdict.parts]
    ways = [(part, decide) for part, decide in ways if decide is not None]
    first = [_asked(part, decide, state) for part, decide in ways]
    control = [_asked(part, decide, replace(state, memo={})) for part, decide in ways]
    others: list[list[Decided]] = []
    for i in range(times):
        with _permuted(state, ear, seed, i) as other:
            others.append([_asked(part, decide, other) for part, decide in ways])
    return Scrambled(
        verdict,
        tuple(_compared(part, first[k], control[k], [one[k] for one in others]) for k, (part, _) in enumerate(ways)),
    )


def _asked(part: Part, decide: Decide, state: State) -> Decided:
    try:
        return decide(state)
    except TilthError as error:
        error.args = (f"{part.where}, {part.part}: {error}", *error.args[1:])
        raise


def _chosen(chosen: Chosen) -> Decided:
    """Return which records were chosen, and which were wanted that do not exist yet."""
    return frozenset([*chosen.ids.tolist(), *(want.text for want in chosen.wants)])


def _decision(workflow: Workflow, part: Part, state: State) -> Decide | None:
    """Return what a part decides, as a function of the state; None for what decides nothing about records."""
    if part.part == "trigger" and workflow.trigger is not None:
        return _of_condition(workflow.trigger)
    if not part.rule:
        return None
    rule = workflow.rules[part.rule]
    match part.part:
        case "when" if rule.when is not None:
            return _of_condition(rule.when)
        case "select":
            return lambda s: _chosen(rule.choose(s))
        case "do" if isinstance(_done(rule), (Relabel, Reweight)):
            chosen = rule.choose(state)

            def change(s: State) -> Decided:
                found = _done(rule).propose(chosen, s)
                assert isinstance(found, Changes)  # noqa: S101  neither of the two asks anybody
                rows = found.events.select(["record_id", "field", "new_num", "new_txt"]).to_pylist()
                return frozenset(tuple(row.values()) for row in rows)

            return change
        case _:
            return None


def _done(rule: Rule) -> Action:
    return rule.do.action if isinstance(rule.do, Approved) else rule.do


def _of_condition(condition: Condition) -> Decide:
    return lambda s: frozenset({condition.explain(s), condition.holds(s)})


def _compared(part: Part, first: Decided, control: Decided, others: list[Decided]) -> Compared:
    condition = part.part in ("when", "trigger")
    if condition:
        same, permuted = float(first == control), tuple(float(first == other) for other in others)
        flips = sum(_answer(first) != _answer(other) for other in others)
    else:
        same, permuted = jaccard(first, control), tuple(jaccard(first, other) for other in others)
        flips = 0
    agrees, why = _agrees(part, len(first), same, permuted, condition=condition)
    return Compared(part, 0 if condition else len(first), same, permuted, flips, agrees, why)


def _answer(decided: Decided) -> bool:
    return next(said for said in decided if isinstance(said, bool))


def _agrees(
    part: Part, n: int, control: float, permuted: tuple[float, ...], *, condition: bool
) -> tuple[bool | None, str]:
    moved = min(permuted) < 1
    if control < 1:
        return False, "the same model twice gives another decision: it is no function of the state"
    if moved and not part.listens:
        return False, "it listens to the model, though what it says to need names nothing of it: mend its needs="
    if moved:
        return True, "it listens to the model, as it says"
    if not part.listens:
        return True, "it does not listen to the model"
    if condition:
        return None, "its numbers stayed as they are: here and now nothing shows that it listens"
    return None, f"the same {n:,} every time: where all that there is gets chosen, nothing shows that it listens"


def jaccard(a: Decided, b: Decided) -> float:
    """Return the share that two sets have in common of all that is in either; 1.0 where both are empty.

    >>> jaccard(frozenset({1, 2, 3}), frozenset({2, 3, 4}))
    0.5
    """
    return len(a & b) / len(a | b) if a or b else 1.0


@contextmanager
def _permuted(state: State, ear: Ear, seed: int, i: int) -> Generator[State]:
    """Yield the state with what the model said dealt out to other records."""
    if state.outputs is None:
        yield replace(state, memo={})
        return
    source = state.outputs
    kinds = sorted(kind for kind in source.kinds if kind in KINDS and ear.whose(kind) == "model")
    with TemporaryDirectory(prefix="tilth-scramble-") as place:
        folder = Path(place) / source.ref
        folder.mkdir()
        for path in [*source.folder.glob("*.npy"), source.folder / "about.json"]:
            if path.stem not in kinds:
                shutil.copyfile(path, folder / path.name)
        made = Outputs(folder)
        for kind in kinds:
            said, order = source.get(kind), _deal(state, source, kind, seed, i)
            made.add(kind, said[order] if kind == "embeddings" else said[..., order])
        yield replace(state, outputs=made, memo={})


def _deal(state: State, outputs: Outputs, kind: str, seed: int, i: int) -> npt.NDArray[np.int64]:
    """Return whose word each record gets: that of another in its split of whom something is known as well."""
    ids, said = np.asarray(outputs.ids), outputs.get(kind)
    known = np.isfinite(said[:, 0] if kind == "embeddings" else said.reshape(-1, len(ids))[0])
    group = 2 * state.dataset.view.split[ids].astype(np.int64) + known
    hashes = state.dataset.key_hash[ids]
    order = np.empty(len(ids), np.int64)
    place = np.lexsort((hashes, group))  # within a group by key, never by id
    order[place] = np.lexsort((draw(hashes, "scramble", seed, i), group))
    return order
