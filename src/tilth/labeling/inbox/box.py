"""`Inbox`: what people are asked and what they answered, in an SQLite file or a Postgres database."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, delete, func, select, text, update

from tilth.errors import NotFound, UsageError
from tilth.labeling.inbox import answering, claiming, leasing, listing, publishing
from tilth.labeling.inbox.sharing import Shared
from tilth.labeling.inbox.tables import annotators, answers, open_tables, paused, questions, upsert
from tilth.labeling.inbox.tables import tasks as task_table
from tilth.labeling.inbox.words import Drained, Given, Member, Posted, Progress, Receipt, Said, Task, Tasks, check_name
from tilth.sql import reading, shut, writing

__all__ = ["Inbox"]

_RECENT = 100


class _Undo(Exception):
    """Rolls a transaction back."""

    def __init__(self, receipts: list[Receipt]) -> None:
        super().__init__("refused")
        self.receipts = receipts


class Inbox:
    """What people are asked and what they answered; a run publishes and takes, annotators lease and answer.

    >>> import tempfile
    >>> form = {"label": "class", "classes": ["cat", "dog"]}
    >>> asked = Posted("run-1/r0/ask", "label", "friends", "data", "main", 3, "run-1", "ask", form=form)
    >>> with Inbox(Path(tempfile.mkdtemp()) / "inbox.sqlite") as inbox:
    ...     _ = inbox.publish(asked, Tasks(np.array([7, 4]), ["p7", "p4"]))
    ...     first, second = inbox.lease("ann", team="friends")
    ...     said = inbox.answer("ann", [Given(first.id, "answer", "dog", seconds=2.0)])
    ...     print(first.key, said[0].state, inbox.progress("run-1/r0/ask").complete)
    ...     taken = inbox.claim("run-1/r0/ask", "run-1/r0/take")
    ...     print(taken.records, taken.values, taken.annotators)
    p7 kept 1
    [7] ['"dog"'] ['ann']

    `where`: a file, or postgresql://user@host/database. What a method has written when it returns survives a power cut.
    Any number of processes and threads use one inbox at once; threads that answer at the same moment share a commit.
    Leases go by the database's clock (Postgres) or this machine's (SQLite), or by `clock`, a function that returns unix
    time; the order of answers goes by no clock.
    """

    def __init__(self, where: str | Path, *, clock: Callable[[], float] | None = None) -> None:
        self._engine = open_tables(where)
        self._clock = clock
        self._shared = Shared(self._written)

    def close(self) -> None:
        """Let go of the database."""
        shut(self._engine)

    def __enter__(self) -> "Inbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what a run does ---------------------------------------------------------------------------------------------

    def publish(self, posted: Posted, tasks: Tasks) -> bool:
        """Put a question and its tasks into the inbox, whole; False where one of that id is there: nothing changes."""
        with writing(self._engine) as connection:
            return publishing.publish(connection, posted, tasks, self._now(connection))

    def progress(self, question: str) -> Progress:
        """Return how far a question is, at the same cost for one task and a million; NotFound names those there are."""
        with reading(self._engine) as connection:
            return publishing.progress(connection, question, self._now(connection))

    def questions(self, run: str | None = None, state: str | None = None) -> list[Posted]:
        """Return the questions (of a run; in a state: open, paused, closed), oldest first."""
        with reading(self._engine) as connection:
            return publishing.those(connection, *([] if run is None else [questions.c.run == run]), state=state)

    def claim(self, question: str | Sequence[str], part: str, *, complete: bool = False) -> Drained:
        """Take all answers that no part has taken yet; a part that comes again gets the same ones, and no others.

        `part`: a name for what will be committed, unique in the inbox. `complete=True`: only answers to tasks that have
        all their votes. What a part has taken before is not changed by `complete`.
        """
        with writing(self._engine) as connection:
            names = [question] if isinstance(question, str) else list(question)
            return claiming.claim(connection, names, part, complete=complete)

    def undrained(self, scope: str, *, branch: str, part: str | None = None) -> list[Posted]:
        """Return the questions whose id starts with `scope`, asked on `branch`, that have answers no part has taken.

        With `part` also those that this part has taken from: a step that was cut off between taking and committing
        finds them again.
        """
        with reading(self._engine) as connection:
            return claiming.undrained(connection, scope, branch=branch, part=part)

    def set_votes(self, question: str, records: Iterable[int], votes: int) -> None:
        """Let the tasks of these records want `votes` answers in all, and open the question if it was closed."""
        with writing(self._engine) as connection:
            publishing.set_votes(connection, question, records, votes)

    def complete(self, question: str, records: npt.NDArray[np.int64]) -> int:
        """Return how many of these records have all their votes."""
        with reading(self._engine) as connection:
            return publishing.complete(connection, question, records)

    def close_question(self, question: str, why: str) -> None:
        """Give out no more tasks of a question; answers that still come are kept, as late ones."""
        self._set(question, "closed", why)

    def reopen(self, question: str) -> None:
        """Give out tasks of a closed question again."""
        self._set(question, "open", "")

    def pause_panel(self, panel: str) -> None:
        """Give out no tasks of a panel's questions until it is resumed."""
        if not panel:
            raise UsageError("pause_panel(''): name the panel; questions without one belong to none")
        with writing(self._engine) as connection:
            connection.execute(upsert(connection, paused).values(panel=panel).on_conflict_do_nothing())

    def resume_panel(self, panel: str) -> None:
        """Give out tasks of a panel's questions again."""
        with writing(self._engine) as connection:
            connection.execute(delete(paused).where(paused.c.panel == panel))

    def delete(self, run: str) -> None:
        """Delete a run's questions with their tasks, leases and answers; what it committed is in the dataset."""
        with writing(self._engine) as connection:
            publishing.delete_run(connection, run)

    # -- what an annotator does --------------------------------------------------------------------------------------

    def lease(
        self, annotator: str, n: int = 16, *, team: str = "", question: str | None = None, ttl: float = 600.0
    ) -> list[Task]:
        """Return up to `n` tasks for this annotator alone for `ttl` seconds: first those that they hold already.

        They are tasks of open questions of the team (and of none) that want more votes than are given and leased, and
        that this annotator has neither answered nor skipped: older questions first, and of each the tasks that came
        back (released, retracted, run out) since this annotator passed them, then the others by rank. Those held
        already are renewed. Empty where there are none, or where the annotator is suspended. `n`: 1 to 1,000.
        """
        leasing.check_ttl(ttl)
        with writing(self._engine) as connection:
            now = self._now(connection)
            return leasing.lease(connection, check_name(annotator), n, team=team, question=question, ttl=ttl, now=now)

    def held(self, annotator: str) -> list[Task]:
        """Return the tasks that an annotator holds now, without renewing them."""
        with reading(self._engine) as connection:
            return leasing.held(connection, check_name(annotator), self._now(connection))

    def renew(self, annotator: str, tasks: Iterable[int] | None = None, *, ttl: float = 600.0) -> list[int]:
        """Let the leases of these tasks (default: all) last `ttl` seconds from now; return the tasks still held."""
        leasing.check_ttl(ttl)
        with writing(self._engine) as connection:
            now = self._now(connection)
            return leasing.renew(connection, check_name(annotator), tasks, ttl=ttl, now=now)

    def release(self, annotator: str, tasks: Iterable[int] | None = None) -> int:
        """Give tasks (default: all) back for others; return how many were held."""
        with writing(self._engine) as connection:
            return leasing.release(connection, check_name(annotator), tasks)

    def answer(self, annotator: str, given: Sequence[Given]) -> list[Receipt]:
        """Keep answers; return what became of each. They are on disk when this returns, all of them or none.

        Work is never thrown away: an answer without a lease, after its lease ran out, beyond the votes wanted or to a
        closed question is kept. The same answer again is a duplicate. Another answer to the same task is refused (in
        its receipt) until the first is retracted; so is a key that stands for another task. UsageError for a value that
        the question does not allow, NotFound for a task that is not there: then nothing is written.
        """
        return self.answer_all([(annotator, g) for g in given])

    def answer_all(self, given: Sequence[tuple[str, Given]], *, whole: bool = False) -> list[Receipt]:
        """Keep answers of several annotators, as `answer`; with `whole`, none where a receipt says "refused"."""
        if not given:
            return []
        for name in {who for who, _ in given}:
            check_name(name)
        found = self.checked(given)
        fine = [c for c in found if not isinstance(c, str)]
        if len(fine) < len(found):
            why = next(c for c in found if isinstance(c, str))
            raise NotFound(why) if why.startswith("the inbox has no") else UsageError(why)
        if not whole:
            return self._shared(fine)
        try:
            return self._written(fine, whole=True)
        except _Undo as undone:
            return undone.receipts

    def _written(self, given: Sequence[answering.Checked], *, whole: bool = False) -> list[Receipt]:
        with writing(self._engine) as connection:
            receipts = answering.answer(connection, given, self._now(connection))
            if whole and not all(r.kept for r in receipts):
                raise _Undo(receipts)
        return receipts

    def checked(self, given: Sequence[tuple[str, Given]]) -> list[answering.Checked | str]:
        """Return for each answer why it cannot be kept (a text), or what would be; writes nothing."""
        with reading(self._engine) as connection:
            return answering.checked(connection, given)

    def retract(self, annotator: str, task: int) -> bool:
        """Take an answer (or a skip) back; False where there is none, or a run has taken it already."""
        with writing(self._engine) as connection:
            return answering.retract(connection, check_name(annotator), task)

    # -- tasks, without a lease --------------------------------------------------------------------------------------

    def open_tasks(self, team: str = "") -> Iterator[list[Task]]:
        """Yield the tasks of a team's open questions that lack votes, a few thousand at a time, leasing none."""
        return listing.open_tasks(self._engine, team)

    def find(self, tasks: Iterable[int]) -> dict[int, Task]:
        """Return those of these tasks that are there, by id."""
        return listing.find(self._engine, tasks)

    def scores(self, tasks: Iterable[int]) -> dict[int, float]:
        """Return the value of the question's signal for those of these tasks that have one; it tells gold apart."""
        return listing.scores(self._engine, tasks)

    def said(
        self,
        *,
        annotator: str | None = None,
        runs: Sequence[str] | None = None,
        records: Sequence[int] | None = None,
        tasks: Sequence[int] | None = None,
        last: int = 10_000,
    ) -> list[Said]:
        """Return answers (of an annotator, of runs, about records, to tasks), newest first, at most the `last`.

        Skips are among them. `records`, `tasks`: at most 1,000 ids.
        """
        where = [
            *([] if annotator is None else [answers.c.annotator == annotator]),
            *([] if runs is None else [questions.c.run.in_(list(runs))]),
            *([] if records is None else [task_table.c.record.in_(list(records))]),
            *([] if tasks is None else [answers.c.task.in_(list(tasks))]),
        ]
        return listing.said(self._engine, *where, last=last)

    def by_key(self, question: str, keys: Iterable[str]) -> dict[str, int]:
        """Return the task of a question for each of these record keys that it asks about."""
        return listing.by_key(self._engine, question, keys)

    # -- annotators --------------------------------------------------------------------------------------------------

    def suspend(self, annotator: str, why: str) -> None:
        """Give an annotator no more tasks, and take those that they hold back for others; answers are still kept."""
        if not why:
            raise UsageError("suspend(why=''): say why; the annotator and others read it")
        with writing(self._engine) as connection:
            leasing.release(connection, check_name(annotator), None)
            connection.execute(update(annotators).where(annotators.c.name == annotator).values(suspended=why))

    def reinstate(self, annotator: str) -> None:
        """Give an annotator tasks again."""
        with writing(self._engine) as connection:
            leasing.member(connection, check_name(annotator))
            connection.execute(update(annotators).where(annotators.c.name == annotator).values(suspended=""))

    def annotators(self) -> list[Member]:
        """Return everybody who ever leased or answered, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(annotators)).all()
            recent = {r.name: self._seconds(connection, r.name) for r in rows}
        found = [Member(r.name, r.answers, r.gold, r.gold_right, recent[r.name], r.suspended) for r in rows]
        return sorted(found, key=lambda m: m.name)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _seconds(self, connection: Connection, annotator: str) -> float:
        wanted = select(answers.c.seconds).where(answers.c.annotator == annotator)
        last = connection.scalars(wanted.order_by(answers.c.number.desc()).limit(_RECENT))
        known = [s for s in last if s is not None]
        return statistics.median(known) if known else float("nan")

    def _set(self, question: str, state: str, why: str) -> None:
        with writing(self._engine) as connection:
            number = publishing.locked(connection, question)["number"]
            new = {"state": state, "why": why}
            connection.execute(update(questions).where(questions.c.number == number).values(new))

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        if connection.dialect.name == "sqlite":
            return time.time()
        # several machines: only the database's clock is the same for all
        return float(connection.scalar(select(func.extract("epoch", text("clock_timestamp()")))) or 0.0)
