"""`ChatEndpoint`: new texts from a language model behind an OpenAI-compatible endpoint."""

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pyarrow as pa

from tilth.errors import UsageError, did_you_mean
from tilth.integrations.inputs import column_kind
from tilth.protocols import Want
from tilth.signals.making import count
from tilth.synthesis.remembering import remembered

__all__ = ["ChatEndpoint"]

PROMPT = """\
Write {n} new texts {kind}. They must be of the same kind as the examples and as long, but say other things, in other
words, and not be copies of each other. Answer with nothing but a JSON array of {n} strings.

Examples:
{examples}"""
"""What is asked where no other prompt is given."""

_LATER = (408, 409, 425, 429, 500, 502, 503, 504)
"""Statuses that may pass."""
_LONGEST = 60.0
"""Seconds waited at most between two tries, whatever the endpoint asks for."""


class _NoRedirect(HTTPRedirectHandler):
    """Refuses to be sent elsewhere: the key would go along."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@dataclass(frozen=True)
class ChatEndpoint:
    """New texts from a language model behind an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, a provider).

    >>> ChatEndpoint("http://127.0.0.1:8000/v1", "small-model", shots=3)
    ChatEndpoint("http://127.0.0.1:8000/v1", "small-model", shots=3)

    `url`: what stands before `/chat/completions`. `prompt`: with `{n}`, `{kind}` (of which class and slice), `{label}`,
    `{within}` and `{examples}` (`shots` of them, as JSON strings, a line each); the answer must be a JSON array of
    strings, alone or in a code block. `column`: which column is text, where there are several; the others are as the
    parent's, which is the first example shown. `each`: texts asked for in one request. `key_env`: the environment
    variable that holds the key; its value is never stored, nor is it sent on where the endpoint sends us elsewhere,
    which is an error. `timeout`: seconds for each request. What may pass (no connection, 429, 5xx) is tried `retries`
    times more, after `pause` seconds, twice as long each time, or what the endpoint's Retry-After says. All else, and
    an answer that is no such JSON, is a UsageError that shows it.

    Temperature and seed are sent, but endpoints need not be deterministic: each answer is kept as it comes, so a run
    that goes on after a crash, or after an endpoint that failed half-way, asks nothing twice.
    """

    url: str
    model: str
    prompt: str = PROMPT
    column: str | None = None
    shots: int = 5
    each: int = 10
    temperature: float = 1.0
    key_env: str = ""
    timeout: float = 60.0
    retries: int = 4
    pause: float = 1.0

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).netloc:
            raise UsageError(f"ChatEndpoint(url={self.url!r}): an address such as http://127.0.0.1:8000/v1")
        if urlsplit(self.url).password or urlsplit(self.url).query:
            raise UsageError(
                "ChatEndpoint(url=...): no password or query, for it is stored; name a variable by key_env="
            )
        for name in ("shots", "each"):
            count(f"ChatEndpoint({name}=...)", getattr(self, name))
        if self.timeout <= 0 or self.retries < 0 or self.pause < 0:
            raise UsageError(f"{self!r}: timeout is above 0, retries and pause are 0 or more")
        try:
            self.prompt.format(n=1, kind="", label="", within="", examples="")
        except (KeyError, IndexError, ValueError) as why:
            raise UsageError(
                f"ChatEndpoint(prompt=...): {why}; there are {{n}}, {{kind}}, {{label}}, {{within}} and {{examples}}, "
                "and other braces are doubled"
            ) from why

    @property
    def spec(self) -> Mapping[str, Any]:
        """JSON that describes it."""
        return {"generator": "tilth.synthesis.chat:ChatEndpoint", **asdict(self)}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "ChatEndpoint":
        """Rebuild it from `spec`."""
        return cls(**{k: v for k, v in spec.items() if k != "generator"})

    def __repr__(self) -> str:
        fields = type(self).__dataclass_fields__
        said = [
            f"{name}={json.dumps(getattr(self, name)) if isinstance(getattr(self, name), str) else getattr(self, name)}"
            for name in list(fields)[2:]
            if getattr(self, name) != fields[name].default
        ]
        return f"ChatEndpoint({', '.join([json.dumps(self.url), json.dumps(self.model), *said])})"

    def generate(self, want: Want, exemplars: pa.Table, n: int, seed: int) -> pa.Table:
        """Return n new rows, fewer where the endpoint gives fewer."""
        name = self._column(exemplars)
        texts = exemplars[name].to_pylist()
        m = len(texts)
        made: list[str] = []
        parent: list[int] = []
        for turn, start in enumerate(range(0, n, self.each)):
            k = min(self.each, n - start)
            shown = [(turn * self.shots + i) % m for i in range(min(self.shots, m))]
            lines = "\n".join(json.dumps(texts[i], ensure_ascii=False) for i in shown)
            asked = self.prompt.format(
                n=k, kind=want.kind or "like these", label=want.label or "", within=want.within, examples=lines
            )
            told = self._answer(asked, (seed + turn) % 2**31)[:k]
            made += told
            parent += [shown[0]] * len(told)
        rows = exemplars.take(pa.array(parent, pa.int64()))
        column = pa.array(made, exemplars.schema.field(name).type)
        rows = rows.set_column(rows.column_names.index(name), name, column)
        return rows.append_column("parent", pa.array(parent, pa.int64()))

    def _column(self, rows: pa.Table) -> str:
        texts = [name for name in rows.column_names if column_kind(rows, name) == "text"]
        if self.column is not None:
            if self.column not in texts:
                raise UsageError(f"{self!r}: no text in column {self.column!r}. {did_you_mean(self.column, texts)}")
            return self.column
        if len(texts) != 1:
            raise UsageError(f"{self!r}: say by column= which is the text. {did_you_mean('', texts)}")
        return texts[0]

    def _answer(self, asked: str, seed: int) -> list[str]:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": asked}],
            "temperature": self.temperature,
            "seed": seed,
        }
        return remembered([self.url, body], lambda: self._texts(body))

    def _texts(self, body: Mapping[str, Any]) -> list[str]:
        told = self._sent(body)
        try:
            content = cast(str, json.loads(told)["choices"][0]["message"]["content"])
            found = json.loads(_bare(content))
        except (ValueError, LookupError, TypeError, AttributeError) as why:
            raise UsageError(f"{self!r} answered what is no JSON array of texts: {_short(told)}") from why
        if not isinstance(found, list) or not all(isinstance(t, str) for t in cast("list[Any]", found)):
            raise UsageError(f"{self!r} answered what is no JSON array of texts: {_short(content)}")
        return [text for text in cast("list[str]", found) if text.strip()]

    def _sent(self, body: Mapping[str, Any]) -> str:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key_env:
            key = os.environ.get(self.key_env, "")
            if not key:
                raise UsageError(f"{self!r}: the environment variable {self.key_env} is not set; it holds the key")
            headers["Authorization"] = f"Bearer {key}"
        url = f"{self.url.rstrip('/')}/chat/completions"
        request = Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310  (http or https only)
        opener = build_opener(_NoRedirect)
        why = ""
        for pause in self._pauses():
            try:
                with cast(HTTPResponse, opener.open(request, timeout=self.timeout)) as response:
                    return response.read().decode("utf-8", errors="replace")
            except HTTPError as error:
                why = f"{error.code} {error.reason}"
                said = _short(error.read().decode("utf-8", errors="replace"))
                if error.code not in _LATER:
                    raise UsageError(f"{self!r} answered {why}: {said}") from error
                wait = _after(error.headers.get("Retry-After"), pause)
            except (URLError, HTTPException, OSError) as error:
                why, wait = str(getattr(error, "reason", "") or error or type(error).__name__), pause
            if wait is not None:
                time.sleep(min(wait, _LONGEST))
        raise UsageError(
            f"{self!r} did not answer in {self.retries + 1} tries ({why}). See whether it is there, then run again"
        )

    def _pauses(self) -> Iterator[float | None]:
        """Yield, for each try, how long to wait after it where it fails; None after the last."""
        yield from (self.pause * 2**i for i in range(self.retries))
        yield None


def _after(told: str | None, pause: float | None) -> float | None:
    return float(told) if pause is not None and told is not None and told.isdigit() else pause


def _bare(content: str) -> str:
    """Return what stands in the code block, where there is one."""
    found = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", content, re.DOTALL)
    return found[1] if found else content


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text):,} characters)"
