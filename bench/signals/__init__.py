"""Signals and selectors against every library that has a part of them: `python -m bench.signals`."""
