"""The application: all routes behind one door, and the server that answers on this machine."""

import contextlib
import json
import os
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

import uvicorn
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from tilth.errors import Busy, TilthError
from tilth.web import door, label, records, run, runs, team
from tilth.web.guard import Guard
from tilth.web.people import OWNER
from tilth.web.shelf import Shelf
from tilth.web.site import Site

__all__ = ["VENDORED", "create_app", "serve"]

_HERE = Path(__file__).parent

VENDORED = json.loads((_HERE / "static/vendor/vendored.json").read_text(encoding="utf-8"))
"""The browser code of others that is shipped: name, version, licence, source package and SHA-256 of each file."""


_SHELF = 512 * 2**20
"""Bytes of orders, small pictures and states that are kept: those of some ten looks at a million records."""


_PORTS = {"http": 80, "https": 443}


def create_app(site: Site, *, hosts: Iterable[str]) -> Starlette:
    """Return the page of a project as an ASGI application that answers to these hosts (with port) only."""
    areas = (door, runs, run, records, label, team)
    routes: list[BaseRoute] = [route for area in areas for route in area.ROUTES]
    routes.append(Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"))

    @contextlib.asynccontextmanager
    async def life(_: Starlette) -> AsyncGenerator[None]:
        yield
        site.close()

    guard = Middleware(Guard, people=site.people, cookie=site.cookie, hosts=hosts)
    app = Starlette(routes=routes, middleware=[guard], lifespan=life)
    app.state.site = site
    app.state.watches = run.Watches(site)
    app.state.shelf = Shelf(_SHELF)
    return app


def serve(
    site: Site,
    *,
    port: int = 0,
    remote: Iterable[str] = (),
    certificate: tuple[Path, Path] | None = None,
    ready: Callable[[str], None],
) -> None:
    """Answer until Ctrl-C; `ready` is called with the owner's link as soon as it can be opened.

    On loopback only, unless `remote` names hosts under which others reach this machine. `port`: 0 takes a free one.
    `certificate`: the files of a TLS certificate and its key. Busy where the port is another's.
    """
    names = [*remote]
    try:
        bound = socket.create_server(("0.0.0.0" if names else "127.0.0.1", port))  # noqa: S104  asked for by `remote`
    except OSError as why:
        raise Busy(f"port {port} is not to be had ({os.strerror(why.errno or 0)}); --port 0 takes a free one") from why
    port = bound.getsockname()[1]
    scheme = "https" if certificate else "http"
    known = ["127.0.0.1", "localhost", *names]
    # a browser leaves the port out where it is the scheme's own; behind a forwarded port the remote names have another
    bare = known if port == _PORTS[scheme] else names
    hosts = [f"{name}:{port}" for name in known] + bare
    app = create_app(site, hosts=hosts)
    address = f"{scheme}://{names[0] if names else '127.0.0.1'}:{port}"
    token = site.people.invite(OWNER, "owner", once=True)
    cert, key = certificate or (None, None)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # it would write the tokens of links down
        server_header=False,
        timeout_graceful_shutdown=1,  # a page that listens never ends by itself
        ssl_certfile=cert,
        ssl_keyfile=key,
    )
    threading.Thread(target=_warm, args=[site], daemon=True).start()
    ready(f"{address}/enter?token={token}")
    uvicorn.Server(config).run(sockets=[bound])


def _warm(site: Site) -> None:
    """Look at the newest run once: what its page needs is imported before somebody waits for it."""
    with contextlib.suppress(TilthError, OperationalError):  # there is no run yet: then there is nothing to wait for
        newest = site.run()
        run.look_at(site, newest, run.graph_of(site, newest))
