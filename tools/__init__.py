"""What keeps the repository: run from its root, as `python -m tools.NAME`; no part of the package."""
