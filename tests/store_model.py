"""What a dataset is, in plain Python: each version a dict of records, each commit what it did to which."""

from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

FREE, PENDING, ANSWERED = range(3)
LABELS: dict[str, list[Any]] = {
    "class": [None, "cat", "dog"],
    "classes": [None, [], ["cat"], ["cat", "dog"]],
    "number": [None, 0.5, -3.0],
}


@dataclass
class Rec:
    label: Any
    split: int
    content: tuple[int, float]
    parent: str | None = None
    alive: bool = True
    weight: float = 1.0
    asked: int = FREE
    quarantined: bool = False


@dataclass
class Made:
    """One version of the model: the records after it, and what it did to which."""

    key: str
    records: dict[str, Rec]
    born: set[str] = field(default_factory=set)
    touched: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Fields set by key ("alive" among them); a key that was asked about or answered has an entry too."""
    answered: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)


class Model:
    """A branch as a list of versions."""

    def __init__(self, made: list[Made]) -> None:
        self.made = made
        self.now: Made = made[-1]

    def start(self, key: str) -> None:
        self.now = Made(key, deepcopy(self.made[-1].records))

    def put(self, key: str, name: str, value: Any) -> None:
        setattr(self.now.records[key], name, value)
        if name == "alive" and value:
            self.now.records[key].quarantined = False
        self.now.touched[key].add(name)

    def follow(self, said: set[tuple[str, str]]) -> None:
        """Derived records follow: `said` are the (key, field) that the changes themselves speak of."""
        todo = list(said)
        while todo:
            source, name = todo.pop()
            for key, rec in self.now.records.items():
                if rec.parent == source and (key, name) not in said and (name == "label" or rec.alive):
                    self.put(key, name, getattr(self.now.records[source], name))
                    said.add((key, name))
                    todo.append((key, name))

    def root(self, key: str) -> str:
        parent = self.now.records[key].parent
        return key if parent is None else self.root(parent)

    def later(self, version: int) -> set[str]:
        return {key for made in self.made[version + 1 :] for key in made.touched}

    def revert(self, version: int, *, hold: bool) -> None:
        made, later, records = self.made[version], self.later(version), self.now.records
        before = self.made[version - 1].records if version else {}
        gone = [key for key in made.born - later if records[key].alive]
        labels: set[tuple[str, str]] = set()
        for key in set(made.touched) - made.born - later:
            kept = not hold and bool({key, self.root(key)} & made.answered)
            for name in made.touched[key] - {"alive", "asked", "paid"}:
                if not (name == "label" and kept):
                    self.put(key, name, getattr(before[key], name))
                    labels |= {(key, name)} if name == "label" else set()
            if "alive" in made.touched[key] and before[key].alive != records[key].alive:
                if before[key].alive:
                    self.put(key, "alive", True)
                else:
                    gone.append(key)
            if key in made.asked and records[key].asked == PENDING:
                self.put(key, "asked", FREE)
        mine = {(key, "label") for key in set(made.touched) | later}
        self.follow_but(labels, mine)
        while gone:
            key = gone.pop()
            self.put(key, "alive", False)
            records[key].quarantined = key in before and before[key].quarantined
            gone += [k for k, r in records.items() if r.parent == key and r.alive and k not in gone]

    def follow_but(self, labels: set[tuple[str, str]], mine: set[tuple[str, str]]) -> None:
        todo = list(labels)
        while todo:
            source, name = todo.pop()
            for key, rec in self.now.records.items():
                if rec.parent == source and (key, name) not in mine | labels:
                    self.put(key, name, getattr(self.now.records[source], name))
                    labels.add((key, name))
                    todo.append((key, name))

    def rollback(self, to: int) -> None:
        then, records = self.made[to].records, self.now.records
        given = {k for k, r in records.items() if r.asked == ANSWERED and (k not in then or then[k].asked != ANSWERED)}
        for key, rec in records.items():
            old = then.get(key)
            names = ("alive", "weight", "split", "content", *(() if {key, self.root(key)} & given else ("label",)))
            for name in names if old is not None else ("alive",):
                if (was := old is not None and getattr(old, name)) != getattr(rec, name):
                    self.put(key, name, was)
                    if name == "alive" and not was:
                        rec.quarantined = old is not None and old.quarantined
            if rec.asked == PENDING and (old is None or old.asked != PENDING):
                self.put(key, "asked", FREE)

    def finish(self) -> None:
        if self.now.touched or self.now.born:
            self.made.append(self.now)


def diff_of(a: dict[str, Rec], b: dict[str, Rec]) -> set[tuple[str, str]]:
    out: set[tuple[str, str]] = set()
    for key in a | b:
        was = a.get(key) or replace(b[key], alive=False, asked=FREE)
        now = b.get(key) or replace(a[key], alive=False, asked=FREE)
        if was.alive != now.alive:
            out.add((key, "added" if now.alive else "quarantined" if now.quarantined else "removed"))
        elif now.alive:
            out |= {(key, n) for n in ("label", "weight", "split", "content") if getattr(was, n) != getattr(now, n)}
        if now.asked != was.asked and now.asked != FREE:
            out.add((key, "asked" if now.asked == PENDING else "answered"))
    return out
