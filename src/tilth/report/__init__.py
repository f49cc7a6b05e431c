"""What a run did, as one page that opens offline: for those who were not there, and for the record."""

from tilth.report.page import render, report

__all__ = ["render", "report"]
