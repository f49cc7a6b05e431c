"""Whatever annotators and runs do in whatever order: no task is leased too often, no answer is lost or taken twice."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tilth.labeling.inbox import Drained, Given, Inbox, Posted, Tasks

N = 5
TTL = 10.0
PEOPLE = st.sampled_from(["ann", "bob", "cid"])
RANKS = st.integers(0, N - 1)
_SERIAL = itertools.count()


def rows(taken: Drained) -> list[tuple[int, str, str, str | None]]:
    return list(zip(taken.records.tolist(), taken.annotators, taken.verdicts, taken.values, strict=True))


class Life(RuleBasedStateMachine):
    """A question beside a model of it: plain dictionaries of who holds and who said what."""

    where: str

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.inbox = Inbox(self.where, clock=lambda: self.now)
        self.serial = next(_SERIAL)
        self.leases: dict[tuple[int, str], float] = {}
        self.said: dict[tuple[int, str], tuple[str, str | None]] = {}
        self.parts: dict[str, list[tuple[int, str, str, str | None]]] = {}

    def teardown(self) -> None:
        taken = [row for part in ("a", "b", "last") for row in self.claimed(part)]
        votes = [(rank, who, *said) for (rank, who), said in self.said.items() if said[0] != "skip"]
        assert sorted(taken) == sorted(votes)
        self.inbox.delete(self.run)
        self.inbox.close()

    @initialize(votes=st.integers(1, 3))
    def publish(self, votes: int) -> None:
        self.votes, self.run = votes, f"run-{self.serial}"
        form = {"label": "class", "classes": ["cat", "dog"]}
        about = Posted(self.run, "label", "", "", "main", 0, self.run, "ask", votes=votes, form=form)
        assert self.inbox.publish(about, Tasks(np.arange(N), [f"p{i}" for i in range(N)]))
        self.ids = [self.inbox.by_key(self.run, [f"p{i}"])[f"p{i}"] for i in range(N)]

    def given(self, rank: int) -> int:
        return sum(r == rank and verdict != "skip" for (r, _), (verdict, _) in self.said.items())

    def held(self, rank: int) -> int:
        return sum(r == rank and until > self.now for (r, _), until in self.leases.items())

    @rule(who=PEOPLE, n=st.integers(1, N))
    def lease(self, who: str, n: int) -> None:
        mine = [r for r in range(N) if self.leases.get((r, who), 0.0) > self.now]
        free = [
            r
            for r in range(N)
            if r not in mine and (r, who) not in self.said and self.given(r) + self.held(r) < self.votes
        ]
        got = [t.record for t in self.inbox.lease(who, n, question=self.run, ttl=TTL)]
        if all(self.given(r) >= self.votes for r in range(N)):
            assert got == []
        else:
            assert got == mine[:n] + free[: n - len(mine[:n])]
            self.leases = {at: until for at, until in self.leases.items() if until > self.now}
        self.leases |= {(r, who): self.now + TTL for r in got}

    @rule(who=PEOPLE)
    def release(self, who: str) -> None:
        self.inbox.release(who)
        self.leases = {at: until for at, until in self.leases.items() if at[1] != who}

    @rule(who=PEOPLE)
    def renew(self, who: str) -> None:
        # one that ran out is still its holder's until somebody asks for tasks
        mine = sorted(at for at in self.leases if at[1] == who)
        assert self.inbox.renew(who, ttl=TTL) == [self.ids[rank] for rank, _ in mine]
        self.leases |= dict.fromkeys(mine, self.now + TTL)

    @rule(seconds=st.sampled_from([1.0, TTL / 2, TTL, 3 * TTL]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(who=PEOPLE, rank=RANKS, verdict=st.sampled_from(["answer", "answer", "skip", "cannot_tell", "bad"]))
    def answer(self, who: str, rank: int, verdict: str) -> None:
        at, said = (rank, who), (verdict, '"cat"' if verdict == "answer" else None)
        before = self.said.get(at)
        if before is not None:
            want = "duplicate" if before == said else "refused"
        else:
            want = "surplus" if verdict != "skip" and self.given(rank) >= self.votes else "kept"
        value = "cat" if verdict == "answer" else None
        (receipt,) = self.inbox.answer(who, [Given(self.ids[rank], verdict, value)])  # type: ignore[arg-type]
        assert receipt.state == want
        if before is None:
            self.said[at] = said
            self.leases.pop(at, None)

    @rule(who=PEOPLE, rank=RANKS)
    def retract(self, who: str, rank: int) -> None:
        said = self.said.get((rank, who))
        taken = said is not None and any((rank, who, *said) in part for part in self.parts.values())
        assert self.inbox.retract(who, self.ids[rank]) == (said is not None and not taken)
        if said is not None and not taken:
            del self.said[rank, who]

    @rule(part=st.sampled_from(["a", "b"]))
    def claim(self, part: str) -> None:
        self.claimed(part)

    def claimed(self, part: str) -> list[tuple[int, str, str, str | None]]:
        got = rows(self.inbox.claim(self.run, part))
        if part not in self.parts:
            before = [row for rows in self.parts.values() for row in rows]
            votes = [(rank, who, *said) for (rank, who), said in self.said.items() if said[0] != "skip"]
            self.parts[part] = sorted((v for v in votes if v not in before), key=lambda v: v[:2])
        assert got == self.parts[part]
        return got

    @invariant()
    def counts(self) -> None:
        now = self.inbox.progress(self.run)
        verdicts = [verdict for verdict, _ in self.said.values()]
        assert now.answers == sum(v != "skip" for v in verdicts)
        assert (now.bad, now.cannot_tell, now.skipped) == tuple(map(verdicts.count, ("bad", "cannot_tell", "skip")))
        assert now.complete == sum(self.given(r) >= self.votes for r in range(N))
        assert now.leased == sum(until > self.now for until in self.leases.values())


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_nothing_is_leased_too_often_lost_or_taken_twice(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    at = request.getfixturevalue("postgres_url") if database == "postgres" else str(tmp_path / "inbox.sqlite")

    class Here(Life):
        where = at

    run_state_machine_as_test(Here, settings=settings(max_examples=25, stateful_step_count=25))
