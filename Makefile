# Needs make and Python 3.11 or newer, nothing else. Everything it makes is in .venv and .titan10.

VENV := .venv
BIN := $(VENV)/bin
# The first Python that is new enough; `make PYTHON=/path/to/python ...` overrules.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
# Without bytecode every import of Dagster takes three times as long, whatever the environment says.
RUN := env -u PYTHONDONTWRITEBYTECODE
INSTALL = $(RUN) $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt

.PHONY: help up demo test campaign nightly bench clean

help:
	@echo "make up      run everything on real exchanges: PostgreSQL, UI, daemon; Ctrl-C stops all of it"
	@echo "make demo    show it offline in a minute, against the sandbox; DEMO_KEEP=1 leaves the UI up"
	@echo "make test    lint, types, all tests"
	@echo "make campaign  the long tests: killed at random moments, alone and all at once, and sixty days through the UI"
	@echo "make nightly  two hundred simulated weeks, each from its own seed, and properties on a thousand examples"
	@echo "make bench   candles a second, also beside others; live polling; planning over five years; layouts"
	@echo "make clean   remove what was installed and cached; the data in .titan10 stays"

up: $(VENV)/installed
	@$(RUN) $(BIN)/titan10 up

demo: $(VENV)/installed
	@$(RUN) $(BIN)/titan10 demo

test: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(RUN) $(BIN)/mypy
	$(RUN) $(BIN)/python -m pytest

# The long forms of the tests that kill, and of the backfill through the UI.
campaign: $(VENV)/installed-dev
	$(RUN) TITAN10_TEST_KILLS=10 TITAN10_TEST_KILL_DAYS=30 TITAN10_TEST_UI_DAYS=60 \
		TITAN10_TEST_STRIKES=3 TITAN10_TEST_STRIKE_DAYS=90 \
		$(BIN)/python -m pytest -s -o timeout=3600 titan10_dagster_tests/e2e

# `python -m titan10_dagster_tests.simulation --seed N` tells one of them step by step.
nightly: $(VENV)/installed-dev
	$(RUN) TITAN10_TEST_SEEDS=$${TITAN10_TEST_SEEDS:-200} \
		$(BIN)/python -m pytest -s -o timeout=900 titan10_dagster_tests/simulation
	$(RUN) $(BIN)/python -m pytest -o timeout=3600 --hypothesis-profile=others -m hypothesis

bench: $(VENV)/installed-dev
	$(RUN) $(BIN)/python -m benchmarks.backfill
	$(RUN) $(BIN)/python -m benchmarks.peers
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
	@echo "Installing what pyproject.toml names, in the versions of constraints.txt ..."
	@$(INSTALL) -e .
	@$(RUN) $(BIN)/python -m compileall -q titan10_dagster
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what the tests need ..."
	@$(INSTALL) -e '.[dev]'
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found: install one, or name it: make PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is older than 3.11: name another, make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
