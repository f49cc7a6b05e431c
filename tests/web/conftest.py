"""A real server in a process of its own, and a real browser; both are started once for all tests of a file."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHROMIUM = Path("/usr/bin/chromium")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Served:
    """A page that is served: its address, and the owner's link, good for one session."""

    link: str
    process: "subprocess.Popen[str]"

    @property
    def address(self) -> str:
        at = urlsplit(self.link)
        return f"{at.scheme}://{at.netloc}"

    @property
    def port(self) -> int:
        return urlsplit(self.link).port or 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def serving(project: Path, *options: str, port: int = 0, env: Mapping[str, str] | None = None) -> Generator[Served]:
    """Serve the page of a project by `tilth ui`, as a user does."""
    command = [sys.executable, "-c", "from tilth.cli import main; main()", "ui", str(project), "--no-browser"]
    process = subprocess.Popen(
        [*command, "--port", str(port), *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_COLOR": "1"} | (env or {}),
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"https?://\S+", first)
        assert found, f"tilth ui printed {first!r}"
        yield Served(found.group(), process)
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Served]]:
    """Return a function that serves the page of a project until the file's tests are through."""
    with contextlib.ExitStack() as stack:
        yield lambda project, *options, port=0: stack.enter_context(serving(project, *options, port=port))


@pytest.fixture(scope="session")
def aside():
    """Return a function that calls another in a thread: Playwright keeps an event loop in this one, as a run does."""
    with ThreadPoolExecutor(1) as thread:
        yield lambda do, *args, **options: thread.submit(do, *args, **options).result()


@pytest.fixture(scope="module")
def chromium():
    """Return a headless Chromium.

    For one file only: as long as it is there an event loop runs in this thread, and no test of another file that runs
    a workflow could do so in the same process.
    """
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install -y --no-install-recommends chromium fonts-dejavu-core")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Return a function that enters by a link, in a browser context of its own, and gives the page.

    At the end of the test nothing may stand in the console, and nothing but the server may have been asked.
    """
    contexts, told, asked = [], [], []

    def heard(message):
        if message.type in ("error", "warning"):
            told.append(f"{message.type}: {message.text} ({message.location['url']})")

    def enter(served: Served, link: str | None = None, **options):
        context = chromium.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda e: told.append(str(e)))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(link or served.link)
        page.wait_for_url(lambda url: "/enter" not in url)
        page.told = told
        enter.allowed.append(served.address)
        return page

    enter.allowed = []
    yield enter
    for context in contexts:
        context.close()
    outside = [u for u in asked if not u.startswith((*enter.allowed, "data:", "blob:"))]
    assert not outside, f"the page asked another host: {outside[:3]}"
    assert not told, f"the console says: {told[:3]}"
