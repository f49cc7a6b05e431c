"""Who gets in: links, roles, hosts, and requests that come from elsewhere."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

import tilth
from tests.web.conftest import serving
from tilth import Dataset
from tilth.web import People, Site, create_app
from tilth.web.people import ROLES
from tilth.web.routes import Page


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    table = {"x": np.eye(8, dtype=np.float32), "kind": np.array(["cat", "dog"] * 4)}
    Dataset.create(folder / "dataset", table, label="kind")
    return folder


@pytest.fixture(scope="module")
def served(project, serve):
    return serve(project)


@pytest.fixture(scope="module")
def owner(served):
    with httpx.Client(base_url=served.address, headers={"sec-fetch-site": "same-origin"}) as client:
        assert client.get(served.link).status_code == 200
        assert client.get("/runs").status_code == 200
        yield client


def paths(project):
    """Yield every address of the page with its method and role, parameters filled in."""
    site = Site(project)
    try:
        app = create_app(site, hosts=["localhost"])
        for route in app.routes:
            if isinstance(route, Page):
                path = route.path
                for name in route.param_convertors:
                    path = (
                        path.replace(f"{{{name}}}", "1")
                        .replace(f"{{{name}:int}}", "1")
                        .replace(f"{{{name}:path}}", "1")
                    )
                yield next(iter(route.methods - {"HEAD"})), path, route.role
    finally:
        site.close()


def test_every_route_is_closed_without_a_session(project, served):
    every = list(paths(project))
    site = Site(project)
    cookie = site.cookie
    site.close()
    assert len(every) > 3
    for method, path, _ in every:
        for cookies in ({}, {cookie: "wrong"}):
            said = httpx.request(method, served.address + path, cookies=cookies, headers={"origin": served.address})
            assert said.status_code == 401, (method, path)


def test_only_the_door_and_the_looks_are_open(project):
    site = Site(project)
    app = create_app(site, hosts=["localhost"])
    others = {route.path for route in app.routes if not isinstance(route, Page)}
    assert others == {"/enter", "/static"}
    site.close()


def test_a_role_opens_what_is_its_own_and_nothing_above(project, served):
    site = Site(project)
    every = list(paths(project))
    for who in ("annotator", "reviewer"):
        with httpx.Client(base_url=served.address, headers={"origin": served.address}) as client:
            client.get("/enter", params={"token": site.people.invite(f"a {who}", who)})
            for method, path, role in every:
                if ROLES.index(role) > ROLES.index(who):
                    assert client.request(method, path).status_code == 403, (who, method, path)
    site.close()


def test_the_owners_link_lets_one_browser_in(served, owner):
    said = httpx.get(served.link)
    assert said.status_code == 403
    assert "not good any more" in said.text


def test_a_browser_in_which_somebody_works_does_not_become_anothers_unasked(project, served):
    site = Site(project)
    ann, bob = (site.people.invite(name, "annotator") for name in ("ann", "bob"))
    site.close()
    with httpx.Client(base_url=served.address, headers={"origin": served.address}) as client:
        client.get("/enter", params={"token": ann})
        for again in (ann, "cut off", ""):
            assert client.get("/enter", params={"token": again}).status_code == 303
        refused = client.get("/enter", params={"token": bob})
        assert (refused.status_code, "in as ann" in refused.text) == (409, True)
        assert ">ann</summary>" in client.get("/label").text
        client.post("/leave")
        assert client.get("/enter", params={"token": bob}).status_code == 200
        assert ">bob</summary>" in client.get("/label").text


def test_one_browser_is_in_two_projects_of_one_machine(tmp_path, served, owner, serve):
    table = {"x": np.eye(4, dtype=np.float32), "kind": np.array(["cat", "dog"] * 2)}
    Dataset.create(tmp_path / "dataset", table, label="kind")
    other = serve(tmp_path)
    with httpx.Client(cookies=owner.cookies) as browser:
        assert browser.get(other.link).status_code == 200
        assert [browser.get(f"{page.address}/runs").status_code for page in (served, other)] == [200, 200]


def test_the_session_is_out_of_reach_of_scripts_and_other_sites(project, served):
    site = Site(project)
    said = httpx.get(f"{served.address}/enter", params={"token": site.people.invite("cookie", "owner")})
    site.close()
    cookie = said.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_a_revoked_invite_ends_the_session_too(project, served):
    site = Site(project)
    token = site.people.invite("eve", "owner")
    with httpx.Client(base_url=served.address) as client:
        client.get("/enter", params={"token": token})
        assert client.get("/runs").status_code == 200
        site.people.revoke("eve")
        assert client.get("/runs").status_code == 401
        assert client.get("/enter", params={"token": token}).status_code == 403
    site.close()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "localhost:1", "", "127.0.0.1.evil.example"]
)
def test_another_host_is_refused(served, owner, host):
    assert owner.get("/runs", headers={"host": host}).status_code == 421


def test_a_port_that_is_taken_is_named_with_what_to_do(project, served):
    command = [sys.executable, "-m", "tilth.cli", "ui", str(project), "--no-browser", "--port", str(served.port)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert f"port {served.port} is not to be had" in refused.stderr
    assert "--port 0 takes a free one" in refused.stderr
    assert "http://" not in refused.stdout


def test_a_browser_leaves_out_the_port_of_the_scheme(tmp_path, serve):
    table = {"x": np.eye(4, dtype=np.float32), "kind": np.array(["cat", "dog"] * 2)}
    Dataset.create(tmp_path / "dataset", table, label="kind")
    try:
        socket.create_server(("127.0.0.1", 80)).close()
    except OSError as why:
        pytest.skip(f"port 80: {why}")
    served = serve(tmp_path, port=80)
    with httpx.Client(base_url="http://127.0.0.1", headers={"origin": "http://127.0.0.1"}) as client:
        assert client.get(served.link).status_code == 200
        assert client.get("/runs").status_code == 200
        assert client.post("/theme", data={"theme": "dark"}).status_code == 303
        assert client.get("/runs", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "http://evil.example"},
        {},
    ],
)
def test_a_request_that_writes_must_come_from_a_page_of_ours(served, owner, headers):
    said = httpx.post(f"{served.address}/theme", data={"theme": "dark"}, cookies=owner.cookies, headers=headers)
    assert said.status_code == 403


def test_a_body_that_is_too_large_is_refused(owner, served):
    assert owner.post("/theme", content=b"x" * (9 * 2**20)).status_code == 413

    def chunks():
        for _ in range(9):
            yield b"x" * 2**20

    assert owner.post("/theme", content=chunks()).status_code == 413


def test_every_answer_says_what_a_browser_may_do_with_it(owner, served):
    for path in ("/runs", "/static/tilth.css", "/nothing", "/enter"):
        headers = owner.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_a_browser_keeps_the_looks_and_nothing_of_the_data(owner):
    looks = owner.get("/static/tilth.css")
    assert looks.headers["cache-control"] == "no-cache"
    assert owner.get("/static/tilth.css", headers={"if-none-match": looks.headers["etag"]}).status_code == 304
    for path in ("/runs", "/enter", "/label", "/nothing"):
        assert owner.get(path).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("back", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"])
def test_going_back_stays_on_this_server(owner, back):
    said = owner.post("/theme", data={"theme": "light", "back": back})
    assert (said.status_code, said.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/%252e%252e/app.py",
        "/static/..%5capp.py",
        "/static/..%2fapp.py",
        "/static/%00",
        "/static/tilth.css%00.png",
        "/static/vendor/../../app.py",
        "/static//etc/passwd",
        "/static/../static-other/x",
    ],
)
def test_no_file_beside_the_static_ones_is_read(served, path):
    with socket.create_connection(("127.0.0.1", served.port)) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nConnection: close\r\n\r\n".encode())
        said = b"".join(iter(lambda: line.recv(65536), b""))
    assert int(said.split()[1]) in (400, 401, 404), said[:80]
    assert b"create_app" not in said
    assert b"root:" not in said


def test_a_link_among_the_static_files_leads_out_of_them_to_nothing(tmp_path):
    package = shutil.copytree(Path(tilth.__file__).parent, tmp_path / "code" / "tilth")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    static = package / "web" / "static"
    (static / "file.txt").symlink_to(tmp_path / "outside" / "secret.txt")
    (static / "folder").symlink_to(tmp_path / "outside")
    table = {"x": np.eye(4, dtype=np.float32), "kind": np.array(["cat", "dog"] * 2)}
    Dataset.create(tmp_path / "pets" / "dataset", table, label="kind")
    path = os.pathsep.join([str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with serving(tmp_path / "pets", env={"PYTHONPATH": path}) as served:
        (static / "here.txt").write_text("this copy is served")
        assert httpx.get(f"{served.address}/static/here.txt").text == "this copy is served"
        for name in ("file.txt", "folder/secret.txt"):
            said = httpx.get(f"{served.address}/static/{name}")
            assert (said.status_code, "secret" in said.text) == (404, False), name


def test_who_may_enter_is_kept_as_hashes(tmp_path):
    people = People(tmp_path / "people.sqlite")
    token = people.invite("ann", "annotator")
    session = people.enter(token)
    people.close()
    kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert token.encode() not in kept
    assert session.encode() not in kept


@pytest.mark.parametrize(("name", "role", "said"), [("", "owner", "name"), ("ann", "king", "Did you mean|owner")])
def test_a_bad_invite_is_refused(tmp_path, name, role, said):
    from tilth.errors import UsageError

    people = People(tmp_path / "people.sqlite")
    with pytest.raises(UsageError, match=said):
        people.invite(name, role)
    assert people.known() == []
    people.close()
