"""The pages on which people answer: one record after the other, many at once, and what is disputed."""

from tilth.web.label.endpoints import ENDPOINTS
from tilth.web.label.pages import PAGES

__all__ = ["ROUTES"]

ROUTES = (*PAGES, *ENDPOINTS)
