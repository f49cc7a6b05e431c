"""`Inbox`: what people are asked and what they answered, kept in an SQLite file or a Postgres database."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from sqlalchemy import delete, update

from tilth.labeling import (
    inbox_answers,
    inbox_claims,
    inbox_leases,
    inbox_looking,
    inbox_people,
    inbox_publishing,
)
from tilth.labeling.inbox_tables import insert, open_place, panels, questions
from tilth.labeling.inbox_values import Drained, Given, Posted, Progress, Receipt, Standing, Task, Tasks
from tilth.sql import writing

__all__ = ["Inbox"]


class Inbox:
    """Questions to people, their tasks, leases and answers; one run publishes and claims, many annotators answer.

    >>> import tempfile
    >>> import numpy as np
    >>> inbox = Inbox(Path(tempfile.mkdtemp()) / "inbox.sqlite")
    >>> form = {"kind": "class", "classes": ["cat", "dog"]}
    >>> inbox.publish(Posted("run-1/r0/ask", "label", run="run-1", form=form), Tasks(np.array([7]), ["7.png"]))
    True
    >>> [task] = inbox.lease("ann")
    >>> inbox.answer("ann", [Given(task.id, "answer", "cat")])[0].state
    'kept'
    >>> inbox.claim("run-1/r0/ask", part="run-1/r0/ask/1").value
    ['cat']
    >>> inbox.close()

    `where`: a file (made where it is not there), or postgresql://user@host/database. All that is written is durable
    when the call returns. Threads may share an inbox, processes open one each. `clock`: seconds since 1970, by which
    leases run; the default is the machine's clock, on Postgres the database's.

    A lease is over when the clock passes its end. Set forward, the clock ends leases early: their tasks go to others,
    and the answers of who had them are kept all the same. Set back, leases would live too long: whoever leases or
    renews next cuts those that were given later than now to that call's `ttl` from now.
    """

    def __init__(self, where: str | Path, *, clock: Callable[[], float] | None = None) -> None:
        self._place = open_place(where, clock)

    def __enter__(self) -> "Inbox":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._place.engine.dispose()

    # -- for runs ----------------------------------------------------------------------------------------------------

    def publish(self, posted: Posted, tasks: Tasks) -> bool:
        """Ask a question; False where one of that id was published before, and then nothing changes."""
        return inbox_publishing.publish(self._place, posted, tasks)

    def claim(self, question: str | Sequence[str], part: str) -> Drained:
        """Return the answers that a part takes into a commit: once, however often it is claimed.

        A new part gets all answers to these questions that no part has yet, skips left out. A part that was claimed
        before returns the same rows again, without those that came later, whatever questions are named. NotFound for an
        unknown question, UsageError where the questions are of several runs.
        """
        return inbox_claims.claim(self._place, [question] if isinstance(question, str) else list(question), part)

    def undrained(self, run: str) -> list[str]:
        """Return the questions of a run that have answers which no part has taken, older first."""
        return inbox_claims.undrained(self._place, run)

    def close_question(self, question: str, why: str) -> None:
        """Give no more tasks of a question; answers that come all the same are kept, as late ones."""
        self._set(question, why)

    def reopen(self, question: str) -> None:
        """Give tasks of a closed question again."""
        self._set(question, None)

    def pause_panel(self, panel: str) -> None:
        """Give no tasks of a panel's questions until it is resumed."""
        with writing(self._place.engine) as connection:
            connection.execute(insert(self._place, panels).values(paused=panel).on_conflict_do_nothing())

    def resume_panel(self, panel: str) -> None:
        """Give tasks of a panel's questions again."""
        with writing(self._place.engine) as connection:
            connection.execute(delete(panels).where(panels.c.paused == panel))

    def delete(self, run: str) -> None:
        """Forget a run's questions, tasks, answers and parts; what was committed of them stays in the dataset."""
        inbox_publishing.forget(self._place, run)

    # -- for annotators ----------------------------------------------------------------------------------------------

    def lease(
        self, annotator: str, n: int = 16, *, team: str = "", question: str | None = None, ttl: float = 600.0
    ) -> list[Task]:
        """Return up to `n` tasks that are the annotator's for `ttl` seconds, older questions first, then by rank.

        Tasks come of open questions whose team is `team` exactly, that still want votes (answers and living leases are
        fewer), and that the annotator has neither answered nor skipped; those held already come first. None for who is
        suspended. NotFound for an unknown `question`; UsageError for a name that is none, `n` < 1, `ttl` over 7 days.
        """
        return inbox_leases.lease(self._place, annotator, n, team=team, question=question, ttl=ttl)

    def renew(self, annotator: str, tasks: Sequence[int] | None = None, *, ttl: float = 600.0) -> list[int]:
        """Hold tasks (default all) for `ttl` seconds from now; return those that were still held."""
        return inbox_leases.renew(self._place, annotator, tasks, ttl=ttl)

    def release(self, annotator: str, tasks: Sequence[int] | None = None) -> None:
        """Give tasks (default all) back to the pool."""
        inbox_leases.release(self._place, annotator, tasks)

    def answer(self, annotator: str, given: Sequence[Given]) -> list[Receipt]:
        """Write answers down, all in one transaction; return a receipt each, in their order.

        Kept are also answers without a lease, to closed questions, and beyond the votes wanted. "duplicate": the same
        key again, or without a key the same answer again. "refused": an answer to a task that this annotator has
        answered before (retract that first), a key that belongs to another task, a task that is not there; the other
        answers of the call are kept. UsageError, and nothing is written, for a value that the question does not allow.
        """
        return inbox_answers.answer(self._place, annotator, given)

    def retract(self, annotator: str, task: int) -> bool:
        """Take an annotator's answer or skip back; False where there is none or a part has taken it."""
        return inbox_answers.retract(self._place, annotator, task)

    # -- about annotators --------------------------------------------------------------------------------------------

    def suspend(self, annotator: str, why: str) -> None:
        """Take an annotator's leases back at once and give no more; answers that come all the same are kept."""
        inbox_people.suspend(self._place, annotator, why)

    def reinstate(self, annotator: str) -> None:
        """Give tasks to a suspended annotator again; NotFound names the annotators there are."""
        inbox_people.reinstate(self._place, annotator)

    def annotators(self) -> list[Standing]:
        """Return how each annotator does, by name."""
        return inbox_people.standings(self._place)

    # -- looking -----------------------------------------------------------------------------------------------------

    def progress(self, question: str) -> Progress:
        """Return how far a question is, from counters; NotFound names the questions there are."""
        return inbox_looking.all_progress(self._place, id=question)[0]

    def questions(self, run: str | None = None, state: str | None = None) -> list[Progress]:
        """Return how far questions are, older first: all, those of a run, those "open", "closed" or "paused"."""
        return inbox_looking.all_progress(self._place, run=run, state=state)

    def open_tasks(self, *, team: str = "", question: str | None = None) -> Iterator[Task]:
        """Yield the tasks that `lease` would give somebody new, leased ones too, in the same order."""
        return inbox_looking.open_tasks(self._place, team=team, question=question)

    def find(self, tasks: Sequence[int]) -> dict[int, Task]:
        """Return tasks by their ids; an id that is not there is left out."""
        return inbox_looking.find(self._place, tasks)

    def find_keys(self, question: str, keys: Collection[str]) -> dict[str, int]:
        """Return the ids of a question's tasks by the keys of their records; a key that is not there is left out."""
        return inbox_looking.ids_of(self._place, question, keys)

    def _set(self, question: str, closed: str | None) -> None:
        with writing(self._place.engine) as connection:
            number = inbox_looking.numbers(connection, [question])[question]
            connection.execute(update(questions).where(questions.c.number == number).values(closed=closed))
