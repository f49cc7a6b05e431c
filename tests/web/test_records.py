"""Records on the page: what is chosen and in which order, what is served, and what comes in that means no good."""

import io
import re
from html import unescape
from html.parser import HTMLParser

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.web.zoo import BAD, CLASSES, PAYLOADS, RULE, N, zoo
from tilth.labeling.inbox import Given, Posted, Tasks
from tilth.web import Site, create_app

HOST = "localhost:7777"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zoo")
    zoo(folder)
    return folder


@pytest.fixture(scope="module")
def site(project):
    made = Site(project)
    yield made
    made.close()


@pytest.fixture(scope="module")
def app(site) -> Starlette:
    return create_app(site, hosts=[HOST])


def entered(app: Starlette, site: Site, name: str, role: str) -> TestClient:
    client = TestClient(app, base_url=f"http://{HOST}", headers={"sec-fetch-site": "same-origin"})
    client.get("/enter", params={"token": site.people.invite(name, role)})
    return client


@pytest.fixture(scope="module")
def owner(app, site):
    return entered(app, site, "the owner", "owner")


def ids(said: httpx.Response) -> list[int]:
    """Return the records of a window, in order."""
    assert said.status_code == 200, said.text[:500]
    return [int(i) for i in re.findall(r'href="/records/(\d+)\?[^"]*" data-at', said.text)]


class Active(HTMLParser):
    """What in a page would run, or be loaded, that is none of ours."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        own = tag in ("script", "img", "link", "audio", "a", "form") and not any(k.startswith("on") for k in told)
        where = told.get("src") or told.get("href") or told.get("action") or "/"
        known = where.startswith(
            ("/records", "/media/", "/static/", "/compare", "/model", "/runs", "/label", "data:image/")
        )
        menu = where in ("/", "#main", "/review", "/team", "/theme", "/leave")
        if (
            tag in ("iframe", "math", "style", "object", "embed", "base")
            or (tag == "script" and "src" not in told)
            or any(k.startswith("on") or k in ("style", "srcdoc") for k in told)
            or (own and not known and not menu)
        ):
            self.found.append((tag, attrs))


def window(owner, **fields):
    return ids(owner.get("/records/window", params={"n": 600} | fields))


# -- which records, in which order -------------------------------------------------------------------------------------


def test_all_living_records_come_in_windows_that_join_without_a_gap(owner, site):
    alive = np.flatnonzero(site.dataset().view.alive).tolist()
    found = [i for start in range(0, len(alive), 70) for i in window(owner, **{"from": start, "n": 70})]
    assert found == alive
    assert window(owner, **{"from": 10**12}) == []


def test_filters_choose_what_they_say(owner, site):
    dataset, view = site.dataset(), site.dataset().view
    of = dict(enumerate(dataset.labels(np.arange(N))))
    assert window(owner, split="valid") == np.flatnonzero(view.among("valid")).tolist()
    assert window(owner, label="cat", split="train") == [
        i for i in np.flatnonzero(view.train) if of.get(i, "cat") == "cat"
    ]
    assert window(owner, label="(no label)") == [i for i in np.flatnonzero(view.alive) if i < N and of[i] is None]
    assert window(owner, state="removed") == [3]
    assert window(owner, state="quarantined") == [4]
    assert len(window(owner, state="all")) == N + len(BAD) + 1
    assert window(owner, rule=PAYLOADS[5]) == [1, 2]
    assert window(owner, q="NOTE, number 41") == [41]
    assert window(owner, q="k10") == list(range(100, 110))
    assert window(owner, version=0, state="removed") == []


def test_what_a_round_and_a_rule_changed(owner, site):
    log = site.dataset().log()
    fixed = [c for c in log if c.rule == RULE]
    assert fixed
    one = fixed[0]
    changed = sorted(set(site.dataset().diff(one.version - 1, one.version)["record_id"].to_pylist()))
    assert window(owner, changed_in=one.round, state="all") == changed
    assert window(owner, changed_in=one.round, rule=RULE, run=one.run, state="all") == changed
    assert window(owner, changed_in=99) == []


def test_a_cell_of_the_matrix_opens_as_many_records_as_it_counts(owner):
    text = owner.get("/model", params={"split": "valid"}).text
    cells = re.findall(r'<a href="(/records\?[^"]*predicted[^"]*)" aria-label="(\d+) of', text)
    assert cells
    assert sum(int(n) for _, n in cells) > 50
    for href, n in cells:
        assert len(ids(owner.get(unescape(href).replace("/records?", "/records/window?n=600&")))) == int(n)


def test_signals_sort_and_what_is_not_known_comes_last(owner, site):
    up, down = window(owner, sort="margin"), window(owner, sort="margin", order="down")
    assert sorted(up) == sorted(down)
    new = [i for i in up if i >= N]  # the last model has not seen the newest records
    assert up[-len(new) :] == down[-len(new) :] == new
    assert [up[0], up[len(up) - len(new) - 1]] == [down[len(down) - len(new) - 1], down[0]]
    assert site.run().rounds[-1].model in owner.get("/records").text
    keys = site.dataset().keys(np.array(window(owner, sort="key")))
    assert keys == sorted(keys)


def test_the_most_similar_come_first(owner):
    assert window(owner, like=9)[0] == 9
    near = window(owner, like=9, q="plain note")
    assert set(near) == set(window(owner, q="plain note"))
    assert near != sorted(near)


def test_another_version_and_model_can_be_looked_at(owner, site):
    first = site.run().rounds[0]
    said = owner.get("/records", params={"version": 0, "model": first.model})
    assert first.model in said.text
    assert "of version 0" in said.text


# -- one record, two versions, a model ---------------------------------------------------------------------------------


def test_a_record_tells_what_happened_to_it(owner):
    text = owner.get("/records/1").text
    for told in (PAYLOADS[2], PAYLOADS[3], PAYLOADS[5]):
        assert told not in text
        assert told in unescape(unescape(text))
    assert "removed" in owner.get("/records/3").text
    assert 'href="/records/7?' in owner.get(f"/records/{N + len(BAD)}").text, "a made record leads to its source"
    assert f'href="/records/{N + len(BAD)}?' in owner.get("/records/7").text, "and a source to what was made of it"
    assert "no record" in owner.get(f"/records/{N}", params={"version": 0}).text


def test_versions_are_compared_by_rule_and_reason(owner, site):
    text = owner.get("/compare", params={"a": 0}).text
    expected = site.dataset().diff(0, site.dataset().version).num_rows
    assert f"of {expected}" in text
    assert owner.get("/compare", params={"a": 0, "what": "quarantined"}).text.count("<img src=") == 1
    assert "hold the same data" in owner.get("/compare", params={"a": 1, "b": 1}).text
    assert owner.get("/compare", params={"a": 5, "b": 0}).status_code == 200


def test_a_model_is_shown_on_each_split_and_where_there_is_none(owner):
    for split in ("train", "valid", "test"):
        assert "Class by class" in owner.get("/model", params={"split": split}).text
    assert "recall, rounds 0 to 2" in owner.get("/model").text


@pytest.mark.parametrize("kind", ["number", "classes"])
def test_other_labels_are_shown_their_own_way(tmp_path, kind):
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    from tilth import Dataset, Workflow, rounds, run
    from tilth.integrations.sklearn import SklearnModel

    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 4)).astype(np.float32)
    label = x[:, 0] * 3.0 if kind == "number" else [[c for c, v in zip("ab", row, strict=False) if v > 0] for row in x]
    options = {} if kind == "number" else {"classes": ["a", "b"], "label_kind": "classes"}
    table = {"x": x, "y": label}
    dataset = Dataset.create(tmp_path / "dataset", table, label="y", durability="process", **options)
    estimator = LinearRegression() if kind == "number" else OneVsRestClassifier(LogisticRegression())
    run(Workflow(dataset=dataset, model=SklearnModel(estimator), rules={}, until=rounds() >= 1), inline=True)
    site = Site(tmp_path)
    client = entered(create_app(site, hosts=[HOST]), site, "o", "owner")
    text = client.get("/model").text
    assert ("prediction less label" in text) == (kind == "number")
    assert "there is no matrix" in text
    assert 'class="matrix"' not in text
    assert client.get("/records").status_code == client.get("/records/3").status_code == 200
    assert client.get("/records", params={"label": "a"}).status_code == (400 if kind == "number" else 200)
    site.close()


# -- media -------------------------------------------------------------------------------------------------------------


def test_pictures_and_sounds_are_served_under_their_own_type(owner):
    said = owner.get("/media/5/picture")
    assert (said.status_code, said.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(said.content)).size == (24, 24)
    assert said.headers["x-content-type-options"] == "nosniff"
    sound = owner.get("/media/5/sound")
    assert sound.headers["content-type"] == "audio/wav"
    part = owner.get("/media/5/sound", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, sound.content[10:20])
    assert owner.get("/media/5/sound", headers={"range": "bytes=99999999-"}).status_code == 416
    drawn = owner.get("/media/5/sound", params={"size": "thumb"})
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert "0.50 s at 8,000 Hz" in drawn.text


def test_what_is_known_already_is_not_sent_again(owner):
    found = re.search(r'src="(/media/5/picture\?[^"]*)"', owner.get("/records/5").text)
    assert found
    said = owner.get(unescape(found[1]))
    assert "immutable" in said.headers["cache-control"]
    assert owner.get(unescape(found[1]), headers={"if-none-match": said.headers["etag"]}).status_code == 304
    assert "immutable" not in owner.get("/media/5/picture", params={"v": "0" * 16}).headers["cache-control"]


@pytest.mark.parametrize("which", list(BAD))
def test_bytes_that_are_no_picture_are_not_decoded_and_not_served(owner, which):
    record = N + list(BAD).index(which)
    full, small = owner.get(f"/media/{record}/picture"), owner.get(f"/media/{record}/picture", params={"size": "thumb"})
    assert small.headers["content-type"] == "image/svg+xml"
    assert "not shown" in small.text
    assert "boom" not in small.text
    if which != "cut":  # the head of one that is cut off is whole: a browser shows as much as there is
        assert full.status_code == 400
        assert "boom" not in full.text
    page = owner.get(f"/records/{record}")
    assert page.status_code == 200
    assert owner.get("/records/window", params={"state": "all", "from": record, "n": 1}).status_code == 200


@pytest.mark.parametrize("column", ["secret", "truth"])
def test_hidden_columns_are_marked_and_never_served(owner, column):
    assert owner.get(f"/media/5/{column}").status_code == 404
    assert "hidden from models and annotators" in owner.get("/records/5").text
    assert "secret" not in owner.get("/records/window", params={"n": 5}).text


def test_an_annotator_sees_the_media_of_tasks_held_or_answered_and_nothing_else(app, site, project):
    ann = entered(app, site, "ann", "annotator")
    assert ann.get("/media/5/picture").status_code == 404
    form = {"label": "class", "classes": list(CLASSES)}
    from tilth.labeling.inbox import Inbox
    from tilth.runs.home import inbox_of

    with Inbox(inbox_of(project / "dataset")) as inbox:
        posted = Posted("run-9/r0/ask", "label", "", "zoo", "main", 0, "run-9", "ask", form=form)
        inbox.publish(posted, Tasks(np.array([5, 6]), ["k005", "k006"]))
        assert inbox.held("ann") == []
        (task,) = inbox.lease("ann", 1)
        assert [t.record for t in inbox.held("ann")] == [task.record]
        assert inbox.held("bob") == []
        other = 11 - task.record
        assert ann.get(f"/media/{task.record}/picture").status_code == 200
        assert ann.get(f"/media/{other}/picture").status_code == 404
        assert ann.get(f"/media/{task.record}/secret").status_code == 404
        assert ann.get(f"/media/{task.record}/sound").status_code == 200
        inbox.release("ann")
        assert ann.get(f"/media/{task.record}/picture").status_code == 404
        # a picture may be asked for when the answer was given and a run has taken it
        inbox.answer("ann", [Given(task.id, "answer", CLASSES[0])])
        assert ann.get(f"/media/{task.record}/picture").status_code == 200
        assert ann.get(f"/media/{other}/picture").status_code == 404
        assert ann.get(f"/media/{task.record}/picture", params={"branch": "nope"}).status_code == 404
        inbox.claim("run-9/r0/ask", "part")
        assert ann.get(f"/media/{task.record}/picture").status_code == 200
        assert entered(app, site, "bob", "annotator").get(f"/media/{task.record}/picture").status_code == 404
    for path in ("/records", "/records/window", "/records/5", "/compare", "/model"):
        assert ann.get(path).status_code == 403


# -- what means no good ------------------------------------------------------------------------------------------------

ANSWERS = (200, 400, 403, 404, 416)
PATHS = ("/records", "/records/window", "/model", "/compare", "/records/1", "/media/5/picture")
FIELDS = ("split", "label", "predicted", "rule", "q", "sort", "state", "run", "model", "branch")


@pytest.mark.parametrize("path", PATHS)
def test_no_field_of_an_address_becomes_markup(owner, path):
    for i, payload in enumerate(PAYLOADS):
        for field in FIELDS[i % 2 :: 2] if path != "/records" else FIELDS:
            said = owner.get(path, params={field: payload})
            assert said.status_code in ANSWERS, (field, payload, said.text[:300])
            assert said.headers["content-type"].startswith("image/") or not Active(said.text).found, (field, payload)
            assert "1337" not in said.text, "a template was run"


PAGES = ("/records", "/records?n=600&state=all", "/records/window?n=600&state=all", "/compare?a=0", "/model")


def test_nothing_that_records_hold_becomes_markup(owner):
    for path in (*PAGES, *(f"/records/{i}" for i in range(len(PAYLOADS)))):
        said = owner.get(path)
        assert said.status_code == 200
        assert not Active(said.text).found, path
        assert not re.search("[\x1b\u202e\x00]", said.text), "a character steers the terminal or the reading"


@pytest.mark.parametrize("name", ["version", "from", "n", "like", "changed_in", "a", "b"])
def test_numbers_that_are_none_or_too_large_are_answered(owner, name):
    for value in ("-1", "99999999999", "9" * 5000, "1e3", "0x1", "NaN", " 1", "\uff11", "1;2", "'", "\x00"):
        for path in PATHS:
            assert owner.get(path, params={name: value}).status_code in ANSWERS, (path, value)


@pytest.mark.parametrize(
    "path",
    [
        "/media/5/../../tilth.json",
        "/media/5/..%2f..%2ftilth.json",
        "/media/5/..%252f..%252ftilth.json",
        "/media/5/..%5c..%5ctilth.json",
        "/media/5/picture%00.png",
        "/media/5/%2e%2e",
        "/media/5/",
        "/media//etc/passwd",
        "/media/%2e%2e%2fdataset/tilth.json",
        "/media/-1/picture",
        "/media/999999/picture",
        "/media/99999999999999999999999999/picture",
        "/media/\uff15/picture",
        "/media/5/picture?branch=../main",
        "/media/5/picture?branch=%2e%2e%2fmain",
        "/media/5/picture?version=-1",
        "/media/5/picture?size=../full",
        "/records/../people.sqlite",
        "/records/0x5",
        "/records/5?model=../../runs",
        "/records/5?model=%2e%2e",
        "/records/5?branch=nowhere",
    ],
)
def test_no_path_leads_out_and_no_id_beyond(owner, path):
    said = owner.get(path)
    assert said.status_code in (400, 404), (path, said.status_code)
    assert b"SQLite" not in said.content
    assert b'"columns"' not in said.content
    assert b"root:" not in said.content


def test_an_inbox_that_is_not_there_shows_an_annotator_nothing(tmp_path):
    from tilth import Dataset

    Dataset.create(tmp_path / "dataset", {"x": np.eye(4, dtype=np.float32), "y": ["a", "b"] * 2}, label="y")
    site = Site(tmp_path)
    client = entered(create_app(site, hosts=[HOST]), site, "ann", "annotator")
    assert client.get("/media/1/x").status_code == 404
    reviewer = entered(create_app(site, hosts=[HOST]), site, "rae", "reviewer")
    assert "No model has been judged" in reviewer.get("/model").text
    assert reviewer.get("/records", params={"predicted": "a"}).status_code == 404
    assert len(ids(reviewer.get("/records/window"))) == 4
    site.close()


def test_windows_of_a_hundred_thousand_records_are_right(tmp_path):
    from tilth import Dataset

    n = 100_000
    rng = np.random.default_rng(0)
    table = {"x": rng.normal(size=(n, 4)).astype(np.float32), "y": np.array(["a", "b"])[rng.integers(0, 2, n)]}
    dataset = Dataset.create(tmp_path / "dataset", table, label="y", durability="process")
    site = Site(tmp_path)
    client = entered(create_app(site, hosts=[HOST]), site, "o", "owner")

    def at(start, **fields):
        return ids(client.get("/records/window", params={"from": start, "n": 60} | fields))

    for start in (0, 49_990, 99_950, 100_000):
        assert at(start) == list(range(start, min(start + 60, n)))
    of_a = np.flatnonzero(dataset.view.among("valid") & (dataset.view.label == 0))
    assert at(1000, split="valid", label="a") == of_a[1000:1060].tolist()
    keys = dataset.keys(np.arange(n))
    assert at(0, sort="key", order="down") == sorted(range(n), key=keys.__getitem__, reverse=True)[:60]
    assert at(0, q="99998") == [99998]
    site.close()
