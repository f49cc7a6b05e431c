"""Which gate keeps what helps and nothing else: see `python -m bench.gates --help`."""
