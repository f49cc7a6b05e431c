"""Where new records come from: folders and files that grow, a query, a generator; `ingest` brings what is new."""

from tilth.sources.files import GrowingCsv, ParquetFolder
from tilth.sources.iterator import FromIterator
from tilth.sources.query import SqlQuery

__all__ = ["FromIterator", "GrowingCsv", "ParquetFolder", "SqlQuery"]
