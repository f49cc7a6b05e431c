"""A real Postgres for the tests: one cluster a process that runs tests, a new database for each test."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

BIN = Path("/usr/lib/postgresql/15/bin")


@pytest.fixture(scope="session")
def postgres_cluster() -> Generator[str]:
    """The address of a running server, `postgresql://postgres@127.0.0.1:port`; it is stopped at the end."""
    if not (BIN / "postgres").exists():
        pytest.skip(f"no Postgres 15: {BIN / 'postgres'} is not there")
    pytest.importorskip("psycopg", reason="the driver of Postgres, psycopg, is not installed")
    # not under pytest's own folder: that is closed to all but root, and the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="tilth-postgres-"))
    try:
        with _server(folder) as address:
            yield address
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_cluster: str) -> Generator[str]:
    """The URL of an empty database, which is dropped at the end whoever is still connected."""
    import psycopg

    name = f"test_{time.monotonic_ns()}"
    with psycopg.connect(f"{postgres_cluster}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}")
    yield f"{postgres_cluster}/{name}"
    with psycopg.connect(f"{postgres_cluster}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@contextmanager
def _server(folder: Path) -> Generator[str]:
    # pdeathsig: the server ends also where the process that runs the tests is killed
    run_as = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        user = _unprivileged()
        os.chown(folder, user.pw_uid, user.pw_gid)
        run_as += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    data = folder / "data"
    made = subprocess.run(
        [
            *(*run_as, str(BIN / "initdb"), "--pgdata", str(data), "--username", "postgres", "--no-sync"),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8"),  # initdb lets in only who is on loopback
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr
    log = folder / "log"
    for _ in range(5):  # another process may take the port between asking for a free one and listening on it
        port = _free_port()
        with log.open("w") as out:
            server = subprocess.Popen(
                [
                    *(*run_as, str(BIN / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"),
                    *("-c", "unix_socket_directories=", "-c", "fsync=on"),
                ],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C ends the tests first, and they end the server
            )
        try:
            address = f"postgresql://postgres@127.0.0.1:{port}"
            if _answers(server, address):
                yield address
                return
        finally:
            server.send_signal(signal.SIGINT)  # fast shutdown: it does not wait for clients
            server.wait(timeout=60)
    pytest.fail(f"Postgres did not start:\n{log.read_text()}")


def _answers(server: subprocess.Popen[bytes], address: str) -> bool:
    import psycopg

    until = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < until:
        try:
            psycopg.connect(f"{address}/postgres", connect_timeout=5).close()
        except psycopg.OperationalError:
            with suppress(subprocess.TimeoutExpired):
                server.wait(0.02)  # it has ended, or it is not ready yet
        else:
            return server.poll() is None  # else somebody else's server answered at that port
    return False


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
