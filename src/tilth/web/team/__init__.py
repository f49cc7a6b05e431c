"""The owner's page on people: who may enter, how each answers, and what was done."""

from tilth.web.team.pages import ROUTES

__all__ = ["ROUTES"]
