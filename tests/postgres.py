"""A real Postgres for tests: a cluster of its own for each test process, a fresh database for each test.

It begins when the first test asks for it, and ends with the process. Tests are skipped where the programs are missing.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

_BIN = Path("/usr/lib/postgresql/15/bin")
_START = 30.0


@dataclass(frozen=True)
class Server:
    """A running cluster."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgres_server() -> Generator[Server]:
    """A Postgres 15 cluster on a free port of the loopback interface, with every commit forced to disk."""
    if not (_BIN / "initdb").exists():
        pytest.skip(f"no Postgres 15 in {_BIN}")
    pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="tilth-pg-"))
    try:
        _make(folder)
        server = _start(folder)
        try:
            yield server
        finally:
            server.process.send_signal(signal.SIGINT)  # does not wait for clients that are still connected
            server.process.wait(_START)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: Server) -> Generator[str]:
    """The URL of an empty database."""
    import psycopg

    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def _make(folder: Path) -> None:
    if os.geteuid() == 0:
        user = _user()
        os.chown(folder, user.pw_uid, user.pw_gid)
    made = subprocess.run(
        [*_as_user(), _BIN / "initdb", "-D", folder / "data", "-U", "postgres", "-E", "UTF8", "--locale=C"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (folder / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")


def _start(folder: Path) -> Server:
    for _ in range(5):  # between looking for a free port and listening on it another process may take it
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "on",
            "max_connections": 100,
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*_as_user(), _BIN / "postgres", "-D", folder / "data", *options], cwd=folder, stdout=log, stderr=log
            )
        server = Server(folder, port, process)
        if _ready(server):
            return server
    raise AssertionError(f"Postgres does not start: {(folder / 'log').read_text()}")


def _ready(server: Server) -> bool:
    end = time.monotonic() + _START
    while server.process.poll() is None:
        asked = subprocess.run(
            [_BIN / "pg_isready", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"], capture_output=True
        )
        if asked.returncode == 0:
            return True
        assert time.monotonic() < end, (server.folder / "log").read_text()
        time.sleep(0.02)
    return False


def _as_user() -> list[str | Path]:
    """What runs a program as an unprivileged user (Postgres refuses root), and ends it with this process."""
    command: list[str | Path] = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        user = _user()
        command += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return command


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
