"""How somebody new comes in: by a link of their own."""

from tilth.web import Site


def link(served, project, name, role="annotator"):
    """Invite somebody to a project that is served, and return the link."""
    site = Site(project)
    token = site.people.invite(name, role)
    site.close()
    return f"{served.address}/enter?token={token}"
