"""One run on its page: live, with its rounds and versions, what a person can do about it, and its report."""

from tilth.web.run import acting, pages
from tilth.web.run.watching import Watches, graph_of, look_at

__all__ = ["ROUTES", "Watches", "graph_of", "look_at"]

ROUTES = (*pages.ROUTES, *acting.ROUTES)
