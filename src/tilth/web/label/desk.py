"""`Desk`: one person at work: which questions are theirs to answer, and the next tasks of these."""

from collections.abc import Iterable, Sequence

from tilth.errors import NotFound, did_you_mean
from tilth.labeling.inbox import Inbox, Posted, Said, Task
from tilth.web.label.tickets import Tickets
from tilth.web.people import Person
from tilth.web.site import Site

__all__ = ["TTL", "Desk", "for_experts"]

TTL = 600.0
"""Seconds that a lease lasts; a page renews it while its person works."""

_VOTES = 1000
_PAST = 100
"""Answers that can still be undone, and pictures that can still be seen, after a page was loaded anew."""


def for_experts(asked: Posted) -> bool:
    """Whether a question is a reviewer's: what is disputed in a panel, and whether changes shall be made."""
    return asked.kind in ("approve", "pick") or bool(asked.panel and asked.id.endswith("/expert"))


class Desk:
    """What one person does with the inbox of a project: annotators label, edit and collect; reviewers do it all."""

    def __init__(self, site: Site, person: Person) -> None:
        self.site = site
        self.person = person
        self.tickets = Tickets(site.home)

    @property
    def inbox(self) -> Inbox:
        """What people are asked; NotFound where nobody was asked yet."""
        found = self.site.inbox
        if found is None:
            raise NotFound(f"{self.site.name} asks nothing: no run of it has asked people yet. `tilth run` first")
        return found

    def questions(self, *, review: bool = False) -> list[Posted]:
        """Return the open questions of this project that are this person's; with `review`, those for experts alone."""
        mine = [q for q in self.site.questions("open") if self.may(q)]
        return [q for q in mine if for_experts(q)] if review else mine

    def may(self, asked: Posted) -> bool:
        """Whether this person may answer a question."""
        return self.person.may("reviewer") or not for_experts(asked)

    def teams(self) -> list[str]:
        """Return the teams that are asked something which this person may answer, the longest waiting first."""
        return list(dict.fromkeys(q.team for q in self.questions()))

    def lease(self, n: int, *, team: str = "", question: str = "", review: bool = False) -> list[Task]:
        """Return up to `n` tasks, those held already first: of a team (default: the first), or of one question.

        With `review` of all teams, what is for experts. None of a team that is asked nothing now; NotFound for one that
        never was.
        """
        mine = self.questions(review=review)
        if not review:
            teams = list(dict.fromkeys(q.team for q in mine))
            if team and team not in teams and team not in self._ever_asked():
                raise NotFound(f"nothing was ever asked of team {team!r}. {did_you_mean(team, teams)}")
            mine = [q for q in mine if q.team == (team or next(iter(teams), ""))]
        found: list[Task] = []
        for asked in mine:
            if question in ("", asked.id) and len(found) < n:
                found += self.inbox.lease(
                    self.person.name, n - len(found), team=asked.team, question=asked.id, ttl=TTL
                )  # fmt: skip
        return found

    def _ever_asked(self) -> set[str]:
        return {q.team for q in self.site.questions()}

    def hold(self, tasks: Sequence[Task]) -> None:
        """Lease these tasks again, which came back when their answers were taken back, and no others."""
        held = set(self.inbox.renew(self.person.name, ttl=TTL))
        for asked in {t.question.id: t.question for t in tasks}.values():
            n = min(1000, len(held) + len(tasks))
            got = self.inbox.lease(self.person.name, n, team=asked.team, question=asked.id, ttl=TTL)
            extra = {t.id for t in got} - held - {t.id for t in tasks}
            if extra:
                self.inbox.release(self.person.name, extra)

    def seen(self) -> list[Task]:
        """Return the tasks that this person holds, and those that they answered last.

        Also what a run has taken since: a picture may be asked for when its answer has long been given.
        """
        if self.site.inbox is None:
            return []
        given = [one.task for one in self.inbox.said(annotator=self.person.name, last=_PAST)]
        every = [*self.inbox.held(self.person.name), *self.inbox.find(given).values()]
        return [t for t in every if t.question.id.startswith(self.site.scope) and self.may(t.question)]

    def past(self) -> list[Task]:
        """Return the tasks that this person answered last and no run has taken yet, oldest first."""
        if self.site.inbox is None:
            return []
        given: list[int] = []
        for one in self.inbox.said(annotator=self.person.name, last=_PAST):
            if one.taken:
                break
            given.append(one.task)
        there = self.inbox.find(given)
        mine = [there[task] for task in reversed(given)]
        return [t for t in mine if t.question.id.startswith(self.site.scope) and self.may(t.question)]

    def votes(self, tasks: Iterable[Task]) -> dict[int, list[Said]]:
        """Return what others have said of the records of these tasks in the same run, for whoever reviews them."""
        some = [t for t in tasks if for_experts(t.question)]
        if not some or not self.person.may("reviewer"):
            return {}
        runs = sorted({t.question.run for t in some})
        given = self.inbox.said(runs=runs, records=sorted({t.record for t in some})[:1000], last=50 * _VOTES)
        return {
            t.id: [s for s in given if s.record == t.record and s.task != t.id and s.record >= 0][:_VOTES] for t in some
        }
