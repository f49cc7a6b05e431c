"""Tasks to other tools and answers from them: what was exported comes back, what is wrong stays out."""

import csv
import dataclasses
import json
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilth.dataset import Dataset
from tilth.errors import DataError, Exists, UsageError
from tilth.labeling.exchange import export_tasks, import_answers
from tilth.labeling.inbox import Given, Inbox, Posted, Tasks

TEXTS = ["=1+1", "'=1", "plain, with comma", "two\nlines \u2028 here", "-5", "ünï"]
CLASSES = ["cat", "=dog", "-1"]


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    n = len(TEXTS)
    table = pa.table(
        {
            "name": [f"p{i}" for i in range(n - 1)] + ["@home"],
            "text": TEXTS,
            "mass": [-1.5, *range(1, n)],
            "truth": ["cat"] * n,
            "kind": pa.nulls(n, pa.string()),
        }
    )
    folder = tmp_path_factory.mktemp("pets") / "pets"
    return Dataset.create(folder, table, key="name", label="kind", classes=CLASSES, hidden=["truth"])


@pytest.fixture
def posted(pets: Dataset) -> Posted:
    form = {"label": "class", "classes": CLASSES, "wanted": ""}
    return Posted("q1", "label", "friends", str(pets.path), "main", pets.version, "run-1", "ask", votes=2, form=form)


@pytest.fixture(params=["sqlite", "postgres"])
def inbox(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Inbox]:
    where = request.getfixturevalue("postgres_url") if request.param == "postgres" else tmp_path / "inbox.sqlite"
    with Inbox(where) as inbox:
        yield inbox


@pytest.fixture
def asked(inbox: Inbox, pets: Dataset, posted: Posted) -> Inbox:
    ids = np.arange(len(TEXTS))
    gold: list[str | None] = ['"cat"'] + [None] * (len(ids) - 1)
    inbox.publish(posted, Tasks(ids, pets.keys(ids), suggestions=['"=dog"'] * len(ids), gold=gold))
    return inbox


def fill(path: Path, answer: Callable[[dict[str, str], int], None]) -> None:
    """Answer every line of an exported CSV file, as a spreadsheet would."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        names, rows = list(reader.fieldnames or ()), list(reader)
    for i, row in enumerate(rows):
        answer(row, i)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def test_jsonl_shows_the_record_and_neither_truth_nor_hidden_columns(
    asked: Inbox, pets: Dataset, tmp_path: Path
) -> None:
    assert export_tasks(asked, tmp_path / "out" / "tasks.jsonl", team="friends") == len(TEXTS)
    written = (tmp_path / "out" / "tasks.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in written.split("\n") if line]
    assert [r["key"] for r in rows] == pets.keys(np.arange(len(TEXTS)))
    assert {r["record.text"] for r in rows} == set(TEXTS)
    assert {r["suggestion"] for r in rows} == {"=dog"}
    assert rows[0]["classes"] == CLASSES
    assert "truth" not in written
    assert "gold" not in written
    assert not list((tmp_path / "out").glob(".*"))


def test_no_text_in_a_csv_is_a_formula_and_what_is_filled_in_comes_back(asked: Inbox, tmp_path: Path) -> None:
    path = tmp_path / "tasks.csv"
    assert export_tasks(asked, path, team="friends") == len(TEXTS)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name, cell in row.items():
            if name != "record.mass":  # a number below zero is a number
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert {r["record.text"] for r in rows} >= {"'=1+1", "''=1", "'-5", "ünï", "two\nlines \u2028 here"}

    def answer(row: dict[str, str], i: int) -> None:
        row |= {"label": row["suggestion"] if i % 2 else "'-1", "annotator": "ann", "seconds": "1.5"}
        if i == 0:
            row |= {"label": "", "verdict": "bad", "note": "'=blurred"}
        if i == 1:
            row |= {"label": "", "verdict": ""}

    fill(path, answer)
    done = import_answers(asked, path)
    assert (done.count, done.duplicates, done.refused, done.blank) == (len(TEXTS) - 1, 0, (), 1)
    again = import_answers(asked, path)
    assert (again.count, again.duplicates) == (0, len(TEXTS) - 1)
    taken = asked.claim("q1", "p")
    assert taken.verdicts[0] == "bad"
    assert {json.loads(v) for v in taken.values if v} == {"=dog", "-1"}
    assert set(taken.seconds) == {1.5}


def test_answers_are_found_by_question_and_key(asked: Inbox, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    lines = [
        {"question": "q1", "key": "p1", "label": "cat"},
        {"question": "q1", "key": "@home", "label": "-1", "annotator": "bob"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert import_answers(asked, path, annotator="ann").count == 2
    assert sorted(asked.claim("q1", "p").annotators) == ["ann", "bob"]


WRONG = [
    ({"label": "cta"}, "Did you mean 'cat'"),
    ({"label": ["cat"]}, "is no class"),
    ({"label": "cat", "task": 7}, "no such task"),
    ({"label": "cat", "task": -7}, "no such task"),
    ({"label": "cat", "task": 10**30}, "no such task"),
    ({"label": "cat", "question": "q1", "key": "p99", "task": None}, "no such task"),
    ({"label": "cat", "question": "q9", "key": "p1", "task": None}, "no such task"),
    ({"label": "cat", "key": "p3"}, "from another inbox"),
    ({"label": "cat", "annotator": "a\nb"}, "1 to 100 characters"),
    ({"label": "cat", "seconds": -1}, "how long it took"),
    ({"label": "cat", "verdict": "bad"}, "'answer' needs a value"),
    ({"label": "cat", "verdict": "yes"}, "no such verdict"),
    ({"label": "cat", "note": 5}, "note 5"),
    ({"verdict": "answer"}, "'answer' needs a value"),
]


@pytest.mark.parametrize(("wrong", "match"), WRONG)
def test_a_wrong_line_is_named_and_nothing_of_the_file_enters(
    asked: Inbox, tmp_path: Path, wrong: dict[str, object], match: str
) -> None:
    tasks = [t for page in asked.open_tasks("friends") for t in page]
    path = tmp_path / "answers.jsonl"
    fine = {"task": tasks[0].id, "label": "cat", "annotator": "ann"}
    path.write_text(json.dumps(fine) + "\n" + json.dumps({"task": tasks[1].id, "annotator": "ann"} | wrong) + "\n")
    with pytest.raises(DataError, match=match) as caught:
        import_answers(asked, path)
    assert "answers.jsonl: 1 lines" in str(caught.value)
    assert [(p[1]) for p in caught.value.problems] == [2]
    assert asked.progress("q1").answers == 0
    done = import_answers(asked, path, on_error="quarantine")
    assert (done.count, [n for n, _ in done.refused]) == (1, [2])
    assert asked.progress("q1").answers == 1


def test_lines_that_are_no_answers_at_all_are_named(asked: Inbox, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"task": 1\n[1]\n')
    done = import_answers(asked, path, on_error="quarantine")
    assert [(n, why.split(":")[0]) for n, why in done.refused] == [(1, "no JSON"), (2, "a line is an object")]
    table = tmp_path / "answers.csv"
    table.write_text("task,lable\n1,cat\n")
    with pytest.raises(DataError, match="Did you mean 'lable'"):
        import_answers(asked, table)
    table.write_text("task,label\n1,cat,dog\n")
    with pytest.raises(DataError, match="more cells than columns"):
        import_answers(asked, table)
    table.write_text("")
    with pytest.raises(DataError, match="names the columns"):
        import_answers(asked, table)
    table.write_bytes(b"task,label\n1,\xff\n")
    with pytest.raises(DataError, match="UTF-8"):
        import_answers(asked, table)
    with pytest.raises(UsageError, match=r"ends in \.jsonl or \.csv"):
        import_answers(asked, tmp_path / "answers.txt")


def test_an_answer_that_contradicts_one_that_is_there_keeps_the_whole_file_out(asked: Inbox, tmp_path: Path) -> None:
    first, second, *_ = asked.lease("ann", team="friends")
    asked.answer("ann", [Given(first.id, "answer", "cat")])
    path = tmp_path / "answers.csv"
    path.write_text(f"task,label,annotator\n{second.id},cat,ann\n{first.id},-1,ann\n")
    with pytest.raises(DataError, match="line 3: ann has answered"):
        import_answers(asked, path)
    assert asked.progress("q1").answers == 1
    done = import_answers(asked, path, on_error="quarantine")
    assert (done.count, [n for n, _ in done.refused]) == (1, [3])


@pytest.mark.parametrize(
    ("form", "kind", "cell", "value"),
    [
        ({"label": "number"}, "label", "-2.5", -2.5),
        ({"label": "classes", "classes": ["a", "b"]}, "label", '["b", "a"]', ["b", "a"]),
        ({"label": "class"}, "approve", "no", "no"),
        ({"label": "class"}, "edit", '{"text": "new"}', {"text": "new"}),
    ],
)
def test_csv_cells_are_read_by_what_is_asked(
    inbox: Inbox, posted: Posted, tmp_path: Path, form: dict[str, object], kind: str, cell: str, value: object
) -> None:
    inbox.publish(dataclasses.replace(posted, form=form, kind=kind), Tasks(np.array([-1]), ["new-1"]))
    path = tmp_path / "tasks.csv"
    assert export_tasks(inbox, path, team="friends") == 1

    def answer(row: dict[str, str], i: int) -> None:
        row["label"] = cell

    fill(path, answer)
    assert import_answers(inbox, path, annotator="ann").count == 1
    assert [json.loads(v or "") for v in inbox.claim("q1", "p").values] == [value]
    fill(path, lambda row, _: row.update(label="{x", annotator="bob"))
    if kind != "approve":
        with pytest.raises(DataError, match=r"a number|a JSON text"):
            import_answers(inbox, path)


def test_a_file_is_never_written_over_and_a_team_sees_its_own(asked: Inbox, tmp_path: Path) -> None:
    path = tmp_path / "tasks.csv"
    assert export_tasks(asked, path, team="strangers") == 0
    with pytest.raises(Exists, match="choose another"):
        export_tasks(asked, path, team="friends")


@settings(max_examples=40)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=1, max_size=4))
def test_any_text_goes_through_a_csv_and_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("csv")
    form = {"label": "class", "classes": sorted({f"c{t}" for t in texts} | set(texts) - {""})}
    with Inbox(folder / "inbox.sqlite") as inbox:
        inbox.publish(
            Posted("q1", "label", "", "", "main", 0, "run-1", "ask", form=form),
            Tasks(np.arange(len(texts)), [f"={t}" for t in texts], suggestions=[json.dumps(t) for t in texts]),
        )
        path = folder / "tasks.csv"
        export_tasks(inbox, path, records=lambda _, ids: [{"note": texts[i]} for i in ids])
        fill(path, lambda row, _: row.update(label=row["suggestion"]))
        done = import_answers(inbox, path, annotator="ann")
        assert (done.count, done.blank) == (sum(t != "" for t in texts), sum(t == "" for t in texts))
        assert [json.loads(v or "") for v in inbox.claim("q1", "p").values] == [t for t in texts if t != ""]
