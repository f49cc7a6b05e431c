"""Answers: written down once, counted with them, and taken back."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from tilth.labeling.inbox_people import enter, named
from tilth.labeling.inbox_tables import COUNTS, SPAN, Place, answers, insert, leases, questions, seats, some, tasks
from tilth.labeling.inbox_values import Given, Posted, Receipt
from tilth.sql import writing

__all__ = ["answer", "retract"]

_OLD = (answers.c.task, answers.c.key, answers.c.verdict, answers.c.value, answers.c.part)
_WANTS = update(tasks).where(tasks.c.id == bindparam("this")).values(wants=bindparam("now"))


def answer(place: Place, annotator: str, given: Sequence[Given]) -> list[Receipt]:
    """Write answers of one annotator down; a receipt each, in their order."""
    named(annotator)
    if not given:
        return []
    with writing(place.engine) as connection:
        enter(place, connection, annotator)
        batch = _Batch(connection, annotator, given, place.now(connection))
        receipts = [batch.take(one) for one in given]
        batch.write(place)
    return receipts


def retract(place: Place, annotator: str, task: int) -> bool:
    """Take an annotator's answer (or skip) back; False where there is none, or a part has taken it."""
    with writing(place.engine) as connection:
        place.one_leaser(connection)
        enter(place, connection, named(annotator))
        row = connection.execute(
            select(tasks.c.wants, tasks.c.gold).where(tasks.c.id == task).with_for_update()
        ).one_or_none()
        gone = (
            delete(answers)
            .where(answers.c.task == task, answers.c.annotator == annotator, answers.c.part.is_(None))
            .returning(answers.c.verdict, answers.c.value)
        )
        old = connection.execute(gone).one_or_none()
        if row is None or old is None:
            return False
        counts = Counter({name: -n for name, n in _counted(old.verdict, old.value, row.gold).items()})
        if old.verdict != "skip":
            counts["complete"] -= row.wants == 0
            connection.execute(_WANTS, {"this": task, "now": row.wants + 1})
        number = task // SPAN
        _count(place, connection, annotator, {number: counts})
        # the task may be wanted again, by those who have passed it too
        back = update(seats).where(seats.c.question == number, seats.c.cursor >= task).values(cursor=task - 1)
        connection.execute(back)
    return True


class _Batch:
    """Answers of one annotator in one transaction: looked up together, taken one by one, written together."""

    def __init__(self, connection: Connection, annotator: str, given: Sequence[Given], now: float) -> None:
        self.connection, self.annotator, self.now = connection, annotator, now
        ids = sorted({one.task for one in given})  # all lock tasks in one order, so that none waits in a circle
        self.tasks: dict[int, Any] = {}
        self.asked: dict[int, tuple[Posted, bool]] = {}
        self.mine: dict[int, Any] = {}
        self.keys: dict[str, int] = {}
        for part in some(ids):
            locked = select(tasks.c.id, tasks.c.gold, tasks.c.wants).where(tasks.c.id.in_(part))
            rows = connection.execute(locked.order_by(tasks.c.id).with_for_update())
            self.tasks |= {row.id: row for row in rows}
            old = select(*_OLD).where(answers.c.annotator == annotator, answers.c.task.in_(part))
            self.mine |= {row.task: row for row in connection.execute(old)}
        numbers = sorted({id // SPAN for id in self.tasks})
        about = select(questions.c.number, questions.c.posted, questions.c.closed)
        for row in connection.execute(about.where(questions.c.number.in_(numbers))):
            self.asked[row.number] = (Posted.from_json(row.posted), row.closed is not None)
        for part in some(sorted({one.key for one in given if one.key})):
            used = select(answers.c.key, answers.c.task)
            rows = connection.execute(used.where(answers.c.annotator == annotator, answers.c.key.in_(part)))
            self.keys |= {row.key: row.task for row in rows}
        self.wants = {id: row.wants for id, row in self.tasks.items()}
        self.counts: dict[int, Counter[str]] = defaultdict(Counter)
        self.rows: dict[int, dict[str, Any]] = {}
        self.replaced: list[int] = []

    def take(self, one: Given) -> Receipt:
        """Decide what becomes of an answer."""
        if one.task not in self.tasks:
            why = f"no task {one.task} in this inbox: its run was deleted, or it is of another inbox"
            return Receipt(one.task, "refused", why)
        posted, closed = self.asked[one.task // SPAN]
        value = json.dumps(posted.checked(one.value)) if one.verdict == "answer" else None
        key = one.key or _key(posted.id, one.task, self.annotator)
        if self.keys.get(key, one.task) != one.task:
            why = f"key {key!r} came with task {self.keys[key]} before; give each answer a key of its own"
            return Receipt(one.task, "refused", why)
        old = self.rows.get(one.task) or self._stored(one.task)
        if old:
            same = (old["verdict"], old["value"]) == (one.verdict, value)
            # a key of the client's own vouches that it is the same answer; the default key says which task only
            if same if one.key is None else old["key"] == key:
                return Receipt(one.task, "duplicate")
            if old["verdict"] != "skip":
                was = old["verdict"] if old["value"] is None else repr(json.loads(old["value"]))
                why = f"{self.annotator} has answered it already ({was}); retract that first"
                return Receipt(one.task, "refused", why)
            self._forget_skip(one.task)
        return self._keep(one, key, value, closed)

    def _stored(self, task: int) -> dict[str, Any] | None:
        row = self.mine.get(task)
        return None if row is None else dict(row._mapping)

    def _forget_skip(self, task: int) -> None:
        if self.rows.pop(task, None) is None:
            del self.mine[task]
            self.replaced.append(task)
        self.counts[task // SPAN]["skipped"] -= 1

    def _keep(self, one: Given, key: str, value: str | None, closed: bool) -> Receipt:
        counts = self.counts[one.task // SPAN]
        counts.update(_counted(one.verdict, value, self.tasks[one.task].gold))
        surplus = False
        if one.verdict != "skip":
            surplus = self.wants[one.task] <= 0
            self.wants[one.task] -= 1
            counts["complete"] += self.wants[one.task] == 0
        self.keys[key] = one.task
        self.rows[one.task] = {
            "task": one.task,
            "annotator": self.annotator,
            "key": key,
            "verdict": one.verdict,
            "value": value,
            "seconds": one.seconds,
            "note": one.note,
            "time": self.now,
            "surplus": surplus,
        }
        return Receipt(one.task, "kept", surplus=surplus, late=closed)

    def write(self, place: Place) -> None:
        """Write what was taken."""
        if not self.rows:
            return
        c = self.connection
        for part in some(self.replaced):
            c.execute(delete(answers).where(answers.c.annotator == self.annotator, answers.c.task.in_(part)))
        c.execute(answers.insert(), list(self.rows.values()))
        moved = [{"this": id, "now": n} for id, n in sorted(self.wants.items()) if n != self.tasks[id].wants]
        if moved:
            c.execute(_WANTS, moved)
        for part in some(list(self.rows)):
            c.execute(delete(leases).where(leases.c.annotator == self.annotator, leases.c.task.in_(part)))
        _count(place, c, self.annotator, self.counts)


def _key(question: str, task: int, annotator: str) -> str:
    return hashlib.sha256(json.dumps([question, task, annotator]).encode()).hexdigest()[:32]


def _counted(verdict: str, value: str | None, gold: str | None) -> Counter[str]:
    """Return what an answer adds to the counts of its annotator."""
    if verdict == "skip":
        return Counter(skipped=1)
    counts = Counter(answers=1)
    if verdict != "answer":
        counts[verdict] = 1
    elif gold is not None and value is not None:
        counts["gold"] = 1
        counts["gold_right"] = int(_same(json.loads(gold), json.loads(value)))
    return counts


def _same(truth: Any, said: Any) -> bool:
    if isinstance(truth, list) and isinstance(said, list):
        return sorted(map(str, truth)) == sorted(map(str, said))  # classes have no order
    return bool(truth == said)


def _count(place: Place, connection: Connection, annotator: str, counts: dict[int, Counter[str]]) -> None:
    rows = [
        {"question": number, "annotator": annotator, "cursor": number * SPAN - 1}
        | {name: counts[number][name] for name in COUNTS}
        for number in sorted(counts)
    ]
    made = insert(place, seats)
    more = {name: seats.c[name] + made.excluded[name] for name in COUNTS}
    connection.execute(made.on_conflict_do_update(index_elements=["question", "annotator"], set_=more), rows)
