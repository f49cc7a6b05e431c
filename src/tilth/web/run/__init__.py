"""One run on its page: live, with its rounds and versions, what a person can do about it, and its report."""

from tilth.web.run import acting, pages
from tilth.web.run.watching import Watches

__all__ = ["ROUTES", "Watches"]

ROUTES = (*pages.ROUTES, *acting.ROUTES)
