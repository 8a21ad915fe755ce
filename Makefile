# The one door for developers.  Needs Python 3.11 or newer and make; everything else goes into .venv.
#
#   make demo      start a job, cut its viewer, attach again, prove that no byte is missing
#   make test      linters, types, floors, docs, then all tests
#   make format    put the sources into shape
#   make docs      write the generated reference pages again
#   make bench     measure, and write docs/benchmarks.md (BENCH="topic …" for some, QUICK=1 for a glance)
#   make soak      the simulation with many seeds (SOAK_SEEDS=…, SOAK_FULL=…, SOAK_FIRST=…); takes hours
#   make clean     remove .venv and every cache

SHELL := /bin/bash
.DEFAULT_GOAL := test

# The first of these that is new enough.  `make PYTHON=/path/to/python` chooses another.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v "$$p" && break; done)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
TEST ?= tests
PYTEST ?=
BENCH ?=
SOAK_SEEDS ?= 10000
SOAK_FULL ?= 10000
SOAK_FIRST ?= 1

.PHONY: demo test lint format docs bench soak requirements clean clean-clone install install-dev

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Holdfast needs Python 3.11 or newer; none was found on the PATH." >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed; on Debian: apt-get install python3-venv" >&2; exit 1; }

# What a user gets, with pinned versions.  Editable, so that changed sources need no second installation.
$(VENV)/.installed: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "installing holdfast into $(VENV)"
	@$(PIP) install --constraint requirements/dev.txt --editable .
	@touch $@

# The same, and the tools.  pip must not touch the sources' own build: hatchling is among the pins.
$(VENV)/.installed-dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "installing holdfast and its development tools into $(VENV)"
	@$(PIP) install --requirement requirements/dev.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

demo: install
	@$(BIN)/python examples/demo.py

lint: install-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m tools.docs --check

# The linters go first, so that the last line is the count of tests.
test: lint
	$(BIN)/python -m pytest $(PYTEST) $(TEST)

format: install-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: install-dev
	$(BIN)/python -m tools.docs

bench: install-dev
	$(BIN)/python -m bench.run $(if $(QUICK),--quick) $(BENCH)

soak: install-dev
	$(BIN)/python -m pytest tests/simulation -v --timeout 0 \
	  --soak-seeds $(SOAK_SEEDS) --soak-full $(SOAK_FULL) --soak-first $(SOAK_FIRST)

# New pins: the newest versions that fit, resolved in an empty environment.
requirements: | $(BIN)/python
	$(BIN)/python -m tools.requirements

clean-clone:
	tools/clean_clone.sh

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
