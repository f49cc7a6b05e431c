"""From the finished steps of a run to how the nodes of its drawing are, so that a page can light them up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilth.drawing import Graph
from tilth.drawing.graph import State

__all__ = ["light", "newest_round"]

_GLOW: Mapping[str, State] = {"running": "running", "waiting": "waiting", "failed": "failed"}
"""How the node that a run is at looks, by how the run is."""

_CLOSED: tuple[State, ...] = ("skipped", "rolled-back", "done")


def newest_round(results: Mapping[str, Any]) -> int:
    """Return the newest round that has begun, 0 before the first.

    >>> newest_round({"r0/start": {}, "r0/train": {}, "r12/start": {}})
    12
    """
    begun = [key.split("/")[0][1:] for key in results if key.startswith("r") and "/" in key]
    return max((int(n) for n in begun if n.isdigit()), default=0)


def light(
    graph: Graph, spec: Mapping[str, Any], results: Mapping[str, Any], standing: str, *, round: int | None = None
) -> dict[str, State]:
    """Return the state of every node and frame in a round, the newest unless `round` says which.

    >>> from tilth.drawing import Node
    >>> graph = Graph("pets", tuple(Node(n, n, n) for n in ("train", "evaluate", "until", "rule:ask", "done")), (), ())
    >>> spec = {"rules": {"ask": {"gate": None}}}
    >>> steps = {"r0/start": {"version": 0}, "r0/train": {"ref": "1f"}, "r0/evaluate": {"done": False}}
    >>> light(graph, spec, steps, "running")
    {'train': 'done', 'evaluate': 'done', 'until': 'done', 'rule:ask': 'running', 'done': 'idle'}
    >>> light(graph, spec, steps | {"r0/ask/propose": {"n": 0}}, "paused")["rule:ask"]
    'skipped'

    `spec`: the workflow as JSON; `results`: what each finished step returned, by key, in the order in which they
    finished; `standing`: as `Run.standing` says. It is a function of these alone. The first node in the course of a
    round that is not through is running, or waiting where the run waits for people; where no process is at work on it
    none is. When a round is over, the next one's training is running, until it has begun.
    """
    newest = newest_round(results)
    seen = _Seen(graph, spec, results, newest if round is None else round, past=round is not None and round < newest)
    states: dict[str, State] = dict.fromkeys(graph.ids, "idle")
    course = dict(seen.course())
    states |= {name: state for name, state in course.items() if name in states}
    glow = _GLOW.get(standing)
    if glow is not None and not seen.past and "outcome" not in results:
        at = next((name for name, state in course.items() if state == "idle"), "train")
        states |= {name: glow for name in seen.around(at) if name in states}
    return states


@dataclass(frozen=True)
class _Seen:
    """What is known of one round."""

    graph: Graph
    spec: Mapping[str, Any]
    results: Mapping[str, Any]
    round: int
    past: bool
    """Whether it is over, because a later one has begun."""

    def course(self) -> Iterator[tuple[str, State]]:
        """Yield the nodes of the round in the order of events; what is not through is idle."""
        early = self._early()
        for name in early:
            yield from self._rule(name)
        yield "train", self._has("train")
        yield "evaluate", self._has("evaluate")
        yield "until", self._has("evaluate")
        found = self._got("evaluate")
        if found is not None and found["done"]:
            yield "done", "done" if "outcome" in self.results else "idle"
            return
        for name in self.spec["rules"]:
            if name not in early:
                yield from self._rule(name)
        if self.spec.get("gate") and self.spec["rules"]:
            yield "gate", self._together([self._rule_state(name) for name in self.spec["rules"] if name not in early])
        if self.spec.get("tune"):
            yield "tune", self._has("tune")
        if "outcome" in self.results and not self.past:  # no rule had anything left to change
            yield "done", "done"

    def around(self, name: str) -> Iterator[str]:
        """Yield a node, the rule that it belongs to, and the frame that it stands in."""
        yield name
        kind, _, rest = name.partition(":")
        for node in self.graph.nodes:
            if node.id == name and node.frame:
                yield node.frame
        if kind == "panel":
            owner = [e.source for e in self.graph.edges if e.target == f"{kind}:{rest.rsplit('/', 1)[0]}"]
            begun = [r for r in owner if self._over(r.removeprefix("rule:")) == "idle" and self._any(r)]
            yield from [*begun[:1], "rules"]

    # -- rules -----------------------------------------------------------------------------------------------------

    def _rule_state(self, name: str) -> State:
        state = self._over(name)
        # what came before the first training is not the round's to take back
        gates = [f"{name}/gate/judge"] if name in self._early() else [f"{name}/gate/judge", "gate/judge"]
        refused = any(verdict is not None and not verdict["kept"] for verdict in map(self._got, gates))
        return "rolled-back" if state == "done" and refused else state

    def _rule(self, name: str) -> Iterator[tuple[str, State]]:
        state = self._rule_state(name)
        panels = [e.target for e in self.graph.edges if e.source == f"rule:{name}" and e.target.startswith("panel:")]
        if state in _CLOSED or not panels or not self._any(f"rule:{name}/first"):
            yield f"rule:{name}", state
        for panel in panels:
            if state == "skipped" or not self._any(f"rule:{name}/first"):
                continue
            yield from self._panel(name, panel)
        if self.spec["rules"][name].get("gate"):
            yield f"gate:{name}", self._gate(name, state)

    def _gate(self, name: str, rule: State) -> State:
        verdict = self._got(f"{name}/gate/judge")
        if verdict is None:
            return "skipped" if rule == "skipped" or self._passed(name) else "idle"
        if verdict["kept"]:
            return "done"
        back = self._has(f"{name}/gate/revert") == "done" or self._passed(name)
        return "rolled-back" if back else "idle"

    def _over(self, name: str) -> State:
        """Return whether a rule is through with what it does, or had nothing to do."""
        plan = self._got(f"{name}/propose")
        shown = self._got(f"{name}/pick/plan")
        if (plan is not None and not plan["n"]) or (shown is not None and not shown["n"] and not shown["any"]):
            return "skipped"
        if plan is None:
            return "skipped" if self._passed(name) or self._rests(name) else "idle"
        if self._passed(name) or self._any(f"rule:{name}/gate"):
            return "done"
        ends = [f"{name}/{end}" for end in ("commit", "answers", "take")]
        return "done" if any(self._has(end) == "done" for end in ends) or self._panelled(name) else "idle"

    def _panelled(self, name: str) -> bool:
        panels = [e.target for e in self.graph.edges if e.source == f"rule:{name}" and e.target.startswith("panel:")]
        return any(dict(self._panel(name, panel)).get(f"{panel}/labels") == "done" for panel in panels)

    def _panel(self, name: str, panel: str) -> Iterator[tuple[str, State]]:
        """Yield the stages of a panel; a stage that asks nobody is skipped."""
        stages: dict[str, State] = {"first": self._stage(f"{name}/first")}
        yield f"{panel}/first", stages["first"]
        if f"{panel}/second" in self.graph.ids:
            stages["second"] = self._stage(f"{name}/second")
            yield f"{panel}/check", self._has(f"{name}/second/plan")
            yield f"{panel}/second", stages["second"]
        settled: State = "done" if all(s in _CLOSED for s in stages.values()) else "idle"
        yield f"{panel}/consensus", settled
        if f"{panel}/expert" in self.graph.ids:
            stages["expert"] = self._stage(f"{name}/expert")
            yield f"{panel}/expert", stages["expert"]
        yield f"{panel}/labels", "done" if all(s in _CLOSED for s in stages.values()) else "idle"

    def _stage(self, key: str) -> State:
        plan = self._got(f"{key}/plan")
        if plan is not None and not plan["n"]:
            return "skipped"
        return "done" if self._has(f"{key}/take") == "done" or self._has(f"{key}/answers") == "done" else "idle"

    def _together(self, rules: Sequence[State]) -> State:
        """Return how the gate of the round is; it is skipped where no rule changed anything that its own gate kept."""
        verdict = self._got("gate/judge")
        left = self.past or "outcome" in self.results or self._has("tune") == "done"
        if verdict is None:
            return "skipped" if left or not {"idle", "done"} & {*rules} else "idle"
        if verdict["kept"]:
            return "done"
        return "rolled-back" if left or self._has("gate/revert") == "done" else "idle"

    # -- steps -----------------------------------------------------------------------------------------------------

    def _early(self) -> list[str]:
        """Return the rules that went before the first training."""
        if self.round:
            return []
        keys = list(self.results)
        before = keys[: keys.index("r0/train")] if "r0/train" in keys else keys
        return [name for name in self.spec["rules"] if any(key.startswith(f"r0/{name}/") for key in before)]

    def _passed(self, name: str) -> bool:
        """Whether something that comes after a rule has begun."""
        if self.past or "outcome" in self.results:
            return True
        order = list(self.spec["rules"])
        later = [*order[order.index(name) + 1 :], "gate", "tune"]
        early = self._early()
        if name in early:
            later = ["train", *early[early.index(name) + 1 :]]
        elif early:
            later = [one for one in later if one not in early]
        return any(self._has(one) == "done" or self._any(one) for one in later)

    def _rests(self, name: str) -> bool:
        """Whether its changes were rejected so short a time ago that it does not try again yet."""
        gates = [(f"{name}/gate/judge", self.spec["rules"][name].get("gate")), ("gate/judge", self.spec.get("gate"))]
        for key, gate in gates:
            for r in range(self.round):
                verdict = self.results.get(f"r{r}/{key}")
                acted = self.results.get(f"r{r}/{name}/propose", {}).get("n")  # else nothing of it was judged
                refused = acted and verdict is not None and not verdict["kept"] and not verdict.get("again")
                if refused and gate is not None and r + gate.get("cooldown", 1) >= self.round:
                    return True
        return False

    def _got(self, key: str) -> Any:
        return self.results.get(f"r{self.round}/{key}")

    def _has(self, key: str) -> State:
        return "done" if f"r{self.round}/{key}" in self.results else "idle"

    def _any(self, node: str) -> bool:
        start = f"r{self.round}/{node.removeprefix('rule:')}/"
        return any(key.startswith(start) for key in self.results)
