"""The record store against a model of plain Python: whatever is done to both, every version is the same in both."""

import json
import math
import shutil
import tempfile
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.replay import replay
from tests.store_model import ANSWERED, FREE, LABELS, PENDING, Made, Model, Rec, diff_of
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Column, Dataset, LabelType, Schema
from tilth.dataset.carrying import unpacked
from tilth.dataset.store import payload_schema
from tilth.errors import Conflict

ANSWERS = ("answer", "gold", "review")
SAME = {"restore": "remove", "quarantine": "remove", "derive": "add", "answer": "ask", "withdraw": "ask"}
"""What must not happen to a record together with what else, for the order within a commit does not matter."""


class StoreMachine(RuleBasedStateMachine):
    kind = "class"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.counter = 0
        self.digests: dict[str, Any] = {}

    def teardown(self) -> None:
        if hasattr(self, "ds"):
            self.reopen()
            for branch in self.models:
                self.ds = Dataset.open(self.folder / "ds", branch=branch, durability="process")
                self.branch = branch
                for version in range(len(self.model.made)):
                    self.same(version)
                self.ds.export(self.folder / f"out-{branch}", history=True)
                told = [
                    {k: (v["label"], v["weight"], v["x"]) for k, v in r.items()}
                    for r in replay(self.folder / f"out-{branch}")
                ]
                model = [
                    {k: (r.label, r.weight, r.content[1]) for k, r in made.records.items() if r.alive}
                    for made in self.model.made
                ]
                assert told == model
        shutil.rmtree(self.folder)

    # -- two ways to say the same ----------------------------------------------------------------------------------

    @property
    def model(self) -> Model:
        return self.models[self.branch]

    def number(self) -> int:
        self.counter += 1
        return self.counter

    def setting(self, ids: Any, label: Any) -> pa.Table:
        if self.kind == "classes" and label is not None:
            return events(Op.SET, ids, field=Field.LABEL, txt=[json.dumps(label)])
        none = math.nan if self.kind == "number" else -1
        code = none if label is None else label if self.kind == "number" else LABELS["class"].index(label) - 1
        return events(Op.SET, ids, field=Field.LABEL, num=np.array([code], np.float64))

    def label0(self, labels: list[Any]) -> pa.Array:
        if self.kind == "classes":
            return pa.array([None if label is None else json.dumps(label) for label in labels], pa.large_string())
        none = math.nan if self.kind == "number" else -1
        codes = [none if x is None else x if self.kind == "number" else LABELS["class"].index(x) - 1 for x in labels]
        return pa.array(codes, pa.float64() if self.kind == "number" else pa.int32())

    def same(self, version: int) -> None:
        at, made = self.ds.at(version), self.model.made[version]
        view, ids = at.view, at.ids(list(made.records))
        assert int(view.known.sum()) == len(made.records)
        for key, i, label in zip(made.records, ids, at.labels(ids), strict=True):
            rec = made.records[key]
            assert (view.alive[i], label, view.weight[i], view.split[i], view.asked[i], view.quarantined[i]) == (
                rec.alive, rec.label, rec.weight, rec.split, rec.asked, rec.quarantined,
            ), (key, version)  # fmt: skip
        if len(ids):
            assert at.features(ids)["x"].to_pylist() == [rec.content[1] for rec in made.records.values()]
        living = {k: (r.label, r.weight, r.split, r.asked, r.content[1]) for k, r in made.records.items() if r.alive}
        digest = at.digest()
        assert self.digests.setdefault(digest, living) == living
        assert self.digests.setdefault(repr(sorted(living.items())), digest) == digest

    # -- what is done to both --------------------------------------------------------------------------------------

    @initialize(labels=st.lists(st.integers(0, 2), min_size=1, max_size=4))
    def create(self, labels: list[int]) -> None:
        schema = Schema((Column("x", "number"),), LabelType(self.kind, () if self.kind == "number" else ("cat", "dog")))
        self.ds = Dataset.create(self.folder / "ds", schema=schema, durability="process")
        self.models = {"main": Model([Made("create", {})])}
        self.branch = "main"
        self.commit([("add", f"r{i}", LABELS[self.kind][label], 0) for i, label in enumerate(labels)], "first")

    def commit(self, todo: list[tuple[Any, ...]], key: str, base: int | None = None, skip: bool = False) -> None:
        """Make one commit in the store and in the model; `todo`: (what, key, value, ...)."""
        model, head = self.model, len(self.model.made) - 1
        base = head if base is None else base
        records = model.made[-1].records
        theirs = model.later(base)
        comes = {"add", "derive"}
        lost = [t for t in todo if (t[4] if t[0] == "derive" else t[1]) in theirs and t[0] not in ("add", *ANSWERS)]
        living = [t for t in todo if t[0] in comes and t[1] in records and records[t[1]].alive]
        foreign = [t for t in todo if t[0] == "add" and t[1] in records and not records[t[1]].alive]
        kept = todo
        if skip and head > base:
            kept = [t for t in todo if t not in lost + living]
            lost = living = []
        new = [t for t in todo if t[0] in ("add", "derive")]
        revised = [t for t in todo if t[0] == "modify"]
        parts = [self.event(t) for t in todo if t not in new and t not in revised]
        xs = {t[1]: float(self.number()) for t in new + revised}
        added = self.added(new, xs) if new else None
        changed = pa.table({"record_id": self.ds.ids([t[1] for t in revised]), "x": [xs[t[1]] for t in revised]})
        changes = Changes(pa.concat_tables([*parts, Changes.none().events]), added, changed if revised else None)
        if lost or living or foreign:
            with pytest.raises(Conflict, match="records"):
                self.ds.commit(changes, key=key, base=base, on_conflict="skip" if skip else "raise")
            return
        commit = self.ds.commit(changes, key=key, base=base, on_conflict="skip" if skip else "raise")
        known = [made.key for made in model.made]
        if key in known:
            assert commit.version == known.index(key)
            return
        model.start(key)
        said: set[tuple[str, str]] = set()
        for what, k, *rest in sorted(kept, key=lambda t: t[0] not in ("add", "derive")):
            if what in ("add", "derive") and k in records:
                model.put(k, "alive", True)
            elif what in ("add", "derive"):
                model.now.records[k] = Rec(
                    rest[0], rest[1], (self.number(), xs[k]), rest[2] if what == "derive" else None
                )
                model.now.born.add(k)
                if self.kind == "classes" and rest[0] is not None:
                    model.now.touched[k].add("label")
            elif what in ("ask", "answer", "withdraw"):
                asked = {"ask": PENDING, "answer": ANSWERED, "withdraw": FREE}[what]
                model.put(k, "asked", ANSWERED if model.now.records[k].asked == ANSWERED else asked)
                (model.now.answered if what == "answer" else model.now.asked).add(k) if what != "withdraw" else None
            elif what in ("gold", "review"):
                model.now.touched[k].add("paid")
            elif what == "modify":
                model.put(k, "content", (self.number(), xs[k]))
            else:
                name = "alive" if what in ("remove", "restore", "quarantine") else what
                model.put(k, name, rest[0] if rest else what == "restore")
                if what == "quarantine":
                    model.now.records[k].quarantined = True
                if what in ("label", "remove", "quarantine"):
                    said.add((k, name))
        model.follow(said)
        model.finish()
        assert commit.version == len(model.made) - 1

    def event(self, todo: tuple[Any, ...]) -> pa.Table:
        what, key, *rest = todo
        ids = self.ds.ids([key])
        match what:
            case "label":
                return self.setting(ids, rest[0])
            case "weight" | "split":
                return events(Op.SET, ids, field=Field[what.upper()], num=rest[0], reason="said so", score=np.ones(1))
            case "answer":
                return events(Op.ANSWER, ids, txt=['"cat"'], actor="ann")
            case "gold" | "review":
                return events(Op.ANSWER, ids, field=Field[what.upper()], txt=['"cat"'], actor="ann")
            case _:
                ops = {"remove": Op.REMOVE, "restore": Op.ADD, "ask": Op.ASK, "withdraw": Op.WITHDRAW}
                ops["quarantine"] = Op.QUARANTINE
                return events(ops[what], ids, reason=what)

    def added(self, new: list[tuple[Any, ...]], xs: dict[str, float]) -> pa.Table:
        parents = [self.ds.find([t[4]])[0] if t[0] == "derive" else -1 for t in new]
        return pa.table(
            {
                "key": [t[1] for t in new],
                "x": [xs[t[1]] for t in new],
                "label0": self.label0([t[2] for t in new]),
                "split0": pa.array([t[3] for t in new], pa.int8()),
                "parent": pa.array(parents, pa.int64()),
                "recipe": pa.array(["twice" if t[0] == "derive" else None for t in new], pa.string()),
            }
        )

    def draw(self, data: st.DataObject, version: int) -> list[tuple[Any, ...]]:
        """Draw up to five things to do to records that a version knows."""
        known = self.model.made[version].records
        label, split = st.sampled_from(LABELS[self.kind]), st.integers(0, 2)
        some = st.sampled_from(sorted(known))
        fresh = st.sampled_from([f"n{i}" for i in range(8)])
        child = st.builds(
            lambda parent, n: ("derive", f"{parent}~{n}", known[parent].label, 0, parent), some, st.integers(0, 1)
        )
        ways = [
            st.tuples(st.just("label"), some, label),
            st.tuples(st.just("weight"), some, st.sampled_from([0.0, 0.5, 2.0])),
            st.tuples(st.just("split"), some, split),
            st.tuples(st.sampled_from(["remove", "restore", "ask", "answer", "withdraw", "modify"]), some),
            st.tuples(st.sampled_from(["quarantine", "gold", "review"]), some),
            st.tuples(st.just("add"), fresh, label, split),
            child,
        ]
        todo = data.draw(st.lists(st.one_of(ways), min_size=1, max_size=5))
        out: dict[Any, tuple[Any, ...]] = {}
        for t in todo:  # a field of a record once, so that the order within a commit does not matter
            name = SAME.get(t[0], t[0])
            out.setdefault((name, t[1]), t)
        return list(out.values())

    @rule(data=st.data(), skip=st.booleans(), stale=st.integers(0, 3))
    def change(self, data: st.DataObject, skip: bool, stale: int) -> None:
        base = max(1, len(self.model.made) - 1 - stale)
        if self.model.made[base].records:
            self.commit(self.draw(data, base), f"k{self.number()}", base, skip)

    @rule(data=st.data())
    def repeat_a_key(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from([made.key for made in self.model.made]))
        commit = self.ds.commit(Changes(events(Op.REMOVE, self.ds.ids(["r0"]))), key=key)
        assert commit.version == [made.key for made in self.model.made].index(key)

    @rule(data=st.data(), hold=st.booleans())
    def revert(self, data: st.DataObject, hold: bool) -> None:
        version = data.draw(st.integers(0, len(self.model.made) - 1))
        key = f"k{self.number()}"
        self.model.start(key)
        self.model.revert(version, hold=hold)
        self.model.finish()
        assert self.ds.revert(version, key=key, hold=hold).version == len(self.model.made) - 1

    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        to = data.draw(st.integers(0, len(self.model.made) - 1))
        self.model.start("")
        self.model.rollback(to)
        self.model.finish()
        commit = self.ds.rollback(to)
        assert commit.version == len(self.model.made) - 1
        self.model.made[-1].key = commit.key

    @precondition(lambda self: len(self.models) < 3)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(1, len(self.model.made) - 1))
        name = f"b{self.number()}"
        self.models[name] = Model(deepcopy(self.model.made[: at + 1]))
        self.ds, self.branch = self.ds.branch(name, at=at), name

    @rule(data=st.data())
    def go_to_branch(self, data: st.DataObject) -> None:
        self.branch = data.draw(st.sampled_from(sorted(self.models)))
        self.reopen()

    @rule()
    def reopen(self) -> None:
        self.ds = Dataset.open(self.folder / "ds", branch=self.branch, durability="process")

    @rule(lose=st.booleans())
    def compact(self, lose: bool) -> None:
        self.ds.compact(older_than=timedelta(0) if lose else timedelta(days=1))

    @rule()
    def lose_checkpoints(self) -> None:
        shutil.rmtree(self.folder / "ds" / "checkpoints", ignore_errors=True)
        self.reopen()

    @rule(rows=st.integers(1, 3), which=st.sets(st.sampled_from(["payload", "events", "labels"]), min_size=1))
    def crash_between_append_and_commit(self, rows: int, which: set[str]) -> None:
        store, txn = self.ds._core.store, 2 * self.number()  # those of the store are odd
        if "payload" in which:
            kinds = payload_schema(self.ds.schema)
            row = dict.fromkeys(kinds.names) | {"key": "r0", "key_hash": 7, "born_txn": txn, "parent": 0}
            row |= {"content_hash": b"\0" * 32, "revises": -1, "split0": 0, "x": 1.0}
            row["label0"] = None if self.kind == "classes" else 0
            store.payload.append(pa.Table.from_pylist([row] * rows, schema=kinds))
        if "events" in which:
            store.events.append(store.marked(events(Op.REMOVE, np.zeros(rows, np.int64)), txn))
        if "labels" in which:
            store.append_labels(["[]"] * rows, txn)

    @rule()
    def crash_while_events_move_into_their_table(self) -> None:
        """Appended they are, but the commits still carry them, and will be appended again."""
        core = self.ds._core
        if carrying := core.log.carrying():
            core.store.events.append(pa.concat_tables([unpacked(commit.carried) for commit in carrying]))

    @invariant()
    def nothing_differs(self) -> None:
        if not hasattr(self, "ds"):
            return
        made = self.model.made
        assert self.ds.version == len(made) - 1
        for version in range(len(made)):
            self.same(version)
        a, b = len(made) * 7 // 11, len(made) - 1
        for x, y in ((a, b), (b, a), (b - 1, b)):
            table = self.ds.diff(x, y)
            told = set(zip(table["key"].to_pylist(), table["what"].to_pylist(), strict=True))
            assert {t for t in told if t[1] not in ("asked", "answered")} == {
                t for t in diff_of(made[x].records, made[y].records) if t[1] not in ("asked", "answered")
            }
            if x <= y:
                assert told == diff_of(made[x].records, made[y].records)
        key = min(made[-1].records, default=None)
        if key is not None:
            past = sorted({event.version for event in self.ds.history(key)})
            assert past == [v for v, m in enumerate(made) if key in m.touched or key in m.born]


@pytest.mark.parametrize("kind", ["class", "classes", "number"])
def test_the_store_agrees_with_a_model_in_plain_python(kind: str) -> None:
    machine = type(f"{kind.title()}Store", (StoreMachine,), {"kind": kind})
    few = settings(
        phases=[Phase.generate],
        max_examples=12 if kind == "class" else 6,
        stateful_step_count=14,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=few)
