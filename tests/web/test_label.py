"""Labelling in a browser: by keys, with undo, without a network, through a restart of the server.

One file, for one browser serves all of it.
"""

import json
import re
import time

import numpy as np
import pytest

from tests.web.asking import ask, make, said
from tests.web.entering import link
from tilth import Dataset
from tilth.labeling.inbox import Given, Inbox
from tilth.runs.home import inbox_of
from tilth.web.label.tickets import blind

pytestmark = pytest.mark.browser


def until(page, holds: str, seconds: float = 15) -> None:
    """Wait until an expression holds; wait_for_function would need eval, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(holds):
        assert time.monotonic() < end, f"never: {holds}"
        page.wait_for_timeout(20)


def settled(page) -> None:
    """Wait until nothing is kept in the browser any more."""
    until(page, "Object.keys(localStorage).every((name) => !name.includes('/out/'))")


def begun(page) -> None:
    page.locator("#record .content").first.wait_for()


@pytest.fixture(scope="module")
def pets(tmp_path_factory, serve):
    """A project of texts whose run asks a crowd, and its page."""
    folder = tmp_path_factory.mktemp("pets")
    dataset = make(folder, 240)
    ask(dataset, n=240, suggestions=[json.dumps("cat")] * 240, guide="<b>Look</b> twice\nthen answer")
    return dataset, serve(folder)


def test_thirty_keys_typed_quickly_land_on_thirty_records(pets, visit):
    dataset, served = pets
    page = visit(served, link(served, dataset.path, "ann"))
    begun(page)
    assert page.url.endswith("/label")
    typed = [str(1 + i % 3) for i in range(30)]
    for key in typed:
        page.locator("#record .content").wait_for()
        page.keyboard.press(key)
    settled(page)
    given = said(dataset, "ann")
    assert [key for key, _, _ in given] == [f"r{i:03d}" for i in range(30)]
    assert [value for _, _, value in given] == [["cat", "dog", "newt"][int(k) - 1] for k in typed]
    assert page.locator("#said").inner_text() == "newt: r029. Next: r030"


def test_undo_goes_back_as_far_as_one_likes_and_through_a_reload(pets, visit):
    dataset, served = pets
    page = visit(served, link(served, dataset.path, "una"))
    begun(page)
    first = page.locator("#ask").inner_text()
    for key in "1?2-":
        page.keyboard.press(key)
    settled(page)
    before = said(dataset, "una")
    assert [(v, x) for _, v, x in before] == [
        ("answer", "cat"), ("cannot_tell", None), ("answer", "dog"), ("skip", None)
    ]  # fmt: skip
    page.keyboard.press("Backspace")
    page.keyboard.press("Control+z")
    settled(page)
    assert said(dataset, "una") == before[:2]
    page.reload()
    begun(page)
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    settled(page)
    assert said(dataset, "una") == []
    assert page.locator("#ask").inner_text() == first
    page.keyboard.press("Backspace")
    page.get_by_text("There is nothing to undo").wait_for()
    assert page.locator("#ask").inner_text() == first


def test_an_answer_that_a_run_has_taken_is_not_undone(tmp_path, serve, visit):
    dataset = make(tmp_path, 6)
    ask(dataset, n=6)
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "ann"))
    begun(page)
    page.keyboard.press("1")
    settled(page)
    with Inbox(inbox_of(dataset.path)) as inbox:
        inbox.claim("run-1/r0/ask", "part")
    page.keyboard.press("Backspace")
    page.get_by_text("A run has taken that answer already").wait_for()
    assert "r001" in page.locator("#ask").inner_text()
    assert said(dataset) == [("r000", "answer", "cat")]


def test_without_a_network_answers_are_kept_and_sent_when_it_is_back(pets, visit):
    dataset, served = pets
    page = visit(served, link(served, dataset.path, "off"))
    begun(page)
    page.context.set_offline(True)
    for key in "123":
        page.keyboard.press(key)
    page.get_by_text("3 kept here, sent when the network is back").wait_for()
    page.keyboard.press("Backspace")
    page.keyboard.press("1")
    assert said(dataset, "off") == []
    page.context.set_offline(False)
    settled(page)
    page.locator("#net").wait_for(state="hidden")
    assert [value for _, _, value in said(dataset, "off")] == ["cat", "dog", "cat"]
    assert all("ERR_INTERNET_DISCONNECTED" in line for line in page.told)
    page.told.clear()


def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(tmp_path, serve, visit):
    dataset = make(tmp_path, 30)
    ask(dataset, n=30)
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "ann"))
    begun(page)
    page.keyboard.press("1")
    settled(page)
    served.kill()
    for key in "23":
        page.keyboard.press(key)
    page.get_by_text("kept here, sent when the network is back").wait_for()
    again = serve(tmp_path, port=served.port)
    page.evaluate("dispatchEvent(new Event('online'))")
    page.get_by_text("The server was restarted; your work goes on").wait_for()
    settled(page)
    page.keyboard.press("1")
    settled(page)
    assert [(k, x) for k, _, x in said(dataset)] == [
        ("r000", "cat"),
        ("r001", "dog"),
        ("r002", "newt"),
        ("r003", "cat"),
    ]
    assert again.address == served.address
    assert all("ERR_CONNECTION_REFUSED" in line or "ERR_CONNECTION_RESET" in line for line in page.told)
    page.told.clear()


def test_enter_takes_the_suggestion_and_some_records_come_without_one(pets, visit):
    dataset, served = pets
    page = visit(served, link(served, dataset.path, "sue"))
    begun(page)
    with Inbox(inbox_of(dataset.path)) as inbox:
        tasks = inbox.by_key("run-1/r0/ask", [f"r{i:03d}" for i in range(240)])
    hidden = {key for key, task in tasks.items() if blind("sue", task)}
    seen = set()
    for _ in range(20):
        key = page.locator("#ask").inner_text().split()[0]
        seen.add(key)
        shown = page.locator(".choice.suggested").count() == 1
        assert shown == (key not in hidden)
        page.keyboard.press("Enter" if shown else "2")
        until(page, f"!document.getElementById('ask').textContent.startsWith('{key}')")
    page.get_by_text("Keys and suggestions").click()
    page.get_by_label("hide suggestions").check()
    page.keyboard.press("Escape")
    assert page.locator(".choice.suggested").count() == 0
    page.locator("#record").focus()
    page.keyboard.press("1")
    settled(page)
    assert seen & hidden, "none of the records is blind for her: choose another name"
    with Inbox(inbox_of(dataset.path)) as inbox:
        given = inbox.said(annotator="sue")
    notes = {s.key: json.loads(s.note) for s in given}
    for key in seen:
        assert notes[key] == {"shown": key not in hidden, "blind": key in hidden, "agreed": key not in hidden}
    assert notes[given[0].key] == {"shown": False, "blind": given[0].key in hidden, "agreed": True}


def test_of_many_classes_one_is_found_by_typing(tmp_path, serve, visit):
    dataset = make(tmp_path, 8, classes=[f"class {chr(97 + i // 10)}{i % 10}" for i in range(77)])
    ask(dataset, n=8, suggestions=[json.dumps("class c5")] * 8)
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "ann"))
    begun(page)
    assert page.locator(".choice:visible").count() == 77
    page.keyboard.type("CLASS B")
    assert page.locator(".choice:visible").count() == 10
    page.keyboard.press("2")
    page.keyboard.type("s h")
    page.keyboard.press("Enter")
    page.keyboard.press("!")
    settled(page)
    assert said(dataset) == [("r000", "answer", "class b1"), ("r001", "answer", "class h0"), ("r002", "bad", None)]


def test_of_many_classes_several_are_found_by_typing_and_none_is_lost(tmp_path, serve, visit):
    classes = [f"class {chr(97 + i // 10)}{i % 10}" for i in range(40)]
    dataset = make(tmp_path, 4, classes=classes, several=True)
    ask(dataset, n=4)
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "ann"))
    begun(page)
    page.keyboard.type("CLASS B")
    page.keyboard.press("2")
    page.keyboard.type("s c")
    page.keyboard.press("Enter")
    page.keyboard.type("s d")
    page.get_by_role("button", name="Done").click()
    page.keyboard.press("Enter")
    settled(page)
    assert said(dataset) == [("r000", "answer", ["class b1", "class c0"]), ("r001", "answer", [])]


def test_backspace_that_clears_what_was_typed_undoes_nothing(tmp_path, serve, visit):
    dataset = make(tmp_path, 8, classes=[f"class {chr(97 + i // 10)}{i % 10}" for i in range(77)])
    ask(dataset, n=8)
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "ann"))
    begun(page)
    for key in "123":
        page.keyboard.press(key)
    page.keyboard.type("ab")
    for _ in range(6):  # held down: the browser repeats it
        page.keyboard.down("Backspace")
    page.keyboard.up("Backspace")
    assert page.locator("input[type=search]").input_value() == ""
    settled(page)
    assert [key for key, _, _ in said(dataset)] == ["r000", "r001", "r002"]


def test_what_comes_from_the_server_moves_nobody_from_the_record_at_hand(tmp_path, serve, visit):
    dataset = make(tmp_path, 60)
    ask(dataset, n=60, suggestions=[json.dumps("cat")] * 60)
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "gus"))
    page.goto(f"{served.address}/label/grid")
    page.locator(".tile").first.wait_for()
    held = []

    def hold(route):
        held.append(route)

    page.route("**/label/next", hold, times=1)
    page.keyboard.press("1")
    until(page, "document.getElementById('said').textContent.startsWith('cat')")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    at = "document.activeElement.getAttribute('aria-label')"
    here = page.evaluate(at)
    while not held:
        page.wait_for_timeout(20)
    with page.expect_response("**/label/next"):
        held[0].continue_()
    page.keyboard.press("Space")
    assert page.evaluate(at) == here
    assert page.locator(".tile[aria-pressed=false]").get_attribute("aria-label") == here


def test_keys_can_be_changed_and_stay_so(pets, visit):
    dataset, served = pets
    page = visit(served, link(served, dataset.path, "key"))
    begun(page)
    page.get_by_text("Keys and suggestions").click()
    said_ = iter(["jjk", "-jk", "", "jkl"])
    page.on("dialog", lambda dialog: dialog.accept(next(said_)))
    for _ in range(4):
        page.get_by_role("button", name="Change the keys").click()
    page.reload()
    begun(page)
    assert page.locator(".choice kbd").all_inner_texts() == ["j", "k", "l"]
    page.keyboard.press("k")
    page.keyboard.press("1")
    settled(page)
    assert [value for _, _, value in said(dataset, "key")] == ["dog"]


def test_many_at_once_but_some_and_one_undo(tmp_path, serve, visit):
    dataset = make(tmp_path, 40)
    ask(dataset, n=20, suggestions=[json.dumps(["cat", "dog"][i % 2]) for i in range(20)])
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "gil"))
    page.goto(f"{served.address}/label/grid")
    page.locator(".tile").first.wait_for()
    n = page.locator(".tile").count()
    assert n > 4
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert page.locator(".tile[aria-pressed=true]").count() == n - 2
    page.keyboard.press("3")
    settled(page)
    assert [x for _, _, x in said(dataset)] == ["newt"] * (n - 2)
    page.keyboard.press("Backspace")
    settled(page)
    assert said(dataset) == []
    assert page.locator(".tile").count() == n
    page.keyboard.press("*")
    page.keyboard.press("*")
    page.keyboard.press("Enter")
    settled(page)
    assert len(said(dataset)) >= n - 2


def test_changes_are_approved_contents_edited_and_records_collected(tmp_path, serve, visit):
    dataset = make(tmp_path, 12)
    ask(dataset, "run-1/r0/weed", n=2, kind="approve", details=['{"do": "remove()", "label": ["cat", null]}'] * 2)
    ask(dataset, "run-1/r0/mend", n=1, start=2, kind="edit", details=[json.dumps({"text": "old"})], team="desk")
    ask(
        dataset,
        "run-1/r0/find",
        kind="collect",
        records=-1 - np.arange(1),
        details=['{"wanted": "more"}'],
        team="scouts",
    )
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "eda", "reviewer"))
    page.goto(f"{served.address}/label?team=crowd")
    page.get_by_text("cat → none").wait_for()
    page.keyboard.press("y")
    page.keyboard.press("n")
    settled(page)
    page.goto(f"{served.address}/label?team=desk")
    page.get_by_label("text").fill("new")
    page.get_by_role("button", name="Send").click()
    settled(page)
    page.goto(f"{served.address}/label?team=scouts")
    page.get_by_label("text").fill("a lizard")
    page.locator("select").select_option("newt")
    page.get_by_role("button", name="Send").click()
    settled(page)
    found = said(dataset)
    assert [v for _, _, v in found[:3]] == ["yes", "no", {"text": "new"}]
    assert found[3][2]["text"] == "a lizard"
    assert found[3][2]["label"] == "newt"
    assert re.fullmatch(r"scouts/eda-\d+", found[3][2]["key"])


def test_a_form_is_for_one_record_also_where_many_are_answered_at_once(tmp_path, serve, visit):
    dataset = make(tmp_path, 6)
    old = [json.dumps({"text": f"old {i}"}) for i in range(6)]
    ask(dataset, "run-1/r0/mend", n=6, kind="edit", details=old, team="desk")
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "eda"))
    page.goto(f"{served.address}/label/grid")
    for i in range(2):
        page.locator(f".tile[aria-label=r00{i}]").wait_for()
        assert page.locator(".tile").count() == 1
        assert page.get_by_label("text").input_value() == f"old {i}"
        if i == 0:
            page.get_by_label("text").focus()
        page.keyboard.press("Control+a")
        page.keyboard.type(f"new {i}")  # the next form has the focus by itself
        page.get_by_role("button", name="Send").press("Enter")
    settled(page)
    assert said(dataset) == [("r000", "answer", {"text": "new 0"}), ("r001", "answer", {"text": "new 1"})]


def test_an_entry_that_is_refused_comes_back_with_what_was_entered(tmp_path, serve, visit):
    table = {"x": np.eye(4, dtype=np.float32), "kind": ["cat", "dog"] * 2}
    dataset = Dataset.create(tmp_path / "dataset", table, label="kind", durability="process")
    ask(dataset, "run-1/r0/find", kind="collect", records=-1 - np.arange(2), details=['{"wanted": "more"}'] * 2)
    served = serve(tmp_path)
    page = visit(served, link(served, tmp_path, "sam"))
    for numbers in ("1 2 three 4", "5 6 7 8"):
        page.get_by_label("x").fill(numbers)
        page.locator("select").select_option("dog")
        page.get_by_role("button", name="Send").click()
    page.locator("#ask", has_text="new-1").and_(page.locator("#ask", has_text="refused: x: '1 2 three 4'")).wait_for()
    assert page.get_by_label("x").input_value() == "1 2 three 4"
    page.get_by_label("x").fill("1 2 3 4")
    page.get_by_role("button", name="Send").click()
    settled(page)
    assert [(key, value["x"]) for key, _, value in said(dataset)] == [("new-2", [5, 6, 7, 8]), ("new-1", [1, 2, 3, 4])]


def test_two_people_at_once_get_records_of_their_own(tmp_path, serve, visit):
    dataset = make(tmp_path, 40)
    ask(dataset, n=40)
    served = serve(tmp_path)
    pages = [visit(served, link(served, tmp_path, who)) for who in ("ann", "bob")]
    for page in pages:
        begun(page)
    for _ in range(6):
        for page in pages:
            page.keyboard.press("1")
    for page in pages:
        settled(page)
    given = [[key for key, _, _ in said(dataset, who)] for who in ("ann", "bob")]
    assert [len(keys) for keys in given] == [6, 6]
    assert not set(given[0]) & set(given[1])


def test_whatever_stands_in_the_data_is_shown_as_text_and_all_pages_are_accessible(tmp_path, serve, visit):
    from axe_playwright_python.sync_playwright import Axe

    evil = '<img src=x onerror="alert(1)">'
    dataset = make(
        tmp_path,
        30,
        classes=[f"{evil}{i}" for i in range(3)],
        texts=[f"</p><script>alert({i})</script>" for i in range(30)],
    )
    ask(dataset, n=20, guide=evil, reason=evil, team=evil, suggestions=[json.dumps(f"{evil}1")] * 20, votes=2)
    with Inbox(inbox_of(dataset.path)) as inbox:
        for who, value in ((evil, f"{evil}0"), ("bob", f"{evil}1")):
            task = inbox.by_key("run-1/r0/ask", ["r000"])["r000"]
            inbox.answer(who, [Given(task, "answer", value)])
        inbox.suspend("bob", evil)
    served = serve(tmp_path)
    page = visit(served)
    opened = []
    page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    for path in ("/label", "/label/grid", "/label?team=%3Cimg%20src%3Dx%3E", "/review", "/team"):
        page.goto(served.address + path)
        if path.startswith("/label"):
            begun(page)
            assert "<script>alert(" in page.locator("#record").inner_text()
        assert page.locator("img").count() == 0
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page.goto(f"{served.address}/label")
    begun(page)
    page.keyboard.press("3")
    settled(page)
    assert evil in page.locator("#said").inner_text()
    assert page.locator("img").count() == 0
    assert opened == []
    page.told[:] = [line for line in page.told if "inline style" not in line and "preload" not in line]
