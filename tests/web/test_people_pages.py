"""Team, review and the JSON of labelling: who may do what, and what hostile input comes to."""

import json

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.web.asking import PETS, ask, make, said
from tilth.labeling.inbox import Given, Inbox
from tilth.outputs import Outputs
from tilth.runs.home import inbox_of
from tilth.web import Site

XSS = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def pets(tmp_path_factory, serve):
    folder = tmp_path_factory.mktemp("pets")
    dataset = make(folder, 200, texts=[f"{XSS} {i}" for i in range(200)])
    gold = [json.dumps("dog") if i % 4 == 0 else None for i in range(40)]
    ask(dataset, n=40, suggestions=[json.dumps("cat")] * 40, gold=gold, panel="vets", votes=3, guide=XSS)
    ask(dataset, "run-1/r0/more", start=40, n=100, suggestions=[json.dumps("cat")] * 100)
    ask(dataset, "run-1/r0/check/expert", start=0, n=3, panel="vets", team="vet", reason="disputed")
    ask(dataset, "run-1/r0/weed", start=5, n=2, kind="approve", team="vet", details=[json.dumps({"do": XSS})] * 2)
    return dataset, serve(folder)


@pytest.fixture
def enter(pets):
    """Return a function that lets somebody new in, and gives a client with their session."""
    dataset, served = pets
    clients = []

    def come(name: str, role: str = "annotator") -> httpx.Client:
        site = Site(dataset.path)
        token = site.people.invite(name, role)
        site.close()
        client = httpx.Client(base_url=served.address, headers={"origin": served.address, "accept": "application/json"})
        client.get("/enter", params={"token": token})
        clients.append(client)
        return client

    yield come
    for client in clients:
        client.close()


def asked(client: httpx.Client, **body) -> dict:
    return client.post("/label/next", json={"team": "crowd", **body}).json()


def given(task: dict, value="cat", **more) -> dict:
    return {
        "task": task["id"],
        "ticket": task["ticket"],
        "verdict": "answer",
        "value": value,
        "key": f"k{task['id']}",
        **more,
    }


def test_a_task_holds_no_hidden_column_no_truth_and_no_score_where_gold_hides(pets, enter):
    client = enter("ann")
    told = asked(client, n=64)
    text = json.dumps(told)
    assert "secret" not in text
    assert "gold" not in text
    for task in told["tasks"]:
        signal = dict(task["why"])["signal"]
        assert (signal == "margin") == (task["question"] == "run-1/r0/ask"), signal
        assert "votes" not in task
    shapes = {frozenset(t) - {"suggestion"} for t in told["tasks"]}
    assert len(shapes) == 1, "gold questions look like the others"


def test_what_was_never_handed_to_somebody_is_not_theirs_to_answer(pets, enter):
    dataset, _ = pets
    ann, eve = enter("ann2"), enter("eve")
    mine = asked(ann, n=2)["tasks"]
    said_ = eve.post("/label/answers", json={"answers": [given(mine[0])]})
    assert said_.status_code == 403
    assert said_.json()["tasks"] == [mine[0]["id"]]
    own = asked(eve, n=2)["tasks"]
    mixed = [given(own[0]), given(own[1]) | {"ticket": mine[0]["ticket"]}]
    assert eve.post("/label/answers", json={"answers": mixed}).status_code == 403
    for ticket in ("0" * 64, "\u00e9\ud83d", "", None, {}):
        body = json.dumps({"answers": [given(own[0]) | {"ticket": ticket}]})
        assert eve.post("/label/answers", content=body).status_code == 403
    assert eve.post("/label/undo", json={"tasks": [{"task": mine[0]["id"], "ticket": "x"}]}).status_code == 403
    assert said(dataset, "eve") == []


def test_an_answer_after_its_lease_is_kept_by_its_ticket_and_a_replay_adds_nothing(pets, enter):
    dataset, _ = pets
    client = enter("lea")
    task = asked(client, n=1)["tasks"][0]
    client.post("/label/leave")
    states = [
        client.post("/label/answers", json={"answers": [one]}).json()["receipts"][0]["state"]
        for one in (given(task), given(task), given(task, "dog"), given(task, "dog") | {"key": "another"})
    ]
    assert states == ["kept", "duplicate", "duplicate", "refused"]
    assert len(said(dataset, "lea")) == 1
    other = asked(client, n=1)["tasks"][0]
    reused = client.post("/label/answers", json={"answers": [given(other) | {"key": f"k{task['id']}"}]}).json()
    assert reused["receipts"][0]["state"] == "refused"


def test_who_answers_is_the_session_and_never_the_body(pets, enter):
    dataset, _ = pets
    client = enter("me")
    task = asked(client, n=1, annotator="somebody", person="somebody")["tasks"][0]
    client.post("/label/answers", json={"annotator": "somebody", "answers": [given(task) | {"annotator": "somebody"}]})
    assert len(said(dataset, "me")) == 1
    assert said(dataset, "somebody") == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("next", "no json"),
        ("next", "[" * 100_000),
        ("next", "[]"),
        ("next", '{"n": 0}'),
        ("next", '{"n": 1e99}'),
        ("next", '{"n": true}'),
        ("next", '{"team": 3}'),
        ("next", '{"have": ["x"]}'),
        ("next", '{"have": [-1]}'),
        ("next", '{"have": [99999999999999999999]}'),
        ("answers", '{"answers": 3}'),
        ("answers", '{"answers": [3]}'),
        ("answers", '{"answers": [{"task": "4"}]}'),
        ("undo", '{"tasks": [{"task": 1.5}]}'),
        ("undo", '{"tasks": {}}'),
    ],
)
def test_what_is_no_request_is_refused_in_words(enter, path, body):
    client = enter("bad")
    answer = client.post(f"/label/{path}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": "cta"},
        {"value": ["cat"]},
        {"value": {"a": {}}},
        {"value": None},
        {"verdict": "maybe"},
        {"verdict": "bad"},
        {"key": ""},
        {"key": "x" * 1000},
        {"key": "a\x00b"},
        {"seconds": -1},
        {"seconds": 1e300},
        {"seconds": "long"},
        {"value": 10**400},
    ],
)
def test_an_answer_that_cannot_be_is_refused_alone(pets, enter, wrong):
    client = enter(f"alone {json.dumps(wrong)[:30]}")
    one, two = asked(client, n=2)["tasks"]
    answer = client.post("/label/answers", json={"answers": [given(one) | wrong, given(two)]})
    assert answer.status_code == 200, answer.text
    assert [r["state"] in ("kept", "surplus") for r in answer.json()["receipts"]] == [False, True]
    assert answer.json()["receipts"][0]["why"]


def test_unknown_teams_and_bodies_too_large_are_refused(enter):
    client = enter("lost")
    assert client.post("/label/next", json={"team": "nobody"}).status_code == 404
    assert client.post("/label/next", json={"team": "vet"}).json()["tasks"] == []  # experts alone are asked there
    assert client.post("/label/answers", content=b"x" * (9 * 2**20)).status_code == 413


def test_a_revoked_annotator_stops_in_the_middle_and_what_they_said_stays(pets, enter):
    dataset, _ = pets
    client, owner = enter("rex"), enter("boss", "owner")
    one, two = asked(client, n=2)["tasks"]
    client.post("/label/answers", json={"answers": [given(one)]})
    assert owner.post("/team/revoke", data={"name": "rex"}).status_code == 303
    assert client.post("/label/answers", json={"answers": [given(two)]}).status_code == 401
    assert len(said(dataset, "rex")) == 1


def test_an_expert_sees_what_others_said_and_an_annotator_does_not_get_these_tasks(pets, enter):
    dataset, _ = pets
    with Inbox(inbox_of(dataset.path)) as inbox:
        tasks = inbox.by_key("run-1/r0/ask", ["r001"])
        for who, value in (("ned", "cat"), ("ona", "dog")):
            inbox.answer(who, [Given(tasks["r001"], "answer", value)])
    expert = enter("vera", "reviewer")
    told = asked(expert, review=True, n=16)["tasks"]
    assert {t["question"] for t in told} == {"run-1/r0/check/expert", "run-1/r0/weed"}
    votes = next(t for t in told if t["key"] == "r001")["votes"]
    assert ["ned: ", "cat"] in votes
    assert ["ona: ", "dog"] in votes
    one = next(t for t in told if t["key"] == "r001")
    receipt = expert.post("/label/answers", json={"answers": [given(one, "newt")]}).json()["receipts"][0]
    assert receipt["state"] == "kept"
    shown = expert.get("/review", headers={"accept": "text/html"}).text
    assert "ned: <strong>cat</strong>" in shown
    annotator = enter("al")
    assert annotator.get("/review").status_code == 403
    assert annotator.post("/label/next", json={"team": "crowd", "review": True}).json().get("tasks", []) == []


def test_gold_questions_answered_wrongly_are_on_the_reviewers_page_alone(pets, enter):
    dataset, _ = pets
    with Inbox(inbox_of(dataset.path)) as inbox:
        task = inbox.by_key("run-1/r0/ask", ["r000"])["r000"]
        inbox.answer("gil", [Given(task, "answer", "newt")])
    shown = enter("vic", "reviewer").get("/review", headers={"accept": "text/html"}).text
    assert "<td>gil</td><td>newt</td><td>dog</td>" in shown


def test_the_team_page_tells_how_everybody_does(tmp_path, serve):
    dataset = make(tmp_path, 30)
    ask(dataset, n=30, suggestions=[json.dumps("cat")] * 30, votes=2, gold=[json.dumps("cat")] * 15 + [None] * 15)
    served = serve(tmp_path)
    with httpx.Client(base_url=served.address, headers={"origin": served.address}) as owner:
        owner.get(served.link)
        for who, shown in (("<b>ann", True), ("bob", False)):
            with Inbox(inbox_of(dataset.path)) as inbox:
                for i, task in enumerate(inbox.lease(who, 30, team="crowd")):
                    note = json.dumps({"shown": shown, "blind": not shown, "agreed": i % 3 > 0})
                    value = PETS[0] if i % 3 else PETS[1]
                    inbox.answer(who, [Given(task.id, "answer", value, seconds=2.0, note=note)])
        page = owner.get("/team").text
        assert "&lt;b&gt;ann" in page
        assert "<b>ann" not in page
        assert "1.00" in page, "both say the same: kappa is 1"
        assert "10 of 15" in page
        assert "2.0 s" in page
        assert owner.post("/team/suspend", data={"name": "bob", "why": ""}).status_code == 400
        assert owner.post("/team/suspend", data={"name": "nobody", "why": "x"}).status_code == 404
        owner.post("/team/suspend", data={"name": "bob", "why": XSS})
        page = owner.get("/team").text
        assert "suspended" in page
        assert XSS not in page
        owner.post("/team/reinstate", data={"name": "bob"})
        assert "Reinstate" not in owner.get("/team").text
        assert "reinstated bob" in owner.get("/team").text


def test_a_link_is_shown_once_and_opens_the_door(pets, enter):
    _, served = pets
    owner = enter("chief", "owner")
    page = owner.post("/team/invite", data={"name": "newcomer", "role": "annotator"}).text
    link = page.split('class="once">')[1].split("<")[0]
    assert link not in owner.get("/team").text
    with httpx.Client() as client:
        client.get(link)
        assert client.get(f"{served.address}/label").status_code == 200
    assert "invited newcomer as annotator" in owner.get("/team").text


@pytest.mark.parametrize(
    ("name", "role", "status"),
    [
        ("", "owner", 400),
        ("x", "king", 400),
        ("a\x1bb", "owner", 400),
        ("y" * 101, "owner", 400),
        ("chief2", "annotator", 400),
    ],
)
def test_a_bad_invite_is_refused_and_nobody_changes_their_own(enter, name, role, status):
    owner = enter("chief2", "owner")
    assert owner.post("/team/invite", data={"name": name, "role": role}).status_code == status
    assert owner.get("/team").status_code == 200
    assert owner.post("/team/revoke", data={"name": "chief2"}).status_code == 400
    assert owner.post("/team/revoke", data={"name": "nobody at all"}).status_code == 404


def test_where_a_model_has_embeddings_neighbours_are_named_and_records_alike_stand_together(tmp_path, serve):
    labels = pa.array(["cat", "dog", *[None] * 58])
    dataset = make(tmp_path, 60, labels=labels)
    ask(dataset, start=2, n=50, suggestions=[json.dumps("cat")] * 50)
    outputs = Outputs.create(dataset.path / "outputs" / "m", np.arange(60), {})
    outputs.add("embeddings", np.array([[i % 2, 0.001 * i] for i in range(60)], np.float32))
    served = serve(tmp_path)
    with httpx.Client(base_url=served.address, headers={"origin": served.address}) as owner:
        owner.get(served.link)
        tasks = owner.post("/label/next", json={"n": 48, "by": "similar"}).json()["tasks"]
    near = {int(t["key"][1:]): dict(t["why"]).get("labelled, and near") for t in tasks}
    shown = {t["key"]: "suggestion" in t for t in tasks}
    for n, said_ in near.items():
        expected = ("dog (r001), cat (r000)" if n % 2 else "cat (r000), dog (r001)") if shown[f"r{n:03d}"] else None
        assert said_ == expected
    groups = {}
    for t in tasks:
        groups.setdefault(t["group"], set()).add(int(t["key"][1:]) % 2)
    assert all(len(kinds) == 1 for kinds in groups.values())
    assert len(groups) == 2


def test_a_project_that_asks_nothing_says_so(tmp_path, serve):
    make(tmp_path, 6)
    served = serve(tmp_path)
    with httpx.Client(base_url=served.address, headers={"origin": served.address}) as owner:
        owner.get(served.link)
        assert (
            owner.get("/label").status_code == owner.get("/team").status_code == owner.get("/review").status_code == 200
        )
        said_ = owner.post("/label/next", json={}, headers={"accept": "application/json"}).json()
        assert said_["tasks"] == []


def test_only_whole_and_known_records_are_shown(tmp_path, serve):
    dataset = make(tmp_path, 6)
    ask(dataset, records=np.array([2, -1]), kind="collect")
    served = serve(tmp_path)
    with httpx.Client(base_url=served.address, headers={"origin": served.address}) as owner:
        owner.get(served.link)
        told = owner.post("/label/next", json={}).json()
        assert [bool(t["parts"]) for t in told["tasks"]] == [True, False]
