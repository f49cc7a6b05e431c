"""New texts from an endpoint that speaks OpenAI's protocol: a real server on this machine, well behaved and not."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.states import make_state
from tilth import synthesise, wanted
from tilth.algebra import from_json, to_json
from tilth.changes import Changes
from tilth.errors import UsageError
from tilth.protocols import Want
from tilth.synthesis import ChatEndpoint
from tilth.testing import check_generator

TEXTS = pa.table({"text": [f"question {i}" for i in range(8)], "source": ["web"] * 8})
Answer = tuple[int, dict[str, str], str]


def says(content: str, status: int = 200, **headers: str) -> Answer:
    return status, headers, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})


def fresh(body: dict[str, Any]) -> Answer:
    """Answer with as many texts as are asked for, which follow from the seed."""
    n = int(body["messages"][0]["content"].split("Write ")[1].split(" ")[0])
    return says("```json\n" + json.dumps([f"new {body['seed']} {i}" for i in range(n)]) + "\n```")


class Server:
    """What was asked of the server, and what it answers, one after the other; the last answer stands."""

    def __init__(self, answers: list[Callable[[dict[str, Any]], Answer]]) -> None:
        self.answers = answers
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.url = ""


@contextmanager
def served(*answers: Callable[[dict[str, Any]], Answer]) -> Iterator[Server]:
    server = Server(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append(body)
            server.headers.append(dict(self.headers))
            server.paths.append(self.path)
            turn = min(len(server.asked), len(server.answers)) - 1
            status, headers, text = server.answers[turn](body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}/v1"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def endpoint(server: Server, **more: Any) -> ChatEndpoint:
    return ChatEndpoint(server.url, "small", **{"column": "text", "pause": 0.001, "timeout": 20.0} | more)


def test_it_keeps_the_promises_of_generators() -> None:
    with served(fresh) as server:
        check_generator(endpoint(server), exemplars=TEXTS)
        assert from_json(json.loads(json.dumps(to_json(endpoint(server))))) == endpoint(server)


def test_the_prompt_says_what_is_wanted_and_shows_the_best_examples_first() -> None:
    with served(fresh) as server:
        rows = endpoint(server, shots=3, each=4).generate(Want(6, "web", "source == 'web'"), TEXTS, 6, 7)
    assert server.paths == ["/v1/chat/completions"] * 2
    first, second = (body["messages"][0]["content"] for body in server.asked)
    assert first.startswith("Write 4 new texts of class web where source == 'web'.")
    assert first.endswith('"question 0"\n"question 1"\n"question 2"')
    assert second.startswith("Write 2 new texts")
    assert '"question 3"' in second
    assert rows["parent"].to_pylist() == [0, 0, 0, 0, 3, 3]
    assert rows["source"].to_pylist() == ["web"] * 6
    assert len(set(rows["text"].to_pylist())) == 6
    assert {body["model"] for body in server.asked} == {"small"}


def test_own_prompts() -> None:
    with served(lambda _: says('["a", " ", "b"]')) as server:
        own = endpoint(server, prompt="{n} {label} {within} {kind} {{}} {examples}", shots=1)
        rows = own.generate(Want(3, "spam"), TEXTS, 3, 0)
    assert server.asked[0]["messages"][0]["content"] == '3 spam  of class spam {} "question 0"'
    assert rows["text"].to_pylist() == ["a", "b"]  # what is empty is no text


def test_what_may_pass_is_tried_again() -> None:
    busy = [lambda _: says("slow down", 429, Retry_After="0"), lambda _: says("", 503), lambda _: says("", 500)]
    with served(*busy, fresh) as server:
        assert endpoint(server, retries=3).generate(Want(2), TEXTS, 2, 0).num_rows == 2
        assert len(server.asked) == 4


def test_what_does_not_pass_is_told() -> None:
    with served(lambda _: says("", 500)) as server:
        with pytest.raises(UsageError, match=r"did not answer in 3 tries \(500 Internal Server Error\)"):
            endpoint(server, retries=2).generate(Want(2), TEXTS, 2, 0)
        assert len(server.asked) == 3
        gone = endpoint(server, retries=1)
    with pytest.raises(UsageError, match=r"did not answer in 2 tries .*[Rr]efused"):
        gone.generate(Want(2), TEXTS, 2, 0)


def test_an_endpoint_that_keeps_silent_is_given_up() -> None:
    silent = threading.Event()

    def wait(_: dict[str, Any]) -> Answer:
        silent.wait()
        return says("[]")

    with served(wait) as server:
        try:
            with pytest.raises(UsageError, match=r"did not answer in 1 tries .*timed out"):
                endpoint(server, timeout=0.05, retries=0).generate(Want(2), TEXTS, 2, 0)
        finally:
            silent.set()


@pytest.mark.parametrize(
    "answer",
    [
        says("Here are your texts: one, two"),
        says('{"texts": ["a"]}'),
        says("[1, 2]"),
        (200, {}, "<html>not the endpoint</html>"),
        (200, {}, '{"choices": []}'),
        (200, {}, '{"choices": [{"message": {"content": null}}]}'),
    ],
    ids=range(6),
)
def test_rubbish_is_a_clear_error_and_asked_for_once(answer: Answer) -> None:
    with served(lambda _: answer) as server:
        with pytest.raises(UsageError, match="answered what is no JSON array of texts: "):
            endpoint(server).generate(Want(2), TEXTS, 2, 0)
        assert len(server.asked) == 1


def test_refusals_are_shown_and_not_repeated() -> None:
    with served(lambda _: (401, {}, '{"error": "bad key"}')) as server:
        with pytest.raises(UsageError, match=r"answered 401 Unauthorized: .*bad key"):
            endpoint(server).generate(Want(2), TEXTS, 2, 0)
        assert len(server.asked) == 1


ASK = """
import json, sys
import pyarrow as pa
from tilth.algebra import from_json
from tilth.protocols import Want
from_json(json.loads(sys.argv[1])).generate(Want(1), pa.table({"text": ["question"]}), 1, 0)
"""


def asked_where(keyed: ChatEndpoint, **environment: str) -> str:
    """Ask in a process whose environment has these variables beside our own; return what it says of its failure."""
    command = [sys.executable, "-c", ASK, json.dumps(to_json(keyed))]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr


def test_the_key_comes_from_the_environment_and_goes_nowhere_else() -> None:
    with served(fresh) as other, served(lambda _: (307, {"Location": f"{other.url}/chat/completions"}, "")) as server:
        keyed = endpoint(server, key_env="TILTH_TEST_KEY")
        assert "UsageError" in (missing := asked_where(keyed))
        assert "TILTH_TEST_KEY is not set" in missing
        assert server.asked == []
        sent = asked_where(keyed, TILTH_TEST_KEY="se-cret")
        assert "answered 307" in sent
        assert "se-cret" not in sent
        assert server.headers[0]["Authorization"] == "Bearer se-cret"
        assert other.asked == []
        assert "se-cret" not in json.dumps(to_json(keyed)) + repr(keyed)


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    texts = [f"question number {i}" for i in range(6)]
    state = make_state(tmp_path, ["a", "b"] * 3, columns={"text": texts})
    with served(fresh) as server:
        do = synthesise(by=endpoint(server), keep=[])
        first = do.propose(wanted(4, label="a").choose(state), state)
        asked = len(server.asked)
        assert do.propose(wanted(4, label="a").choose(state), state).added.equals(first.added)
        assert len(server.asked) == asked
    assert first.count == 4
    assert state.view.label[first.parents()].tolist() == [0] * 4


def test_what_came_before_an_endpoint_failed_is_not_asked_again(tmp_path: Path) -> None:
    state = make_state(tmp_path, ["a", "b"] * 3, columns={"text": [f"question number {i}" for i in range(6)]})
    with served(fresh, lambda _: says("", 500), lambda _: says("no texts"), fresh) as server:

        def propose() -> Changes:
            do = synthesise(by=endpoint(server, each=2, retries=0), keep=[])
            return do.propose(wanted(4, label="a").choose(state), state)

        for failure in ("did not answer", "no JSON array"):
            with pytest.raises(UsageError, match=failure):
                propose()
        assert len(server.asked) == 3
        assert propose().count == 4
        asked = [body["seed"] for body in server.asked]
        assert len(asked) == 4
        assert asked.count(asked[0]) == 1
    assert not list(tmp_path.rglob("*.answers"))


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"url": "localhost:8000"}, "an address such as"),
        ({"url": "file:///etc/passwd"}, "an address such as"),
        ({"url": "http://me:pass@127.0.0.1"}, "no password"),
        ({"prompt": "Write {count}"}, "and other braces are doubled"),
        ({"prompt": "Write {"}, "and other braces are doubled"),
        ({"each": 0}, "1 or more"),
        ({"timeout": 0}, "above 0"),
    ],
)
def test_what_cannot_mean_anything_is_refused_when_it_is_written(more: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        ChatEndpoint(**{"url": "http://127.0.0.1:9/v1", "model": "small"} | more)


def test_the_text_must_be_said_where_there_are_several() -> None:
    with pytest.raises(UsageError, match="say by column= which is the text"):
        ChatEndpoint("http://127.0.0.1:9", "small").generate(Want(1), TEXTS, 1, 0)
    with pytest.raises(UsageError, match="Did you mean 'text'"):
        ChatEndpoint("http://127.0.0.1:9", "small", column="txt").generate(Want(1), TEXTS, 1, 0)
