"""`tilth ui`: serve the page of a project; `tilth invite`: let somebody in, or no more."""

import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from tilth.cli.terminal import interactive, note, say
from tilth.cli.words import clean
from tilth.errors import UsageError
from tilth.web import Site, serve
from tilth.web.people import Role

__all__ = ["invite", "ui"]


def ui(
    project: Path,
    *,
    port: int,
    remote: Sequence[str],
    certificate: Path | None,
    key: Path | None,
    browse: bool,
    engine: str | None,
) -> None:
    """Serve the page until Ctrl-C."""
    if (certificate is None) != (key is None):
        raise UsageError("--tls-certificate and --tls-key go together: name both files, or none")
    for file in (certificate, key):
        if file is not None and not file.is_file():
            raise UsageError(f"there is no file {file}")
    if remote and certificate is None:
        note(
            "without --tls-certificate everybody on the way reads links and answers: only for a network that you trust"
        )
    site = Site(project.parent if project.suffix == ".py" else project, engine=engine)

    def ready(link: str) -> None:
        say(f"{clean(site.name)}: {link}")
        say("Open that link; it lets one browser in, once. Ctrl-C ends the page, runs go on.")
        sys.stdout.flush()
        if browse and interactive():
            webbrowser.open(link)

    pair = None if certificate is None or key is None else (certificate, key)
    serve(site, port=port, remote=remote, certificate=pair, ready=ready)


def invite(project: Path, name: str, *, role: Role, revoke: bool, at: str) -> None:
    """Print a link for somebody, or close theirs."""
    site = Site(project)
    try:
        if revoke:
            site.people.revoke(name)
            say(clean(f"{name} is let in no more; their answers stay"))
            return
        token = site.people.invite(name, role)
        say(f"{at.rstrip('/')}/enter?token={token}")
        note(clean(f"that link is {name}'s own: who opens it is {name}, until tilth invite {name} --revoke"))
    finally:
        site.close()
