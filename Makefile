# `make demo` and `make test` are all that a fresh machine needs; `make help` names the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup server focus demo test test-unit test-fast lint format types lock lock-check \
        dockerfile bench clean

VENV := .venv
RUN := $(VENV)/bin/python
CODE := agent metering demo scripts tests
# Folders that exist: a part of the plan is made when its first line is.
TYPED := $(wildcard $(CODE) examples benchmarks)

# Say `make PYTHON=/path/to/python3.12 ...` to choose; otherwise the first that fits.
PYTHON ?=
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
define SETUP
	@for python in $(PYTHON) $(if $(PYTHON),,$(RUN) python3 python3.13 python3.12 python3.11 python); do \
	  if "$$python" -c "$(FITS)" >/dev/null 2>&1; then exec "$$python" scripts/setup.py $(1); fi; \
	done; \
	echo "setup: Tallyroom needs Python 3.11, 3.12 or 3.13, and" \
	  "$(or $(PYTHON),python3) is $$($(or $(PYTHON),python3) --version 2>/dev/null || echo not there):" \
	  "install one, or name it with make PYTHON=/path/to/python" >&2; exit 1
endef

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup:  ## everything in .venv, pinned by hash; quick the second time
	$(call SETUP,)

server:  ## setup, and livekit-server: LIVEKIT_URL, PATH, or built once into a cache
	$(call SETUP,--server)

focus: setup  ## the FOCUS validator, in an environment of its own
	@$(RUN) -m scripts.focus

demo: server  ## hold a metered meeting and show its bill
	@$(RUN) -m demo

test: server focus  ## all tests, those against the real server included
	@$(RUN) scripts/run_tests.py $(ARGS)

test-unit: setup  ## the tests that need no server and no network
	@$(RUN) -m pytest tests/unit $(ARGS)

test-fast: setup  ## all but those against the real server
	@$(RUN) -m pytest -m "not e2e and not soak" $(ARGS)

lint: setup lock-check  ## ruff, formatting, and whether the lock is fresh
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

format: setup  ## what ruff can put right by itself
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

types: setup  ## mypy, strict
	@$(RUN) -m mypy $(TYPED)

lock: setup  ## renew the requirements files; UPGRADE=1 takes the newest versions
	@$(RUN) scripts/lock.py write $(if $(UPGRADE),--upgrade)

lock-check: setup  ## whether the requirements files fit pyproject.toml
	@$(RUN) scripts/lock.py check

dockerfile: setup  ## check the Dockerfile as far as that goes without a container engine
	@$(RUN) scripts/check_dockerfile.py

bench: setup  ## print the benchmarks' tables; docs/benchmarks.md says what they mean
	@$(RUN) -m benchmarks.overhead
	@$(RUN) -m benchmarks.end_of_job
	@$(RUN) -m benchmarks.rating
	@$(RUN) -m benchmarks.statement
	@$(RUN) -m benchmarks.growth $(if $(LARGEST),--largest $(LARGEST))

clean:  ## what set-up and the tools made; never data/
	rm -rf $(VENV) .cache dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
