"""The command line: `tilth new`, `run`, `explain`, `status`, `log`, `diff`, `why`, `rollback`, `export`, `demo`."""

from tilth.cli.app import app, main

__all__ = ["app", "main"]
