"""Whatever annotators and a run do in whatever order: no task goes out too often, no answer is lost or doubled."""

import itertools
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tilth.labeling.inbox import Given, Inbox, Posted, Tasks

PEOPLE = ("ann", "bob", "cat", "dan")
N, TTL = 6, 100.0


class Clock:
    now = 1e6

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["sqlite", "postgres"])
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Inbox]:
    where = request.getfixturevalue("postgres_url") if request.param == "postgres" else tmp_path / "inbox.sqlite"
    with Inbox(where, clock=Clock()) as inbox:
        yield inbox


def machine(inbox: Inbox) -> type[RuleBasedStateMachine]:
    examples = itertools.count()
    clock = inbox._clock
    assert isinstance(clock, Clock)

    class Machine(RuleBasedStateMachine):
        """Beside the inbox a model of it: what each annotator holds, has said, and what parts have taken."""

        def __init__(self) -> None:
            super().__init__()
            example = next(examples)
            self.q, self.run, self.team = f"q{example}", f"run-{example}", f"team-{example}"
            self.who = {name: f"{name}-{example}" for name in PEOPLE}
            form = {"label": "class", "classes": ["yes", "no"]}
            posted = Posted(self.q, "label", self.team, "", "main", 0, self.run, "ask", votes=2, form=form)
            inbox.publish(posted, Tasks(np.arange(N), [f"k{i}" for i in range(N)]))
            first = next(t for page in inbox.open_tasks(self.team) for t in page)
            self.ids = [first.id + i for i in range(N)]
            self.votes = dict.fromkeys(range(N), 2)
            self.held: dict[tuple[int, str], float] = {}
            self.said: dict[tuple[int, str], str] = {}
            self.parts: dict[str, set[tuple[int, str]]] = {}
            self.suspended: set[str] = set()

        def living(self, i: int) -> int:
            return sum(j == i and until > clock.now for (j, _), until in self.held.items())

        def given(self, i: int) -> int:
            return sum(j == i and verdict != "skip" for (j, _), verdict in self.said.items())

        @rule(name=st.sampled_from(PEOPLE), n=st.integers(1, 5))
        def lease(self, name: str, n: int) -> None:
            got = [t.record for t in inbox.lease(self.who[name], n, team=self.team, ttl=TTL)]
            if name in self.suspended:
                assert got == []
                return
            # a question with all its votes gives nothing out; what an annotator holds there runs out
            done = all(self.given(i) >= self.votes[i] for i in range(N))
            mine = [] if done else [i for i in range(N) if self.held.get((i, name), 0) > clock.now]
            free = [
                i
                for i in range(N)
                if (i, name) not in self.said
                and self.held.get((i, name), 0) <= clock.now
                and self.given(i) + self.living(i) < self.votes[i]
            ]
            old, new = got[: len(mine)], got[len(mine) :]
            assert old == mine[:n]
            # those that came back go out in the order in which they did, so only which and how many is known
            assert len(set(new)) == len(new) == min(n - len(old), len(free))
            assert set(new) <= set(free)
            self.held |= {(i, name): clock.now + TTL for i in got}

        @rule(name=st.sampled_from(PEOPLE), i=st.integers(0, N - 1), verdict=st.sampled_from(["answer", "skip", "bad"]))
        def answer(self, name: str, i: int, verdict: str) -> None:
            before = self.said.get((i, name))
            value = "yes" if verdict == "answer" else None
            (receipt,) = inbox.answer(self.who[name], [Given(self.ids[i], verdict, value)])  # type: ignore[arg-type]
            if before is None:
                surplus = verdict != "skip" and self.given(i) >= self.votes[i]
                assert receipt.state == ("surplus" if surplus else "kept")
                self.said[i, name] = verdict
                self.held.pop((i, name), None)
            else:
                assert receipt.state == ("duplicate" if before == verdict else "refused")

        @rule(name=st.sampled_from(PEOPLE), i=st.integers(0, N - 1))
        def retract(self, name: str, i: int) -> None:
            taken = any((i, name) in part for part in self.parts.values())
            done = inbox.retract(self.who[name], self.ids[i])
            assert done == ((i, name) in self.said and not taken)
            if done:
                del self.said[i, name]

        @rule(name=st.sampled_from(PEOPLE), some=st.none() | st.sets(st.integers(0, N - 1)))
        def release(self, name: str, some: set[int] | None) -> None:
            inbox.release(self.who[name], None if some is None else [self.ids[i] for i in some])
            for i in range(N) if some is None else some:
                self.held.pop((i, name), None)

        @rule(by=st.sampled_from([1.0, TTL / 2, TTL]))
        def wait(self, by: float) -> None:
            clock.now += by

        @rule(part=st.sampled_from("abcdef"), complete=st.booleans())
        def claim(self, part: str, complete: bool) -> None:
            if part not in self.parts:
                taken = set().union(*self.parts.values())
                self.parts[part] = {
                    (i, name)
                    for (i, name), verdict in self.said.items()
                    if verdict != "skip" and (i, name) not in taken and (not complete or self.given(i) >= self.votes[i])
                }
            found = inbox.claim(self.q, f"{self.q}/{part}", complete=complete)
            rows = list(zip(found.records.tolist(), found.annotators, strict=True))
            assert rows == sorted((i, self.who[name]) for i, name in self.parts[part])

        @rule(i=st.integers(0, N - 1), votes=st.integers(1, 4))
        def want(self, i: int, votes: int) -> None:
            inbox.set_votes(self.q, [i], votes)
            self.votes[i] = votes

        @rule(name=st.sampled_from(PEOPLE), back=st.booleans())
        def suspend(self, name: str, back: bool) -> None:
            if back:
                inbox.reinstate(self.who[name])
                self.suspended.discard(name)
                return
            inbox.suspend(self.who[name], "for a reason")
            self.suspended.add(name)
            for i in range(N):
                self.held.pop((i, name), None)

        @invariant()
        def counts_are_right(self) -> None:
            now = inbox.progress(self.q)
            by = Counter(self.said.values())
            assert now.answers == len(self.said) - by["skip"]
            assert (now.skipped, now.bad) == (by["skip"], by["bad"])
            assert now.complete == sum(self.given(i) >= self.votes[i] for i in range(N))
            assert now.votes == sum(self.votes.values())
            assert now.leased == sum(self.living(i) for i in range(N))

        def teardown(self) -> None:
            inbox.delete(self.run)

    return Machine


@pytest.mark.slow
def test_any_order_of_events_keeps_the_promises(inbox: Inbox) -> None:
    run_state_machine_as_test(machine(inbox), settings=settings(max_examples=40, stateful_step_count=40))
