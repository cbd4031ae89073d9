# Needs make and Python 3.11 or newer. Writes only to .venv and .titan10, and to the caches that `make clean` removes.

VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new enough. `make PYTHON=/path/to/python ...` selects another Python.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
# Without bytecode files every import of Dagster takes three times as long. So they are written even if the environment
# forbids this.
RUN := env -u PYTHONDONTWRITEBYTECODE
INSTALL = $(RUN) $(BIN)/python .ci/install.py -c constraints.txt
# Tests without a database, an HTTP server or Dagster.
PURE_TESTS := titan10_dagster_tests/candles titan10_dagster_tests/planning titan10_dagster_tests/landing \
	titan10_dagster_tests/contracts titan10_dagster_tests/test_settings*.py
# Four processes share the tests, because many tests wait for a server or for a time to pass.
# titan10_dagster_tests/order.py distributes the tests over the processes.
SHARED := -n $${TITAN10_TEST_WORKERS:-4} --dist loadgroup --no-loadscope-reorder

.PHONY: help up demo check test campaign nightly bench clean

help:
	@echo "make up        run everything for the exchanges in titan10.toml; Ctrl-C stops it"
	@echo "make demo      run everything offline against the sandbox, in a minute; DEMO_KEEP=1 keeps the UI running"
	@echo "make check     lint, types and the tests of pure functions, in about a minute"
	@echo "make test      lint, types and all tests"
	@echo "make campaign  long tests: kill processes at random moments, and backfill sixty days through the UI"
	@echo "make nightly   simulate two hundred weeks and a year, and run property tests with a thousand examples"
	@echo "make bench     measure speed, memory and disk use, and write benchmarks/RESULTS.md"
	@echo "make clean     remove installed packages and caches; data in .titan10 stays"

up: $(VENV)/installed
	@$(RUN) $(BIN)/titan10 up

demo: $(VENV)/installed
	@$(RUN) $(BIN)/titan10 demo

check: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(RUN) $(BIN)/mypy
	$(RUN) $(BIN)/python -m pytest -q $(SHARED) $(PURE_TESTS)
test: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(RUN) $(BIN)/mypy
	$(RUN) $(BIN)/python -m pytest $(SHARED)

# The long versions of the tests that kill processes, and of the backfill through the UI.
campaign: $(VENV)/installed-dev
	$(RUN) TITAN10_TEST_KILLS=10 TITAN10_TEST_KILL_DAYS=30 TITAN10_TEST_KILL_MONTHS=12 TITAN10_TEST_UI_DAYS=60 \
		TITAN10_TEST_STRIKES=3 TITAN10_TEST_STRIKE_DAYS=90 \
		$(BIN)/python -m pytest -s -o timeout=3600 titan10_dagster_tests/e2e
	$(RUN) TITAN10_TEST_CONFORMANCE_DAYS=30 TITAN10_TEST_PROBE_WEEKS=100 \
		$(BIN)/python -m pytest -o timeout=3600 titan10_dagster_tests/conformance \
		titan10_dagster_tests/exchanges/test_probing.py

# `python -m titan10_dagster_tests.simulation --seed N` prints a week step by step. test_year.py simulates the year.
nightly: $(VENV)/installed-dev
	$(RUN) TITAN10_TEST_SEEDS=$${TITAN10_TEST_SEEDS:-200} TITAN10_TEST_YEAR_DAYS=$${TITAN10_TEST_YEAR_DAYS:-365} \
		$(BIN)/python -m pytest -s -o timeout=900 titan10_dagster_tests/simulation
	$(RUN) $(BIN)/python -m pytest -o timeout=3600 --hypothesis-profile=others -m hypothesis

bench: $(VENV)/installed-dev
	$(RUN) $(BIN)/python -m benchmarks.backfill
	$(RUN) $(BIN)/python -m benchmarks.peers
	$(RUN) $(BIN)/python -m benchmarks.archives
	$(RUN) $(BIN)/python -m benchmarks.forecast
	$(RUN) $(BIN)/python -m benchmarks.runs
	$(RUN) $(BIN)/python -m benchmarks.pace
	$(RUN) $(BIN)/python -m benchmarks.live
	$(RUN) $(BIN)/python -m benchmarks.queries --plain
	$(RUN) $(BIN)/python -m benchmarks.writing
	$(RUN) $(BIN)/python -m benchmarks.instance
	$(RUN) $(BIN)/python -m benchmarks.ledger

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing the packages of pyproject.toml in the versions of constraints.txt ..."
	@$(INSTALL) -e .
	@echo "Compiling titan10_dagster ..."
	@$(RUN) $(BIN)/python -m compileall -q titan10_dagster
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing the packages that the tests need ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found. Install it, or name it: make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than 3.11. Name another one: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot create a virtual environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
