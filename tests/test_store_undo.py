"""Undoing in the record store: reverts, rollbacks, branches, derived records, what people said, and the history."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pets import asked, child, label, make_pets, seen
from tilth.changes import Changes, Field, Op, events
from tilth.dataset import Dataset
from tilth.errors import Conflict, Exists, NotFound, UsageError


@pytest.fixture
def pets(tmp_path: Path) -> Dataset:
    return make_pets(tmp_path)


def say(ds: Dataset, key: str, name: str) -> Changes:
    """What a person says, and the label that follows from it."""
    answer = events(Op.ANSWER, ds.ids([key]), txt=[f'"{name}"'], actor="ann", cost=np.array([0.25]))
    return Changes.join([Changes(answer), label(ds, [key], name, actor="ann")])


def test_a_rollback_is_a_new_version_with_the_data_of_an_old_one(pets: Dataset) -> None:
    pets.commit(label(pets, ["p1"], "cat"))
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p0", "p2"]))))
    pets.commit(child(pets, "p4", "p4~flip"))
    pets.commit(Changes(events(Op.SET, pets.ids(["p3"]), field=Field.WEIGHT, num=0.5)))
    commit = pets.rollback(1, actor="ann")
    assert (commit.version, commit.actor) == (5, "ann")
    assert pets.digest() == pets.at(1).digest()
    did = "removes 1 record, restores 2 records, sets 1 weight, split or content back"
    assert commit.message == f"rollback to version 1: {did}"
    pets.rollback(4)
    assert pets.digest() == pets.at(4).digest()
    with pytest.raises(NotFound, match="no version 9"):
        pets.rollback(9)


def test_a_rollback_keeps_what_people_said_and_withdraws_what_is_asked(pets: Dataset) -> None:
    pets.commit(Changes(events(Op.ASK, pets.ids(["p1", "p5"]))))
    pets.commit(say(pets, "p5", "dog"))
    pets.commit(label(pets, ["p0"], "dog"))
    commit = pets.rollback(0)
    assert (seen(pets)["p5"], seen(pets)["p0"]) == ("dog", "cat")
    assert (asked(pets, "p1"), asked(pets, "p5")) == (0, 2)
    assert commit.meta["kept"] == 1
    assert (pets.view.labels_spent, pets.view.cost) == (1, 0.25)


def test_a_revert_undoes_one_version_and_leaves_later_work_alone(pets: Dataset) -> None:
    pets.commit(label(pets, ["p0", "p1", "p2"], "dog"), rule="fix")
    pets.commit(label(pets, ["p0"], "cat"))
    commit = pets.revert(1, key="run/2/revert", rule="gate", actor="gate")
    assert [seen(pets)[k] for k in ("p0", "p1", "p2")] == ["cat", "dog", "cat"]
    assert {k: commit.meta[k] for k in ("undoes", "undone", "touched", "kept")} == {
        "undoes": 1, "undone": 2, "touched": 1, "kept": 0,
    }  # fmt: skip
    assert (commit.rule, commit.message) == ("gate", "version 1 undone: 2 undone, 1 touched")
    assert pets.revert(1, key="run/2/revert") == commit
    pets.revert(3)
    assert seen(pets)["p2"] == "dog"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["cat", "dog", "out", "light", "child"]), st.integers(0, 5)), max_size=6))
def test_versions_undone_newest_first_leave_nothing_of_themselves(
    tmp_path_factory: pytest.TempPathFactory, what: list[tuple[str, int]]
) -> None:
    pets = make_pets(tmp_path_factory.mktemp("undone"))
    before, made = pets.digest(), []
    for i, (kind, n) in enumerate(what):
        key = f"p{n}"
        if not pets.view.alive[pets.ids([key])[0]]:
            continue
        match kind:
            case "out":
                change = Changes(events(Op.REMOVE, pets.ids([key])))
            case "light":
                change = Changes(events(Op.SET, pets.ids([key]), field=Field.WEIGHT, num=0.5))
            case "child":
                change = child(pets, key, f"{key}~{i}")
            case _:
                change = label(pets, [key], kind)
        made.append(pets.commit(change).version)
    for version in reversed(made):
        pets.revert(version, undone=[c.version for c in pets.log() if c.version > version])
    assert pets.digest() == before


def test_a_revert_undoes_every_sort_of_change(pets: Dataset) -> None:
    for changes in (
        Changes(events(Op.REMOVE, pets.ids(["p0"]))),
        Changes(events(Op.SET, pets.ids(["p1"]), field=Field.WEIGHT, num=0.5)),
        Changes(events(Op.SET, pets.ids(["p1"]), field=Field.SPLIT, num=1)),
        Changes(events(Op.ASK, pets.ids(["p5"]))),
        child(pets, "p2", "p2~flip"),
        Changes.join([label(pets, ["p3"], "cat"), Changes(events(Op.REMOVE, pets.ids(["p3"])))]),
    ):
        before = pets.digest()
        version = pets.commit(changes).version
        assert pets.digest() != before
        pets.revert(version)
        assert pets.digest() == before


def test_a_revert_keeps_labels_of_people_unless_it_holds_them(pets: Dataset) -> None:
    pets.commit(Changes(events(Op.ASK, pets.ids(["p5"]))))
    pets.commit(say(pets, "p5", "dog"))
    commit = pets.revert(2)
    assert (commit.version, seen(pets)["p5"]) == (2, "dog")  # nothing to undo
    commit = pets.revert(2, hold=True)
    assert (commit.version, seen(pets)["p5"], asked(pets, "p5")) == (3, None, 2)
    assert pets.view.labels_spent == 1
    assert "answered" in [event.what for event in pets.history("p5")]


def test_asking_answering_and_setting_in_one_commit(pets: Dataset) -> None:
    ask = Changes(events(Op.ASK, pets.ids(["p5"])))
    pets.commit(Changes.join([ask, say(pets, "p5", "cat")]))
    assert (asked(pets, "p5"), seen(pets)["p5"], pets.view.labels_spent) == (2, "cat", 1)
    assert not pets.view.pool.any()
    pets.commit(Changes(events(Op.WITHDRAW, pets.ids(["p5"]))))
    pets.commit(Changes(events(Op.ASK, pets.ids(["p5"]))))
    assert asked(pets, "p5") == 2  # an answer stands
    pets.commit(Changes(events(Op.ASK, pets.ids(["p0"]))))
    assert asked(pets, "p0") == 1
    pets.commit(Changes(events(Op.WITHDRAW, pets.ids(["p0"]))))
    assert asked(pets, "p0") == 0


def test_what_people_say_is_never_a_conflict(pets: Dataset) -> None:
    pets.commit(label(pets, ["p5"], "dog"))
    commit = pets.commit(say(pets, "p5", "cat"), base=0, on_conflict="skip")
    assert (commit.meta["conflicts"], seen(pets)["p5"], asked(pets, "p5")) == (1, "dog", 2)


# -- derived records ---------------------------------------------------------------------------------------------------


def test_derived_records_follow_their_source(pets: Dataset) -> None:
    pets.commit(child(pets, "p0", "p0~flip"))
    pets.commit(child(pets, "p0~flip", "p0~flip~flip"))
    pets.commit(label(pets, ["p0"], "dog"))
    assert [seen(pets)[k] for k in ("p0", "p0~flip", "p0~flip~flip", "p2")] == ["dog", "dog", "dog", "cat"]
    assert pets.history("p0~flip")[-1].reason.startswith("follows its source")
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p0"]))))
    assert not {"p0", "p0~flip", "p0~flip~flip"} & set(seen(pets))
    pets.revert(4)
    assert {"p0", "p0~flip", "p0~flip~flip"} <= set(seen(pets))


def test_a_derived_record_can_have_a_label_of_its_own(pets: Dataset) -> None:
    pets.commit(child(pets, "p0", "p0~flip"))
    pets.commit(Changes.join([label(pets, ["p0"], "dog"), label(pets, ["p0~flip"], None)]))
    assert (seen(pets)["p0"], seen(pets)["p0~flip"]) == ("dog", None)


def test_a_source_that_is_labelled_while_a_record_is_derived_from_it(pets: Dataset) -> None:
    pets.commit(Changes.join([label(pets, ["p0"], "dog"), child(pets, "p0", "p0~flip", "cat")]))
    assert seen(pets)["p0~flip"] == "dog"


def test_a_removed_derived_record_is_revived_with_the_label_its_source_has_now(pets: Dataset) -> None:
    pets.commit(child(pets, "p0", "p0~flip"))
    (record,) = pets.ids(["p0~flip"])
    pets.commit(Changes(events(Op.REMOVE, np.array([record]))))
    pets.commit(label(pets, ["p0"], "dog"))
    pets.commit(child(pets, "p0", "p0~flip", "dog"))
    assert pets.ids(["p0~flip"]).tolist() == [record]
    assert seen(pets)["p0~flip"] == "dog"
    assert [e.what for e in pets.history("p0~flip")] == ["added", "removed", "label", "added"]
    pets.commit(Changes(events(Op.REMOVE, np.array([record]))))
    with pytest.raises(Conflict, match=r"restore\(\) what was removed"):
        pets.commit(child(pets, "p0", "p0~flip", recipe=None))


def test_undoing_takes_derived_records_along(pets: Dataset) -> None:
    pets.commit(label(pets, ["p0"], "dog"))
    pets.commit(child(pets, "p0", "p0~flip", "dog"))
    pets.revert(1)
    assert (seen(pets)["p0"], seen(pets)["p0~flip"]) == ("cat", "cat")
    pets.append(
        {"name": ["new"], "x": np.ones((1, 3), np.float32), "note": ["n"], "kind": ["cat"]}, key="name", label="kind"
    )
    pets.commit(child(pets, "new", "new~flip"))
    pets.revert(4)
    assert not {"new", "new~flip"} & set(seen(pets))


@pytest.mark.parametrize("undo", ["rollback", "revert"])
def test_derived_records_keep_the_label_that_a_person_gave_their_source(pets: Dataset, undo: str) -> None:
    pets.commit(child(pets, "p5", "p5~flip", None))
    pets.commit(say(pets, "p5", "dog"))
    assert seen(pets)["p5~flip"] == "dog"
    pets.rollback(1) if undo == "rollback" else pets.revert(2)
    assert (seen(pets)["p5"], seen(pets)["p5~flip"]) == ("dog", "dog")


def test_what_a_rollback_would_do_is_told_before(pets: Dataset) -> None:
    pets.commit(child(pets, "p5", "p5~flip", None))
    pets.commit(say(pets, "p5", "dog"))
    pets.commit(label(pets, ["p0"], "dog"))
    pets.commit(Changes(events(Op.ASK, pets.ids(["p1"]))))
    foreseen = pets.would_roll_back(1)
    assert pets.version == 4
    # the label of what derives from p5 stays too
    assert foreseen == {"removed": 0, "restored": 0, "labels": 1, "others": 0, "withdrawn": 1, "kept": 2}
    assert pets.rollback(1).meta == foreseen
    assert not any(n for what, n in pets.would_roll_back(1).items() if what != "kept")


# -- branches ----------------------------------------------------------------------------------------------------------


def test_branches_share_the_past_and_nothing_else(pets: Dataset) -> None:
    pets.commit(label(pets, ["p1"], "cat"))
    side = pets.branch("side", at=0)
    side.commit(label(side, ["p2"], "dog"))
    side.append(
        {"name": ["s"], "x": np.ones((1, 3), np.float32), "note": ["n"], "kind": ["cat"]}, key="name", label="kind"
    )
    pets.append(
        {"name": ["m"], "x": np.ones((1, 3), np.float32), "note": ["n"], "kind": ["dog"]}, key="name", label="kind"
    )
    assert (side.version, pets.version, side.branch_name, pets.branches) == (2, 2, "side", ["main", "side"])
    assert (seen(side)["p1"], seen(side)["p2"], seen(pets)["p1"], seen(pets)["p2"]) == ("dog", "dog", "cat", "cat")
    assert ("s" in seen(side), "m" in seen(side), "s" in seen(pets), "m" in seen(pets)) == (True, False, False, True)
    assert pets.find(["s"]).tolist() == [-1]
    assert "branch 'side'" in repr(side)
    assert [e.version for e in side.history("p1")] == [0]
    assert seen(Dataset.open(pets.path, branch="side")) == seen(side)
    assert {t["record_id"][0].as_py() for t in pets.stream(size=1)} == set(pets.ids(list(seen(pets))).tolist())
    assert pets.at(0).branch("older").version == 0


def test_branches_that_cannot_be(pets: Dataset) -> None:
    pets.branch("side")
    with pytest.raises(Exists, match="branch 'side' exists already"):
        pets.branch("side")
    for name in ("", ".hidden", "a/b", "..", "a b"):
        with pytest.raises(UsageError, match="a branch cannot be called"):
            pets.branch(name)
    with pytest.raises(NotFound, match="no version 4"):
        pets.branch("late", at=4)
    assert pets.branches == ["main", "side"]


# -- why ---------------------------------------------------------------------------------------------------------------


def test_the_history_of_a_record_says_what_when_and_why(pets: Dataset) -> None:
    why: dict[str, Any] = {
        "reason": "sure of it",
        "actor": "probe",
        "model": "m1",
        "signal": "margin",
        "score": np.array([0.9]),
    }
    pets.commit(label(pets, ["p1"], "cat", **why), rule="fix", round=2, run="r")
    pets.commit(Changes(events(Op.SET, pets.ids(["p1"]), field=Field.SPLIT, num=1)), message="for the exam")
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p1"]))))
    first, second, third, fourth = pets.history("p1")
    assert (first.what, first.after, first.version, first.reason) == ("added", "dog", 0, "import of dict")
    assert (second.what, second.before, second.after, second.rule, second.round) == ("label", "dog", "cat", "fix", 2)
    assert (second.reason, second.actor, second.model, second.signal, second.score) == (*list(why.values())[:-1], 0.9)
    assert (third.what, third.before, third.after, third.reason) == ("split", "train", "valid", "for the exam")
    assert (fourth.what, fourth.version) == ("removed", 3)
    assert second.to_json()["signal"] == "margin"
    assert [e.version for e in pets.at(1).history("p1")] == [0, 1]
    assert pets.history(int(pets.ids(["p1"])[0])) == pets.history(pets.ids(["p1"])[0]) == pets.history("p1")


def test_the_difference_of_two_versions_says_why(pets: Dataset) -> None:
    pets.commit(label(pets, ["p1"], "cat", reason="was wrong", signal="margin", score=np.array([0.9])), rule="fix")
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p0"]), reason="twice")), rule="clean")
    pets.commit(child(pets, "p2", "p2~flip"), rule="grow", message="flipped")
    pets.commit(Changes(events(Op.ASK, pets.ids(["p5"]), reason="unsure")), rule="ask")
    rows = pets.diff(0, 4).to_pylist()
    told = [(r["key"], r["what"], r["before"], r["after"], r["version"], r["rule"], r["reason"]) for r in rows]
    assert told == [
        ("p1", "label", "dog", "cat", 1, "fix", "was wrong"),
        ("p0", "removed", "cat", None, 2, "clean", "twice"),
        ("p2~flip", "added", None, "cat", 3, "grow", "flipped"),
        ("p5", "asked", None, None, 4, "ask", "unsure"),
    ]
    assert (rows[0]["signal"], rows[0]["score"]) == ("margin", 0.9)
    assert pets.diff(2, 2).num_rows == 0
    back = pets.diff(3, 0).to_pylist()
    assert [(r["key"], r["what"], r["before"], r["after"]) for r in back] == [
        ("p1", "label", "cat", "dog"),
        ("p0", "added", None, "cat"),
        ("p2~flip", "removed", "cat", None),
    ]
    assert pets.diff(-2, -1)["key"].to_pylist() == ["p5"]


def test_what_was_undone_in_between_is_no_difference(pets: Dataset) -> None:
    pets.commit(label(pets, ["p1"], "cat"))
    pets.revert(1)
    assert pets.diff(0, 2).num_rows == 0


def test_numbers_keep_their_digits(tmp_path: Path) -> None:
    ds = Dataset.create(tmp_path / "d", {"x": [1.0], "y": [0.1234567891]}, label="y", durability="process")
    ds.commit(Changes(events(Op.SET, ds.ids(["0"]), field=Field.LABEL, num=0.1234567892)))
    ds.commit(Changes(events(Op.SET, ds.ids(["0"]), field=Field.LABEL, num=np.nan)))
    assert [(r["before"], r["after"]) for r in ds.diff(0, 1).to_pylist()] == [("0.1234567891", "0.1234567892")]
    assert [(r["before"], r["after"]) for r in ds.diff(1, 2).to_pylist()] == [("0.1234567892", None)]
    with pytest.raises(UsageError, match="finite"):
        ds.commit(Changes(events(Op.SET, ds.ids(["0"]), field=Field.LABEL, num=np.inf)))


def test_back_to_a_version_where_a_record_was_quarantined_it_is_quarantined(pets: Dataset) -> None:
    pets.commit(Changes(events(Op.QUARANTINE, pets.ids(["p1"]))))
    pets.commit(Changes(events(Op.REMOVE, pets.ids(["p2"]))))
    pets.rollback(0)
    assert pets.diff(2, 3)["what"].to_pylist() == ["added", "added"]
    back = pets.diff(3, 2)
    assert dict(zip(back["key"].to_pylist(), back["what"].to_pylist(), strict=True)) == {
        "p1": "quarantined",
        "p2": "removed",
    }
