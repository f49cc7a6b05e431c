"""Records in the browser: many at once, one with its history, two versions beside each other, and what a model says."""

from tilth.web.records import browsing, comparing, modelling, reading, serving

__all__ = ["ROUTES"]

ROUTES = (*browsing.ROUTES, *reading.ROUTES, *comparing.ROUTES, *modelling.ROUTES, *serving.ROUTES)
