"""The page: the loop live, every record's history, and labelling at one key a record."""

from tilth.web.app import create_app, serve
from tilth.web.people import People, Person
from tilth.web.site import Site

__all__ = ["People", "Person", "Site", "create_app", "serve"]
