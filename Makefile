# `make jam` and `make test` set everything up first. Works with GNU make 3.81 and later, plain sh.

VENV := .venv
BIN := $(VENV)/bin
# Written when everything is installed; a changed pyproject.toml installs again.
STAMP := $(VENV)/.installed
NODE_PACKAGES := patches/node/node_modules/.package-lock.json

.DEFAULT_GOAL := help
.PHONY: help setup jam soak test lint style types imports pytest format bench clean distclean
.NOTPARALLEL:

help:
	@echo 'make jam        start the daemon with the pocket model, and play'
	@echo 'make test       everything that must hold: style, types, import rules, tests'
	@echo 'make lint       the same without the tests'
	@echo 'make format     bring the code into its standard form'
	@echo 'make soak       the daemon for half an hour (or MINUTES=n), with a report'
	@echo 'make bench      how fast the engine runs here, on random weights (2.4 GB, written once)'
	@echo 'make setup      only the set-up (the others do it when needed)'
	@echo 'make clean      remove what was made, except the environment'
	@echo 'make distclean  remove the environment too'
	@echo
	@echo 'PYTHON=python3.12 chooses the interpreter when the environment is made;'
	@echo 'JAM_ARGS, SOAK_ARGS, PYTEST_ARGS and BENCH_ARGS are passed on, as in: make bench BENCH_ARGS="--model DIR"'

setup: $(STAMP)

$(STAMP): pyproject.toml scripts/setup.sh
	@PYTHON='$(PYTHON)' sh scripts/setup.sh $(VENV)
	@touch $@

jam: $(STAMP)
	@$(BIN)/musicgen-rt jam $(JAM_ARGS)

soak: $(STAMP)
	$(BIN)/python scripts/soak.py $(if $(MINUTES),--minutes $(MINUTES)) $(SOAK_ARGS)

test: lint pytest

lint: style types imports

style: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports --no-logo

# Shared out by tests/workers.py; PYTEST_ARGS="-n 0 ..." is for one process, one test after another.
pytest: $(STAMP) $(NODE_PACKAGES)
	$(BIN)/pytest -n auto $(PYTEST_ARGS)

# What the tests of the Node.js client need; without npm they are skipped.
$(NODE_PACKAGES): patches/node/package-lock.json
	@if command -v npm >/dev/null; then \
		npm ci --prefix patches/node --ignore-scripts --no-audit --no-fund || \
		echo 'npm could not install the packages of patches/node: its tests are skipped'; \
	fi

bench: $(STAMP)
	$(BIN)/musicgen-rt bench $(or $(BENCH_ARGS),--random-weights)

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
		.hypothesis
	find bridge musicgen_rt tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
