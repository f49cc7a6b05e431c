# Everything runs from a fresh clone: the first target that needs it makes .venv, and nothing has to be activated.
# Another Python than python3: make PYTHON=python3.12 demo

PYTHON ?= python3
# Arguments for pytest, e.g. make test PYTEST_ARGS="-k store -x"
PYTEST_ARGS ?=
# How many processes run tests at once: one more than there are cores, because many a test waits for another process.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# At how many random moments `make crash` kills a run.
N ?= 20
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs crash lock clean

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-7s %s\n' "$$name" "$$what"; done

demo: .venv/.installed ## See the whole loop run on data that comes with the code
	$(BIN)/tilth demo

# One file goes to one worker: what the tests of a file share is made once. One thread each: with more, the numeric
# libraries of all these processes wait for one another, and the tests take a third longer. Files begin in the order of
# tests/conftest.py, those that take long first, not in that of how many tests they have.
test: .venv/.installed ## Run all tests and the examples of the docstrings
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: .venv/.installed ## Formatting, lint, types, floors, and whether reference pages and drawings are up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tools.reference --check
	$(BIN)/python -m tools.drawings --check

# Not among these, because each takes half an hour and wants data of its own: bench.evidence, bench.validated,
# bench.label_efficiency.
bench: .venv/.bench ## Measure the store, selection, signals, the overhead of a round, and durable runs
	$(BIN)/python -m bench.store
	$(BIN)/python -m bench.select
	$(BIN)/python -m bench.signals
	$(BIN)/python -m bench.overhead
	$(BIN)/python -m bench.durable

docs: .venv/.installed ## Write docs/reference out of the docstrings, and draw the workflow of the README
	$(BIN)/python -m tools.reference
	$(BIN)/python -m tools.drawings

crash: .venv/.installed ## Only the tests that kill processes; make crash N=200 kills at so many random moments
	OMP_NUM_THREADS=1 TILTH_CRASHES=$(N) $(BIN)/python -m pytest -m crash $(PYTEST_ARGS)

lock: .venv/.installed ## Choose all versions anew and write them to constraints.txt
	$(BIN)/python -m tools.lock

clean: ## Remove .venv and the caches
	rm -rf .venv build dist .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no '$(PYTHON)'. Tilth needs Python 3.11 or later; say where it is: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Tilth needs Python 3.11 or later, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12"; \
		exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) -V) (about a minute) ..."
	@$(PYTHON) -m venv .venv
	@$(INSTALL) -e ".[dev,demo]"
	@touch $@
	@echo "Done: .venv is ready."

# Without two peers, whose rows are then printed without a time. baal needs torch. pyDVL 0.10 says that it wants numpy
# below 2, though it runs on numpy 2: pip install --no-deps pyDVL==0.10.0 pyDeprecate==0.14.0, and pip install cvxpy
# more-itertools.
.venv/.bench: .venv/.installed
	@echo "Adding what the benchmarks compare with to .venv ..."
	@$(INSTALL) -e ".[bench]"
	@touch $@
